"""New pictures of a person: coefficients drawn from A_beta, rendered by G_p (app. B.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.errors import UsageError, check_choice
from mystyle_cli.hull.sampling import sample_three_anchors, sample_uniform
from mystyle_cli.nets.memory import at_once
from mystyle_cli.person.layout import GENERATOR
from mystyle_cli.person.score import id_scores
from mystyle_cli.person.years import Span, span_of
from mystyle_cli.progress import Progress, Step, silent

if TYPE_CHECKING:
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.sample.rendering import Backend, Renderer

Sampler = Literal["anchors", "uniform"]

BATCH = 16  # pictures rendered at once where they are small; a picture is the same at any batch size


@dataclass(frozen=True)
class Samples:
    """Pictures of a person who never posed for them.

    Args:
        alphas: float64 (n, N), their coefficients in A_beta.
        pixels: uint8 (n, R, R, 3).
        id_scores: float32 (n,), cosine to the nearest photo of the reference set (sec. 4.1).
        backend: what rendered them, "onnx" or "torch".
        place: the provider or device that did.
        copies: for each picture the file of the photo that it nearly copies, "" where it copies none (C.5).
        span: which of the person's photos they are mixed of.
    """

    seeds: tuple[int, ...]
    alphas: NDArray[np.float64]
    pixels: Pixels
    id_scores: NDArray[np.float32]
    backend: str
    place: str
    copies: tuple[str, ...]
    span: Span


def draw(
    profile: Profile,
    seeds: Sequence[int],
    sampler: Sampler = "anchors",
    beta: float = 0.0,
    k: int = 3,
    progress: Progress = silent,
    backend: Backend = "auto",
    year: int | None = None,
) -> Samples:
    """Draw and render one picture for each seed, all kept in memory, as `draw_parts` does (app. B.1)."""
    from mystyle_cli.sample.rendering import open_renderer

    renderer = open_renderer(profile, backend)
    parts = list(draw_parts(profile, renderer, seeds, sampler, beta, k, progress, year))
    alphas, pixels, ids = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("alphas", "pixels", "id_scores")
    )
    copies = tuple(copied for part in parts for copied in part.copies)
    return Samples(tuple(seeds), alphas, pixels, ids, renderer.backend, renderer.place, copies, parts[0].span)


def draw_parts(
    profile: Profile,
    renderer: Renderer,
    seeds: Sequence[int],
    sampler: Sampler = "anchors",
    beta: float = 0.0,
    k: int = 3,
    progress: Progress = silent,
    year: int | None = None,
) -> Iterator[Samples]:
    """Draw one picture for each seed with a renderer that is ready, and yield a few at a time.

    Args:
        seeds: each gives the same picture in any company.
        sampler: "anchors" mixes k anchors (in P_0); "uniform" draws uniformly from A_beta.
        beta: dilation for "uniform".
        k: anchors in a mix for "anchors".
        year: only the photos nearest to it are mixed; None: all.

    Raises:
        UsageError: no seed, settings that the sampler does not have, or several people.
        ProfileError: a year is asked for, and too few photos say when they were taken.

    Source: app. B.1.
    """
    from mystyle_cli.photos.pixels import to_pixels
    from mystyle_cli.sample.copies import Copies

    if not seeds:
        raise UsageError("no picture was asked for", "Give at least one seed.")
    check_choice("sampler", sampler, Sampler)
    if sampler == "anchors" and beta:
        raise UsageError("a mix of anchors never leaves P_0", 'Use the sampler "uniform" with a dilation.')
    profile = profile.one(profile.person or None)  # several people's mixtures are nobody's
    anchors, copies, span = profile.anchors(), Copies(profile, renderer), span_of(profile, year)
    count, num_ws = len(span.near), profile.manifest.prior.num_ws
    batch = at_once(profile.manifest.prior.resolution, BATCH)
    for start in range(0, len(seeds), batch):
        part = tuple(seeds[start : start + batch])
        if sampler == "uniform":
            alphas = span.spread_near(sample_uniform(count, beta, part))
        else:
            alphas = span.spread_near(sample_three_anchors(count, part, k))
        codes = (alphas @ anchors).astype(np.float32)  # M alpha, (b, w_dim), the same for every layer
        images = profile.refuse_odd(GENERATOR, renderer.render(np.repeat(codes[:, None], num_ws, axis=1)))
        embeddings, pixels = profile.prior.embed(images), to_pixels(images)
        scores = id_scores(embeddings, profile.reference_embeddings())
        copied = copies.of(alphas, embeddings, pixels)
        yield Samples(part, alphas, pixels, scores, renderer.backend, renderer.place, copied, span)
        progress(Step("sample", start + len(part), len(seeds)))
