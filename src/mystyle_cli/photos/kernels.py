"""Matrices that make a row of pixels smaller or larger."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def area_kernel(size: int, smaller: int) -> npt.NDArray[np.float64]:
    """Return the matrix (smaller, size) that averages by exact overlap, at any ratio of the sizes."""
    edges = np.arange(smaller + 1) * (size / smaller)
    starts, ends = edges[:-1, None], edges[1:, None]
    pixels = np.arange(size)[None, :]
    overlap = np.clip(np.minimum(ends, pixels + 1) - np.maximum(starts, pixels), 0, None)
    return np.asarray(overlap * (smaller / size), np.float64)


def linear_kernel(size: int, larger: int) -> npt.NDArray[np.float64]:
    """Return the matrix (larger, size) of linear interpolation between pixel centres, borders repeated."""
    places = np.clip((np.arange(larger) + 0.5) * (size / larger) - 0.5, 0, size - 1)
    left = np.minimum(places.astype(int), max(size - 2, 0))
    share = places - left
    kernel = np.zeros((larger, size))
    kernel[np.arange(larger), left] = 1 - share
    kernel[np.arange(larger), np.minimum(left + 1, size - 1)] += share
    return kernel
