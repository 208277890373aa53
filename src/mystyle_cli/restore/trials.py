"""Aligned photos made as bad as those that are restored, by known means, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from mystyle_cli.find.locate import Subject
from mystyle_cli.photos.pixels import Pixels, resize
from mystyle_cli.restore.task import Quality, RestoreSettings, TaskName, default_settings

if TYPE_CHECKING:
    from mystyle_cli.faces.align import Crop
    from mystyle_cli.restore.task import Restoration

TIMES: Final = 8  # how many times smaller the inputs of upscaling are, where nothing else is said

# left top and right bottom of the hole over eyes and nose, in sides of the FFHQ square
BOX: Final = ((0.25, 0.36), (0.75, 0.67))

MOUTH: Final = ((0.36, 0.66), (0.64, 0.8))  # the same of a hole over the mouth

Box = tuple[tuple[float, float], tuple[float, float]]


def shrink(crops: Pixels, size: int | None = None) -> Pixels:
    """Return aligned crops (B, R, R, 3) made small by an area kernel. Source: sec. 5.2.2.

    Args:
        size: side in pixels; None: `TIMES` times smaller.
    """
    side = crops.shape[1] // TIMES if size is None else size
    return np.stack([resize(crop, (side, side), "area") for crop in crops])


def lanczos(small: Pixels, resolution: int) -> Pixels:
    """Enlarge crops (B, h, h, 3) without any prior."""
    return np.stack([resize(crop, (resolution, resolution), "lanczos") for crop in small])


def hole_mask(resolution: int, crop: Crop, box: Box = BOX) -> Pixels:
    """Return the mask (R, R) of a hole in a face aligned to a crop, 255 inside."""
    edges = crop.from_ffhq(np.array(box)).clip(0, 1) * resolution
    (left, top), (right, bottom) = np.rint(edges).astype(int).tolist()
    mask = np.zeros((resolution, resolution), np.uint8)
    mask[top:bottom, left:right] = 255
    return mask


def subjects(
    crops: Pixels,
    task: TaskName,
    names: Sequence[str],
    crop: Crop,
    *,
    small: int | None = None,
    box: Box = BOX,
) -> list[Subject]:
    """Return degraded aligned crops as what `restore` works on.

    Args:
        crops: uint8 (B, R, R, 3), the true photos.
        task: "upscale" makes them small, "inpaint" cuts a hole into them, "invert" does nothing to them.
        small: side in pixels of what is to be enlarged; see `shrink`.
    """
    if task == "upscale":
        return [Subject(one, name=name) for one, name in zip(shrink(crops, small), names, strict=True)]
    if task == "invert":
        return [Subject(one, name=name) for one, name in zip(crops, names, strict=True)]
    mask = hole_mask(crops.shape[1], crop, box)
    hidden = np.where(mask[None, ..., None] > 0, np.uint8(255), crops)  # nothing of the truth is left in it
    return [Subject(pixels, mask, name=name) for pixels, name in zip(hidden, names, strict=True)]


def comparison_settings(
    task: TaskName,
    base: RestoreSettings | None = None,
    *,
    quality: Quality = "full",
) -> RestoreSettings:
    """Return settings for degraded aligned crops of the person: nobody is refused, so none is left out.

    Args:
        task: for its beta.
        base: what to start from; None takes the task's defaults, with the two below.
        quality: of the answer.
    """
    chosen = base or default_settings(task, quality)
    return replace(chosen, aligned=True, force=True)


@dataclass(frozen=True)
class Answers:
    """What became of aligned photos, some of which may have failed.

    Args:
        pixels: uint8 (B, ...), pictures of each; what was given where there is no answer.
        well: bool (B,), where there is one.
    """

    pixels: Pixels
    well: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, made: Sequence[Pixels | None], given: Pixels) -> Answers:
        """Gather what was made of photos.

        Args:
            made: uint8 (...) of each of B photos, None where that failed.
            given: uint8 (B, ...), what stands in the place of an answer that there is none.
        """
        found = given.copy()
        for row, one in enumerate(made):
            if one is not None:
                found[row] = one
        return cls(found, np.array([one is not None for one in made], bool))

    @property
    def failed(self) -> int:
        """How many have no answer."""
        return int((~self.well).sum())

    def told(self, values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Return figures (B, ...) of the pictures, NaN where there is no answer."""
        found = np.array(values, np.float64)
        found[~self.well] = np.nan
        return found


def pictures(answers: Sequence[Restoration]) -> Pixels:
    """Return the pictures uint8 (B, R, R, 3) of answers to aligned crops, where nothing may fail.

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
