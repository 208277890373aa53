"""What happens to old, shaken and forwarded photos, together: phi = JPEG o noise o area downsampling o blur.

Each photo of a batch has numbers of its own, and phi is differentiable in the image and in the blur. Noise
does not move what is to be expected; it says how finely photo and image are to be compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import numpy as np
import numpy.typing as npt

from mystyle_cli.photos.pixels import area_kernel, linear_kernel
from mystyle_cli.projection import jpeg
from mystyle_cli.projection.degradations import separable

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mystyle_cli.photos.pixels import Kernel
    from mystyle_cli.projection.fine import Fine

Floats = npt.NDArray[np.floating[Any]]

LUMA: Final = (0.299, 0.587, 0.114)

UNBLURRED: Final = 0.05
"""Pixels of the crop: a blur that is none, and the smallest that a logarithm is taken of."""

NEAR: Final = 0.25
"""How far, as a logarithm, the widths of a blur usually are from the first estimate."""

BLUR_WEIGHT: Final = 0.002
"""What a blur that is so far from it costs in eq 8."""

SMOOTHED: Final = 0.12
"""Small pixels by which photo and image are smoothed before the perceptual net sees them, for each level of
noise of 255 ..."""

SMOOTHEST: Final = 1.5
"""... and at most."""

REACH: Final = 4
"""Standard deviations of a blur beyond which nothing is mirrored in."""


@dataclass(frozen=True)
class Damage:
    """What was done to a photo's face. Lengths are in pixels of the crop of R, lightness is of 255.

    Args:
        side: of what is left of the crop, in pixels, R at most.
        blur: the covariance of its Gaussian: across, mixed, down.
        noise: standard deviation in each colour, at that side.
        quality: of JPEG at that side, or None.
        tone: slope and offset of red, green and blue over luma (3, 2), of a photo without colours, or None.
        kernel: how the small picture was brought to the photo's size, where it can be had back exactly.
        fixed: the blur is given, or none: no search moves it.
        fine: what the photo suffered at its own pixels, where these are finer than those of R; None: nothing.
    """

    side: int
    blur: tuple[float, float, float] = (0.0, 0.0, 0.0)
    noise: float = 0.0
    quality: int | None = None
    tone: tuple[tuple[float, float], ...] | None = None
    kernel: Kernel | None = None
    fixed: bool = True
    fine: Fine | None = None

    @property
    def clean(self) -> bool:
        """Whether the photo is at most small: neither blurred nor noisy nor compressed."""
        return self.blur == (0.0, 0.0, 0.0) and not self.noise and self.quality is None

    @property
    def sigma(self) -> float:
        """Standard deviation of the blur, the root mean square over all directions."""
        return math.sqrt((self.blur[0] + self.blur[2]) / 2)

    @property
    def widths(self) -> tuple[float, float]:
        """Standard deviations of the blur along its longer and its shorter axis."""
        across, mixed, down = self.blur
        spread = math.hypot((across - down) / 2, mixed)
        mean = (across + down) / 2
        return math.sqrt(max(mean + spread, 0.0)), math.sqrt(max(mean - spread, 0.0))

    def effective_side(self, resolution: int) -> float:
        """Return the side of a clean small picture that shows about as much: a box as wide as the blur."""
        width = resolution / self.side
        return resolution / math.sqrt(width**2 + 12 * self.sigma**2)

    def refined(self, free: Floats) -> Damage:
        """Return the same with its blur moved by free numbers (3,), as `Damaged.refined` moves it."""
        if self.fixed:
            return self
        factor = _factor(self.blur) + np.asarray(free, np.float64)
        return replace(self, blur=_covariance(factor))

    def passed(self, resolution: int) -> tuple[Floats, Floats]:
        """Return what share of each frequency is left, and of the blur alone (2 s, s + 1).

        Frequencies are those of a real transform of the small picture of s pixels, mirrored to 2 s.
        """
        small = self.side
        down, across = np.fft.fftfreq(2 * small)[:, None], np.fft.rfftfreq(2 * small)[None]
        scale = small / resolution  # cycles of a pixel of the crop
        blurred = _passed(self.blur, across * scale, down * scale)
        area = np.sinc(across) * np.sinc(down) if small < resolution else 1.0
        return blurred * area, blurred

    def done_to(self, images: Floats) -> Floats:
        """Blur images (..., R, R) and make them small, (..., s, s), without torch, noise and JPEG."""
        resolution, small = images.shape[-1], self.side
        down = area_kernel(resolution, small)
        made = np.asarray(down @ images @ down.T)
        if not self.sigma:
            return made
        _, blurred = self.passed(resolution)
        return np.fft.irfft2(np.fft.rfft2(mirrored(made)) * blurred, s=(2 * small, 2 * small))[
            ..., :small, :small
        ]


def mirrored(planes: Floats) -> Floats:
    """Return planes (..., s, s) continued by their mirror images to (..., 2 s, 2 s)."""
    wide = np.concatenate([planes, planes[..., ::-1]], axis=-1)
    return np.concatenate([wide, wide[..., ::-1, :]], axis=-2)


def _passed(blur: tuple[float, float, float], across: Floats, down: Floats) -> Floats:
    """Return what a Gaussian leaves of frequencies, in cycles a pixel."""
    quadratic = blur[0] * across**2 + 2 * blur[1] * across * down + blur[2] * down**2
    return np.asarray(np.exp(-2 * np.pi**2 * quadratic))


def _factor(blur: tuple[float, float, float]) -> npt.NDArray[np.float64]:
    """Return a covariance's Cholesky factor as log l_11, l_21 / l_22 and log l_22."""
    first = max(math.sqrt(blur[0]), UNBLURRED)
    below = blur[1] / first
    second = max(math.sqrt(max(blur[2] - below**2, 0.0)), UNBLURRED)
    return np.array([math.log(first), below / second, math.log(second)])


def _covariance(factor: Floats) -> tuple[float, float, float]:
    """Return the covariance of such a factor."""
    first, second = math.exp(float(factor[0])), math.exp(float(factor[2]))
    below = float(factor[1]) * second
    return first**2, first * below, below**2 + second**2


@dataclass(frozen=True, eq=False)
class Damaged:
    """The damage of each photo of a batch; smaller ones lie in the batch's top left corner, the rest is 0.

    Args:
        down, up: (B, h, R) and (B, R, h), see `Downsample`.
        shares: (B,), how much of h x h each small picture fills.
        factor: (B, 3), of each blur: log l_11, l_21 / l_22 and log l_22 of its covariance's Cholesky factor.
        open: (B, 1), 1 where the search may move the blur, else 0.
        steps: (B, 2, 8, 8) of JPEG; zeros where there was none.
        tone: (B, 3, 2); slopes of 0 where the photo has colours.
        holes: (B, 1, h, h), 1 = unknown.
        fill: (B, 3, h, h), what stands there.
        smooth: (B, h, h), what both sides are smoothed with before the perceptual net sees them.
        moved: (B,), how far the blurs were moved, squared and in `NEAR`.
    """

    down: Tensor
    up: Tensor
    shares: Tensor
    factor: Tensor
    open: Tensor
    steps: Tensor
    tone: Tensor
    holes: Tensor
    fill: Tensor
    smooth: Tensor
    moved: Tensor

    freedom: ClassVar[int] = 3

    @classmethod
    def of(cls, damages: Sequence[Damage], resolution: int, holes: Floats, fill: Floats) -> Damaged:
        """Do to images of `resolution` R pixels a side what was done to photos.

        Args:
            holes: (B, h, h), h the largest side.
            fill: (B, 3, h, h).
        """
        import torch

        side = max(damage.side for damage in damages)
        count = len(damages)
        down, up = np.zeros((count, side, resolution)), np.zeros((count, resolution, side))
        smooth, steps = np.zeros((count, side, side)), np.zeros((count, 2, jpeg.BLOCK, jpeg.BLOCK))
        tone = np.zeros((count, 3, 2))
        for row, damage in enumerate(damages):
            own = damage.side
            down[row, :own] = area_kernel(resolution, own)
            up[row, :, :own] = linear_kernel(own, resolution)
            smooth[row, :own, :own] = gaussian(own, min(SMOOTHED * damage.noise, SMOOTHEST))
            if damage.quality is not None:
                steps[row] = jpeg.tables(damage.quality)
            if damage.tone is not None:
                tone[row] = damage.tone
        arrays = [
            down,
            up,
            np.array([(damage.side / side) ** 2 for damage in damages]),
            np.stack([_factor(damage.blur) for damage in damages]),
            np.array([[0.0 if damage.fixed else 1.0] for damage in damages]),
            steps,
            tone,
            holes[:, None],
            fill,
            smooth,
            np.zeros(count),
        ]
        return cls(*(torch.tensor(array, dtype=torch.float32) for array in arrays))

    def refined(self, free: Tensor) -> Damaged:
        """Return the same with blurs moved by free numbers (B, 3), where the search may move them."""
        shift = free * self.open
        return replace(self, factor=self.factor + shift, moved=(shift / NEAR).square().sum(dim=1))

    def penalty(self) -> Tensor:
        """Return what blurs that were moved cost in eq 8 (B,)."""
        return BLUR_WEIGHT * self.moved

    def apply(self, images: Tensor) -> Tensor:
        """Take the colours, blur, average over small pixels and compress: (B, 3, R, R) -> (B, 3, h, h)."""
        small = separable(self.down, self._blurred(self._toned(images)))
        small = self._compressed(small)
        return small * (1 - self.holes) + self.fill * self.holes

    def _toned(self, images: Tensor) -> Tensor:
        """Give images the tone of photos that have no colours."""
        import torch

        slope, offset = self.tone[..., 0, None, None], self.tone[..., 1, None, None]  # (B, 3, 1, 1)
        luma = (images * images.new_tensor(LUMA).view(3, 1, 1)).sum(dim=1, keepdim=True)
        coloured = (self.tone[..., 0].abs().sum(dim=1) == 0).view(-1, 1, 1, 1)
        return torch.where(coloured, images, luma * slope + offset)

    def _blurred(self, images: Tensor) -> Tensor:
        """Blur each image by its own Gaussian, in the Fourier domain; what is beyond the edge is mirrored."""
        import torch
        import torch.nn.functional as F

        size = images.shape[-1]
        first, second = self.factor[:, 0].exp(), self.factor[:, 2].exp()  # (B,)
        below = self.factor[:, 1] * second
        widest = float((first.square() + below.square() + second.square()).detach().max().sqrt())
        margin = min(size - 1, max(4, math.ceil(REACH * widest)))
        padded = F.pad(images, (margin,) * 4, mode="reflect")
        whole = padded.shape[-1]
        down = torch.fft.fftfreq(whole, device=images.device)[:, None]
        across = torch.fft.rfftfreq(whole, device=images.device)[None]
        # f^T L L^T f = |L^T f|^2
        left, right = (_column(part) for part in (first, below)), _column(second)
        along = next(left) * across + next(left) * down  # (B, R', R' / 2 + 1)
        passed = torch.exp(-2 * math.pi**2 * (along.square() + (right * down).square()))
        made = torch.fft.irfft2(torch.fft.rfft2(padded) * passed[:, None], s=(whole, whole))
        inner = slice(margin, margin + size)
        return cast("Tensor", made[..., inner, inner])

    def _compressed(self, small: Tensor) -> Tensor:
        """Compress the pictures that were; each by itself, for blocks end with it."""
        import torch

        rows = torch.nonzero(self.steps.amax(dim=(1, 2, 3)) > 0).flatten().tolist()
        if not rows:
            return small
        made, whole = list(small.unbind(0)), small.shape[-1]
        for row in rows:
            own = round(float(self.shares[row].sqrt()) * whole)
            part = jpeg.compressed(small[row : row + 1, :, :own, :own], self.steps[row : row + 1])
            gap = whole - own
            made[row] = torch.nn.functional.pad(part[0], (0, gap, 0, gap))
        return torch.stack(made)

    def view(self, degraded: Tensor) -> Tensor:
        """Smooth what noise reaches, and enlarge bilinearly: (B, 3, h, h) -> (B, 3, R, R)."""
        return separable(self.up, separable(self.smooth, degraded))

    def known(self, degraded: Tensor) -> Tensor:
        """Return the share of the batch's largest picture that each photo fills and shows."""
        return (self.shares - self.holes.mean(dim=(1, 2, 3))).clamp(min=1e-3)

    def seen(self, degraded: Tensor) -> Tensor:
        """Return the share of each view that is known."""
        return (self.known(degraded) / self.shares).clamp(min=1e-3)

    def select(self, rows: Tensor) -> Damaged:
        """Keep some of the photos."""
        return self._each(lambda tensor: tensor[rows])

    def to(self, device: torch.device | str) -> Damaged:
        """Return the same on a device."""
        return self._each(lambda tensor: tensor.to(device))

    def _each(self, change: Any) -> Damaged:
        return Damaged(**{name: change(value) for name, value in vars(self).items()})


def _column(numbers: Tensor) -> Tensor:
    """Return (B,) as (B, 1, 1)."""
    return numbers[:, None, None]


def gaussian(size: int, sigma: float) -> npt.NDArray[np.float64]:
    """Return the matrix (size, size) that blurs a row by a Gaussian, mirrored at its ends."""
    if sigma < UNBLURRED:
        return np.eye(size)
    reach = min(size, math.ceil(REACH * sigma))
    places = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (places / sigma) ** 2)
    weights /= weights.sum()
    matrix = np.zeros((size, size))
    for place, weight in zip(places, weights, strict=True):
        source = np.arange(size) + place
        source = np.where(source < 0, -source - 1, source)
        source = np.where(source >= size, 2 * size - 1 - source, source)
        np.add.at(matrix, (np.arange(size), source), weight)
    return matrix
