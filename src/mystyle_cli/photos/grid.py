"""Several pictures of one size as one picture."""

from __future__ import annotations

import math

import numpy as np

from mystyle_cli.errors import UsageError
from mystyle_cli.photos.decode import LARGEST_PICTURE, Pixels


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
    """Return height and width of a sheet; see `Sheet`.

    Raises:
        UsageError: the sheet would have more pixels than `LARGEST_PICTURE`.
    """
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
    """Lay pictures uint8 (n, H, W, 3), at least one, out on one sheet; see `Sheet`.

    Returns:
        uint8 (rows * (H + gap) - gap, columns * (W + gap) - gap, 3).
    """
    count, height, width, _ = pictures.shape
    sheet = Sheet(count, (height, width), columns, gap)
    for picture in pictures:
        sheet.add(picture)
    return sheet.pixels
