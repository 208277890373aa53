"""What was done to a photo, as differentiable functions phi on images (sec. 3.3, B.2).

A batch holds a degradation for each input, so that inputs with other holes and other sizes are worked on
together; `select` keeps some of them. Images are torch (B, 3, R, R) in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from mystyle_cli.photos.pixels import area_kernel, linear_kernel

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mystyle_cli.photos.pixels import Pixels

Floats = npt.NDArray[np.floating[Any]]

RELAXATIONS = 8  # rounds of averaging at each scale of `spread`
EDGE = 1 / 64  # how much of a pixel may be hole before it is not trusted


class Degradation(Protocol):
    """phi for each input of a batch, and how its outcome is to be compared."""

    def apply(self, images: Tensor) -> Tensor:
        """Degrade images (B, 3, R, R); differentiable. What is not known is the same whatever the images."""

    def view(self, degraded: Tensor) -> Tensor:
        """Return degraded images as the perceptual net should see them, (B, 3, R, R)."""

    def known(self, degraded: Tensor) -> Tensor:
        """Return the share (B,) of the entries of `degraded` that say something, in (0, 1]."""

    def seen(self, degraded: Tensor) -> Tensor:
        """Return the share (B,) of each view that says something, in (0, 1]."""

    @property
    def freedom(self) -> int:
        """How many numbers of each input's degradation the search may move."""

    def refined(self, free: Tensor) -> Degradation:
        """Return the same with these numbers moved by free ones (B, `freedom`); differentiable."""

    def penalty(self) -> Tensor | float:
        """Return what it costs in eq 8 (B,) that they were moved."""

    def select(self, rows: Tensor) -> Degradation:
        """Return the degradations of some inputs, by index (int64)."""

    def to(self, device: torch.device | str) -> Degradation:
        """Return the same on a device."""


class Fixed:
    """A degradation of which everything is known."""

    freedom: ClassVar[int] = 0

    def refined(self, free: Tensor) -> Self:
        """Return the same: there is nothing to move."""
        return self

    def penalty(self) -> float:
        """Return 0."""
        return 0.0


class Identity(Fixed):
    """Nothing was done: inversion."""

    def apply(self, images: Tensor) -> Tensor:
        """Return the images themselves."""
        return images

    def view(self, degraded: Tensor) -> Tensor:
        """Return the images themselves."""
        return degraded

    def known(self, degraded: Tensor) -> Tensor:
        """Return ones: every pixel is known."""
        return degraded.new_ones(len(degraded))

    def seen(self, degraded: Tensor) -> Tensor:
        """Return ones."""
        return degraded.new_ones(len(degraded))

    def select(self, rows: Tensor) -> Identity:
        """Return the same: it is the same for every input."""
        return self

    def to(self, device: torch.device | str) -> Identity:
        """Return the same: it holds nothing."""
        return self


@dataclass(frozen=True, eq=False)
class Mask(Fixed):
    """A hole was cut into each image: inpainting.

    The hole is filled with the same smooth colours in the generated image and in the input. So neither loss
    looks into it, and the perceptual net sees no edge that is not in the photo.
    """

    holes: Tensor  # (B, 1, R, R), 1 = unknown, 0 = known
    fill: Tensor  # (B, 3, R, R), what stands in the holes

    @classmethod
    def of(cls, holes: Tensor, inputs: Tensor) -> Mask:
        """Cut holes, and fill them with what the inputs' own surroundings suggest.

        Args:
            holes: (B, 1, R, R) in [0, 1], 1 = unknown; whatever is above `EDGE` counts as unknown.
            inputs: (B, 3, R, R), the photos; what is in their holes is not used.
        """
        sharp = (holes > EDGE).to(inputs.dtype)
        return cls(sharp, spread(inputs, sharp))

    def apply(self, images: Tensor) -> Tensor:
        """Fill the holes."""
        return images * (1 - self.holes) + self.fill * self.holes

    def view(self, degraded: Tensor) -> Tensor:
        """Return the filled images themselves."""
        return degraded

    def known(self, degraded: Tensor) -> Tensor:
        """Return the share of each image outside its hole."""
        return (1 - self.holes).mean(dim=(1, 2, 3)).clamp(min=1e-3)  # eq 1 is divided by it

    def seen(self, degraded: Tensor) -> Tensor:
        """Return the same: the view is the image."""
        return self.known(degraded)

    def select(self, rows: Tensor) -> Mask:
        """Keep some of the holes."""
        return Mask(self.holes[rows], self.fill[rows])

    def to(self, device: torch.device | str) -> Mask:
        """Return the same on a device."""
        return Mask(self.holes.to(device), self.fill.to(device))


@dataclass(frozen=True, eq=False)
class Downsample(Fixed):
    """Each image was made smaller by an area kernel: upscaling.

    Each input may have a side of its own; smaller ones lie in the batch's top left corner, the rest is 0.
    The perceptual net sees them enlarged to the prior's resolution, as 16 px are too few for its strides.
    """

    down: Tensor  # (B, h, R), what makes R rows of an image h, the batch's largest side
    up: Tensor  # (B, R, h), what makes h rows R again
    shares: Tensor  # (B,), how much of h x h each degraded image fills

    @classmethod
    def of(cls, sizes: Sequence[int], resolution: int) -> Downsample:
        """Make images of `resolution` R pixels a side smaller, each to its own side from 1 to R."""
        import torch

        side = max(sizes)  # h
        down = np.zeros((len(sizes), side, resolution))
        up = np.zeros((len(sizes), resolution, side))
        for row, size in enumerate(sizes):  # rows and columns beyond an image's own side stay 0
            down[row, :size] = area_kernel(resolution, size)
            up[row, :, :size] = linear_kernel(size, resolution)
        return cls(
            torch.tensor(down, dtype=torch.float32),
            torch.tensor(up, dtype=torch.float32),
            torch.tensor([(size / side) ** 2 for size in sizes], dtype=torch.float32),
        )

    def apply(self, images: Tensor) -> Tensor:
        """Average over the area of each small pixel: (B, 3, R, R) -> (B, 3, h, h)."""
        return separable(self.down, images)

    def view(self, degraded: Tensor) -> Tensor:
        """Enlarge bilinearly: (B, 3, h, h) -> (B, 3, R, R)."""
        return separable(self.up, degraded)

    def known(self, degraded: Tensor) -> Tensor:
        """Return the share of the batch's largest picture that each input fills."""
        return self.shares

    def seen(self, degraded: Tensor) -> Tensor:
        """Return ones: every view is filled."""
        return degraded.new_ones(len(degraded))

    def select(self, rows: Tensor) -> Downsample:
        """Keep some of the sizes."""
        return Downsample(self.down[rows], self.up[rows], self.shares[rows])

    def to(self, device: torch.device | str) -> Downsample:
        """Return the same on a device."""
        return Downsample(self.down.to(device), self.up.to(device), self.shares.to(device))


def separable(kernel: Tensor, images: Tensor) -> Tensor:
    """Apply kernels (B, m, n) to the rows and columns of (B, 3, n, n): (B, 3, m, m)."""
    across = kernel.unsqueeze(1)  # (B, 1, m, n), the same for all colours
    return across @ images @ across.transpose(2, 3)


def spread(images: Tensor, holes: Tensor) -> Tensor:
    """Continue what is known smoothly into holes.

    Known pixels keep their values; unknown ones approach the membrane through them (each the mean of its four
    neighbours), coarse to fine.

    Args:
        images: (B, C, H, W); what is in the holes is not used.
        holes: (B, 1, H, W), 1 = unknown, 0 = known.
    """
    import torch.nn.functional as F

    known = 1 - holes  # (B, 1, H, W)
    height, width = images.shape[-2:]
    if min(height, width) <= 1 or bool((holes == 0).all()):  # the coarsest scale: one mean colour
        total = known.sum(dim=(2, 3), keepdim=True).clamp(min=1e-6)
        mean = (images * known).sum(dim=(2, 3), keepdim=True) / total  # (B, C, 1, 1)
        return images * known + mean * holes
    half = ((height + 1) // 2, (width + 1) // 2)
    weight = F.adaptive_avg_pool2d(known, half)  # (B, 1, H/2, W/2), how much of each pixel is known
    colour = F.adaptive_avg_pool2d(images * known, half) / weight.clamp(min=1e-6)  # of what is
    below = spread(colour, (weight <= 0).to(images.dtype))
    above = F.interpolate(below, (height, width), mode="bilinear", align_corners=False)
    filled = images * known + above * holes
    for _ in range(RELAXATIONS):  # Jacobi's, of Laplace's equation; few do, for the start is near
        near = F.pad(filled, (1, 1, 1, 1), mode="replicate")  # (B, C, H + 2, W + 2)
        mean = near[..., :-2, 1:-1] + near[..., 2:, 1:-1] + near[..., 1:-1, :-2] + near[..., 1:-1, 2:]
        filled = images * known + mean / 4 * holes
    return filled


def continued(images: Floats, hole: Floats | npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Do as `spread` does, without torch, and with one hole for all images.

    Args:
        images: (..., H, W); what is in the hole is not used.
        hole: (H, W), 1 = unknown, 0 = known.
    """
    images, hole = np.asarray(images, np.float32), np.asarray(hole, np.float32)
    known = 1 - hole
    if min(hole.shape) <= 1 or not (hole == 0).any():
        total = max(float(known.sum()), 1e-6)
        mean = (images * known).sum(axis=(-2, -1), keepdims=True) / total
        return np.asarray(images * known + mean * hole, np.float32)
    weight = _halved(known)
    colour = _halved(images * known) / np.maximum(weight, 1e-6)
    below = continued(colour, weight <= 0)
    base = images * known
    filled = base + _enlarged(below, hole.shape) * hole
    margin = [(0, 0)] * (images.ndim - 2) + [(1, 1), (1, 1)]
    for _ in range(RELAXATIONS):
        near = np.pad(filled, margin, mode="edge")
        mean = near[..., :-2, 1:-1] + near[..., 2:, 1:-1] + near[..., 1:-1, :-2] + near[..., 1:-1, 2:]
        filled = base + mean / 4 * hole
    return np.asarray(filled, np.float32)


def fill_hole(pixels: Pixels, mask: Pixels) -> Pixels:
    """Continue a photo (H, W, 3) smoothly into what of a mask (H, W) is above 0."""
    part = _surroundings(mask)
    image = pixels[part].astype(np.float32).transpose(2, 0, 1)  # (3, h, w)
    filled = pixels.copy()
    smooth = continued(image, mask[part] > 0)  # (3, h, w)
    filled[part] = smooth.transpose(1, 2, 0).round().clip(0, 255).astype(np.uint8)
    return filled


def _surroundings(mask: Pixels) -> tuple[slice, slice]:
    """Return the rows and columns of a hole with half its size around it: enough to continue into it."""
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    margin = 8 + int(max(np.ptp(rows), np.ptp(columns))) // 2
    return (
        slice(max(int(rows[0]) - margin, 0), int(rows[-1]) + margin + 1),
        slice(max(int(columns[0]) - margin, 0), int(columns[-1]) + margin + 1),
    )


def _halved(images: Floats) -> Floats:
    """Average into half as many rows and columns, rounded up; neighbours overlap where they must.

    The windows are those of torch's adaptive pooling: two entries wide, and here and there three.
    """
    for axis in (-2, -1):
        size = images.shape[axis]
        half = (size + 1) // 2
        starts = np.arange(half) * size // half
        ends = -(-(np.arange(half) + 1) * size // half)  # rounded up
        total = np.take(images, starts, axis) + np.take(images, starts + 1, axis)
        wide = (ends - starts > 2).astype(images.dtype)
        counts = 2 + wide
        if wide.any():
            shape = [1, 1]
            shape[axis] = half
            total = total + np.take(images, np.minimum(starts + 2, size - 1), axis) * wide.reshape(shape)
            counts = counts.reshape(shape)
        else:
            counts = counts[0]
        images = total / counts
    return images


def _enlarged(images: Floats, shape: tuple[int, ...]) -> Floats:
    """Interpolate linearly between pixel centres, borders repeated."""
    for axis, larger in zip((-2, -1), shape, strict=True):
        size = images.shape[axis]
        # where the new pixels' centres lie among the old ones; before the first one, the first itself
        places = np.clip((np.arange(larger) + 0.5) * (size / larger) - 0.5, 0, None)
        left = np.minimum(places.astype(int), size - 1)
        bounds = [1, 1]
        bounds[axis] = larger
        share = (places - left).astype(np.float32).reshape(bounds)
        right = np.take(images, np.minimum(left + 1, size - 1), axis)
        images = np.take(images, left, axis) * (1 - share) + right * share
    return images
