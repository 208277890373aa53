"""What is given of a face: as the search compares it, as the instant net sees it, as results must show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
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


@dataclass(frozen=True, eq=False)
class Given:
    """A located face and what was done to it. It is cut out of its photo once, for all who ask."""

    located: Located
    task: TaskName  # which degradation to assume
    resolution: int  # R

    @cached_property
    def shown(self) -> Floats:
        """What the photo shows of the face (3, h, h) in [-1, 1]: the aligned crop, or as small as it is."""
        from mystyle_cli.faces.align import warp
        from mystyle_cli.photos.pixels import to_unit

        located = self.located
        if self.task == "upscale":
            return to_unit(warp(located.photo.pixels, located.quad, round(located.side)))
        return to_unit(located.crop)

    @cached_property
    def degraded(self) -> Degraded:
        """The photo as eq 1 compares it without torch, and as a result is made consistent with it."""
        from mystyle_cli.nets.exported import Degraded
        from mystyle_cli.photos.pixels import area_kernel, linear_kernel
        from mystyle_cli.projection.degradations import continued

        target, size = self.shown, self.shown.shape[-1]
        known = np.ones((size, size), np.float32)
        if self.task == "inpaint":
            known = (self.located.hole <= EDGE).astype(np.float32)
            target = continued(target, 1 - known)
        down, up = area_kernel(self.resolution, size), linear_kernel(size, self.resolution)
        return Degraded(down.astype(np.float32), up.astype(np.float32), known, target)

    def moved(self, motion: Floats) -> Given:
        """Return the same face where the search found it, cut out again only if that is elsewhere."""
        from mystyle_cli.faces.align import cut_out
        from mystyle_cli.projection.motion import moved_quad

        if not motion.any():
            return self
        located = self.located
        quad = moved_quad(located.quad, motion)
        crop, hole = cut_out(located.photo.pixels, located.mask, quad, len(located.crop))
        return replace(self, located=replace(located, quad=quad, crop=crop, hole=hole))


def targets_of(given: Sequence[Given]) -> tuple[Floats, Degradation]:
    """Return what a search is to meet, (B, 3, h, w) in [-1, 1], and what degraded it; faces of one task."""
    import torch

    from mystyle_cli.projection.degradations import Downsample, Identity, Mask

    shown = [item.shown for item in given]
    if given[0].task == "upscale":
        sizes = [image.shape[-1] for image in shown]
        small = np.zeros((len(shown), 3, max(sizes), max(sizes)), np.float32)
        for row, (image, size) in enumerate(zip(shown, sizes, strict=True)):
            small[row, :, :size, :size] = image
        return small, Downsample.of(sizes, given[0].resolution)
    crops = np.stack(shown)  # (B, 3, R, R)
    if given[0].task == "invert":
        return crops, Identity()
    holes = torch.from_numpy(np.stack([item.located.hole for item in given])[:, None])
    mask = Mask.of(holes, torch.from_numpy(crops))
    return np.asarray(mask.apply(torch.from_numpy(crops)).numpy()), mask


def view_of(given: Sequence[Given]) -> View:
    """Return faces of one task as the instant net sees them."""
    from mystyle_cli.instant.net import enlarged, hidden, whole

    shown = [item.shown for item in given]
    if given[0].task == "upscale":
        return enlarged(shown, given[0].resolution)
    crops = np.stack(shown)  # (B, 3, R, R)
    if given[0].task == "inpaint":
        holes = np.stack([item.located.hole for item in given]) > EDGE
        return hidden(crops, holes.astype(np.float32))
    return whole(crops)
