"""New pictures of a person: coefficients drawn from A_beta, rendered by G_p (app. B.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.errors import UsageError
from mystyle_cli.person.profile import GENERATOR
from mystyle_cli.person.sampling import sample_three_anchors, sample_uniform
from mystyle_cli.prior.batches import at_once
from mystyle_cli.progress import Progress, Step, silent

if TYPE_CHECKING:
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.person.rendering import Backend, Renderer
    from mystyle_cli.photos.decode import Pixels

Sampler = Literal["anchors", "uniform"]

BATCH = 16
"""Pictures rendered at once where they are small; a picture is the same at any batch size."""


@dataclass(frozen=True)
class Samples:
    """Pictures of a person who never posed for them.

    Args:
        seeds: one for each picture.
        alphas: float64 (n, N), their coefficients in A_beta.
        pixels: uint8 (n, R, R, 3).
        id_scores: float32 (n,), cosine to the nearest photo of the reference set (sec. 4.1).
        backend: what rendered them, "onnx" or "torch".
        place: the provider or device that did.
    """

    seeds: tuple[int, ...]
    alphas: NDArray[np.float64]
    pixels: Pixels
    id_scores: NDArray[np.float32]
    backend: str
    place: str


def draw(
    profile: Profile,
    seeds: Sequence[int],
    sampler: Sampler = "anchors",
    beta: float = 0.0,
    k: int = 3,
    device: str = "cpu",
    progress: Progress = silent,
    backend: Backend = "auto",
) -> Samples:
    """Draw and render one picture for each seed; see `draw_with`.

    Args:
        profile: a tuned profile.
        seeds: each gives the same picture in any company.
        sampler: "anchors" mixes k anchors (in P_0); "uniform" draws uniformly from A_beta.
        beta: dilation for "uniform".
        k: anchors in a mix for "anchors".
        device: where to render.
        progress: called after every batch.
        backend: what renders; "auto" takes the exported net where there is one.

    Source: app. B.1.
    """
    from mystyle_cli.person.rendering import open_renderer

    return draw_with(profile, open_renderer(profile, backend, device), seeds, sampler, beta, k, progress)


def draw_with(
    profile: Profile,
    renderer: Renderer,
    seeds: Sequence[int],
    sampler: Sampler = "anchors",
    beta: float = 0.0,
    k: int = 3,
    progress: Progress = silent,
) -> Samples:
    """Draw one picture for each seed with a renderer that is ready.

    Args:
        profile: a tuned profile.
        renderer: its generator.
        seeds: each gives the same picture in any company.
        sampler: "anchors" mixes k anchors (in P_0); "uniform" draws uniformly from A_beta.
        beta: dilation for "uniform".
        k: anchors in a mix for "anchors".
        progress: called after every batch.

    Raises:
        UsageError: no seed, or settings that the sampler does not have.

    Source: app. B.1.
    """
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
    w_plus = np.repeat(codes[:, None], profile.manifest.prior.num_ws, axis=1)  # (n, num_ws, w_dim)
    made, scores = [], []
    batch = at_once(profile.manifest.prior.resolution, BATCH)
    for start in range(0, len(codes), batch):
        images = profile.refuse_odd(GENERATOR, renderer.render(w_plus[start : start + batch]))
        made.append(to_pixels(images))
        scores.append(profile.id_score(images))
        progress(Step("sample", min(start + batch, len(codes)), len(codes)))
    pictures, ids = np.concatenate(made), np.concatenate(scores)
    return Samples(tuple(seeds), alphas, pictures, ids, renderer.backend, renderer.place)
