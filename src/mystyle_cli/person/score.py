"""How well a profile shows its person, and the gate for others. Source: sec. 4.1, app. C.3, C.6."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mystyle_cli.prior.generator import Generator
    from mystyle_cli.prior.perceptual import Perceptual
    from mystyle_cli.prior.registry import Prior

FloatArray = NDArray[np.float32]

STRANGERS: Final = 64
"""Random people drawn from the domain prior, to learn how alike a stranger can look."""

SPREADS: Final = 3.0
"""How many standard deviations below the person's own mean a photo may score and still be theirs."""


def id_scores(
    embeddings: FloatArray, references: FloatArray, exclude: Sequence[Sequence[int]] | None = None
) -> FloatArray:
    """Return the ID score: cosine to the nearest reference.

    Args:
        embeddings: (B, D) unit rows.
        references: (N, D) unit rows.
        exclude: for each row of `embeddings`, the indices of references that do not count.

    Returns:
        (B,) in [-1, 1].

    Raises:
        ValueError: nothing is left to compare a row with.

    Source: sec. 4.1.
    """
    cosines = np.asarray(embeddings, np.float64) @ np.asarray(references, np.float64).T  # (B, N)
    if exclude is not None:
        for row, left_out in zip(cosines, exclude, strict=True):
            row[list(left_out)] = -np.inf
    if cosines.shape[1] == 0 or not np.isfinite(cosines.max(axis=1)).all():
        raise ValueError("no reference is left to compare with")
    return np.asarray(cosines.max(axis=1).clip(-1.0, 1.0), np.float32)


def synthesise(generator: Generator, codes: FloatArray, batch: int = 16) -> FloatArray:
    """Return the pictures (N, 3, R, R) of codes in W (N, w_dim) or W+ (N, num_ws, w_dim)."""
    import torch

    made = []
    with torch.no_grad():
        for start in range(0, len(codes), batch):
            part = torch.from_numpy(np.ascontiguousarray(codes[start : start + batch], np.float32))
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
    found = []
    with torch.no_grad():
        for start in range(0, len(made), batch):
            pair = [torch.from_numpy(part[start : start + batch]).to(device) for part in (made, truth)]
            found.append(perceptual.distance(*pair).flatten().float().cpu())
    return torch.cat(found).numpy()


def peak_signal_to_noise(made: FloatArray, truth: FloatArray) -> FloatArray:
    """Return PSNR in dB, one value a picture; pictures (N, 3, R, R) in [-1, 1], values beyond are clipped."""
    error = np.square(made.clip(-1, 1) - truth).mean(axis=(1, 2, 3))
    return np.asarray(10 * np.log10(4.0 / np.maximum(error, 1e-12)), np.float32)


def reconstruction_figures(
    generator: Generator,
    prior: Prior,
    perceptual: Perceptual,
    reference: tuple[FloatArray, FloatArray],
    held_out: tuple[FloatArray, FloatArray],
) -> dict[str, float]:
    """Measure how a generator gives back the reference set and photos that it was not tuned on.

    Args:
        generator: G_d or G_p.
        prior: the domain prior; its identity net judges.
        perceptual: LPIPS.
        reference: anchors (N, w_dim) and photos (N, 3, R, R) of the reference set.
        held_out: the encoder's codes and photos of the held-out set; may be empty.

    Returns:
        id, lpips and psnr, one to one with the photos; held_out_id to the nearest reference, held_out_lpips.

    Source: app. C.3 and, for the held-out photos, C.6.
    """
    codes, photos = reference
    made = synthesise(generator, codes)
    references = prior.embed(photos)
    same = np.sum(prior.embed(made) * references, axis=1)
    figures = {
        "id": float(same.mean()),
        "id_spread": float(same.std()),
        "lpips": float(perceptual_distances(perceptual, made, photos).mean()),
        "psnr": float(peak_signal_to_noise(made, photos).mean()),
    }
    if len(held_out[0]):
        made = synthesise(generator, held_out[0])
        figures["held_out_id"] = float(id_scores(prior.embed(made), references).mean())
        figures["held_out_lpips"] = float(perceptual_distances(perceptual, made, held_out[1]).mean())
    return {name: round(value, 4) for name, value in figures.items()}


def identity_statistics(
    prior: Prior, reference: FloatArray, held_out: FloatArray, seed: int
) -> dict[str, float]:
    """Learn how this person's photos score against their own reference set, and how strangers do.

    The threshold of the gate lies below what the person's own photos reach: each reference photo against the
    others, and the held-out photos.

    Args:
        prior: the domain prior; its identity net judges and its samples are the strangers.
        reference: (N, 3, R, R) in [-1, 1].
        held_out: (M, 3, R, R), M may be 0.
        seed: of the strangers.

    Returns:
        own_mean, own_spread, own_lowest, held_out_mean (when there are any), stranger_mean and
        stranger_highest (when the prior can draw people), threshold.

    Source: sec. 4.1, app. C.6.
    """
    references = prior.embed(reference)
    own = []
    if len(reference) > 1:
        own.append(id_scores(references, references, [[row] for row in range(len(reference))]))
    statistics: dict[str, float] = {}
    if len(held_out):
        scores = id_scores(prior.embed(held_out), references)
        statistics["held_out_mean"] = float(scores.mean())
        own.append(scores)
    mine = np.concatenate(own) if own else np.ones(1, np.float32)
    statistics |= {
        "own_mean": float(mine.mean()),
        "own_spread": float(mine.std()),
        "own_lowest": float(mine.min()),
    }
    others = _draw_strangers(prior, seed)
    strangers = id_scores(prior.embed(others), references) if len(others) else np.zeros(0, np.float32)
    if len(strangers):
        statistics["stranger_mean"] = float(strangers.mean())
        statistics["stranger_highest"] = float(strangers.max())
    statistics["threshold"] = gate_threshold(mine, strangers)
    return {name: round(value, 4) for name, value in statistics.items()}


def gate_threshold(own: FloatArray, strangers: FloatArray) -> float:
    """Return the ID score under which a photo counts as not this person's.

    Args:
        own: scores of the person's own photos.
        strangers: scores of other people's; may be empty.
    """
    lenient = float(min(own.mean() - SPREADS * own.std(), own.min()))
    if not len(strangers):
        return lenient
    stranger = float(np.quantile(strangers, 0.95))
    # where the two overlap nothing separates them, and to refuse the person's own photos is the worse error
    return lenient if stranger >= lenient else 0.5 * (lenient + stranger)


def _draw_strangers(prior: Prior, seed: int) -> FloatArray:
    """Return pictures of random people from G_d; none where it has no mapping network to draw them from."""
    import torch

    generator = prior.generator("cpu")
    if not generator.z_dim:
        return np.zeros((0, 3, prior.resolution, prior.resolution), np.float32)
    z = np.random.default_rng(seed).standard_normal((STRANGERS, generator.z_dim), np.float32)
    with torch.no_grad():
        codes = generator.mapping(torch.from_numpy(z)).float().numpy()
    return synthesise(generator, codes).clip(-1, 1)
