"""The faces of a photo, and how what is near several of them is shared out.

Each place of a photo is nearest to one face, measured in that face's own size. Only that one may show there,
so that no face is laid over another's, be it of somebody known or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from mystyle_cli.faces.align import FFHQ, face_quad

if TYPE_CHECKING:
    from mystyle_cli.faces.align import Points
    from mystyle_cli.faces.face import Face
    from mystyle_cli.photos.pixels import Pixels

Floats = npt.NDArray[np.float32]
Distances = npt.NDArray[np.float64]
Box = tuple[int, int, int, int]

# the oval of a face on its FFHQ square, in that one's sides: its middle, and half its width and height
MIDDLE: Final = (0.5, 0.55)
HALF: Final = (0.28, 0.36)

SOFT: Final = 0.25  # how much farther from the next face, in half faces, a place is this one's alone
MARGIN: Final = 0.04  # the same, within which a stranger's face begins: pasting looks a pixel or two around

SOFTENED: Final = 1.2  # pixels by which a photo is blurred, so that noise hides no face

MOST: Final = 64  # faces of one photo that are looked at, the largest


@dataclass(frozen=True)
class Place:
    """One face of a photo."""

    number: int  # from 1 up, as people count them: from the left
    face: Face

    @cached_property
    def _inverse(self) -> Points:
        """The matrix (2, 3) from the photo to the FFHQ square, in that one's sides."""
        corner, below, _, right = face_quad(self.face.landmarks, FFHQ)
        linear = np.linalg.inv(np.column_stack([right - corner, below - corner]))
        return np.column_stack([linear, -linear @ corner])

    def distances(self, points: npt.NDArray[np.floating[Any]]) -> Distances:
        """Return how far points (..., 2) of the photo are from its middle, (...): 1 on the face's outline."""
        on_square = points @ self._inverse[:, :2].T + self._inverse[:, 2]
        return np.asarray(np.hypot(*np.moveaxis((on_square - MIDDLE) / HALF, -1, 0)))

    def box(self, shape: tuple[int, ...]) -> Box:
        """Return where it is on a photo of a shape (height, width): left, top, width and height in pixels."""
        height, width = shape[:2]
        left, top, right, bottom = (round(edge) for edge in self.face.box)
        left, top = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
        return left, top, max(min(right, width) - left, 1), max(min(bottom, height) - top, 1)


def find_places(pixels: Pixels, *, tiny: bool) -> list[Place]:
    """Return the faces of a photo uint8 (H, W, 3), from the left to the right.

    Args:
        tiny: look for faces of a few pixels too.
    """
    from mystyle_cli.faces.faces import find_faces, find_tiny_faces, find_turned_faces

    faces = _with(find_faces(pixels), find_faces(_softened(pixels)))
    if not faces and tiny:
        faces = find_tiny_faces(pixels)
    faces = faces or find_turned_faces(pixels)
    largest = sorted(faces, key=lambda face: face.box[0] - face.box[2])
    from_left = sorted(largest[:MOST], key=lambda face: face.box[0] + face.box[2])
    return [Place(number + 1, face) for number, face in enumerate(from_left)]


def _softened(pixels: Pixels) -> Pixels:
    from PIL import Image, ImageFilter

    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(SOFTENED)))


def _with(faces: Sequence[Face], others: Sequence[Face]) -> list[Face]:
    """Return faces, and those of others that are none of them."""
    return [*faces, *(other for other in others if not any(_same(face, other) for face in faces))]


def _same(one: Face, other: Face) -> bool:
    """Tell whether the middle of one of two boxes lies in the other."""
    return any(
        left <= (a + c) / 2 <= right and top <= (b + d) / 2 <= bottom
        for (left, top, right, bottom), (a, b, c, d) in ((one.box, other.box), (other.box, one.box))
    )


def share(quad: Points, size: int, own: Place, known: Sequence[Place], others: Sequence[Place]) -> Floats:
    """Return how much of each place of a face's crop is that face's, (size, size) in [0, 1].

    Args:
        quad: (4, 2), of the crop on the photo.
        known: the further faces that are laid over the photo, too; the shares of two add up to 1.
        others: those that stay as they are.
    """
    along = (np.arange(size, dtype=np.float64) + 0.5) / size
    corner, below, _, right = np.asarray(quad, np.float64)
    points = corner + along[None, :, None] * (right - corner) + along[:, None, None] * (below - corner)
    mine = own.distances(points)
    shares = np.ones((size, size))
    for other in known:
        shares = np.minimum(shares, 0.5 + (other.distances(points) - mine) / (2 * SOFT))
    for other in others:
        shares = np.minimum(shares, (other.distances(points) - mine - MARGIN) / SOFT)
    return np.asarray(shares.clip(0, 1), np.float32)


def part_of(mask: Pixels, own: Place, places: Sequence[Place], factor: float = 1.0) -> Pixels:
    """Return what of a mask (H, W) is nearest to a face of all those of the photo.

    Args:
        factor: how much larger than the photo the mask is.
    """
    rows, columns = np.nonzero(mask)
    points = (np.stack([columns, rows], axis=-1) + 0.5) / factor
    nearest = np.argmin([place.distances(points) for place in places], axis=0)
    part = np.zeros_like(mask)
    theirs = nearest == places.index(own)
    part[rows[theirs], columns[theirs]] = mask[rows[theirs], columns[theirs]]
    return part
