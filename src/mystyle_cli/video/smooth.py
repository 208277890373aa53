"""What jitters from frame to frame made smooth, without lagging behind what moves."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

STIFFNESS: Final = tuple(float(10.0**power) for power in np.arange(-2, 5, 0.5))
"""How stiff a path may be, from hardly to hardly moving."""

NEAR: Final = 4
"""Points to each side by which it is told how stiff the path is at one."""


def smooth_path(points: Floats) -> npt.NDArray[np.float64]:
    """Return a path (T, D) without its jitter; how stiff it is at a point follows from how it moves there.

    Third differences are held down, so that steady speed and acceleration are no cost. How much, is what
    tells each of the points nearby best by all others (cross-validation).

    Source: Eilers 2003, "A perfect smoother".
    """
    from scipy.ndimage import minimum_filter1d

    path: npt.NDArray[np.float64] = np.array(points, np.float64)
    if len(path) < 5:
        return path
    made, missed = [], []
    for stiffness in STIFFNESS:
        smooth, freedom = _whittaker(path, stiffness)
        left_out = (path - smooth) / (1 - freedom / len(path))  # as if each were not there
        made.append(smooth)
        missed.append(_near(np.square(left_out).sum(axis=1)))
    # (T,), the least of those around, so that a quick turn is met from its beginning; it changes gently, too
    best = _near(minimum_filter1d(np.argmin(missed, axis=0), 2 * NEAR + 1).astype(np.float64))
    lower = np.floor(best).astype(int)
    share, every = (best - lower)[:, None], np.arange(len(path))
    ways = np.stack(made)
    upper = np.minimum(lower + 1, len(ways) - 1)
    return np.asarray((1 - share) * ways[lower, every] + share * ways[upper, every])


def _near(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the mean of values (T,) around each."""
    from scipy.ndimage import uniform_filter1d

    return np.asarray(uniform_filter1d(values, 2 * NEAR + 1, mode="nearest"))


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
    return np.asarray(smooth), freedom


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
