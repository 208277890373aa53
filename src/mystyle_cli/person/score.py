"""What pictures of a person are measured by: ID score, LPIPS, PSNR. Source: sec. 4.1, app. C.3, C.6."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.nets.memory import at_once

if TYPE_CHECKING:
    from mystyle_cli.nets.generator import Generator
    from mystyle_cli.nets.perceptual import Perceptual
    from mystyle_cli.person.reference import Pictures
    from mystyle_cli.prior.registry import Prior

FloatArray = NDArray[np.float32]

BATCH: Final = 16  # pictures worked on at once, where they are small


def id_scores(
    embeddings: FloatArray, references: FloatArray, exclude: Sequence[Sequence[int]] | None = None
) -> FloatArray:
    """Return the ID scores (B,): cosines of unit rows (B, D) to the nearest of the references (N, D).

    References that `exclude` lists for a row do not count for it. Source: sec. 4.1.

    Raises:
        ValueError: nothing is left to compare a row with.
    """
    cosines = np.asarray(embeddings, np.float64) @ np.asarray(references, np.float64).T  # (B, N)
    if exclude is not None:
        for row, left_out in zip(cosines, exclude, strict=True):
            row[list(left_out)] = -np.inf
    if cosines.shape[1] == 0 or not np.isfinite(cosines.max(axis=1)).all():
        raise ValueError("no reference is left to compare with")
    return np.asarray(cosines.max(axis=1).clip(-1.0, 1.0), np.float32)


def embed_pictures(prior: Prior, pictures: FloatArray | Pictures) -> FloatArray:
    """Return the identity embeddings (N, D) of pictures (N, 3, R, R), a few at a time."""
    batch = at_once(prior.resolution, BATCH)
    parts = [prior.embed(pictures[start : start + batch]) for start in range(0, len(pictures), batch)]
    return np.concatenate(parts) if parts else prior.embed(pictures[:])


def synthesise(generator: Generator, codes: FloatArray) -> FloatArray:
    """Return the pictures (N, 3, R, R) of codes in W (N, w_dim) or W+ (N, num_ws, w_dim)."""
    import torch

    made = []
    batch = at_once(generator.resolution, BATCH)
    with torch.no_grad():
        for start in range(0, len(codes), batch):
            part = torch.tensor(codes[start : start + batch], dtype=torch.float32)
            if part.dim() == 2:
                part = part.unsqueeze(1).expand(-1, generator.num_ws, -1)
            made.append(generator.synthesis(part.to(generator.device), noise="const").float().cpu())
    return torch.cat(made).numpy()


def perceptual_distances(
    perceptual: Perceptual, made: FloatArray, truth: FloatArray, batch: int = 16
) -> FloatArray:
    """Return LPIPS between two stacks of pictures (N, 3, R, R), one value a pair."""
    import torch

    device = next(iter(perceptual.parameters())).device
    distances = []
    with torch.no_grad():
        for start in range(0, len(made), batch):
            pair = [torch.from_numpy(part[start : start + batch]).to(device) for part in (made, truth)]
            distances.append(perceptual.distance(*pair).flatten().float().cpu())
    return torch.cat(distances).numpy()


def peak_signal_to_noise(made: FloatArray, truth: FloatArray) -> FloatArray:
    """Return PSNR in dB, one value a picture; pictures (N, 3, R, R) in [-1, 1], values beyond are clipped."""
    error = np.square(made.clip(-1, 1) - truth).mean(axis=(1, 2, 3))  # 4: the range of [-1, 1], squared
    return np.asarray(10 * np.log10(4.0 / np.maximum(error, 1e-12)), np.float32)
