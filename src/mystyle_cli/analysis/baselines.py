"""What the personal prior is compared with: the domain prior, and no prior at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt

from mystyle_cli.photos.pixels import Pixels, resize
from mystyle_cli.progress import Progress, silent
from mystyle_cli.restore.restore import restore
from mystyle_cli.restore.task import Quality, RestoreSettings, Start, TaskName, default_settings

if TYPE_CHECKING:
    from mystyle_cli.faces.align import Crop
    from mystyle_cli.find.locate import Subject
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.restore.task import Restoration

Task = Literal["upscale", "inpaint"]

SMALL: Final = 16
"""Side in pixels of the inputs of upscaling."""

BOX: Final = ((0.25, 0.36), (0.75, 0.67))
"""Left top and right bottom of the hole over eyes and nose, in sides of the FFHQ square."""

MOUTH: Final = ((0.36, 0.66), (0.64, 0.8))
"""The same of a hole over the mouth."""

Box = tuple[tuple[float, float], tuple[float, float]]

DOMAIN_STEPS: Final = 90
"""Steps of the domain prior where none are given; by then its loss is near the personal prior's."""

Floats = npt.NDArray[np.float32]


def shrink(crops: Pixels, size: int = SMALL) -> Pixels:
    """Return aligned crops (B, R, R, 3) made small by an area kernel. Source: sec. 5.2.2."""
    return np.stack([resize(crop, (size, size), "area") for crop in crops])


def hole_mask(resolution: int, crop: Crop, box: Box = BOX) -> Pixels:
    """Return the mask (R, R) of a hole in a face aligned to a crop, 255 inside."""
    edges = crop.from_ffhq(np.array(box)).clip(0, 1) * resolution
    (left, top), (right, bottom) = np.rint(edges).astype(int).tolist()
    mask = np.zeros((resolution, resolution), np.uint8)
    mask[top:bottom, left:right] = 255
    return mask


def subjects(
    crops: Pixels, task: Task, names: Sequence[str], crop: Crop, *, small: int = SMALL, box: Box = BOX
) -> list[Subject]:
    """Return degraded aligned crops as what `restore` works on.

    Args:
        crops: uint8 (B, R, R, 3), the true photos.
        task: "upscale" makes them small, "inpaint" cuts a hole into them.
        names: what messages call them.
        crop: which square about a face they are.
        small: side in pixels of what is to be enlarged.
        box: the hole.
    """
    from mystyle_cli.find.locate import Subject

    if task == "upscale":
        return [Subject(one, name=name) for one, name in zip(shrink(crops, small), names, strict=True)]
    mask = hole_mask(crops.shape[1], crop, box)
    hidden = np.where(mask[None, ..., None] > 0, np.uint8(255), crops)  # nothing of the truth is left in it
    return [Subject(pixels, mask, name=name) for pixels, name in zip(hidden, names, strict=True)]


def comparison_settings(
    task: TaskName,
    base: RestoreSettings | None = None,
    *,
    start: Start = "auto",
    quality: Quality = "full",
) -> RestoreSettings:
    """Return settings for degraded aligned crops of the person: nobody is refused, so none is left out.

    Args:
        task: for its beta.
        base: what to start from; None takes the task's defaults, with the two below.
        start: of the search.
        quality: of the answer.
    """
    chosen = base or replace(default_settings(task, quality), start=start)
    return replace(chosen, aligned=True, force=True)


def personal(
    profile: Profile,
    subjects: Sequence[Subject],
    task: Task,
    settings: RestoreSettings,
    progress: Progress = silent,
) -> list[Restoration]:
    """Return the personal prior's answers, as the commands give them.

    Raises:
        MystyleError: one of the photos failed.
    """
    return _answers(profile, subjects, task, replace(settings, domain_prior=False), progress)


def domain(
    profile: Profile,
    subjects: Sequence[Subject],
    task: Task,
    settings: RestoreSettings,
    progress: Progress = silent,
) -> list[Restoration]:
    """Return the domain prior's answers: the same projection with G_d in W+, blended in the same way.

    It stands in for the paper's "Domain Prior" (sec. 5.2), whose nets exist for photographs only.

    Raises:
        MystyleError: one of the photos failed.
    """
    search = replace(settings.projection, steps=settings.projection.steps or DOMAIN_STEPS)
    return _answers(
        profile, subjects, task, replace(settings, projection=search, domain_prior=True), progress
    )


def _answers(
    profile: Profile, subjects: Sequence[Subject], task: Task, settings: RestoreSettings, progress: Progress
) -> list[Restoration]:
    found = restore(profile, subjects, task, settings, progress)
    for answer in found:
        if answer.error is not None:
            raise answer.error
    return found


def lanczos(small: Pixels, resolution: int) -> Pixels:
    """Enlarge crops (B, h, h, 3) without any prior."""
    return np.stack([resize(crop, (resolution, resolution), "lanczos") for crop in small])


def pictures(answers: Sequence[Restoration]) -> Pixels:
    """Return the pictures uint8 (B, R, R, 3) of answers to aligned crops.

    Raises:
        MystyleError: there is none for one of them.
    """
    found = []
    for answer in answers:
        if answer.error is not None:
            raise answer.error
        assert answer.pixels is not None
        found.append(answer.pixels)
    return np.stack(found)
