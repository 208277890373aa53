"""Located faces as a search compares them, and as the instant net sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mystyle_cli.projection.degradations import EDGE

if TYPE_CHECKING:
    from mystyle_cli.find.locate import Located
    from mystyle_cli.instant.net import View
    from mystyle_cli.nets.exported import Degraded
    from mystyle_cli.projection.degradations import Degradation
    from mystyle_cli.restore.task import TaskName

Floats = npt.NDArray[np.float32]


def degrade(located: Sequence[Located], task: TaskName, resolution: int) -> tuple[Floats, Degradation]:
    """Return the degraded inputs (B, 3, h, w) in [-1, 1] and what degraded them.

    Args:
        located: faces on their photos.
        task: which degradation to assume.
        resolution: R.
    """
    import torch

    from mystyle_cli.projection.degradations import Downsample, Identity, Mask

    shown = [_shown(item, task) for item in located]
    if task == "upscale":
        sizes = [image.shape[-1] for image in shown]
        small = np.zeros((len(shown), 3, max(sizes), max(sizes)), np.float32)
        for row, (image, size) in enumerate(zip(shown, sizes, strict=True)):
            small[row, :, :size, :size] = image
        return small, Downsample.of(sizes, resolution)
    crops = np.stack(shown)
    if task == "invert":
        return crops, Identity()
    holes = torch.from_numpy(np.stack([item.hole for item in located])[:, None])
    mask = Mask.of(holes, torch.from_numpy(crops))
    return np.asarray(mask.apply(torch.from_numpy(crops)).numpy()), mask


def view_of(located: Sequence[Located], task: TaskName, resolution: int) -> View:
    """Return photos as the net sees them.

    Args:
        located: faces on their photos.
        task: what was done to them.
        resolution: R.
    """
    from mystyle_cli.instant.net import enlarged, hidden, whole

    shown = [_shown(item, task) for item in located]
    if task == "upscale":
        return enlarged(shown, resolution)
    crops = np.stack(shown)
    if task == "inpaint":
        holes = np.stack([item.hole for item in located]) > EDGE
        return hidden(crops, holes.astype(np.float32))
    return whole(crops)


def moved(located: Located, motion: Floats) -> Located:
    """Return the same face where the search found it; see `motion`."""
    from mystyle_cli.faces.align import cut_out
    from mystyle_cli.projection.motion import moved_quad

    if not motion.any():
        return located
    quad = moved_quad(located.quad, motion)
    crop, hole = cut_out(located.photo.pixels, located.mask, quad, len(located.crop))
    return replace(located, quad=quad, crop=crop, hole=hole)


def degraded_photo(located: Located, task: TaskName, resolution: int) -> Degraded:
    """Return a photo as the exported eq 1 compares it: what `degrade` returns, without torch.

    Args:
        located: a face on its photo.
        task: what was done to it.
        resolution: R.
    """
    from mystyle_cli.nets.exported import Degraded
    from mystyle_cli.photos.pixels import area_kernel, linear_kernel
    from mystyle_cli.projection.degradations import continued

    target = _shown(located, task)
    size = target.shape[-1]
    known = np.ones((size, size), np.float32)
    if task == "inpaint":
        known = (located.hole <= EDGE).astype(np.float32)
        target = continued(target, 1 - known)
    down, up = area_kernel(resolution, size), linear_kernel(size, resolution)
    return Degraded(down.astype(np.float32), up.astype(np.float32), known, target)


def _shown(located: Located, task: TaskName) -> Floats:
    """Return what is given of a face (3, h, h) in [-1, 1]: the aligned crop, or as small as it is."""
    from mystyle_cli.faces.align import warp
    from mystyle_cli.photos.pixels import to_unit

    if task == "upscale":
        return to_unit(warp(located.photo.pixels, located.quad, round(located.side)))
    return to_unit(located.crop)
