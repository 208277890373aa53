"""What jitters from frame to frame made smooth, without lagging behind what moves."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

STIFFNESS: Final = tuple(float(10.0**power) for power in np.arange(-1, 5.5, 0.5))
"""How stiff a path may be, from hardly to hardly moving."""


def smooth_path(points: Floats) -> npt.NDArray[np.float64]:
    """Return a path (T, D) without its jitter; how stiff it is follows from how it moves.

    Its third differences are held down, so that steady speed and acceleration are no cost; how much, is what
    tells best of each point by all others (generalised cross-validation).

    Source: Eilers 2003, "A perfect smoother".
    """
    path: npt.NDArray[np.float64] = np.array(points, np.float64)
    count = len(path)
    if count < 5:
        return path
    best, least = path, np.inf
    for stiffness in STIFFNESS:
        smooth, freedom = _whittaker(path, stiffness)
        spread = float(np.square(path - smooth).sum()) / count
        score = spread / (1 - freedom / count) ** 2
        if score < least:
            best, least = smooth, score
    return best


def _whittaker(points: npt.NDArray[np.float64], stiffness: float) -> tuple[npt.NDArray[np.float64], float]:
    """Return the path (T, D) of a stiffness, and how many points it is as free as."""
    from scipy.linalg import solveh_banded

    count = len(points)
    bands = np.zeros((4, count))
    weights = np.array([-1.0, 3.0, -3.0, 1.0])
    for first in range(4):
        for second in range(first, 4):
            length = count - 3
            bands[second - first, first : first + length] += weights[first] * weights[second]
    system = stiffness * bands
    system[0] += 1
    smooth = solveh_banded(system, points, lower=True)
    # eigenvalues of third differences are about (2 sin(w / 2))^6, w from 0 to pi
    waves = np.pi * (np.arange(count) + 0.5) / count
    freedom = float((1 / (1 + stiffness * (2 * np.sin(waves / 2)) ** 6)).sum())
    return np.asarray(smooth), min(freedom, 0.95 * count)


def shares(reach: int) -> npt.NDArray[np.float64]:
    """Return how much neighbours in time (2 reach + 1,) count for the middle of a parabola through them.

    What moves at any steady speed, or is as steadily slowed, is not moved by it.

    Source: Savitzky and Golay 1964.
    """
    away = np.arange(-reach, reach + 1, dtype=np.float64)
    if reach < 2:  # a parabola goes through three points
        return np.asarray(away == 0, np.float64)
    terms = np.stack([np.ones_like(away), away, away**2])
    return np.asarray(np.linalg.pinv(terms.T)[0])
