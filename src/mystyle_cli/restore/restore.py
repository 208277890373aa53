"""Whole photos in, whole photos out: invert, inpaint and upscale with one engine and one loop (sec. 3.3).

For each photo: find the person's face, align it, project it, blend it and paste it back. What fails for one
photo is told in its own result and stops no other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

from mystyle_cli.config import BETA_INPAINT, BETA_INVERT, BETA_UPSCALE
from mystyle_cli.errors import MystyleError, UsageError, check_choice
from mystyle_cli.person import hull
from mystyle_cli.person.cost import plan_search
from mystyle_cli.prior.memory import ran_out
from mystyle_cli.progress import Progress, silent
from mystyle_cli.restore import composite
from mystyle_cli.restore.faults import contained
from mystyle_cli.restore.locate import Located, Subject, locate
from mystyle_cli.restore.projection import HULL, Projection, ProjectionSettings, project
from mystyle_cli.restore.views import degrade, view_of
from mystyle_cli.restore.whole import Whole

if TYPE_CHECKING:
    from mystyle_cli.person.instant import InstantNet
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.photos.decode import Pixels
    from mystyle_cli.prior.generator import Generator
    from mystyle_cli.prior.perceptual import Perceptual
    from mystyle_cli.restore.degradations import Degradation

TaskName = Literal["invert", "inpaint", "upscale"]
Start = Literal["auto", "centre", "encoder", "random"]
Quality = Literal["instant", "fast", "full"]

FAST_STEPS: Final = 16
"""Of a search that starts from the instant net's answer and ends soon."""

BETAS: Final = {"invert": BETA_INVERT, "inpaint": BETA_INPAINT, "upscale": BETA_UPSCALE}
"""The paper's dilation for each task."""

SMALLEST: Final = 4
"""Side in pixels of the smallest crop that says anything."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class RestoreSettings:
    """How photos are restored.

    Args:
        projection: how codes are searched, beta among it.
        start: where the search starts: the anchors' mean (B.3), the encoder's answer to the degraded photo,
            or a mix of three anchors drawn with `seed`, which shows how much the photo leaves open; "auto" is
            the instant net's answer where the person has such a net, and else the mean.
        quality: "full" searches; "fast" starts at the instant net's answer and takes `FAST_STEPS`
            steps where the projection names no number; "instant" takes a few from there, without torch.
        seed: of a random start; the same for every photo.
        aligned: the photos are aligned crops already.
        force: go on with a face that is not this person's.
        batch: photos worked on at once, where they fit into memory.
        domain_prior: use G_d in W+ in place of the person's prior, for comparison.
    """

    projection: ProjectionSettings = field(default_factory=ProjectionSettings)
    start: Start = "auto"
    quality: Quality = "full"
    seed: int = 0
    aligned: bool = False
    force: bool = False
    batch: int = 8
    domain_prior: bool = False

    def __post_init__(self) -> None:
        """Refuse what nothing would heed."""
        check_choice("start", self.start, Start)
        check_choice("quality", self.quality, Quality)
        if self.batch < 1:
            raise UsageError(f"{self.batch} photos at a time are none", "Give a batch of 1 or more.")
        if self.start == "random" and self.domain_prior:
            raise UsageError("a random start mixes the person's anchors", "Leave out domain_prior or start.")

    @property
    def drawn(self) -> int | None:
        """The seed, where something is drawn with it."""
        return self.seed if self.start == "random" else None


@dataclass(frozen=True)
class Restoration:
    """What became of one photo.

    Args:
        name: of the photo.
        error: why there is no result, or None. Without a result the fields below are empty.
        pixels: uint8 (H, W, 3), the whole photo.
        face: uint8 (R, R, 3), the aligned result.
        located: the photo and where its face was found.
        alpha_plus: float64 (num_ws, N) in A_beta, or None with the domain prior.
        w_plus: float32 (num_ws, w_dim).
        id_score: of the result.
        input_id: of the photo's face as it was.
        beta: the dilation allowed, None where it was not bounded.
        least_dilation: the dilation that the result needs.
        loss: eq 1 between the degraded result and the photo.
        steps: of the projection, or of an instant answer, whose loss is not measured.
        factor: how much larger the result is than the photo.
        warnings: what the user should know.
    """

    name: str
    error: MystyleError | None = None
    pixels: Pixels | None = None
    face: Pixels | None = None
    located: Located | None = None
    alpha_plus: npt.NDArray[np.float64] | None = None
    w_plus: Floats | None = None
    id_score: float = math.nan
    input_id: float = math.nan
    beta: float | None = None
    least_dilation: float = math.nan
    loss: float = math.nan
    steps: int = 0
    factor: float = 1.0
    warnings: tuple[str, ...] = ()


def default_settings(task: TaskName, quality: Quality = "full") -> RestoreSettings:
    """Return the settings of a task with the paper's dilation for it."""
    return RestoreSettings(projection=ProjectionSettings(beta=BETAS[task]), quality=quality)


def restore(
    profile: Profile,
    subjects: Sequence[Subject],
    task: TaskName,
    settings: RestoreSettings | None = None,
    progress: Progress = silent,
) -> list[Restoration]:
    """Restore photos of a person.

    Args:
        profile: the person, tuned, with the device to work on.
        subjects: the photos; for "inpaint" each with its mask.
        task: "invert", "inpaint" or "upscale".
        settings: None takes the task's defaults.
        progress: told of every step of the projection.

    Returns:
        One result per subject, in their order; a photo that failed says why in `error`.

    Raises:
        ProfileError: the profile is not tuned, or damaged, or has no net for an instant or fast answer.
    """
    engine = open_engine(profile, settings or default_settings(task))
    return restore_with(engine, subjects, task, progress)


class Answering(Protocol):
    """What answers for photos whose face is found.

    Args:
        profile: the person.
        settings: how photos are restored.
        projection: how codes are searched, beta among it.
        resolution: R.
        at_once: photos answered together.
    """

    profile: Profile
    settings: RestoreSettings
    projection: ProjectionSettings
    resolution: int
    at_once: int

    @property
    def notice(self) -> str:
        """Say what the user should know about how it is done, or ""."""

    def answer(self, located: Sequence[Located], task: TaskName, progress: Progress) -> Projection:
        """Return a code and its picture for each photo."""

    def save_memory(self) -> bool:
        """Work on one photo with less memory from now on; False where that cannot be done."""


def open_engine(profile: Profile, settings: RestoreSettings) -> Answering:
    """Return what answers with the quality that is asked for.

    Raises:
        ProfileError: the profile is not tuned, or damaged, or has no net for an instant or fast answer.
        UsageError: an instant or fast answer is to begin, or to be searched, otherwise than its net allows.
    """
    if settings.quality != "full":
        _refuse_other_ways(settings)
    if settings.quality == "instant":
        from mystyle_cli.restore.instant import InstantEngine

        return InstantEngine(profile, settings)
    return Engine(profile, settings)


def _refuse_other_ways(settings: RestoreSettings) -> None:
    """Refuse what contradicts an answer that begins at the net's."""
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
    if settings.domain_prior or space not in spaces:
        raise UsageError(
            f"--quality {quality} answers with a code of {' or '.join(spaces)}, not of {space}",
            f"Use --space {spaces[0]}, or --quality full.",
        )


class Engine:
    """What all photos share: the generator, the perceptual net, the anchors.

    Args:
        profile: the person, with the device to work on.
        settings: how photos are restored.
    """

    def __init__(self, profile: Profile, settings: RestoreSettings) -> None:
        self.profile, self.settings = profile, settings
        prior = profile.prior
        self.generator: Generator = (prior if settings.domain_prior else profile).generator()
        self.perceptual: Perceptual = prior.perceptual()
        self.anchors = None if settings.domain_prior else profile.anchors()
        plan = plan_search(self.generator, self.perceptual, settings.batch, profile.device)
        self.at_once, self.generator.synthesis.recompute = plan.at_once, plan.recompute
        self.projection = settings.projection
        if settings.quality == "fast" and self.projection.steps is None:
            self.projection = replace(self.projection, steps=FAST_STEPS)
        if settings.domain_prior:
            self.projection = replace(self.projection, space="w+")
        self.resolution, self.notice = self.generator.resolution, ""
        self.instant = self._instant_net()

    def _instant_net(self) -> InstantNet | None:
        """Return the net from whose answers the search starts, or None for another start."""
        from mystyle_cli.person.instant import instant_state, open_instant

        if self.settings.start != "auto" or self.projection.space not in HULL:
            return None
        there = instant_state(self.profile.manifest) == "fresh"
        return open_instant(self.profile, helper=True) if there or self.settings.quality == "fast" else None

    def save_memory(self) -> bool:
        """Compute the generator's blocks again on the way back, instead of keeping what is in them."""
        synthesis = self.generator.synthesis
        saved, synthesis.recompute = not synthesis.recompute, True
        return saved

    def answer(self, located: Sequence[Located], task: TaskName, progress: Progress) -> Projection:
        """Project what was degraded."""
        targets, degradation = degrade(located, task, self.resolution)
        start = self._start(located, task, targets, degradation)
        # landmarks of a tiny or half hidden face are rough; by those of a clear one the prior was aligned
        movable = task != "invert" and not self.settings.aligned
        settings = replace(self.projection, movable=movable)
        return project(
            self.generator,
            self.anchors,
            targets,
            degradation,
            self.perceptual,
            settings,
            progress,
            start,
        )

    def _start(
        self, located: Sequence[Located], task: TaskName, targets: Floats, degradation: Degradation
    ) -> npt.NDArray[np.float64] | None:
        from mystyle_cli.person.sampling import sample_three_anchors
        from mystyle_cli.person.solve import nearest_alpha

        if self.instant is not None:
            return self.instant.alpha_plus(view_of(located, task, self.resolution), self.projection.beta)
        anchors = None if self.projection.space in ("w", "w+") else self.anchors
        if self.settings.start == "encoder":
            import torch

            codes = self.profile.prior.encode(degradation.view(torch.from_numpy(targets)).numpy())
            if anchors is None:
                return np.asarray(codes, np.float64)
            return nearest_alpha(codes, anchors, self.projection.beta)
        if self.settings.start == "random" and self.anchors is not None:
            drawn = sample_three_anchors(len(self.anchors), [self.settings.seed])
            # half way to the centre, so that every anchor can still move
            mixed = np.repeat((drawn + hull.centre(len(self.anchors))) / 2, len(targets), axis=0)
            return mixed if anchors is not None else hull.combine(mixed, self.anchors.astype(np.float64))
        return None


def restore_with(
    engine: Answering, subjects: Sequence[Subject], task: TaskName, progress: Progress = silent
) -> list[Restoration]:
    """Restore photos with an engine that is ready, fewer at once where memory runs out; see `restore`."""
    results: list[Restoration] = []
    while len(results) < len(subjects):
        part = subjects[len(results) : len(results) + engine.at_once]
        try:
            results += _restore_batch(engine, part, task, progress)
            continue
        except Exception as error:
            if not ran_out(error) or (len(part) == 1 and not engine.save_memory()):
                raise
            engine.at_once = math.ceil(len(part) / 2)
        engine.profile.device.give_back()  # outside, as the error holds what was computed
    return results


def _restore_batch(
    engine: Answering, subjects: Sequence[Subject], task: TaskName, progress: Progress
) -> list[Restoration]:
    """Locate, project together, and paste each; a photo that fails leaves the batch."""
    found: list[Located | Restoration] = []
    for subject in subjects:
        try:
            found.append(_locate(engine, subject, task))
        except Exception as error:
            if ran_out(error) or isinstance(error, ImportError):
                raise
            found.append(Restoration(subject.name, contained(subject.name or "the photo", error)))
    done = iter(_answered(engine, [item for item in found if isinstance(item, Located)], task, progress))
    return [item if isinstance(item, Restoration) else next(done) for item in found]


def _answered(
    engine: Answering, located: Sequence[Located], task: TaskName, progress: Progress
) -> list[Restoration]:
    """Project together and finish each; where that fails for all, each is tried alone."""
    if not located:
        return []
    try:
        projection = engine.answer(located, task, progress)
    except Exception as error:
        if ran_out(error) or isinstance(error, (MystyleError, ImportError)):
            raise
        if len(located) == 1:
            return [Restoration(located[0].name, contained(located[0].name, error))]
        return [result for one in located for result in _answered(engine, [one], task, progress)]
    results = []
    for row, item in enumerate(located):
        try:
            results.append(_finish(engine, item, projection, row, task))
        except Exception as error:
            if ran_out(error):
                raise
            results.append(Restoration(item.name, contained(item.name, error)))
    return results


def _locate(engine: Answering, subject: Subject, task: TaskName) -> Located:
    settings = engine.settings
    if task == "inpaint" and subject.mask is None:
        raise UsageError(f"{subject.name or 'the photo'}: inpainting needs a mask", "Give one with --mask.")
    located = locate(
        engine.profile,
        subject if task == "inpaint" else replace(subject, mask=None),
        aligned=settings.aligned,
        force=settings.force,
        tiny=task == "upscale",
    )
    resolution = engine.resolution
    if task == "upscale" and not SMALLEST <= round(located.side) < resolution:
        raise UsageError(
            f"{located.name}: the face's crop is {located.side:.0f} px wide; "
            f"what can be upscaled is {SMALLEST} to {resolution - 1} px",
            "Use a larger photo."
            if located.side < SMALLEST
            else "It is as large as the profile can draw already; invert works on it, too.",
        )
    if task == "upscale":
        _refuse_large_result(located, resolution / located.side)
    return located


def _refuse_large_result(located: Located, factor: float) -> None:
    """Refuse what would be enlarged beyond what a picture may hold."""
    from mystyle_cli.photos.decode import LARGEST_PICTURE

    height, width = (round(side * factor) for side in located.photo.pixels.shape[:2])
    if height * width > LARGEST_PICTURE:
        raise UsageError(
            f"{located.name}: enlarged {factor:.3g} times it would be {width} x {height} pixels",
            "Cut the photo closer to the face.",
        )


def _finish(
    engine: Answering, found: Located, projection: Projection, row: int, task: TaskName
) -> Restoration:
    """Blend and paste one result; how large it becomes follows from where the face was found at first.

    So a photo becomes as large whatever the quality: only some searches move the face.
    """
    from mystyle_cli.photos.decode import to_unit

    whole = Whole(engine.profile.prior, task, engine.settings.aligned)
    located = found.moved(projection.motions[row])
    image = projection.images[row]
    if not np.isfinite(image).all():
        raise MystyleError(
            f"{located.name}: the search came upon a number that is not finite",
            "Try another --quality or --start.",
        )
    image = whole.meet(located, image)
    face, factor = whole.face(located, image), engine.resolution / found.side if task == "upscale" else 1.0
    warnings = [*located.warnings, *([engine.notice] if engine.notice else [])]
    if task == "inpaint" and (outside := composite.hole_outside(located)) > 0.01:
        warnings.append(f"{outside:.0%} of the mask is not face and was only filled smoothly")
    alpha_plus = None if projection.alpha_plus is None else projection.alpha_plus[row]
    return Restoration(
        name=located.name,
        pixels=whole.lay(located, image, factor),
        face=face,
        located=located,
        alpha_plus=alpha_plus,
        w_plus=projection.w_plus[row],
        id_score=float(engine.profile.id_score(to_unit(face)[None])[0]),
        input_id=located.id_score,
        beta=None if alpha_plus is None else hull.bound(engine.projection.beta),
        least_dilation=math.nan if alpha_plus is None else float(hull.least_dilation(alpha_plus).max()),
        loss=float(projection.losses[row]),
        steps=int(projection.steps[row]),
        factor=factor,
        warnings=tuple(warnings),
    )
