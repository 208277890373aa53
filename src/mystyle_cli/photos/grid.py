"""Several pictures of one size as one picture."""

from __future__ import annotations

import math

import numpy as np

from mystyle_cli.photos.decode import Pixels


def grid(pictures: Pixels, columns: int | None = None, gap: int = 2) -> Pixels:
    """Lay pictures out row by row on white.

    Args:
        pictures: uint8 (n, H, W, 3), at least one.
        columns: pictures in a row; by default as many as make the grid nearly square, n makes a strip.
        gap: white pixels between pictures.

    Returns:
        uint8 (rows * (H + gap) - gap, columns * (W + gap) - gap, 3).
    """
    count, height, width, _ = pictures.shape
    across = columns or math.ceil(math.sqrt(count))
    down = math.ceil(count / across)
    sheet = np.full((down * (height + gap) - gap, across * (width + gap) - gap, 3), 255, np.uint8)
    for index, picture in enumerate(pictures):
        top, left = index // across * (height + gap), index % across * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet
