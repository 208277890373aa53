"""Aligned photos made as bad as those that are restored, by known means: what shows how well that goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from mystyle_cli.find.locate import Subject
from mystyle_cli.photos.pixels import Pixels, resize

if TYPE_CHECKING:
    from mystyle_cli.faces.align import Crop
    from mystyle_cli.restore.task import TaskName

SMALL: Final = 16  # side in pixels of the inputs of upscaling

# left top and right bottom of the hole over eyes and nose, in sides of the FFHQ square
BOX: Final = ((0.25, 0.36), (0.75, 0.67))

MOUTH: Final = ((0.36, 0.66), (0.64, 0.8))  # the same of a hole over the mouth

Box = tuple[tuple[float, float], tuple[float, float]]


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
    crops: Pixels, task: TaskName, names: Sequence[str], crop: Crop, *, small: int = SMALL, box: Box = BOX
) -> list[Subject]:
    """Return degraded aligned crops as what `restore` works on.

    Args:
        crops: uint8 (B, R, R, 3), the true photos.
        task: "upscale" makes them small, "inpaint" cuts a hole into them, "invert" does nothing to them.
        small: side in pixels of what is to be enlarged.
    """
    if task == "upscale":
        return [Subject(one, name=name) for one, name in zip(shrink(crops, small), names, strict=True)]
    if task == "invert":
        return [Subject(one, name=name) for one, name in zip(crops, names, strict=True)]
    mask = hole_mask(crops.shape[1], crop, box)
    hidden = np.where(mask[None, ..., None] > 0, np.uint8(255), crops)  # nothing of the truth is left in it
    return [Subject(pixels, mask, name=name) for pixels, name in zip(hidden, names, strict=True)]
