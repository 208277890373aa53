"""Pictures laid out as one."""

from __future__ import annotations

import numpy as np

from mystyle_cli.photos.pixels import grid


def test_near_square_grid_shows_every_picture_once() -> None:
    """Five pictures make two rows of three, the last place white, gaps white."""
    pictures = np.arange(1, 6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 6, 3), np.uint8)
    sheet = grid(pictures, gap=2)
    assert sheet.shape == (2 * 4 + 2, 3 * 6 + 2 * 2, 3)
    assert [int(sheet[row, column, 0]) for row in (0, 6) for column in (0, 8, 16)] == [1, 2, 3, 4, 5, 255]
    assert (sheet[4:6] == 255).all()


def test_strip() -> None:
    """As many columns as pictures give one row."""
    assert grid(np.zeros((7, 3, 3, 3), np.uint8), columns=7, gap=0).shape == (3, 21, 3)
