"""What JPEG does to a picture, smooth enough to be searched through, and which quality it was.

Source: ITU-T T.81, annexes A and K; rounding is passed through on the way back (Bengio et al. 2013).
"""

from __future__ import annotations

import io
import math
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

    from mystyle_cli.photos.pixels import Pixels

Floats = npt.NDArray[np.float64]

BLOCK: Final = 8
"""Side in pixels of what is coded by itself."""

YCBCR: Final = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
"""JFIF's luma and two chromas of red, green and blue, all about 0."""

TRIED: Final = tuple(range(5, 97))
"""Qualities that are looked for; above, JPEG leaves next to nothing behind."""

LEAK: Final = 1e-3
"""Variance, in steps squared, of what is all rounded to nothing: neighbouring frequencies leak."""

SAME: Final = 2.5
"""Root mean square, of 255, by which a picture may change when it goes through its own quality once more."""

DIP: Final = 0.75
"""... over what the qualities around it change."""


def dct_matrix(size: int = BLOCK) -> Floats:
    """Return the orthonormal DCT-II (size, size), frequencies in rows."""
    frequency, place = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    matrix = np.cos(math.pi * (2 * place + 1) * frequency / (2 * size)) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return np.asarray(matrix)


def tables(quality: int) -> Floats:
    """Return the steps of luma and of chroma (2, 8, 8), of 255, at a quality from 1 to 100."""
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (BLOCK, BLOCK)).save(stream, "JPEG", quality=quality)
    found = Image.open(stream).quantization  # type: ignore[attr-defined]
    return np.array([found[0], found[1]], np.float64).reshape(2, BLOCK, BLOCK)


def coded(pixels: Pixels, quality: int) -> Pixels:
    """Return a picture (h, w) or (h, w, 3) as it is once it was a JPEG of a quality from 1 to 100."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def compressed(images: Tensor, steps: Tensor) -> Tensor:
    """Return images as JPEG leaves them; differentiable, as if nothing had been rounded.

    Chroma is halved in both directions, as nearly all programs do it. Where the sides are no multiple of the
    blocks', the borders are repeated.

    Args:
        images: (B, 3, h, w) in [-1, 1].
        steps: (B, 2, 8, 8) of 255, see `tables`; a row of zeros leaves its image alone.
    """
    import torch
    import torch.nn.functional as F

    height, width = images.shape[-2:]
    whole = 2 * BLOCK  # so that halved chroma has whole blocks, too
    padded = F.pad(images, (0, -width % whole, 0, -height % whole), mode="replicate")
    matrix = torch.as_tensor(YCBCR, dtype=images.dtype, device=images.device)
    coded = torch.einsum("ij,bjhw->bihw", matrix, padded * 127.5)
    luma = _rounded(coded[:, :1], steps[:, :1])
    chroma = F.interpolate(
        _rounded(F.avg_pool2d(coded[:, 1:], 2), steps[:, 1:]), scale_factor=2.0, mode="bilinear"
    )
    back = torch.as_tensor(np.linalg.inv(YCBCR), dtype=images.dtype, device=images.device)
    made = torch.einsum("ij,bjhw->bihw", back, torch.cat([luma, chroma], dim=1)) / 127.5
    left_alone = (steps.amax(dim=(1, 2, 3)) == 0).view(-1, 1, 1, 1)
    return torch.where(left_alone, images, made[..., :height, :width])


def _rounded(planes: Tensor, steps: Tensor) -> Tensor:
    """Round the blocks of planes (B, C, h, w) to multiples of steps (B, 1, 8, 8) in their DCT."""
    import torch

    count, channels, height, width = planes.shape
    transform = torch.as_tensor(dct_matrix(), dtype=planes.dtype, device=planes.device)
    blocks = planes.view(count, channels, height // BLOCK, BLOCK, width // BLOCK, BLOCK).transpose(3, 4)
    step = steps.clamp(min=1e-3)[:, :, None, None]  # (B, 1, 1, 1, 8, 8)
    found = transform @ blocks @ transform.T / step
    found = found + (found.round() - found).detach()
    blocks = transform.T @ (found * step) @ transform
    return blocks.transpose(3, 4).reshape(planes.shape)


def quality_of(pixels: Pixels) -> int | None:
    """Return the quality at which a picture (h, w, 3) was last a JPEG, its blocks still in place; None: none.

    A picture hardly changes when it goes through its own quality again, and much more through those about it.
    It may have been through a milder one as well; the harshest is what is left of it.
    """
    changes = np.array([_change(pixels, quality) for quality in TRIED])
    for place in range(len(TRIED) - 4):
        around = changes[[place - 4, place + 4] if place >= 4 else [place + 4]]
        if changes[place] <= SAME and changes[place] <= DIP * around.min():
            return TRIED[place]
    return None


def _change(pixels: Pixels, quality: int) -> float:
    """Return the root mean square by which a picture's luma changes in JPEG."""
    again = coded(pixels, quality).astype(np.float64)
    return float(np.sqrt(np.square((again - pixels) @ YCBCR[0]).mean()))


def spectral_steps(quality: int, side: int, chroma: bool = False) -> Floats:
    """Return the step, of 255, at which each frequency is rounded, about; infinite: it is left out.

    Args:
        side: of the picture, in pixels; frequencies are those of its transform (side, side).
        chroma: of the colours, which have half as many pixels in each direction.
    """
    table, block = tables(quality)[int(chroma)], BLOCK * (2 if chroma else 1)
    places = np.abs(np.fft.fftfreq(side)) * 2 * block  # among the block's frequencies
    low = np.minimum(places.astype(int), BLOCK - 1)
    high, share = np.minimum(low + 1, BLOCK - 1), places - low
    rows = table[low] * (1 - share)[:, None] + table[high] * share[:, None]
    found = rows[:, low] * (1 - share) + rows[:, high] * share
    gone = places > BLOCK
    found[gone] = found[:, gone] = np.inf
    return np.asarray(found)


def rounded(variance: Floats, steps: Floats) -> Floats:
    """Return the variance of normal numbers once they are rounded to multiples of steps, for each entry."""
    square = np.square(np.maximum(steps, 1e-3))
    places, shares = _rounding()
    found = np.exp(np.interp(np.log(variance / square), places, shares)) * square
    return np.where(variance > 10 * square, variance + square / 12, found)


@cache
def _rounding() -> tuple[Floats, Floats]:
    """Return logarithms of variances, and of what they are after rounding to whole numbers."""
    from scipy.special import erf

    places = np.linspace(math.log(1e-3), math.log(10.5), 200)
    whole = np.arange(1, 40)[:, None]
    spread = np.sqrt(2 * np.exp(places))[None]
    found = (np.square(whole) * (erf((whole + 0.5) / spread) - erf((whole - 0.5) / spread))).sum(axis=0)
    return places, np.log(np.maximum(found, LEAK))
