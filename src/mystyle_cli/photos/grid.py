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
        self._across = columns or math.ceil(math.sqrt(count))
        height, width = shape[0] + gap, shape[1] + gap
        down = math.ceil(count / self._across)
        if (down * height) * (self._across * width) > LARGEST_PICTURE:
            raise UsageError(
                f"{count} pictures of {shape[1]} x {shape[0]} pixels are too many for one picture",
                "Lay out fewer.",
            )
        self.pixels: Pixels = np.full((down * height - gap, self._across * width - gap, 3), 255, np.uint8)

    def add(self, picture: Pixels) -> None:
        """Lay the next picture uint8 (H, W, 3)."""
        height, width = self._shape
        row, column = divmod(self._next, self._across)
        top, left = row * (height + self._gap), column * (width + self._gap)
        self.pixels[top : top + height, left : left + width] = picture
        self._next += 1


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
