"""Anchors: each reference photo's code in W, by encoder or optimisation. Source: sec. 3.1, B.5."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.errors import UsageError
from mystyle_cli.nets.cost import plan_search
from mystyle_cli.progress import Progress, Step, silent

if TYPE_CHECKING:
    import torch

    from mystyle_cli.nets.generator import Generator
    from mystyle_cli.nets.perceptual import Perceptual
    from mystyle_cli.person.reference import Pictures
    from mystyle_cli.prior.registry import Prior

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class AnchorSettings:
    """How codes are found where the prior has no encoder."""

    steps: int = 300  # steps of Adam in W for each batch
    batch: int = 12  # photos at once
    learning_rate: float = 0.1  # Adam's rate at its highest
    # standard deviation of the exploring noise on the code at the start, in units of W's own spread
    noise: float = 0.05
    seed: int = 0  # of that noise and of the estimate of W's spread

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or not self.learning_rate > 0:
            raise UsageError("steps and batch must be 1 or more and the learning rate above 0")


@dataclass(frozen=True)
class Rank:
    """How independent a set of anchors is."""

    count: int
    rank: int  # dimension of their span
    dependent: tuple[int, ...]  # indices of anchors that lie in the span of those before them


@dataclass(frozen=True)
class Anchors:
    """Anchors and how they were found."""

    codes: FloatArray  # (N, w_dim)
    method: str  # "encoder" or "optimised"
    rank: Rank


def find_anchors(
    images: FloatArray | Pictures,
    prior: Prior,
    settings: AnchorSettings | None = None,
    progress: Progress = silent,
) -> Anchors:
    """Find the code of each image: with the prior's encoder, or by optimisation in W where it has none.

    Args:
        images: (N, 3, R, R) in [-1, 1].

    Source: sec. 3.1.
    """
    settings = settings or AnchorSettings()
    if "encoder" in prior.roles:
        codes, method = _encode(images, prior, settings.batch, progress), "encoder"
    else:
        generator, perceptual = prior.generator(), prior.perceptual()
        plan = plan_search(generator, perceptual, settings.batch, prior.device)
        generator.synthesis.recompute = plan.recompute
        settings = replace(settings, batch=plan.at_once)
        codes, method = optimise_anchors(images, generator, perceptual, settings, progress), "optimised"
    return Anchors(codes, method, check_rank(codes))


def _encode(images: FloatArray | Pictures, prior: Prior, batch: int, progress: Progress) -> FloatArray:
    parts = []
    for start in range(0, len(images), batch):
        parts.append(prior.encode(images[start : start + batch]))
        progress(Step("anchors", min(start + batch, len(images)), len(images)))
    return np.concatenate(parts).astype(np.float32) if parts else np.zeros((0, prior.w_dim), np.float32)


def optimise_anchors(
    images: FloatArray | Pictures,
    generator: Generator,
    perceptual: Perceptual,
    settings: AnchorSettings,
    progress: Progress = silent,
) -> FloatArray:
    """Find codes (N, w_dim) that give back images (N, 3, R, R) best, each on its own, from the mean code on.

    Source: app. B.3 (StyleGAN2's projector: Adam, a ramped rate, decaying noise on the code).
    """
    import torch

    spread = _spread_of_codes(generator, settings.seed)
    found = []
    for start in range(0, len(images), settings.batch):
        part = torch.from_numpy(np.ascontiguousarray(images[start : start + settings.batch]))  # (B, 3, R, R)
        # one stream of noise for each image, so that its code does not depend on the batch it is in
        streams = [np.random.default_rng([settings.seed, start + row]) for row in range(len(part))]
        mean = generator.w_avg.detach().clone()  # w bar of B.3, (w_dim,)
        codes = mean.expand(len(part), -1).contiguous().requires_grad_(True)  # (B, w_dim)
        search = _search(codes, part.to(codes.device), generator, perceptual, settings, spread, streams)
        for step, loss in enumerate(search, 1):
            done = start * settings.steps + step * len(part)
            progress(Step("anchors", done, len(images) * settings.steps, {"loss": loss}))
        found.append(codes.detach().cpu().numpy())
    return np.concatenate(found).astype(np.float32)


def _search(
    codes: torch.Tensor,
    target: torch.Tensor,
    generator: Generator,
    perceptual: Perceptual,
    settings: AnchorSettings,
    spread: float,
    streams: list[np.random.Generator],
) -> Iterator[float]:
    """Improve the codes (B, w_dim) of one batch in place; yield their mean loss at every step of Adam."""
    import torch

    optimiser = torch.optim.Adam([codes], lr=settings.learning_rate)
    with torch.no_grad():
        features = perceptual.features(target)
    for step in range(settings.steps):
        at = step / settings.steps
        optimiser.param_groups[0]["lr"] = settings.learning_rate * _ramp(at)
        # noise on the code looks around the next minimum; over the last quarter there is none
        strength = settings.noise * spread * max(0.0, 1 - at / 0.75) ** 2
        drawn = np.stack([stream.standard_normal(codes.shape[1], np.float32) for stream in streams])
        tried = codes + torch.from_numpy(strength * drawn).to(codes)  # (B, w_dim)
        w_plus = tried.unsqueeze(1).expand(-1, generator.num_ws, -1)  # (B, num_ws, w_dim)
        made = generator.synthesis(w_plus, noise="const")  # G_d(w), (B, 3, R, R)
        l2 = (made - target).square().mean(dim=(1, 2, 3))
        loss = perceptual.distance_to(features, made).flatten() + l2  # eq 1, (B,)
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss.sum(), inputs=[codes])  # not of weights, even where they ask for it
        optimiser.step()
        yield float(loss.detach().mean())


def _ramp(at: float) -> float:
    """Rise over the first twentieth, fall as a cosine over the last quarter: StyleGAN2's projector."""
    fall = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1.0 - at) / 0.25))
    return fall * min(1.0, (at + 1e-3) / 0.05)


def _spread_of_codes(generator: Generator, seed: int) -> float:
    """Estimate the root mean squared distance of W's codes from their mean, per coordinate."""
    import torch

    z = np.random.default_rng(seed).standard_normal((1024, generator.z_dim), np.float32)
    with torch.no_grad():
        codes = generator.mapping(torch.from_numpy(z).to(generator.device))  # (1024, w_dim)
    return float((codes - codes.mean(dim=0)).square().mean().sqrt())


def check_rank(codes: NDArray[np.floating], tolerance: float = 1e-6) -> Rank:
    """Tell how many anchors are linearly independent, and which are not.

    Args:
        codes: (N, w_dim).
        tolerance: an anchor counts as dependent when what is left of it outside the span of those before it
            is shorter than this part of the longest anchor.

    Source: app. B.5.
    """
    rows = np.asarray(codes, np.float64)  # (N, w_dim)
    longest = float(np.linalg.norm(rows, axis=1).max(initial=0.0))
    basis = np.zeros((0, rows.shape[1]))  # orthonormal rows, which grow with the rank
    dependent = []
    for index, row in enumerate(rows):
        rest = row - (row @ basis.T) @ basis
        rest -= (rest @ basis.T) @ basis  # once more: a single Gram-Schmidt sweep loses orthogonality
        length = float(np.linalg.norm(rest))
        if len(basis) == rows.shape[1] or length <= tolerance * longest:
            dependent.append(index)
        else:
            basis = np.vstack([basis, rest / length])
    return Rank(len(rows), len(basis), tuple(dependent))
