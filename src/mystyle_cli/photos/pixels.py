"""Pixels in memory: resized, as numbers for nets, side by side."""

from __future__ import annotations

import math
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mystyle_cli.errors import MystyleError, UsageError

Pixels = NDArray[np.uint8]

Kernel = Literal["area", "bilinear", "bicubic", "lanczos"]
Format = Literal["png", "jpeg", "webp"]

KERNELS = {
    "area": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

# pixels of the largest picture that is opened or made; above, Pillow calls it a bomb
LARGEST_PICTURE: Final = 178_000_000


def resize(
    pixels: Pixels, size: tuple[int, int], kernel: Kernel = "lanczos", alpha: Pixels | None = None
) -> Pixels:
    """Resize with a kernel that widens when shrinking, so that nothing aliases.

    Args:
        pixels: uint8 (H, W, 3) or (H, W).
        size: (height, width) wanted, each at least 1.
        alpha: uint8 (H, W) opacity by which a colour picture counts, so that what is clear leaves no fringe.

    Raises:
        MystyleError: the result would have more pixels than `LARGEST_PICTURE`.
    """
    height, width = size
    if height * width > LARGEST_PICTURE:
        raise MystyleError(
            f"a picture of {width} x {height} pixels is too large to be made", "Use a smaller photo."
        )
    if pixels.shape[:2] == (height, width):
        return pixels.copy()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha))  # Pillow resizes colours by their opacity
    resized = image.resize((width, height), KERNELS[kernel])
    return np.array(resized if alpha is None else resized.convert("RGB"))


def to_unit(pixels: Pixels) -> NDArray[np.float32]:
    """Turn uint8 (..., H, W, 3) into float32 (..., 3, H, W) in [-1, 1]."""
    return np.ascontiguousarray(
        np.moveaxis(pixels, -1, -3).astype(np.float32) / np.float32(127.5) - np.float32(1)
    )


def to_pixels(unit: NDArray[np.floating[Any]]) -> Pixels:
    """Turn floats (..., 3, H, W) in [-1, 1] into uint8 (..., H, W, 3); values beyond are clipped."""
    scaled = np.rint((np.asarray(unit, dtype=np.float32) + 1) * np.float32(127.5))
    return np.ascontiguousarray(np.moveaxis(np.clip(scaled, 0, 255).astype(np.uint8), -3, -1))


class Sheet:
    """Pictures laid out row by row on white, one after the other.

    Args:
        count: of pictures, at least 1.
        shape: of each, (height, width).
        columns: pictures in a row; by default as many as make the sheet nearly square, `count` makes a strip.
        gap: white pixels between pictures.

    Raises:
        UsageError: the sheet would have more pixels than `LARGEST_PICTURE`.
    """

    def __init__(self, count: int, shape: tuple[int, int], columns: int | None = None, gap: int = 2) -> None:
        self._shape, self._gap, self._next = shape, gap, 0
        self._across = columns or _across(count)
        self.pixels: Pixels = np.full((*sheet_size(count, shape, columns, gap), 3), 255, np.uint8)

    def add(self, picture: Pixels) -> None:
        """Lay the next picture uint8 (H, W, 3)."""
        height, width = self._shape
        row, column = divmod(self._next, self._across)
        top, left = row * (height + self._gap), column * (width + self._gap)
        self.pixels[top : top + height, left : left + width] = picture
        self._next += 1


def sheet_size(
    count: int, shape: tuple[int, int], columns: int | None = None, gap: int = 2
) -> tuple[int, int]:
    """Return height and width of a sheet; raises UsageError where it is too large; see `Sheet`."""
    across = columns or _across(count)
    down, (height, width) = math.ceil(count / across), (shape[0] + gap, shape[1] + gap)
    if (down * height) * (across * width) > LARGEST_PICTURE:
        raise UsageError(
            f"{count} pictures of {shape[1]} x {shape[0]} pixels are too many for one picture",
            "Lay out fewer.",
        )
    return down * height - gap, across * width - gap


def _across(count: int) -> int:
    return math.ceil(math.sqrt(count))


def grid(pictures: Pixels, columns: int | None = None, gap: int = 2) -> Pixels:
    """Lay pictures uint8 (n, H, W, 3), at least one, out on one sheet; see `Sheet`."""
    count, height, width, _ = pictures.shape
    sheet = Sheet(count, (height, width), columns, gap)
    for picture in pictures:
        sheet.add(picture)
    return sheet.pixels


def area_kernel(size: int, smaller: int) -> NDArray[np.float64]:
    """Return the matrix (smaller, size) that averages by exact overlap, at any ratio of the sizes."""
    edges = np.arange(smaller + 1) * (size / smaller)
    starts, ends = edges[:-1, None], edges[1:, None]
    pixels = np.arange(size)[None, :]
    overlap = np.clip(np.minimum(ends, pixels + 1) - np.maximum(starts, pixels), 0, None)
    return np.asarray(overlap * (smaller / size), np.float64)


def linear_kernel(size: int, larger: int) -> NDArray[np.float64]:
    """Return the matrix (larger, size) of linear interpolation between pixel centres, borders repeated."""
    centres = np.clip((np.arange(larger) + 0.5) * (size / larger) - 0.5, 0, size - 1)
    left = np.minimum(centres.astype(int), max(size - 2, 0))
    share = centres - left
    kernel = np.zeros((larger, size))
    kernel[np.arange(larger), left] = 1 - share
    kernel[np.arange(larger), np.minimum(left + 1, size - 1)] += share
    return kernel
