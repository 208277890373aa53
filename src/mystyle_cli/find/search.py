"""Finding faces on photos that are tiny, or hide a part of the face behind a hole."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from mystyle_cli.faces.align import Crop, Points
    from mystyle_cli.faces.face import Face
    from mystyle_cli.photos.pixels import Pixels

Floats = npt.NDArray[np.float32]

FACES: Final = 8  # faces of one photo that are compared with the person, the largest first
FACE_SHARE: Final = 0.45  # width of a detector's box in sides of the FFHQ square, about
SEEN_WIDTH: Final = 120  # width in pixels at which a face is shown to the detector when its size is known

# how far around the middle of a guess the detector is shown the photo, in sides of the FFHQ square
SEEN_SIDES: Final = 1.5


def find_quads(
    pixels: Pixels, mask: Pixels | None, references: Callable[[], Floats], crop: Crop, *, tiny: bool
) -> list[Points]:
    """Return the quads (4, 2) of the faces that may be meant; with a mask, those that it lies on.

    Args:
        references: gives the reference set (N, 3, R, R), when it is needed.
        tiny: look for faces of a few pixels too.
    """
    from mystyle_cli.faces.align import face_quad
    from mystyle_cli.faces.faces import find_faces, find_tiny_faces

    faces = find_faces(pixels)
    if mask is not None:
        return _behind(pixels, mask, faces, references(), crop)
    if not faces and tiny:
        faces = find_tiny_faces(pixels)
    return [face_quad(face.landmarks, crop) for face in faces[:FACES]]


def find_turned_quads(pixels: Pixels, crop: Crop) -> list[Points]:
    """Return the quads (4, 2) of faces on a photo that lies on its side or stands on its head."""
    from mystyle_cli.faces.align import face_quad
    from mystyle_cli.faces.faces import find_turned_faces

    return [face_quad(face.landmarks, crop) for face in find_turned_faces(pixels)[:FACES]]


def _behind(pixels: Pixels, mask: Pixels, faces: list[Face], references: Floats, crop: Crop) -> list[Points]:
    """Return the quad of the face on which the hole lies, as sure as the detector is of any.

    A face that is seen past the hole competes with those that the person's likeness suggests: the detector is
    shown the photo with its hole filled from a reference, and its score tells which suggestion makes a face.
    """
    from mystyle_cli.faces.align import face_quad, quad_side
    from mystyle_cli.faces.faces import find_faces
    from mystyle_cli.find.likeness import find_by_likeness

    candidates = [(face.score, face_quad(face.landmarks, crop)) for face in faces if _hides(mask, face)]
    for guess in find_by_likeness(pixels, mask, references, crop):
        side = quad_side(guess.quad) / crop.scale  # of the FFHQ square
        part, corner = _window(guess.completed, guess.quad.mean(axis=0), SEEN_SIDES * side)
        for face in find_faces(part, upsample=SEEN_WIDTH / (FACE_SHARE * side)):
            quad = face_quad(face.landmarks + corner, crop)
            # another face beside it is not the one that was guessed
            if np.abs(quad - guess.quad).max() < side / 2:
                candidates.append((face.score, quad))
    if not candidates:  # the hole lies beside every face
        return [face_quad(face.landmarks, crop) for face in faces[:FACES]]
    return [max(candidates, key=lambda candidate: candidate[0])[1]]


def _window(pixels: Pixels, centre: Points, reach: float) -> tuple[Pixels, Points]:
    """Return what of a photo lies within reach of a point, and its top left corner (x, y)."""
    from mystyle_cli.faces.faces import SMALLEST_SIDE

    height, width = pixels.shape[:2]
    reach = max(reach, SMALLEST_SIDE)
    left, top = np.floor(centre - reach).clip(0, [width - 1, height - 1]).astype(int)
    right, bottom = np.ceil(centre + reach).clip(1, [width, height]).astype(int)
    return pixels[top:bottom, left:right], np.array([left, top], np.float64)


def _hides(mask: Pixels, face: Face) -> bool:
    left, top, right, bottom = (max(round(edge), 0) for edge in face.box)
    return bool(mask[top:bottom, left:right].any())
