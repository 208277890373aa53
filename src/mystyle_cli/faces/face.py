"""A face on a photo: its landmarks, its pose, and dlib's 128-number descriptor."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.faces.align import (
    FFHQ,
    Crop,
    Points,
    face_quad,
    quad_side,
    to_crop,
    to_photo,
    warp,
)
from mystyle_cli.faces.detector import Detection
from mystyle_cli.faces.landmarks import find_landmarks, turned_square
from mystyle_cli.faces.models import LOCK, descriptor_net
from mystyle_cli.photos.pixels import Pixels

Box = tuple[float, float, float, float]

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
SURE = 0.25  # detector score that later looks must reach, as they see more false faces
_AROUND = 1.8  # side of the square that the landmark net is shown, in widths of dlib's box
_AROUND_TURNED = 1.5  # ... and of the other detector's
_ALIGNED_BOX = ((0.2, 0.3), (0.8, 0.9))  # corners of the detector's box on the FFHQ square, usually
_WINDOW = 320  # side of the upright window in which a face is described


@dataclass(frozen=True)
class Face:
    """A face that was found."""

    box: Box  # left, top, right, bottom, photo coordinates
    landmarks: Points  # float64 (68, 2), photo coordinates
    # dlib's detector's, above 0, clear faces score 1 to 3; below 0.25 where only the other saw it
    score: float
    spread: float  # how far the landmarks of the mirrored face lie off, over the distance between the eyes
    certainty: float  # the landmark net's that this is a face, in [0, 1]; low for profiles, too

    @property
    def width(self) -> float:
        """Width of the box in photo pixels."""
        return self.box[2] - self.box[0]


@dataclass(frozen=True)
class Pose:
    """Where a head points, in degrees."""

    yaw: float  # above 0 where the nose points to the picture's right
    pitch: float  # above 0 where it points up
    roll: float  # above 0 where the head is tilted clockwise in the picture


def aligned_face(pixels: Pixels, crop: Crop) -> Face:
    """Return the face of an aligned crop (R, R, 3), whose place is known, without detecting it."""
    (left, top), (right, bottom) = (crop.from_ffhq(np.array(_ALIGNED_BOX)) * pixels.shape[0]).tolist()
    return face_in_box(pixels, (left, top, right, bottom), 0.0, 0.0)


def describe(pixels: Pixels, face: Face) -> NDArray[np.float64]:
    """Return dlib's face descriptor (128,); Euclidean distances below about 0.6 mean the same person."""
    import dlib

    quad = _upright_quad(face.landmarks)
    window = warp(pixels, quad, _WINDOW)
    points = to_crop(face.landmarks, quad, _WINDOW) - 0.5  # dlib counts from pixels' middles
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


def face_in_box(pixels: Pixels, box: Box, score: float, tilt: float) -> Face:
    """Find the landmarks of a face in a box of dlib's."""
    centre = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    landmarks = find_landmarks(pixels, centre, _AROUND * (box[2] - box[0]), tilt)
    return Face(box, landmarks.points, score, landmarks.spread, landmarks.certainty)


def face_detected(pixels: Pixels, detection: Detection) -> Face:
    """Find the landmarks of a face that the second detector found, and the box that dlib would see."""
    landmarks = find_landmarks(pixels, detection.centre, _AROUND_TURNED * detection.width, detection.tilt)
    quad = face_quad(landmarks.points, FFHQ)
    (left, _), (right, _) = _ALIGNED_BOX
    half = (right - left) * quad_side(quad) / 2
    x, y = to_photo(np.mean(_ALIGNED_BOX, axis=0), quad, 1).tolist()
    box = (x - half, y - half, x + half, y + half)
    return Face(box, landmarks.points, SURE * landmarks.certainty, landmarks.spread, landmarks.certainty)


def _upright_quad(landmarks: Points) -> Points:
    """Return a square around all landmarks in which the eyes are level."""
    left, right = landmarks[36:42].mean(0), landmarks[42:48].mean(0)
    tilt = math.degrees(math.atan2(right[1] - left[1], right[0] - left[0]))
    low, high = landmarks.min(0), landmarks.max(0)
    return turned_square((low + high) / 2, 1.6 * float((high - low).max()), tilt)
