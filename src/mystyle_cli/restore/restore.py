"""Whole photos in, whole photos out: invert, inpaint and upscale with one engine and one loop (sec. 3.3).

For each photo: find the person's face, align it, project it, blend it and paste it back. What fails for one
photo is told in its own result and stops no other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt

from mystyle_cli.config import BETA_INPAINT, BETA_INVERT, BETA_UPSCALE
from mystyle_cli.errors import MystyleError, UsageError
from mystyle_cli.person import hull
from mystyle_cli.person.cost import plan_search
from mystyle_cli.progress import Progress, silent
from mystyle_cli.restore import composite
from mystyle_cli.restore.locate import Located, Subject, locate
from mystyle_cli.restore.projection import Projection, ProjectionSettings, project

if TYPE_CHECKING:
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.photos.decode import Pixels
    from mystyle_cli.prior.generator import Generator
    from mystyle_cli.prior.perceptual import Perceptual
    from mystyle_cli.prior.registry import Prior
    from mystyle_cli.restore.degradations import Degradation

TaskName = Literal["invert", "inpaint", "upscale"]
Start = Literal["centre", "encoder", "random"]

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
            or a mix of three anchors drawn with `seed`, which shows how much the photo leaves open.
        seed: of a random start; the same for every photo.
        aligned: the photos are aligned crops already.
        force: go on with a face that is not this person's.
        device: "cpu", "cuda:0", ...
        batch: photos worked on at once, where they fit into memory.
        domain_prior: use G_d in W+ in place of the person's prior, for comparison.
    """

    projection: ProjectionSettings = field(default_factory=ProjectionSettings)
    start: Start = "centre"
    seed: int = 0
    aligned: bool = False
    force: bool = False
    device: str = "cpu"
    batch: int = 8
    domain_prior: bool = False


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
        steps: of the projection.
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


def default_settings(task: TaskName) -> RestoreSettings:
    """Return the settings of a task with the paper's dilation for it."""
    return RestoreSettings(projection=ProjectionSettings(beta=BETAS[task]))


def restore(
    profile: Profile,
    subjects: Sequence[Subject],
    task: TaskName,
    settings: RestoreSettings | None = None,
    progress: Progress = silent,
) -> list[Restoration]:
    """Restore photos of a person.

    Args:
        profile: the person, tuned.
        subjects: the photos; for "inpaint" each with its mask.
        task: "invert", "inpaint" or "upscale".
        settings: None takes the task's defaults.
        progress: told of every step of the projection.

    Returns:
        One result per subject, in their order; a photo that failed says why in `error`.

    Raises:
        ProfileError: the profile is not tuned, or damaged.
    """
    engine = Engine(profile, settings or default_settings(task))
    return restore_with(engine, subjects, task, progress)


class Engine:
    """What all photos share: the generator, the perceptual net, the anchors.

    Args:
        profile: the person.
        settings: how photos are restored.
    """

    def __init__(self, profile: Profile, settings: RestoreSettings) -> None:
        self.profile, self.settings = profile, settings
        prior, device = profile.prior, settings.device
        self.generator: Generator = (prior if settings.domain_prior else profile).generator(device)
        self.perceptual: Perceptual = prior.perceptual(device)
        self.anchors = None if settings.domain_prior else profile.anchors()
        plan = plan_search(self.generator, self.perceptual, settings.batch, device)
        self.at_once, self.generator.synthesis.recompute = plan.at_once, plan.recompute
        self.projection = settings.projection
        if settings.domain_prior:
            self.projection = replace(self.projection, space="w+")

    def project(
        self, targets: Floats, degradation: Degradation, movable: bool, progress: Progress
    ) -> Projection:
        """Project degraded inputs (B, 3, h, w), whose faces may be a little out of place."""
        start = self._start(targets, degradation)
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

    def _start(self, targets: Floats, degradation: Degradation) -> npt.NDArray[np.float64] | None:
        from mystyle_cli.person.sampling import sample_three_anchors
        from mystyle_cli.person.solve import nearest_alpha

        anchors = None if self.projection.space in ("w", "w+") else self.anchors
        if self.settings.start == "encoder":
            import torch

            codes = self.profile.prior.encode(degradation.view(torch.from_numpy(targets)).numpy())
            if anchors is None:
                return np.asarray(codes, np.float64)
            return nearest_alpha(codes, anchors, self.projection.beta)
        if self.settings.start == "random" and anchors is not None:
            drawn = sample_three_anchors(len(anchors), [self.settings.seed])
            # half way to the centre, so that every anchor can still move
            return np.repeat((drawn + hull.centre(len(anchors))) / 2, len(targets), axis=0)
        return None


def restore_with(
    engine: Engine, subjects: Sequence[Subject], task: TaskName, progress: Progress = silent
) -> list[Restoration]:
    """Restore photos with an engine that is ready; see `restore`."""
    size = engine.at_once
    results: list[Restoration] = []
    for first in range(0, len(subjects), size):
        results += _restore_batch(engine, subjects[first : first + size], task, progress)
    return results


def _restore_batch(
    engine: Engine, subjects: Sequence[Subject], task: TaskName, progress: Progress
) -> list[Restoration]:
    """Locate, project together, and paste each; a photo that fails leaves the batch."""
    found: list[Located | Restoration] = []
    for subject in subjects:
        try:
            found.append(_locate(engine, subject, task))
        except MystyleError as error:
            found.append(Restoration(name=subject.name, error=error))
    good = [item for item in found if isinstance(item, Located)]
    if not good:
        return [item for item in found if isinstance(item, Restoration)]
    targets, degradation = degrade(good, task, engine.generator.resolution)
    # landmarks of a tiny or half hidden face are rough; by those of a clear one the prior was aligned
    movable = task != "invert" and not engine.settings.aligned
    projection = engine.project(targets, degradation, movable, progress)
    good = [located.moved(motion) for located, motion in zip(good, projection.motions, strict=True)]
    done = iter(_finish(engine, located, projection, row, task) for row, located in enumerate(good))
    return [item if isinstance(item, Restoration) else next(done) for item in found]


def _locate(engine: Engine, subject: Subject, task: TaskName) -> Located:
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
    resolution = engine.generator.resolution
    if task == "upscale" and not SMALLEST <= round(located.side) < resolution:
        raise UsageError(
            f"{located.name}: the face's crop is {located.side:.0f} px wide; "
            f"what can be upscaled is {SMALLEST} to {resolution - 1} px",
            "Use a smaller photo, or invert.",
        )
    return located


def degrade(located: Sequence[Located], task: TaskName, resolution: int) -> tuple[Floats, Degradation]:
    """Return the degraded inputs (B, 3, h, w) in [-1, 1] and what degraded them.

    Args:
        located: faces on their photos.
        task: which degradation to assume.
        resolution: R.
    """
    import torch

    from mystyle_cli.photos.align import warp
    from mystyle_cli.photos.decode import to_unit
    from mystyle_cli.restore.degradations import Downsample, Identity, Mask

    crops = np.stack([to_unit(item.crop) for item in located])
    if task == "invert":
        return crops, Identity()
    if task == "inpaint":
        holes = torch.from_numpy(np.stack([item.hole for item in located])[:, None])
        mask = Mask(holes, torch.from_numpy(crops))
        return np.asarray(mask.apply(torch.from_numpy(crops)).numpy()), mask
    sizes = [round(item.side) for item in located]
    small = np.zeros((len(located), 3, max(sizes), max(sizes)), np.float32)
    for row, (item, size) in enumerate(zip(located, sizes, strict=True)):
        small[row, :, :size, :size] = to_unit(warp(item.photo.pixels, item.quad, size))
    return small, Downsample(sizes, resolution)


def _finish(
    engine: Engine, located: Located, projection: Projection, row: int, task: TaskName
) -> Restoration:
    """Blend and paste one result."""
    from mystyle_cli.photos.decode import to_pixels, to_unit

    aligned = engine.settings.aligned
    image = projection.images[row].clip(-1, 1)
    warnings = list(located.warnings)
    factor = 1.0
    if task == "inpaint":
        image = composite.seamless(image, to_unit(located.crop), located.hole).clip(-1, 1)
        face = to_pixels(image)
        pixels = composite.fill_photo(located, face, aligned)
        outside = composite.hole_outside(located)
        if outside > 0.01:
            warnings.append(f"{outside:.0%} of the mask is not face and was only filled smoothly")
    else:
        face = to_pixels(image)
        shown = person_matte(engine.profile.prior, image, located if task == "invert" else None)
        if task == "upscale":
            factor = len(face) / located.side
            pixels = composite.enlarge_and_paste(located, face, shown, aligned)
        else:
            pixels = composite.paste_face(located, face, shown, aligned)
    alpha_plus = None if projection.alpha_plus is None else projection.alpha_plus[row]
    return Restoration(
        name=located.name,
        pixels=pixels,
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


def person_matte(prior: Prior, image: Floats, located: Located | None) -> Floats:
    """Return where a generated face may show: the person in it, or in the photo that it replaces.

    Args:
        prior: the domain prior, whose matte tells.
        image: (3, R, R), generated.
        located: the photo, where both the old and the new outline count.
    """
    from mystyle_cli.photos.decode import to_unit

    if "matte" not in prior.roles:
        return np.ones(image.shape[1:], np.float32)
    pictures = [image] if located is None else [image, to_unit(located.crop)]
    return np.asarray(prior.matte(np.stack(pictures)).max(axis=0), np.float32)
