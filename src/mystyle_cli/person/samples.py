"""New pictures of a person: coefficients drawn from A_beta, rendered by G_p (app. B.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.errors import UsageError
from mystyle_cli.person.sampling import sample_three_anchors, sample_uniform
from mystyle_cli.progress import Progress, Step, silent

if TYPE_CHECKING:
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.photos.decode import Pixels

Sampler = Literal["anchors", "uniform"]

BATCH = 16
"""Pictures rendered at once; a picture is the same at any batch size."""


@dataclass(frozen=True)
class Samples:
    """Pictures of a person who never posed for them.

    Args:
        seeds: one for each picture.
        alphas: float64 (n, N), their coefficients in A_beta.
        pixels: uint8 (n, R, R, 3).
        id_scores: float32 (n,), cosine to the nearest photo of the reference set (sec. 4.1).
    """

    seeds: tuple[int, ...]
    alphas: NDArray[np.float64]
    pixels: Pixels
    id_scores: NDArray[np.float32]


def draw(
    profile: Profile,
    seeds: Sequence[int],
    sampler: Sampler = "anchors",
    beta: float = 0.0,
    k: int = 3,
    device: str = "cpu",
    progress: Progress = silent,
) -> Samples:
    """Draw and render one picture for each seed.

    Args:
        profile: a tuned profile.
        seeds: each gives the same picture in any company.
        sampler: "anchors" mixes k anchors (in P_0); "uniform" draws uniformly from A_beta.
        beta: dilation for "uniform".
        k: anchors in a mix for "anchors".
        device: where to render.
        progress: called after every batch.

    Raises:
        UsageError: no seed, or settings that the sampler does not have.
        ProfileError: the profile is not tuned.

    Source: app. B.1.
    """
    from mystyle_cli.person.score import synthesise
    from mystyle_cli.photos.decode import to_pixels

    if not seeds:
        raise UsageError("no picture was asked for", "Give at least one seed.")
    if sampler == "anchors" and beta:
        raise UsageError("a mix of anchors never leaves P_0", 'Use the sampler "uniform" with a dilation.')
    anchors = profile.anchors()
    count = len(anchors)
    alphas = (
        sample_uniform(count, beta, seeds) if sampler == "uniform" else sample_three_anchors(count, seeds, k)
    )
    codes = (alphas @ anchors).astype(np.float32)  # (n, w_dim)
    generator = profile.generator(device)
    made, scores = [], []
    for start in range(0, len(codes), BATCH):
        images = synthesise(generator, codes[start : start + BATCH])
        made.append(to_pixels(images))
        scores.append(profile.id_score(images))
        progress(Step("sample", min(start + BATCH, len(codes)), len(codes)))
    return Samples(tuple(seeds), alphas, np.concatenate(made), np.concatenate(scores))
