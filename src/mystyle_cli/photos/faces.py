"""Faces on a photo: dlib's frontal detector, its 68 landmarks and its 128-number descriptor."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from mystyle_cli.photos.align import Crop, Points, square, to_crop, to_photo, warp
from mystyle_cli.photos.decode import Pixels, resize
from mystyle_cli.photos.models import (
    LOCK,
    any_pose_detector,
    descriptor_net,
    frontal_detector,
    landmark_predictor,
)

Box = tuple[float, float, float, float]

SMALLEST_SIDE: Final = 32
"""Pixels of the shorter side of a photo in which faces are looked for; dlib's nets fail on icons."""

LONGEST_SHAPE: Final = 20
"""How many times longer than wide such a photo is at most; they fail on strips, too."""

LARGEST_LOOK: Final = 2400**2
"""Pixels of the largest picture that a detector is shown."""

LARGEST_SCAN: Final = 16_000_000
"""Pixels of the largest copy of a photo that is searched in tiles: about three seconds."""

_SMALL_SCAN = 4_000_000  # pixels to which a photo is enlarged at most to be searched
_SCALE = 1.1  # at which a larger one is searched, while `LARGEST_SCAN` allows
_TILE = 1600  # side of the copy's tiles
_TILE_OVERLAP = 240  # by which they overlap; larger faces are found by the looks before

# Landmarks that move little with expression, on an average head in millimetres: x to the picture's right, y
# down, z away from the camera, origin between the eyes. x and y are means over frontal portraits, z from
# anthropometry.
_HEAD = {
    0: (-71.7, 2.8, 62.0), 16: (71.7, 2.8, 62.0), 4: (-59.3, 76.3, 38.0), 12: (59.3, 76.3, 38.0),
    8: (0.0, 116.0, -6.0),
    27: (0.0, -1.9, -17.0), 28: (0.0, 10.5, -24.0), 29: (0.0, 23.0, -33.0), 30: (0.0, 35.8, -42.0),
    31: (-14.4, 43.2, -20.0), 33: (0.0, 48.1, -28.0), 35: (14.4, 43.2, -20.0),
    36: (-42.5, 0.5, 0.0), 39: (-19.0, 1.4, -7.0), 42: (19.0, 1.4, -7.0), 45: (42.5, 0.5, 0.0),
    48: (-28.7, 66.1, -12.0), 54: (28.7, 66.1, -12.0), 51: (0.0, 63.7, -27.0),
}  # fmt: skip

_TEMPLATE = 80  # the detector's smallest face, in pixels
_USUAL = (640, 1280)  # photos are scaled into this range (long side) for the first look
_THOROUGH = (1600, 2400)  # ... and into this one when nothing was found
_QUARTERS = (180.0, 90.0, -90.0)  # degrees by which photos lie on their side or head
_TILTS = (35.0, -35.0, 90.0, -90.0, 180.0)  # degrees tried last; the templates cover about +-30
_SURE = 0.25  # detector score that later looks must reach, as they see more false faces
_SURE_TINY = 0.6  # ... and a look for tiny faces, which takes flecks and leaves for some
_FEW_LEVELS = 4  # of each colour at most in a picture made of dots
_ANY_POSE = 280  # long side of the copy the slow detector sees
_ALIGNED_BOX = ((0.2, 0.3), (0.8, 0.9))  # corners of the detector's box on the FFHQ square, usually
_NEAR = -0.8  # detector score down to which `near_miss` looks
_TURNED_TEMPLATES = (
    1,
    2,
)  # of the detector's five: front, left, right, front tilted left, front tilted right
_WINDOW = 320  # side of the upright window in which landmarks are found
_WINDOW_FACES = 2.0  # its side in face widths
_JITTERS = ((0.0, 0.0, 1.0), (0.03, 0.0, 0.97), (-0.03, 0.0, 1.03), (0.0, 0.03, 1.03), (0.0, -0.03, 0.97))


@dataclass(frozen=True)
class Face:
    """A face that was found.

    Args:
        box: left, top, right, bottom, photo coordinates.
        landmarks: float64 (68, 2), photo coordinates.
        score: the detector's, above 0; clear faces score 1 to 3.
        spread: how far the landmarks move when the box does, over the distance between the eyes.
    """

    box: Box
    landmarks: Points
    score: float
    spread: float

    @property
    def width(self) -> float:
        """Width of the box in photo pixels."""
        return self.box[2] - self.box[0]


@dataclass(frozen=True)
class Pose:
    """Where a head points, in degrees.

    Args:
        yaw: above 0 where the nose points to the picture's right.
        pitch: above 0 where it points up.
        roll: above 0 where the head is tilted clockwise in the picture.
    """

    yaw: float
    pitch: float
    roll: float


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


def find_faces(
    pixels: Pixels, upsample: Literal["auto"] | float = "auto", smallest: float | None = None
) -> list[Face]:
    """Find the faces on a photo, largest first; none in one that `why_unsearched` tells of.

    With "auto" a photo is scaled to a size at which the detector is quick; only if it finds nothing sure does
    it look again, at a larger size and at tilted copies.

    Args:
        pixels: uint8 (H, W, 3).
        upsample: "auto", or the factor by which the photo is scaled for the one look that is taken, less
            where the copy would have more than `LARGEST_LOOK` pixels.
    """
    return _find(pixels, _looks(pixels.shape[:2], upsample))


def find_tiny_faces(pixels: Pixels) -> list[Face]:
    """Find faces of few pixels, largest first, where `find_faces` found none.

    A small photo is enlarged, a large one searched in tiles nearly as large as it is: up to 14 million
    pixels a face of 75 px is found, above that one that is the larger, the larger the photo.

    Args:
        pixels: uint8 (H, W, 3).
    """
    return _find(pixels, _tiny_looks(pixels.shape[:2]))


def find_turned_faces(pixels: Pixels) -> list[Face]:
    """Find the faces of a photo that lies on its side or stands on its head, largest first.

    `find_faces` looks there only where it finds no face upright, be it one that is none.

    Args:
        pixels: uint8 (H, W, 3).
    """
    scale = _usual_scale(pixels.shape[:2])
    return _find(pixels, (_Look(scale, tilt, _SURE) for tilt in _QUARTERS))


def _find(pixels: Pixels, looks: Iterable[_Look]) -> list[Face]:
    """Take looks until one surely finds a face; return the faces of the best."""
    if why_unsearched(pixels) is not None:
        return []
    pixels = _without_dots(pixels)
    best: list[tuple[float, _Look, Box]] = []
    for look in looks:
        if best and (max(score for score, _, _ in best) >= _SURE):
            break
        found = [(score, look, box) for box, score in _detect(pixels, look)]
        best = max(best, found, key=lambda faces: max((score for score, _, _ in faces), default=-1.0))
    faces = [_face(pixels, box, score, look.tilt) for score, look, box in best]
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

    Only faces larger than about an eighth of the photo's long side are seen.

    Args:
        pixels: uint8 (H, W, 3).
    """
    if why_unsearched(pixels) is not None:
        return []
    scale = min(1.0, _ANY_POSE / max(pixels.shape[:2]))
    small = resize(pixels, (round(pixels.shape[0] * scale), round(pixels.shape[1] * scale)), "area")
    with LOCK:
        found = any_pose_detector()(small, 0)
    faces = []
    for item in sorted(found, key=lambda item: -item.confidence):
        edges = (item.rect.left(), item.rect.top(), item.rect.right() + 1, item.rect.bottom() + 1)
        left, top, right, bottom = (edge / scale for edge in edges)
        faces.append(_face(pixels, (left, top, right, bottom), float(item.confidence), 0.0))
    return faces


def near_miss(pixels: Pixels) -> tuple[float, bool] | None:
    """Return the frontal detector's best score below its threshold, and whether a turned template gave it.

    A covered face still half looks like a frontal one; a profile does not. None: nothing came near.

    Args:
        pixels: uint8 (H, W, 3), on which `find_faces` found nothing.
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


def aligned_face(pixels: Pixels, crop: Crop) -> Face:
    """Return the face of an aligned crop, whose place is known, without detecting it.

    Args:
        pixels: uint8 (R, R, 3), as `align` cuts it.
        crop: which square about the face that is.
    """
    (left, top), (right, bottom) = (crop.from_ffhq(np.array(_ALIGNED_BOX)) * pixels.shape[0]).tolist()
    return _face(pixels, (left, top, right, bottom), 0.0, 0.0)


def describe(pixels: Pixels, face: Face) -> NDArray[np.float64]:
    """Return dlib's face descriptor (128,); Euclidean distances below about 0.6 mean the same person.

    Args:
        pixels: uint8 (H, W, 3), the photo.
        face: one of its faces.
    """
    import dlib

    quad = _upright_quad(face.landmarks)
    window = warp(pixels, quad, _WINDOW)
    points = to_crop(face.landmarks, quad, _WINDOW) - 0.5
    shape = dlib.full_object_detection(
        dlib.rectangle(0, 0, _WINDOW, _WINDOW), [dlib.point(round(x), round(y)) for x, y in points]
    )
    with LOCK:
        return np.array(descriptor_net().compute_face_descriptor(window, shape))


def head_pose(face: Face) -> Pose:
    """Estimate a pose by fitting an average head to the landmarks (scaled orthography, least squares)."""
    return landmark_pose(face.landmarks)


def landmark_pose(landmarks: Points) -> Pose:
    """Estimate the pose from landmarks (68, 2) in any upright coordinates; see `head_pose`."""
    head = np.array(list(_HEAD.values()))
    seen = landmarks[list(_HEAD)]
    affine, *_ = np.linalg.lstsq(head - head.mean(0), seen - seen.mean(0), rcond=None)  # (3, 2)
    u, _, vt = np.linalg.svd(affine.T, full_matrices=False)
    rows = u @ vt  # (2, 3), the nearest with orthonormal rows
    ahead = -np.array([rows[0, 2], rows[1, 2], np.cross(rows[0], rows[1])[2]])  # where the nose points
    return Pose(
        yaw=math.degrees(math.atan2(ahead[0], -ahead[2])),
        pitch=math.degrees(math.asin(np.clip(-ahead[1], -1, 1))),
        roll=math.degrees(math.atan2(rows[1, 0], rows[0, 0])),
    )


def _looks(shape: tuple[int, ...], upsample: Literal["auto"] | float) -> Iterator[_Look]:
    """Yield the looks to take until one surely finds a face."""
    longest = max(shape)
    if upsample != "auto":
        most = math.sqrt(LARGEST_LOOK / (shape[0] * shape[1]))
        yield _Look(min(float(upsample), most), 0.0, 0.0)
        return
    usual = _usual_scale(shape)
    thorough = min(max(longest, _THOROUGH[0]), _THOROUGH[1]) / longest
    yield _Look(usual, 0.0, 0.0)
    if thorough > usual:
        yield _Look(thorough, 0.0, _SURE)
    for tilt in _TILTS:
        yield _Look(usual, tilt, _SURE)


def _usual_scale(shape: tuple[int, ...]) -> float:
    """Return the scale of the first look at a photo of a shape (H, W)."""
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
        found = [
            ((left + x0, top + y0, left + x1, top + y1), score)
            for left, top, part in _tiles(pixels, look.scale)
            for (x0, y0, x1, y1), score in _upright_boxes(part, look.scale)
        ]
    else:
        found = _turned_boxes(pixels, look)
    kept: list[tuple[Box, float]] = []
    for box, score in sorted(found, key=lambda item: -item[1]):
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
    """Return the boxes and scores of the upright faces on one picture, as seen in a scaled copy."""
    height, width = pixels.shape[:2]
    seen = resize(pixels, (max(1, round(height * scale)), max(1, round(width * scale))), "bilinear")
    across, down = width / seen.shape[1], height / seen.shape[0]
    found = []
    for (x, y), half, score in _seen(seen):
        half *= across
        found.append(((x * across - half, y * down - half, x * across + half, y * down + half), score))
    return found


def _turned_boxes(pixels: Pixels, look: _Look) -> list[tuple[Box, float]]:
    """Return the boxes, around upright faces, and scores of what is seen in a tilted copy."""
    height, width = pixels.shape[:2]
    side = max(height, width) * 1.2
    quad = _turned_quad(np.array([width, height]) / 2, side, look.tilt)
    seen = warp(pixels, quad, round(side * look.scale))
    found = []
    for centre, half, score in _seen(seen):
        x, y = to_photo(np.array(centre), quad, seen.shape[0]).tolist()
        half *= side / seen.shape[0]
        found.append(((x - half, y - half, x + half, y + half), score))
    return found


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


def _face(pixels: Pixels, box: Box, score: float, tilt: float) -> Face:
    """Find landmarks in an upright window; their mean over moved boxes is finer than a pixel and steadier."""
    import dlib

    centre, width = np.array([box[0] + box[2], box[1] + box[3]]) / 2, box[2] - box[0]
    quad = _turned_quad(centre, _WINDOW_FACES * width, tilt)
    window = warp(pixels, quad, _WINDOW)
    face = _WINDOW / _WINDOW_FACES
    runs = []
    for dx, dy, zoom in _JITTERS:
        left, top = _WINDOW / 2 + face * (dx - zoom / 2), _WINDOW / 2 + face * (dy - zoom / 2)
        right, bottom = left + face * zoom, top + face * zoom
        with LOCK:
            shape = landmark_predictor()(
                window, dlib.rectangle(round(left), round(top), round(right), round(bottom))
            )
        runs.append([(p.x + 0.5, p.y + 0.5) for p in shape.parts()])
    stack = np.array(runs, dtype=np.float64)  # (runs, 68, 2)
    mean = stack.mean(0)
    eyes = math.dist(mean[36:42].mean(0), mean[42:48].mean(0))
    spread = float(np.sqrt(((stack - mean) ** 2).sum(-1).mean()) / max(eyes, 1.0))
    return Face(box, to_photo(mean, quad, _WINDOW), score, spread)


def _turned_quad(centre: Points, side: float, tilt: float) -> Points:
    """Return the square of a side around a centre, its x axis turned clockwise by `tilt` degrees."""
    angle = math.radians(tilt)
    return square(centre, np.array([math.cos(angle), math.sin(angle)]) * side / 2)


def _upright_quad(landmarks: Points) -> Points:
    """Return a square around all landmarks in which the eyes are level."""
    left, right = landmarks[36:42].mean(0), landmarks[42:48].mean(0)
    tilt = math.degrees(math.atan2(right[1] - left[1], right[0] - left[0]))
    low, high = landmarks.min(0), landmarks.max(0)
    return _turned_quad((low + high) / 2, 1.6 * float((high - low).max()), tilt)
