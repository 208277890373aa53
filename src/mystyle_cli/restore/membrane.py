"""What is known of a picture, continued smoothly into its holes: `degradations.spread` without torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mystyle_cli.restore.degradations import RELAXATIONS

Floats = npt.NDArray[np.floating[Any]]


def continued(images: Floats, hole: Floats | npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Continue what is known smoothly into a hole; known pixels keep their values.

    Args:
        images: (..., H, W); what is in the hole is not used.
        hole: (H, W), 1 = unknown, 0 = known; the same for all images.
    """
    images, hole = np.asarray(images, np.float32), np.asarray(hole, np.float32)
    known = 1 - hole
    if min(hole.shape) <= 1 or not (hole == 0).any():
        total = max(float(known.sum()), 1e-6)
        mean = (images * known).sum(axis=(-2, -1), keepdims=True) / total
        return np.asarray(images * known + mean * hole, np.float32)
    weight = _halved(known)
    colour = _halved(images * known) / np.maximum(weight, 1e-6)
    below = continued(colour, weight <= 0)
    base = images * known
    filled = base + _enlarged(below, hole.shape) * hole
    margin = [(0, 0)] * (images.ndim - 2) + [(1, 1), (1, 1)]
    for _ in range(RELAXATIONS):
        near = np.pad(filled, margin, mode="edge")
        mean = near[..., :-2, 1:-1] + near[..., 2:, 1:-1] + near[..., 1:-1, :-2] + near[..., 1:-1, 2:]
        filled = base + mean / 4 * hole
    return np.asarray(filled, np.float32)


def _halved(images: Floats) -> Floats:
    """Average into half as many rows and columns, rounded up; neighbours overlap where they must."""
    for axis in (-2, -1):
        size = images.shape[axis]
        half = (size + 1) // 2
        starts = np.arange(half) * size // half
        ends = -(-(np.arange(half) + 1) * size // half)
        total = np.take(images, starts, axis) + np.take(images, starts + 1, axis)
        wide = (ends - starts > 2).astype(images.dtype)
        counts = 2 + wide
        if wide.any():
            shape = [1, 1]
            shape[axis] = half
            total = total + np.take(images, np.minimum(starts + 2, size - 1), axis) * wide.reshape(shape)
            counts = counts.reshape(shape)
        else:
            counts = counts[0]
        images = total / counts
    return images


def _enlarged(images: Floats, shape: tuple[int, ...]) -> Floats:
    """Interpolate linearly between pixel centres, borders repeated."""
    for axis, larger in zip((-2, -1), shape, strict=True):
        size = images.shape[axis]
        places = np.clip((np.arange(larger) + 0.5) * (size / larger) - 0.5, 0, None)
        left = np.minimum(places.astype(int), size - 1)
        bounds = [1, 1]
        bounds[axis] = larger
        share = (places - left).astype(np.float32).reshape(bounds)
        right = np.take(images, np.minimum(left + 1, size - 1), axis)
        images = np.take(images, left, axis) * (1 - share) + right * share
    return images
