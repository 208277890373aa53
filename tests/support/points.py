"""Face points without a face."""

from __future__ import annotations

import numpy as np


def face_points() -> np.ndarray:
    """Return 68 points of a face 60 pixels wide about the middle of 96."""
    turns = np.linspace(0, 2 * np.pi, 7)[:6]
    ring = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    points = np.full((68, 2), 48.0)
    points[:17] = np.stack([np.linspace(18, 78, 17), 40 + 40 * np.sin(np.linspace(0, np.pi, 17))], axis=1)
    points[17:27] = np.stack([np.linspace(24, 72, 10), np.full(10, 28.0)], axis=1)
    points[27:36] = np.stack([np.linspace(44, 52, 9), np.linspace(36, 54, 9)], axis=1)
    points[36:42], points[42:48] = ring * (6, 2) + (34, 36), ring * (6, 2) + (62, 36)
    points[48:60], points[60:] = np.tile(ring, (2, 1)) * (10, 3) + (48, 66), (48, 66)
    return points
