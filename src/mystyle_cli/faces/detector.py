"""A detector that also sees turned, tilted and half covered heads, over a small pyramid of windows.

Source: Bazarevsky et al. 2019, "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs".
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from mystyle_cli.faces.align import Points
from mystyle_cli.faces.models import face_detector
from mystyle_cli.photos.pixels import Pixels, resize

SEEN: Final = 192  # side in pixels of the windows that the net sees
LEVELS: Final = (1, 2)  # long sides of the copies of a photo that are looked at, in windows
LIKELY: Final = 0.8  # probability that only a face the right way up reaches
LEAST: Final = 0.5  # least probability of what counts as found
_GRID = 48  # the net answers for so many places along either side
_OVERLAP = 64  # pixels that neighbouring windows share at least


@dataclass(frozen=True)
class Detection:
    """Where a face may be."""

    centre: Points  # (2,) photo coordinates
    width: float  # of its box, photo pixels
    tilt: float  # how far the head is turned clockwise in the picture, degrees
    probability: float  # the net's, in [0, 1]


def detect(pixels: Pixels) -> list[Detection]:
    """Return where faces may be on a photo uint8 (H, W, 3), likeliest first, no two on one place.

    Unless one is likely on the photo as it is, it is looked at on its sides and its head too; of what is then
    seen on one place, the likeliest way up is the right one.
    """
    copies = []
    for level in LEVELS:
        scale = level * SEEN / max(pixels.shape[:2])
        shape = (max(1, round(pixels.shape[0] * scale)), max(1, round(pixels.shape[1] * scale)))
        copies.append((scale, resize(pixels, shape, "area" if scale < 1 else "bilinear")))
    detections: list[Detection] = []
    for quarter_turns in range(4):
        detections += [one for scale, copy in copies for one in _detect(copy, scale, quarter_turns)]
        if quarter_turns == 0 and any(one.probability >= LIKELY for one in detections):
            break
    return _apart(sorted(detections, key=lambda one: -one.probability))


def _detect(copy: Pixels, scale: float, quarter_turns: int) -> list[Detection]:
    """Return where faces may be on a photo of which a copy was scaled, and is turned now."""
    turned = np.rot90(copy, quarter_turns)
    corners, windows = zip(*_windows(turned), strict=True)
    detections = []
    for corner, answers in zip(corners, face_detector()(np.stack(windows)), strict=True):
        for one in _read(answers):
            point = _turned_back(one.centre + corner, turned.shape[:2], quarter_turns) / scale
            tilt = (one.tilt + 90 * quarter_turns + 180) % 360 - 180
            detections.append(Detection(point, one.width / scale, tilt, one.probability))
    return detections


def _apart(detections: list[Detection]) -> list[Detection]:
    """Keep the first of those on one place."""
    kept: list[Detection] = []
    for one in detections:
        if all(math.dist(one.centre, other.centre) > max(one.width, other.width) / 2 for other in kept):
            kept.append(one)
    return kept


def _windows(copy: Pixels) -> Iterator[tuple[Points, np.ndarray]]:
    """Yield the corner (x, y) of each window and what the net sees there, float32 (3, 192, 192)."""
    height, width = copy.shape[:2]
    for top in _starts(height):
        for left in _starts(width):
            window = np.zeros((SEEN, SEEN, 3), np.uint8)
            part = copy[top : top + SEEN, left : left + SEEN]
            window[: part.shape[0], : part.shape[1]] = part
            yield np.array([left, top], np.float64), window.transpose(2, 0, 1) / np.float32(127.5) - 1


def _starts(length: int) -> list[int]:
    last = max(length - SEEN, 0)
    return [round(start) for start in np.linspace(0, last, math.ceil(last / (SEEN - _OVERLAP)) + 1)]


def _read(answers: np.ndarray) -> list[Detection]:
    """Return what the net says of one window, float32 (2304, 17), in pixels of the window."""
    certain = 1 / (1 + np.exp(-answers[:, 16].clip(-50, 50)))  # where exp does not overflow
    detections = []
    for index in np.flatnonzero(certain >= LEAST):
        cell = (np.array([index % _GRID, index // _GRID]) + 0.5) * (SEEN / _GRID)
        middle, size, *points = answers[index, :12].reshape(6, 2).astype(np.float64)
        tilt = _tilt(points[0], points[1], points[3])
        detections.append(Detection(cell + middle, float(size[0]), tilt, float(certain[index])))
    return detections


def _tilt(left_eye: Points, right_eye: Points, mouth: Points) -> float:
    """Return how far a head is turned clockwise, degrees; where a profile's eyes meet, the mouth tells."""
    down = mouth - (left_eye + right_eye) / 2
    axis = right_eye - left_eye + np.array([down[1], -down[0]])
    return math.degrees(math.atan2(axis[1], axis[0]))


def _turned_back(point: Points, shape: tuple[int, ...], quarter_turns: int) -> Points:
    """Return a point of a copy that was turned anticlockwise, of `shape` since then, as before."""
    (x, y), (height, width) = point, shape
    turned = ((x, y), (height - y, x), (width - x, height - y), (y, width - x))
    return np.array(turned[quarter_turns % 4])
