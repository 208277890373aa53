"""Resizing as two products with fixed matrices: the same in torch and in ONNX, whatever the factor."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from mystyle_cli.faces.align import Crop
from mystyle_cli.foreign.nets import ENCODER_SIZE, FACE_SIZE

Matrix = NDArray[np.float64]

FACE_ROWS, FACE_COLUMNS = (35, 223), (32, 220)  # of the FFHQ square at 256 pixels; see `face_window`


def antialiased(before: int, after: int) -> Matrix:
    """Bilinear resizing with antialiasing, (after, before), as encoders' training pictures were resized."""
    scale = before / after
    return _triangles(np.asarray((np.arange(after) + 0.5) * scale, np.float64), scale, before)


def _triangles(centres: Matrix, scale: float, before: int) -> Matrix:
    """Return the weights (after, before) of pixels `scale` old ones wide, at centres (after,) in old ones."""
    pixels = np.arange(before)[None] + 0.5  # (1, before)
    weights = np.maximum(0.0, 1 - np.abs(pixels - centres[:, None]) / max(scale, 1.0))
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float64)


def pooled(before: int, after: int) -> Matrix:
    """Adaptive average pooling, (after, before): each output is the mean of the pixels its share touches."""
    each = torch.eye(before, dtype=torch.float64)  # (before, before), a pixel alone in each row
    return np.asarray(F.adaptive_avg_pool1d(each, after).T.numpy(), np.float64)


class Resample(nn.Module):
    """Resizes pictures along each axis by a matrix of its own."""

    rows: Tensor
    columns: Tensor

    def __init__(self, rows: Matrix, columns: Matrix) -> None:
        """Keep the matrices, (h, R) and (w, R)."""
        super().__init__()
        self.register_buffer("rows", torch.from_numpy(rows).float())
        self.register_buffer("columns", torch.from_numpy(columns.T.copy()).float())

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, 3, R, R) to (B, 3, h, w)."""
        return self.rows @ images @ self.columns


def whole(resolution: int, size: int = ENCODER_SIZE) -> Resample | None:
    """What an encoder sees: the whole picture at `size`; None where it has that size already."""
    if resolution == size:
        return None
    matrix = antialiased(resolution, size)
    return Resample(matrix, matrix)


def face_window(resolution: int, crop: Crop) -> Resample:
    """What ArcFace sees of an aligned picture: the face from forehead to chin, 112 pixels a side.

    ArcFace was trained on faces laid on a template of their own, tighter than the generator's pictures. The
    window of pSp's identity loss brings the one close to the other: the generator's alignment, applied to the
    template's eyes and mouth, puts the template's edges at 30 and 226 of 256 pixels; the window's are at 35
    and 223, 32 and 220. It is averaged down as in that loss. All that is said of the FFHQ square, from which
    another crop is told.

    Raises:
        ValueError: they do not show all of the window.
    """
    corners = np.array([FACE_COLUMNS, FACE_ROWS]).T / ENCODER_SIZE  # (2, 2): left top, right bottom
    shown = crop.from_ffhq(corners)
    if shown.min() < 0 or shown.max() > 1:
        raise ValueError(f"a crop of {crop.scale:g} FFHQ sides, {crop.down:g} lower, cuts through it")

    def part(edges: tuple[int, int], axis: int) -> Matrix:
        points = np.repeat((np.arange(*edges)[:, None] + 0.5) / ENCODER_SIZE, 2, axis=1)  # (n, 2)
        centres = crop.from_ffhq(points)[:, axis] * resolution
        matrix = _triangles(centres, resolution / (ENCODER_SIZE * crop.scale), resolution)
        return np.asarray(pooled(len(matrix), FACE_SIZE) @ matrix, np.float64)

    return Resample(part(FACE_ROWS, 1), part(FACE_COLUMNS, 0))
