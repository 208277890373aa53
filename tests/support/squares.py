"""Squares on photos, analytic pictures to cut them from, and landmarks whose square is known."""

from __future__ import annotations

import math

import numpy as np


def square(x: float, y: float, side: float, degrees: float) -> np.ndarray:
    """Return the corners of a square around (x, y), turned clockwise."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]) * side / 2
    return corners @ np.array([[c, s], [-s, c]]) + [x, y]


def wave(points: np.ndarray, length: float = 24.0) -> np.ndarray:
    """Return a smooth three-channel function of photo coordinates (..., 2), in [28, 228]."""
    x, y = points[..., 0], points[..., 1]
    phases = (x + 0.4 * y, y - 0.3 * x, 0.6 * x + 0.7 * y)
    return np.stack([128 + 100 * np.sin(2 * np.pi * phase / length) for phase in phases], axis=-1)


def centres(height: int, width: int) -> np.ndarray:
    """Return the pixel centres (H, W, 2) of a photo."""
    return np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1)


def picture(height: int, width: int, length: float = 24.0) -> np.ndarray:
    """Return the wave as a photo."""
    return np.rint(wave(centres(height, width), length)).astype(np.uint8)


def marks(x, y, side):
    """Return landmarks (68, 2) whose FFHQ square is level, has this middle and this side."""
    points = np.full((68, 2), [x, y], np.float64)
    half, down = side / 8, side / 3.7  # 4.0 * across is the larger
    points[36:42], points[42:48] = [x - half, y - 0.1 * down], [x + half, y - 0.1 * down]
    points[48], points[54] = [x - half, y + 0.9 * down], [x + half, y + 0.9 * down]
    return points
