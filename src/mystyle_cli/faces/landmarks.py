"""The 68 landmarks of a face, read off a mesh of 468 points that a net lays over it.

The mesh's points have fixed meanings: each of the 68 is the one at its place on eyes, lips and nose, or lies
at equal steps along the line through several (jaw, bridge of the nose) or midway between two (the upper and
the lower edge of a brow). Nothing of them is fitted to another landmark finder's answers.

Source: Kartynnik et al. 2019, "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.faces.align import Points, square, to_photo, warp
from mystyle_cli.faces.models import face_mesh
from mystyle_cli.photos.pixels import Pixels

SEEN: Final = 192  # side in pixels of the square that the net sees
_POINTS = 468
_AROUND = 1.5  # side of the second square over that of the box of the mesh
_EYE_CORNERS = (33, 263)  # the outer ones
_BRIDGE = (168, 6, 197, 195, 5, 4)  # from between the eyes to the tip
_JAW_LEFT = (127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152)  # from the temple to the chin
_JAW_RIGHT = (356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152)
_BROWS_UPPER = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
_BROWS_LOWER = (46, 53, 52, 65, 55, 285, 295, 282, 283, 276)
_NOSE_BASE = (98, 97, 2, 326, 327)
_EYES = (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)
_LIPS = (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91, 78, 81, 13, 311, 308, 402, 14, 178)
# Where each of the 68 is found on the mirrored picture.
_MIRRORED = (
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1),
)  # fmt: skip


@dataclass(frozen=True)
class Landmarks:
    """Where the parts of a face are."""

    points: Points  # float64 (68, 2), photo coordinates
    # the net's that this is a face, in [0, 1]; low for profiles and what is half covered, too
    certainty: float
    # how far the points of the picture and of its mirror image lie apart, over the distance between the eyes
    spread: float


def find_landmarks(pixels: Pixels, centre: Points, side: float, tilt: float = 0.0) -> Landmarks:
    """Find the landmarks of the face in a square, and once more in the square that belongs to it.

    Args:
        pixels: uint8 (H, W, 3), the photo.
        centre: (2,) of the square, photo coordinates.
        side: of the square, photo pixels.
        tilt: how far the head is turned clockwise in the picture, degrees.
    """
    quad = turned_square(centre, side, tilt)
    (mesh,), _ = _look(warp(pixels, quad, SEEN)[None])
    quad = _square_about(to_photo(mesh, quad, SEEN))
    window = warp(pixels, quad, SEEN)
    (mesh, mirrored), certainty = _look(np.stack([window, window[:, ::-1]]))
    plain, other = _pick(mesh), _pick(mirrored * [-1, 1] + [SEEN, 0])[list(_MIRRORED)]
    mean = (plain + other) / 2
    eyes = math.dist(mean[36:42].mean(0), mean[42:48].mean(0))
    spread = float(np.sqrt(((plain - other) ** 2).sum(-1).mean()) / max(eyes, 1.0))
    return Landmarks(to_photo(mean, quad, SEEN), float(certainty.mean()), spread)


def turned_square(centre: Points, side: float, tilt: float) -> Points:
    """Return the square of a side around a centre, its x axis turned clockwise by `tilt` degrees."""
    angle = math.radians(tilt)
    return square(centre, np.array([math.cos(angle), math.sin(angle)]) * side / 2)


def _look(windows: Pixels) -> tuple[Points, NDArray[np.float64]]:
    """Return meshes float64 (B, 468, 2) on windows uint8 (B, 192, 192, 3), and how surely each is a face."""
    planes = windows.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    rows = face_mesh()(planes).astype(np.float64)
    meshes = rows[:, : 3 * _POINTS].reshape(-1, _POINTS, 3)[..., :2]
    return meshes, 1 / (1 + np.exp(-rows[:, -1].clip(-50, 50)))  # where exp does not overflow


def _square_about(mesh: Points) -> Points:
    """Return the square around a mesh (468, 2) in which the eyes are level."""
    left, right = mesh[list(_EYE_CORNERS)]
    tilt = math.atan2(right[1] - left[1], right[0] - left[0])
    axes = np.array([[math.cos(tilt), math.sin(tilt)], [-math.sin(tilt), math.cos(tilt)]])
    level = mesh @ axes.T
    low, high = level.min(0), level.max(0)
    side = max(_AROUND * float((high - low).max()), 2.0)
    return turned_square((low + high) / 2 @ axes, side, math.degrees(tilt))


def _pick(mesh: Points) -> Points:
    jaw = np.concatenate([_steps(mesh[list(_JAW_LEFT)], 9), _steps(mesh[list(_JAW_RIGHT)], 9)[-2::-1]])
    brows = (mesh[list(_BROWS_UPPER)] + mesh[list(_BROWS_LOWER)]) / 2
    parts = [mesh[list(part)] for part in (_NOSE_BASE, _EYES, _LIPS)]
    return np.concatenate([jaw, brows, _steps(mesh[list(_BRIDGE)], 4), *parts])


def _steps(line: Points, count: int) -> Points:
    """Return points (count, 2) at equal steps along a line (n, 2), its ends included."""
    passed = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    lengths = np.linspace(0, passed[-1], count)
    return np.stack([np.interp(lengths, passed, line[:, axis]) for axis in (0, 1)], axis=1)
