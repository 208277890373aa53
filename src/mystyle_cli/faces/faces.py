"""Faces on a photo, found by two detectors, look by look.

dlib's frontal detector looks first. Where it finds nothing sure, one that sees turned, tilted and covered
heads does, and what that one finds counts where the landmark net takes it for a face, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from PIL import Image, ImageFilter

from mystyle_cli.faces.align import to_photo, warp
from mystyle_cli.faces.detector import detect
from mystyle_cli.faces.face import SURE, Box, Face, face_detected, face_in_box
from mystyle_cli.faces.landmarks import turned_square
from mystyle_cli.faces.models import LOCK, any_pose_detector, frontal_detector
from mystyle_cli.photos.pixels import Pixels, resize

# pixels of the shorter side of a photo in which faces are looked for; dlib's nets fail on icons
SMALLEST_SIDE: Final = 32

LONGEST_SHAPE: Final = 20  # how many times longer than wide such a photo is at most; they fail on strips, too
LARGEST_LOOK: Final = 2400**2  # pixels of the largest picture that a detector is shown

# pixels of the largest copy of a photo that is searched in tiles: about three seconds
LARGEST_SCAN: Final = 16_000_000

_SMALL_SCAN = 4_000_000  # pixels to which a photo is enlarged at most to be searched
_SCALE = 1.1  # at which a larger one is searched, while `LARGEST_SCAN` allows
_TILE = 1600  # side of the copy's tiles
_TILE_OVERLAP = 240  # by which they overlap; larger faces are found by the looks before

_USUAL = (640, 1280)  # photos are scaled into this range (long side) for the first look
_THOROUGH = (1600, 2400)  # ... and into this one when nothing was found
_QUARTERS = (180.0, 90.0, -90.0)  # degrees by which photos lie on their side or head
_TILTS = (35.0, -35.0, 90.0, -90.0, 180.0)  # degrees tried last; the templates cover about +-30
_CERTAIN = 0.9  # the landmark net's certainty from which what only later looks found counts
_SURE_TINY = 0.6  # ... and a look for tiny faces, which takes flecks and leaves for some
_FEW_LEVELS = 4  # of each colour at most in a picture made of dots
_ANY_POSE = 280  # long side of the copy the slow detector sees
_NEAR = -0.8  # detector score down to which `near_miss` looks
# of the detector's five: front, left, right, front tilted left, front tilted right
_TURNED_TEMPLATES = (1, 2)


@dataclass(frozen=True)
class _Look:
    """One run of the detector: the scale of the copy it sees, its tilt, and the score that counts."""

    scale: float
    tilt: float
    least: float


def why_unsearched(pixels: Pixels) -> str | None:
    """Return why faces are not looked for in a photo (H, W, 3), or None where they are."""
    height, width = pixels.shape[:2]
    short, long = sorted((height, width))
    if short < SMALLEST_SIDE:
        return f"{width} x {height} pixels are too few to look for a face in"
    if long > LONGEST_SHAPE * short:
        return f"{width} x {height} pixels are too narrow a strip to look for a face in"
    return None


def find_faces(pixels: Pixels, upsample: Literal["auto"] | float = "auto") -> list[Face]:
    """Find the faces on a photo, largest first; none in one that `why_unsearched` tells of.

    With "auto" a photo is scaled to a size at which dlib's detector is quick. Only if it finds nothing sure
    the other detector looks, and if that one finds nothing either, dlib's looks again, at a larger size and
    at tilted copies.

    Args:
        pixels: uint8 (H, W, 3).
        upsample: "auto", or the factor by which the photo is scaled for the one look that is taken, less
            where the copy would have more than `LARGEST_LOOK` pixels.
    """
    first, *others = _looks(pixels.shape[:2], upsample)
    faces = _find(pixels, [first])
    if not others or any(face.score >= SURE for face in faces):
        return faces
    later = _find_turned(pixels) or [face for face in _find(pixels, others) if face.certainty >= _CERTAIN]
    return later or faces


def find_tiny_faces(pixels: Pixels) -> list[Face]:
    """Find faces of few pixels on a photo uint8 (H, W, 3), largest first, where `find_faces` found none.

    A small photo is enlarged, a large one searched in tiles nearly as large as it is: up to 14 million
    pixels a face of 75 px is found, above that one that is the larger, the larger the photo.
    """
    return _find(pixels, _tiny_looks(pixels.shape[:2]))


def find_turned_faces(pixels: Pixels) -> list[Face]:
    """Find the faces of a photo uint8 (H, W, 3) that lies on its side or stands on its head, largest first.

    `find_faces` looks there only where it finds no face upright, be it one that is none.
    """
    scale = _usual_scale(pixels.shape[:2])
    return _find(pixels, (_Look(scale, tilt, SURE) for tilt in _QUARTERS))


def _find(pixels: Pixels, looks: Iterable[_Look]) -> list[Face]:
    """Take looks until one surely finds a face; return the faces of the best, largest first."""
    if why_unsearched(pixels) is not None:
        return []
    pixels = _without_dots(pixels)
    best: list[tuple[float, _Look, Box]] = []
    for look in looks:
        if best and (max(score for score, _, _ in best) >= SURE):
            break
        seen = [(score, look, box) for box, score in _detect(pixels, look)]
        best = max(best, seen, key=lambda faces: max((score for score, _, _ in faces), default=-1.0))
    return _largest_first(face_in_box(pixels, box, score, look.tilt) for score, look, box in best)


def _find_turned(pixels: Pixels) -> list[Face]:
    """Return what the second detector finds and the landmark net takes for a face, too, largest first."""
    if why_unsearched(pixels) is not None:
        return []
    return _largest_first(
        face for face in (face_detected(pixels, one) for one in detect(pixels)) if face.certainty >= _CERTAIN
    )


def _largest_first(faces: Iterable[Face]) -> list[Face]:
    return sorted(faces, key=lambda face: (-face.width, face.box))


def _without_dots(pixels: Pixels) -> Pixels:
    """Return a picture of black and white dots, such as a fax, as the greys that they stand for."""
    every = math.ceil(max(pixels.shape[:2]) / 1000)
    some = pixels[::every, ::every].reshape(-1, 3)
    if any(len(np.unique(some[:, channel])) > _FEW_LEVELS for channel in range(3)):
        return pixels
    return np.array(Image.fromarray(np.ascontiguousarray(pixels)).filter(ImageFilter.GaussianBlur(1)))


def find_hidden_faces(pixels: Pixels) -> list[Face]:
    """Find faces of any pose, also covered ones, surest first; slow (about half a second), for where
    `find_faces` fails.

    Only faces larger than about an eighth of the long side of the photo uint8 (H, W, 3) are seen.
    """
    if why_unsearched(pixels) is not None:
        return []
    scale = min(1.0, _ANY_POSE / max(pixels.shape[:2]))
    small = resize(pixels, (round(pixels.shape[0] * scale), round(pixels.shape[1] * scale)), "area")
    with LOCK:
        detections = any_pose_detector()(small, 0)
    faces = []
    for detection in sorted(detections, key=lambda detection: -detection.confidence):
        box = detection.rect
        # dlib's edges are pixels that belong to it
        edges = (box.left(), box.top(), box.right() + 1, box.bottom() + 1)
        left, top, right, bottom = (edge / scale for edge in edges)
        faces.append(face_in_box(pixels, (left, top, right, bottom), float(detection.confidence), 0.0))
    return faces


def near_miss(pixels: Pixels) -> tuple[float, bool] | None:
    """Return the frontal detector's best score below its threshold, and whether a turned template gave it.

    A covered face still half looks like a frontal one; a profile does not. None: nothing came near on a photo
    uint8 (H, W, 3) on which `find_faces` found nothing.
    """
    if why_unsearched(pixels) is not None:
        return None
    scale = _USUAL[0] / max(pixels.shape[:2])
    small = resize(pixels, (round(pixels.shape[0] * scale), round(pixels.shape[1] * scale)), "bilinear")
    with LOCK:
        _, scores, templates = frontal_detector().run(small, 0, _NEAR)
    if not len(scores):
        return None
    best = int(np.argmax(scores))
    return float(scores[best]), templates[best] in _TURNED_TEMPLATES


def _looks(shape: tuple[int, ...], upsample: Literal["auto"] | float) -> Iterator[_Look]:
    longest = max(shape)
    if upsample != "auto":
        most = math.sqrt(LARGEST_LOOK / (shape[0] * shape[1]))
        yield _Look(min(float(upsample), most), 0.0, 0.0)
        return
    usual = _usual_scale(shape)
    thorough = min(max(longest, _THOROUGH[0]), _THOROUGH[1]) / longest
    yield _Look(usual, 0.0, 0.0)
    if thorough > usual:
        yield _Look(thorough, 0.0, SURE)
    for tilt in _TILTS:
        yield _Look(usual, tilt, SURE)


def _usual_scale(shape: tuple[int, ...]) -> float:
    longest = max(shape)
    return min(max(longest, _USUAL[0]), _USUAL[1]) / longest


def _tiny_looks(shape: tuple[int, ...]) -> Iterator[_Look]:
    """Yield the looks to take for tiny faces: upright, then turned by quarters in a smaller copy."""
    area = shape[0] * shape[1]
    scale = max(math.sqrt(_SMALL_SCAN / area), min(_SCALE, math.sqrt(LARGEST_SCAN / area)))
    yield _Look(scale, 0.0, _SURE_TINY)
    for tilt in _QUARTERS:
        yield _Look(min(scale, _TILE / max(shape)), tilt, _SURE_TINY)


def _detect(pixels: Pixels, look: _Look) -> list[tuple[Box, float]]:
    """Run the detector; boxes in photo coordinates, for a tilted look around the upright face."""
    height, width = pixels.shape[:2]
    if look.tilt == 0:
        boxes = [
            ((left + x0, top + y0, left + x1, top + y1), score)
            for left, top, part in _tiles(pixels, look.scale)
            for (x0, y0, x1, y1), score in _upright_boxes(part, look.scale)
        ]
    else:
        boxes = _turned_boxes(pixels, look)
    kept: list[tuple[Box, float]] = []
    for box, score in sorted(boxes, key=lambda item: -item[1]):
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        inside = 0 < x < width and 0 < y < height
        if inside and score >= look.least and not any(_same(box, other) for other, _ in kept):
            kept.append((box, score))
    return kept


def _same(one: Box, other: Box) -> bool:
    """Tell whether two boxes, of tiles that overlap, are about one face."""
    near = max(abs(a - b) for a, b in zip(one, other, strict=True))
    return near < (other[2] - other[0]) / 3


def _tiles(pixels: Pixels, scale: float) -> Iterator[tuple[int, int, Pixels]]:
    """Yield left, top and pixels of the parts of a photo that are searched, the whole where it is small."""
    height, width = pixels.shape[:2]
    if height * width * scale**2 <= LARGEST_LOOK:
        yield 0, 0, pixels
        return
    side, step = math.ceil(_TILE / scale), math.ceil((_TILE - _TILE_OVERLAP) / scale)
    for top in range(0, max(height - side, 0) + step, step):
        for left in range(0, max(width - side, 0) + step, step):
            part = pixels[top : top + side, left : left + side]
            if part.size:
                yield left, top, part


def _upright_boxes(pixels: Pixels, scale: float) -> list[tuple[Box, float]]:
    height, width = pixels.shape[:2]
    seen = resize(pixels, (max(1, round(height * scale)), max(1, round(width * scale))), "bilinear")
    across, down = width / seen.shape[1], height / seen.shape[0]
    boxes = []
    for (x, y), half, score in _seen(seen):
        half *= across
        boxes.append(((x * across - half, y * down - half, x * across + half, y * down + half), score))
    return boxes


def _turned_boxes(pixels: Pixels, look: _Look) -> list[tuple[Box, float]]:
    """Return the boxes, around upright faces, and scores of what is seen in a tilted copy."""
    height, width = pixels.shape[:2]
    side = max(height, width) * 1.2
    quad = turned_square(np.array([width, height]) / 2, side, look.tilt)
    seen = warp(pixels, quad, round(side * look.scale))
    boxes = []
    for centre, half, score in _seen(seen):
        x, y = to_photo(np.array(centre), quad, seen.shape[0]).tolist()
        half *= side / seen.shape[0]
        boxes.append(((x - half, y - half, x + half, y + half), score))
    return boxes


def _seen(picture: Pixels) -> list[tuple[tuple[float, float], float, float]]:
    """Return middle (x, y), half the width and score of each face that the detector sees in a picture."""
    with LOCK:
        rectangles, scores, _ = frontal_detector().run(picture, 0, 0.0)
    return [
        (
            ((box.left() + box.right() + 1) / 2, (box.top() + box.bottom() + 1) / 2),
            box.width() / 2,
            float(score),
        )
        for box, score in zip(rectangles, scores, strict=True)
    ]
