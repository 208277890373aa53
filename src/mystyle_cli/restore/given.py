"""What is given of a face: as the search compares it, as the instant net sees it, as results must show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mystyle_cli.projection.damage import LUMA
from mystyle_cli.projection.degradations import EDGE

if TYPE_CHECKING:
    from mystyle_cli.find.locate import Located
    from mystyle_cli.instant.net import View
    from mystyle_cli.nets.exported import Degraded
    from mystyle_cli.projection.damage import Damage
    from mystyle_cli.projection.degradations import Degradation
    from mystyle_cli.restore.task import TaskName

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Given:
    """A located face and what was done to it. It is cut out of its photo once, for all who ask."""

    located: Located
    task: TaskName  # which degradation to assume
    resolution: int  # R
    damage: Damage | None = None  # what it suffered, where the task is to restore
    chroma: Floats | None = None  # (3, R, R), lent to a photo without colours

    @cached_property
    def shown(self) -> Floats:
        """What the photo shows of the face (3, h, h) in [-1, 1]: the aligned crop, or as small as it is."""
        from mystyle_cli.faces.align import warp
        from mystyle_cli.photos.pixels import to_unit

        located = self.located
        if self.damage is not None:
            from mystyle_cli.restore.estimates import seen, shrunk

            small = shrunk(seen(located, self.resolution), self.damage.side, self.damage.kernel)
            return np.asarray(small.transpose(2, 0, 1) / 127.5 - 1, np.float32)
        if self.task == "upscale":
            return to_unit(warp(located.photo.pixels, located.quad, round(located.side)))
        return to_unit(located.crop)

    @cached_property
    def degraded(self) -> Degraded:
        """The photo as eq 1 compares it without torch, and as a result is made consistent with it."""
        from mystyle_cli.nets.exported import Degraded
        from mystyle_cli.photos.pixels import area_kernel, linear_kernel
        from mystyle_cli.projection.damage import gaussian
        from mystyle_cli.projection.degradations import continued

        target, size = self.shown, self.shown.shape[-1]
        known = np.ones((size, size), np.float32)
        down, up = area_kernel(self.resolution, size), linear_kernel(size, self.resolution)
        if self.located.mask is not None and self.task in ("inpaint", "restore"):
            known = (down @ self.located.hole @ down.T <= EDGE).astype(np.float32)
            target = continued(target, 1 - known)
        if self.damage is not None:
            down = down @ gaussian(self.resolution, self.damage.sigma)
        return Degraded(down.astype(np.float32), up.astype(np.float32), known, target)

    @cached_property
    def first_look(self) -> Floats:
        """What the instant net sees of a damaged photo (3, h, h): as small as it is sharp, and in colour."""
        from mystyle_cli.instant.net import as_sharp
        from mystyle_cli.photos.pixels import area_kernel

        assert self.damage is not None
        look: npt.NDArray[np.floating] = as_sharp(self.degraded.target, self.damage, self.resolution)
        if self.damage.tone is not None and self.chroma is not None:
            kernel = area_kernel(self.resolution, look.shape[-1])
            look = np.tensordot(LUMA, look, 1)[None] + kernel @ self.chroma @ kernel.T
        return np.asarray(look, np.float32)

    def refined(self, free: Floats | None) -> Given:
        """Return the same with its damage as the search refined it."""
        if self.damage is None or free is None:
            return self
        return replace(self, damage=self.damage.refined(free))

    def settled(self) -> Given:
        """Return the same with its damage known: no search moves it further."""
        return self if self.damage is None else replace(self, damage=replace(self.damage, fixed=True))

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

    if given[0].task == "restore":
        return _damaged(given)
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


def _damaged(given: Sequence[Given]) -> tuple[Floats, Degradation]:
    """Return damaged photos, each in its corner, and what was done to each."""
    from mystyle_cli.projection.damage import Damaged

    photos = [item.degraded for item in given]
    side = max(photo.target.shape[-1] for photo in photos)
    targets = np.zeros((len(photos), 3, side, side), np.float32)
    holes = np.zeros((len(photos), side, side), np.float32)
    for row, photo in enumerate(photos):
        own = photo.target.shape[-1]
        targets[row, :, :own, :own] = photo.target
        holes[row, :own, :own] = 1 - photo.known
    damages = [item.damage for item in given if item.damage is not None]
    return targets, Damaged.of(damages, given[0].resolution, holes, targets)


def view_of(given: Sequence[Given]) -> View:
    """Return faces of one task as the instant net sees them."""
    from mystyle_cli.instant.net import enlarged, hidden, whole

    if given[0].task == "restore":
        return enlarged([item.first_look for item in given], given[0].resolution)
    shown = [item.shown for item in given]
    if given[0].task == "upscale":
        return enlarged(shown, given[0].resolution)
    crops = np.stack(shown)  # (B, 3, R, R)
    if given[0].task == "inpaint":
        holes = np.stack([item.located.hole for item in given]) > EDGE
        return hidden(crops, holes.astype(np.float32))
    return whole(crops)
