"""Projection: the code whose degraded image is nearest to the degraded input (sec. 3.3, eq 4 and 8).

One engine serves inversion, inpainting and upscaling, in P_beta+, P_beta, near it, in W+ and W. It works on
many inputs at once, each as if it were alone: the loss is a sum over inputs, and each has its own learning
rate and end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from mystyle_cli.hull import hull
from mystyle_cli.progress import Progress, Step, silent
from mystyle_cli.projection.adam import RowAdam
from mystyle_cli.projection.codes import Space, space_of
from mystyle_cli.projection.motion import moved
from mystyle_cli.projection.settings import HULL, Projection, ProjectionSettings

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mystyle_cli.hull.held import Held
    from mystyle_cli.nets.generator import Generator
    from mystyle_cli.nets.perceptual import Perceptual
    from mystyle_cli.projection.degradations import Degradation


# how far faces are usually out of place where they can only be placed roughly; see `motion`
MOTION_SPREAD: Final = (0.05, 0.05, 0.1, 0.1)

MOTION_STEP: Final = 0.08  # what share of that a movable face moves in one step at the highest rate
CHANGE_STEP: Final = 0.02
"""How far a degradation's own numbers move in one step at the highest rate."""

MOTION_WEIGHT: Final = 0.002  # what a face that is out of place by that much costs in eq 8


@dataclass(frozen=True, eq=False)
class Problem:
    """What eq 4 is asked of."""

    generator: Generator  # G, the personal G_p or the domain prior's G_d; its device is used
    anchors: npt.ArrayLike | None  # M, (N, w_dim); None in W and W+
    targets: Any  # I, numpy or torch (B, 3, h, w) in [-1, 1], the degraded inputs
    degradation: Degradation  # phi
    perceptual: Perceptual  # L_lpips
    held: Held | None = None  # what mean of the anchors' numbers codes of the person keep, if any
    spread: Tensor | None = None  # of `NearSpace`, where it is known already


def project(
    problem: Problem,
    settings: ProjectionSettings,
    progress: Progress = silent,
    start: npt.ArrayLike | None = None,
) -> Projection:
    """Find for each degraded input the code that best explains it: the alpha* and Delta* of eq 8.

    Args:
        problem: which inputs, and whose codes.
        start: alpha (B, N) or alpha+ (B, num_ws, N) in A_beta, or w (B, w_dim); None: the anchors' mean
            (B.3), or `w_avg`.

    Raises:
        UsageError: a space of the person is asked for without anchors.
    """
    import torch

    generator = problem.generator
    device = next(generator.parameters()).device
    inputs = torch.as_tensor(np.asarray(problem.targets), dtype=torch.float32, device=device)
    anchors = problem.anchors
    points = None if anchors is None else torch.as_tensor(np.array(anchors, np.float32), device=device)
    space = space_of(settings, points, generator, problem.held, problem.spread)
    first = _start(start, generator, points, settings, len(inputs))
    term = _Reconstruction.of(problem, inputs, settings)
    motions = torch.zeros(len(inputs), 4, device=device, requires_grad=True)
    free = torch.zeros(len(inputs), term.degradation.freedom, device=device, requires_grad=True)
    search = _Search(term, space, [*space.leaves(first.to(device)), motions, free], settings)
    while search.open_rows:
        search.step()
        progress(Step("project", search.taken, settings.most_steps, {"loss": search.mean_loss}))
    if search.taken < settings.most_steps:
        progress(Step("project", settings.most_steps, settings.most_steps, {"loss": search.mean_loss}))
    return _finish(search, term, space, points, problem.held)


def losses_of(
    problem: Problem, settings: ProjectionSettings, w_plus: npt.ArrayLike
) -> npt.NDArray[np.float32]:
    """Return eq 1 (B,) of codes (B, num_ws, w_dim), as `project` tells it of those that it finds."""
    import torch

    device = next(problem.generator.parameters()).device
    inputs = torch.as_tensor(np.asarray(problem.targets), dtype=torch.float32, device=device)
    codes = torch.as_tensor(np.asarray(w_plus, np.float32), device=device)
    term = _Reconstruction.of(problem, inputs, settings)
    with torch.no_grad():
        return _numpy(term.losses(term.images(codes), torch.zeros(len(inputs), 4, device=device)))


def _start(
    start: npt.ArrayLike | None,
    generator: Generator,
    anchors: Tensor | None,
    settings: ProjectionSettings,
    count: int,
) -> Tensor:
    """Return where the inputs start: alpha (B, N), alpha+ (B, num_ws, N) or w (B, w_dim), float32."""
    import torch

    if start is not None:
        return torch.as_tensor(np.array(start, np.float32))
    if settings.space not in HULL:
        mean = generator.w_avg.detach().float()
        return mean.expand(count, -1)  # (B, w_dim)
    assert anchors is not None  # `space_of` has refused this
    return torch.as_tensor(hull.centre(len(anchors)), dtype=torch.float32).expand(count, -1)  # (B, N)


@dataclass(frozen=True, eq=False)
class _Reconstruction:
    """L_rec(phi o G, I, .) of eq 8, for each input by itself."""

    generator: Generator  # generator, perceptual, settings: as in `project`
    perceptual: Perceptual
    settings: ProjectionSettings
    degradation: Degradation  # phi, on the generator's device
    inputs: Tensor  # I, (B, 3, h, w), there too
    # what the perceptual net sees in the inputs, a (B, C, h, w) for each of its layers
    features: list[Tensor]

    @classmethod
    def of(cls, problem: Problem, inputs: Tensor, settings: ProjectionSettings) -> _Reconstruction:
        """Bring a problem to where its inputs are, and look at them once for all steps."""
        import torch

        degradation = problem.degradation.to(inputs.device)
        with torch.no_grad():
            features = problem.perceptual.features(degradation.view(inputs))
        return cls(problem.generator, problem.perceptual, settings, degradation, inputs, features)

    def images(self, w_plus: Tensor) -> Tensor:
        """Return G(w+) (B, 3, R, R) of codes (B, num_ws, w_dim)."""
        images: Tensor = self.generator.synthesis(w_plus, noise="const")
        return images

    def losses(self, images: Tensor, motions: Tensor) -> Tensor:
        """Return eq 1 (B,) between phi(images, moved) and the inputs, over what is known of them.

        What phi itself had to be moved for that is added to it.
        """
        if self.settings.movable:
            images = moved(images, motions)
        degraded = self.degradation.apply(images)  # phi(G(w+)), (B, 3, h, w)
        view = self.degradation.view(degraded)  # (B, 3, R, R)
        # what is not known is equal on both sides and adds nothing: without the division, an input with a
        # large hole would weigh less against eq 6 and eq 7 than one without
        lpips = self.perceptual.distance_to(self.features, view) / self.degradation.seen(degraded)  # (B,)
        l2 = (degraded - self.inputs).square().mean(dim=(1, 2, 3)) / self.degradation.known(degraded)
        losses: Tensor = self.settings.perceptual_weight * lpips + self.settings.pixel_weight * l2  # eq 1
        return losses + self.degradation.penalty()

    def refined(self, free: Tensor) -> _Reconstruction:
        """Return the same with a phi that was moved by free numbers (B, its freedom)."""
        return replace(self, degradation=self.degradation.refined(free))

    def select(self, rows: Tensor) -> _Reconstruction:
        """Keep some inputs, without computing their features again."""
        return replace(
            self,
            degradation=self.degradation.select(rows),
            inputs=self.inputs[rows],
            features=[feature[rows] for feature in self.features],
        )


class _Search:
    """The optimisation under way. Inputs that have ended leave the batch, so that they cost nothing more.

    The leaves are those of the space, then the motions (B, 4) in units that suit the learning rate, and last
    what moves the degradations themselves (B, their freedom).
    """

    def __init__(
        self, term: _Reconstruction, space: Space, leaves: list[Tensor], settings: ProjectionSettings
    ) -> None:
        count = len(term.inputs)
        self.term, self.space, self.settings = term, space, settings
        self.leaves, self.adam = leaves, RowAdam(leaves, soap=settings.space in HULL)
        self.taken, self.mean_loss = 0, math.nan
        self.open_rows = list(range(count))
        self.found: list[list[Tensor] | None] = [None] * count
        self.unsound: list[int] = []
        self.history: list[npt.NDArray[np.float32]] = []
        self.schedules = [Schedule(settings) for _ in range(count)]

    def step(self) -> None:
        """Take one step with every input that has not ended."""
        import torch

        *codes, placed, changed = self.leaves
        motions = _motions(placed, self.settings)  # (B, 4)
        images = self.term.images(self.space.w_plus(codes))  # G(M alpha_beta+), (B, 3, R, R)
        missed = self.term.refined(_change(changed, self.settings)).losses(images, motions)  # L_rec, (B,)
        losses = missed + self.space.penalty(codes)  # eq 8
        if self.settings.movable:
            spread = motions.new_tensor(MOTION_SPREAD)
            losses = losses + MOTION_WEIGHT * (motions / spread).square().sum(dim=1)
        losses.sum().backward()  # type: ignore[no-untyped-call]
        told = torch.stack((losses, missed)).detach().float()  # (2, B): brought over in one go
        values, explained = told.cpu().numpy()  # (B,) each
        unsound = self._drop_unsound(values)
        open_schedules = [self.schedules[row] for row in self.open_rows]
        rates = [schedule.rate(float(value)) for schedule, value in zip(open_schedules, values, strict=True)]
        self.adam.step(losses.new_tensor(rates))
        self._record(values)
        self.taken += 1
        # what a code costs says nothing of how well it explains the photo
        well = explained <= self.settings.enough
        ended = [
            place
            for place, schedule in enumerate(open_schedules)
            if schedule.ended or well[place] or place in unsound
        ]
        if ended:
            self._leave(ended)

    def _drop_unsound(self, values: npt.NDArray[np.float32]) -> list[int]:
        """Return the places of the batch whose loss or gradient is not finite; they move no further."""
        import torch

        gradients = [leaf.grad for leaf in self.leaves if leaf.grad is not None]
        sound = torch.stack([gradient.isfinite().flatten(1).all(dim=1) for gradient in gradients])
        sound = sound.all(dim=0)  # (B,)
        places = np.nonzero(~(sound.cpu().numpy() & np.isfinite(values)))[0].tolist()
        for gradient in gradients if places else ():
            gradient[places] = 0.0
        self.unsound += [self.open_rows[place] for place in places]
        return places

    def _record(self, values: npt.NDArray[np.float32]) -> None:
        line = np.full(len(self.schedules), np.nan, np.float32)
        line[self.open_rows] = values
        self.history.append(line)
        self.mean_loss = float(values.mean())

    def _leave(self, ended: Sequence[int]) -> None:
        """Keep the numbers of the inputs at these places of the batch and go on without them."""
        import torch

        for place in ended:
            self.found[self.open_rows[place]] = [leaf.detach()[place] for leaf in self.leaves]
        stay = [place for place in range(len(self.open_rows)) if place not in set(ended)]
        self.open_rows = [self.open_rows[place] for place in stay]
        if stay:
            rows = torch.tensor(stay, device=self.leaves[0].device)
            self.leaves = self.adam.select(rows)
            self.term = self.term.select(rows)

    def result(self) -> list[Tensor]:
        """Return the leaves of all inputs, each as it was at that input's end."""
        import torch

        rows = [row for row in self.found if row is not None]
        return [torch.stack(parts) for parts in zip(*rows, strict=True)]


class Schedule:
    """The learning rate of one input: it rises, stays, and falls when time is up or nothing is gained."""

    def __init__(self, settings: ProjectionSettings) -> None:
        self.settings = settings
        self.taken, self.ended = 0, False
        self.best, self.best_at = math.inf, 0
        self.fall_length = max(1, round(settings.ramp_down * settings.most_steps))
        self.fall_from = settings.most_steps - self.fall_length

    def rate(self, loss: float) -> float:
        """Return the rate of the next step, given the loss before it."""
        settings = self.settings
        if loss < self.best * (1 - settings.tolerance):
            self.best = loss
            self.best_at = self.taken
        idle = self.taken - self.best_at
        if settings.patience and idle >= settings.patience and self.taken < self.fall_from:
            # what is left of a search that ends early is as short against what was taken as in a whole one
            share = settings.ramp_down / max(1 - settings.ramp_down, 1e-6)
            self.fall_from = self.taken
            self.fall_length = max(1, min(self.fall_length, round(share * self.taken)))
        rise = min(1.0, (self.taken + 1) / max(1.0, settings.ramp_up * settings.most_steps))
        fallen = max(0, self.taken - self.fall_from + 1) / (self.fall_length + 1)
        self.taken += 1
        last = min(settings.most_steps, self.fall_from + self.fall_length)
        self.ended = self.taken >= last
        return settings.rate * rise * (0.5 + 0.5 * math.cos(math.pi * min(fallen, 1.0)))


def _motions(free: Tensor, settings: ProjectionSettings) -> Tensor:
    """Return motions (B, 4) for free numbers that Adam moves at the rate of the codes."""
    return free * free.new_tensor(MOTION_SPREAD) * (MOTION_STEP / settings.rate)


def _change(free: Tensor, settings: ProjectionSettings) -> Tensor:
    """Return by what degradations' numbers change (B, K), for free numbers moved at the rate of the codes."""
    return free * (CHANGE_STEP / settings.rate)


def _finish(
    search: _Search, term: _Reconstruction, space: Space, anchors: Tensor | None, held: Held | None
) -> Projection:
    """Put the found coefficients exactly into A_beta and see what the generator makes of them."""
    import torch

    settings = search.settings
    with torch.no_grad():
        *leaves, placed, changed = search.result()
        motions, free = _motions(placed, settings), _change(changed, settings)  # (B, 4), (B, K)
        found, w_plus, slack = space.alpha_plus(leaves), space.w_plus(leaves), space.slack(leaves)
        alpha_plus = None
        if found is not None and anchors is not None:
            alpha_plus = in_a_beta(found.cpu().double().numpy(), settings.beta, held)
            codes = hull.combine(alpha_plus, anchors.cpu().double().numpy())  # M alpha+, in float64
            w_plus = torch.as_tensor(codes, dtype=torch.float32, device=anchors.device)
            w_plus = w_plus if slack is None else w_plus + slack[:, None]
        images = term.images(w_plus)  # (B, 3, R, R)
        losses = term.refined(free).losses(images, motions)  # (B,)
        images[search.unsound] = math.nan
        losses[search.unsound] = math.nan
    return Projection(
        alpha_plus=alpha_plus,
        w_plus=_numpy(w_plus),
        images=_numpy(images),
        losses=_numpy(losses),
        history=np.array(search.history, np.float32),
        steps=np.array([schedule.taken for schedule in search.schedules], np.int64),
        motions=_numpy(motions),
        refined=_numpy(free) if free.shape[1] else None,
        slack=None if slack is None else _numpy(slack),
    )


def in_a_beta(
    alpha_plus: npt.NDArray[np.float64], beta: float | None, held: Held | None = None
) -> npt.NDArray[np.float64]:
    """Normalise coefficients (..., N) to the sum 1 (sec. 3.3) and move them to the nearest point of A_beta.

    Where a mean is held, it is the nearest of those that keep it.

    Division alone would let an entry at -beta fall below it where the sum is under 1.
    """
    total = alpha_plus.sum(axis=-1, keepdims=True)
    # a sum far below 1 is no rounding of eq 6: divided by it, entries would go anywhere
    scaled = np.where(total > 0.5, alpha_plus / np.where(total > 0.5, total, 1.0), alpha_plus)
    return (
        np.asarray(hull.project_onto_hull(scaled, beta), np.float64)
        if held is None
        else held.project(scaled, beta)
    )


def _numpy(tensor: torch.Tensor) -> npt.NDArray[np.float32]:
    return np.asarray(tensor.detach().float().cpu().numpy(), np.float32)
