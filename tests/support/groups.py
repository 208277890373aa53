"""Faces at given places, and photos of several people of a tiny prior."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from mystyle_cli.faces.face import Face
from mystyle_cli.group.places import Place


def place(number: int, middle: tuple[float, float], side: float, tilt: float = 0.0) -> Place:
    """Return a face whose FFHQ square has this middle, side and tilt in radians."""
    across = np.array([np.cos(tilt), np.sin(tilt)]) * side / 4
    down = np.array([-across[1], across[0]])
    eyes = np.array(middle) - 0.1 * down
    points = np.tile(np.asarray(middle, np.float64), (68, 1))
    points[36:42], points[42:48], points[48:55] = eyes - across / 2, eyes + across / 2, eyes + down
    low, high = np.array(middle) - side / 4, np.array(middle) + side / 4
    return Place(number, Face((*low, *high), points, 1.0, 0.0, 1.0))


def in_squares(
    drawn: Mapping[tuple[int, int], Callable[[int, int], np.ndarray]], size: tuple[int, int], side: int
) -> tuple[np.ndarray, list[Place]]:
    """Return a photo uint8 (H, W, 3) with a picture in each square, and its faces from the left.

    Args:
        drawn: what draws the picture, by the square's top left corner x, y.
        size: height and width.
        side: of the squares.
    """
    photo = np.full((*size, 3), 128, np.uint8)
    places = []
    for number, ((left, top), draw) in enumerate(sorted(drawn.items())):
        photo[top : top + side, left : left + side] = draw(90 + number, side)
        places.append(place(number + 1, (left + side / 2, top + side / 2), side))
    return photo, places
