"""What answers for located faces: a search (sec. 3.3), or the person's own net without torch."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.errors import ProfileError, UsageError
from mystyle_cli.hull import hull
from mystyle_cli.instant.net import LOSS, open_instant
from mystyle_cli.instant.steps import STEPS, improve
from mystyle_cli.nets.cost import plan_search
from mystyle_cli.person.layout import GENERATOR
from mystyle_cli.person.years import Span, span_of
from mystyle_cli.progress import Progress, Step
from mystyle_cli.projection.projection import Problem, losses_of, project
from mystyle_cli.projection.settings import HULL, Projection, ProjectionSettings
from mystyle_cli.restore.betas import Betas, open_betas
from mystyle_cli.restore.estimates import Estimator
from mystyle_cli.restore.given import Given, targets_of, view_of
from mystyle_cli.restore.task import (
    FEW,
    RestoreSettings,
    refuse_variants,
    search_steps,
    variants_refused,
)
from mystyle_cli.restore.variants import AIM, LONGER, as_well, how_far, other_starts

if TYPE_CHECKING:
    from torch import Tensor

    from mystyle_cli.instant.net import InstantNet
    from mystyle_cli.nets.exported import Degraded
    from mystyle_cli.nets.generator import Generator
    from mystyle_cli.nets.perceptual import Perceptual
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.projection.degradations import Degradation

Floats = NDArray[np.float32]
Array = NDArray[np.float64]


class Answering(Protocol):
    """What answers for photos whose face is found."""

    profile: Profile
    settings: RestoreSettings
    projection: ProjectionSettings  # how codes are searched, but for beta
    betas: Betas
    span: Span  # which of the person's photos are mixed
    resolution: int  # R
    at_once: int  # photos answered together

    @property
    def estimator(self) -> Estimator:
        """What says what was done to photos of the person."""

    @property
    def notices(self) -> tuple[str, ...]:
        """Say what the user should know about how it is done."""

    def answer(self, given: Sequence[Given], beta: float | None, progress: Progress) -> Projection:
        """Return a code in A_beta and its picture for each photo; all are of one task."""

    def draw(self, w_plus: Floats) -> Floats:
        """Return the pictures (B, 3, R, R) of codes (B, num_ws, w_dim)."""

    def vary(
        self, given: Given, found: Projection, beta: float | None, progress: Progress
    ) -> tuple[list[Projection], float]:
        """Return further answers to a photo; see `Engine.vary`."""

    def save_memory(self) -> bool:
        """Work on one photo with less memory from now on; False where that cannot be done."""

    def of(self, person: str) -> Answering:
        """Return what answers for one of several people, with the same nets; itself where it is of one."""


def open_engine(profile: Profile, settings: RestoreSettings) -> Answering:
    """Return what answers with the quality that is asked for.

    Raises:
        ProfileError: the profile is not tuned, or damaged, or has no net for an instant or fast answer.
        UsageError: an instant or fast answer is to begin, or to be searched, otherwise than its net allows.
    """
    if settings.quality != "full":
        _refuse_other_ways(settings)
    if settings.variants > 1:
        refuse_variants(settings.quality, settings.projection.space)
    if settings.quality == "instant":
        return InstantEngine(profile, settings)
    return Engine(profile, settings)


def _refuse_other_ways(settings: RestoreSettings) -> None:
    quality, space = settings.quality, settings.projection.space
    if quality == "instant" and settings.projection.steps is not None:
        raise UsageError(
            "the steps of an instant answer are fixed", "Leave out --steps, or use --quality fast."
        )
    if settings.start != "auto":
        raise UsageError(
            f"--quality {quality} begins at the net's, not at --start {settings.start}",
            "Leave out --start, or use --quality full.",
        )
    spaces = ("p+",) if quality == "instant" else HULL
    if space not in spaces:
        raise UsageError(
            f"--quality {quality} answers with a code of {' or '.join(spaces)}, not of {space}",
            f"Use --space {spaces[0]}, or --quality full.",
        )


def _over(net: InstantNet, profile: Profile, span: Span) -> InstantNet:
    """Return a person's net for the photos that are mixed."""
    return net.over(profile.anchors()[span.rows], profile.rows[span.rows])


class Engine:
    """What all photos share: the generator, the perceptual net, the anchors."""

    def __init__(self, profile: Profile, settings: RestoreSettings) -> None:
        self.profile, self.settings = profile, settings
        prior = profile.prior
        self.generator: Generator = profile.generator()
        self.perceptual: Perceptual = prior.perceptual()
        self.span = span_of(profile, settings.year)
        self.anchors = profile.anchors()[self.span.rows]
        plan = plan_search(self.generator, self.perceptual, settings.batch, profile.device)
        self.at_once = plan.at_once
        self.generator.synthesis.recompute = plan.recompute
        self.projection, self.betas = self._search(), open_betas(profile, settings)
        self.resolution = self.generator.resolution
        self.instant = self._instant_net()
        self._ones: dict[str, Engine] = {}

    def _search(self) -> ProjectionSettings:
        """Return how codes are searched: with steps for the quality and the number of photos."""
        photos = len(self.anchors) if self.generator.z_dim else FEW  # without a mapping nothing lies near
        return replace(self.settings.projection, steps=search_steps(self.settings, photos))

    @cached_property
    def estimator(self) -> Estimator:
        """What says what was done to photos of the person."""
        return Estimator.of(self.profile, self.settings.known)

    @property
    def notices(self) -> tuple[str, ...]:
        """Whose beta is taken, and which photos."""
        return (*self.betas.notices, *self.span.notices)

    def _instant_net(self) -> InstantNet | None:
        """Return the net from whose answers the search starts, or None for another start."""
        from mystyle_cli.instant.net import instant_state

        if self.settings.start != "auto" or self.projection.space not in HULL:
            return None
        there = instant_state(self.profile.manifest) == "fresh"
        if not there and self.settings.quality != "fast":
            return None
        return _over(open_instant(self.profile, helper=True), self.profile, self.span)

    def of(self, person: str) -> Engine:
        """Return what searches the hull of one of several people, with the same nets."""
        if person == self.profile.person:
            return self
        if person not in self._ones:
            one = copy.copy(self)
            one.profile = self.profile.one(person)
            vars(one).pop("estimator", None)
            one.span = span_of(one.profile, self.settings.year)
            one.anchors = one.profile.anchors()[one.span.rows]
            one.projection = one._search()
            vars(one).pop("_drawn", None)
            one.instant = None if self.instant is None else _over(self.instant, one.profile, one.span)
            self._ones[person] = one
        return self._ones[person]

    def save_memory(self) -> bool:
        """Compute the generator's blocks again on the way back, instead of keeping what is in them."""
        synthesis = self.generator.synthesis
        saved = not synthesis.recompute
        synthesis.recompute = True
        return saved

    def answer(self, given: Sequence[Given], beta: float | None, progress: Progress) -> Projection:
        """Project what was degraded."""
        problem = self._problem(given)
        start = self._start(given, beta, problem.targets, problem.degradation)
        # landmarks of a tiny or half hidden face are rough; by those of a clear one the prior was aligned
        movable = given[0].task != "invert" and not self.settings.aligned
        settings = replace(self.projection, beta=beta, movable=movable)
        return self._whole(project(problem, settings, progress, start))

    def _whole(self, found: Projection) -> Projection:
        """Return what a search found over all of the person's anchors."""
        if found.alpha_plus is None:
            return found
        return replace(found, alpha_plus=self.span.spread(found.alpha_plus))

    def draw(self, w_plus: Floats) -> Floats:
        """Return the pictures of codes, as a search that ends at them does."""
        import torch

        device = next(self.generator.parameters()).device
        with torch.no_grad():
            images = self.generator.synthesis(torch.as_tensor(w_plus, device=device), noise="const")
        return np.asarray(images.float().cpu().numpy())

    def vary(
        self, given: Given, found: Projection, beta: float | None, progress: Progress
    ) -> tuple[list[Projection], float]:
        """Search further answers to a photo, where its face was found and as it was found damaged.

        Args:
            given: the photo, as it was given.
            found: the answer to it, of one row.

        Returns:
            The others, so many together as fit, and the loss that the answer has there itself.
        """
        assert found.alpha_plus is not None  # of the person's space; `open_engine` refuses others
        if len(self.anchors) == 1:
            raise ProfileError(
                f"{self.profile.name} has one photo: there is nothing from which another answer could begin",
                f"Leave out --variants, or add photos: mystyle ingest {self.profile.name} PHOTO...",
            )
        changed = None if found.refined is None else found.refined[0]
        placed = given.moved(found.motions[0]).refined(changed).settled()
        own = float(losses_of(self._problem([placed]), self.projection, found.w_plus)[0])
        settings = replace(
            self.projection,
            beta=beta,
            steps=LONGER * self.projection.most_steps,
            enough=as_well(own, AIM),
            patience=0,
        )
        off = how_far(self._drawn, placed.degraded)
        alpha_plus = self.span.take(found.alpha_plus[0])
        starts = other_starts(alpha_plus, off, self.settings.variants - 1, self.settings.seed)
        batches = []
        for first in range(0, len(starts), self.at_once):
            some = starts[first : first + self.at_once]
            others = project(self._problem([placed] * len(some)), settings, progress, some)
            batches.append(self._whole(others).placed_as(found))
        return batches, own

    @cached_property
    def _drawn(self) -> Floats:
        """The photos that are mixed as the generator draws them, (n, 3, R, R)."""
        codes, some = np.repeat(self.anchors[:, None], self.generator.num_ws, axis=1), self.at_once
        parts = [self.draw(codes[first : first + some]) for first in range(0, len(codes), some)]
        return np.concatenate(parts)

    def _problem(self, given: Sequence[Given]) -> Problem:
        targets, degradation = targets_of(given)
        return Problem(
            self.generator,
            self.anchors,
            targets,
            degradation,
            self.perceptual,
            self.span.held,
            self._spread if self.projection.space == "near" else None,
        )

    @cached_property
    def _spread(self) -> Tensor | None:
        """How people's codes spread, once for all photos; None where nothing tells."""
        from mystyle_cli.projection.codes import spread_of

        return spread_of(self.generator)

    def _start(
        self, given: Sequence[Given], beta: float | None, targets: Floats, degradation: Degradation
    ) -> NDArray[np.float64] | None:
        from mystyle_cli.hull.sampling import sample_three_anchors
        from mystyle_cli.hull.solve import nearest_alpha

        if self.instant is not None:
            return self.instant.alpha_plus(view_of(given), beta)
        anchors = None if self.projection.space in ("w", "w+") else self.anchors
        if self.settings.start == "encoder":
            import torch

            codes = self.profile.prior.encode(degradation.view(torch.from_numpy(targets)).numpy())
            if anchors is None:
                return np.asarray(codes, np.float64)
            return nearest_alpha(codes, anchors, beta)
        if self.settings.start == "random":
            drawn = sample_three_anchors(len(self.anchors), [self.settings.seed])
            # half way to the centre, so that every anchor can still move
            mixed = np.repeat((drawn + hull.centre(len(self.anchors))) / 2, len(targets), axis=0)
            return mixed if anchors is not None else hull.combine(mixed, self.anchors.astype(np.float64))
        return None


class InstantEngine:
    """Answers without torch. Takes the place of `engine.Engine`.

    Args:
        settings: how photos are restored, with codes of P_beta+; of the projection only beta counts.

    Raises:
        ProfileError: the person has no such net.
    """

    def __init__(self, profile: Profile, settings: RestoreSettings) -> None:
        from mystyle_cli.nets.exported import open_gradient
        from mystyle_cli.nets.memory import at_once
        from mystyle_cli.sample.rendering import open_renderer

        self.profile, self.settings, self.projection = profile, settings, settings.projection
        self.betas = open_betas(profile, settings)
        self.resolution = profile.manifest.prior.resolution
        self.at_once = at_once(self.resolution, settings.batch)
        self.span = span_of(profile, settings.year)
        self.net = _over(open_instant(profile), profile, self.span)
        weights, anchors = profile.left_out(), profile.anchors()[self.span.rows]
        self.gradient = open_gradient(profile.file(LOSS), anchors, profile.device, weights)
        self.renderer = open_renderer(profile, weights=weights)
        self._ones: dict[str, InstantEngine] = {}

    @cached_property
    def estimator(self) -> Estimator:
        """What says what was done to photos of the person."""
        return Estimator.of(self.profile, self.settings.known)

    @property
    def notices(self) -> tuple[str, ...]:
        """Why not the exported generator renders the pictures, whose beta is taken, and which photos."""
        return (*filter(None, [self.renderer.notice]), *self.betas.notices, *self.span.notices)

    def of(self, person: str) -> InstantEngine:
        """Return what answers within the hull of one of several people, with the same nets."""
        if person == self.profile.person:
            return self
        if person not in self._ones:
            one = copy.copy(self)
            one.profile = self.profile.one(person)
            vars(one).pop("estimator", None)
            one.span = span_of(one.profile, self.settings.year)
            one.net = _over(self.net, one.profile, one.span)
            one.gradient = self.gradient.over(one.profile.anchors()[one.span.rows])
            self._ones[person] = one
        return self._ones[person]

    def vary(
        self, given: Given, found: Projection, beta: float | None, progress: Progress
    ) -> tuple[list[Projection], float]:
        """Refuse, as `open_engine` has: nothing is searched here."""
        raise variants_refused()

    def save_memory(self) -> bool:
        """Say that one photo takes what it takes."""
        return False

    def answer(self, given: Sequence[Given], beta: float | None, progress: Progress) -> Projection:
        """Return codes a few steps from the net's answers; the faces stay where they are."""
        first, count = self.net.alpha_plus(view_of(given), beta), len(given)
        answers, losses = [], []
        for number, (item, start) in enumerate(zip(given, first, strict=True)):
            alpha, before = self._improved(item.degraded, start, beta, STEPS[item.task])
            answers.append(alpha)
            losses.append(before)
            progress(Step("instant", number + 1, count))
        # (B, num_ws, N), (steps, B)
        alpha_plus, history = self.span.spread(np.stack(answers)), np.stack(losses, axis=1)
        w_plus = (alpha_plus @ self.profile.anchors().astype(np.float64)).astype(np.float32)
        return Projection(
            alpha_plus=alpha_plus,
            w_plus=w_plus,
            images=self.draw(w_plus),
            losses=np.full(count, np.nan, np.float32),
            history=history,
            steps=np.isfinite(history).sum(axis=0, dtype=np.int64),
            motions=np.zeros((count, 4), np.float32),
        )

    def draw(self, w_plus: Floats) -> Floats:
        """Return the pictures of codes."""
        return self.profile.refuse_odd(GENERATOR, self.renderer.render(w_plus))

    def _improved(
        self, photo: Degraded, start: Array, beta: float | None, steps: int
    ) -> tuple[Array, Floats]:
        """Take the steps; without a known pixel there is nothing to step towards."""
        if not photo.known.any():
            return self.span.placed(start, beta), np.full(steps, np.nan, np.float32)
        return improve(self.gradient, photo, start, beta, steps, self.span.placed)
