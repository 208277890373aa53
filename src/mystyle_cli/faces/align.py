"""Alignment: from 68 landmarks to an upright square crop of any size, cut as a prior was trained on.

Every crop is told by the FFHQ square, which any face has; a prior's own may be tighter and sit lower.

Source: Karras et al. 2017, "Progressive Growing of GANs", appendix C, whose crop the paper uses (app. A.1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from mystyle_cli.photos.pixels import Pixels

Floats = NDArray[np.float32]
Points = NDArray[np.float64]


def cut_out(pixels: Pixels, mask: Pixels | None, quad: Points, size: int) -> tuple[Pixels, Floats]:
    """Return what is inside a quad: the photo uint8 (R, R, 3), and the hole float32 (R, R)."""

    hole: Floats = np.zeros((size, size), np.float32)
    if mask is not None:
        hole = np.asarray(warp(mask, quad, size) / 255, np.float32)
    return warp(pixels, quad, size), hole


LARGEST: Final = 2.0  # side of the largest crop in FFHQ sides; a still larger one would show little face
_FADE = 0.35  # distance outside the photo, in crop sides, at which the filling has faded to one colour
_BLUR = 0.03  # blur radius of the filling, in crop sides


@dataclass(frozen=True)
class Crop:
    """Which square about a face a prior draws. Lengths are in sides of the face's FFHQ square.

    Raises:
        ValueError: a number is out of range, or none.
    """

    scale: float  # side of the square, above 0, at most `LARGEST`
    # how far its middle lies below that of the FFHQ square, along the face's own axis; at most one side, up
    # or down
    down: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and 0 < self.scale <= LARGEST):
            raise ValueError(f"scale is {self.scale}, not above 0 and at most {LARGEST:g}")
        if not (math.isfinite(self.down) and abs(self.down) <= 1):
            raise ValueError(f"down is {self.down}, not between -1 and 1")

    def square(self, middle: Points, half: Points) -> Points:
        """Return the corners (4, 2) of the crop on a photo, for the FFHQ square there; see `square`."""
        below = 2 * self.down * np.array([-half[1], half[0]])
        return square(middle + below, self.scale * half)

    def from_ffhq(self, points: NDArray[np.floating[Any]]) -> Points:
        """Map places (..., 2) x, y on the FFHQ square, in its sides, to places on the crop, in the crop's."""
        offset = np.asarray(points, dtype=np.float64) - [0.5, 0.5 + self.down]
        return np.asarray(offset / self.scale + 0.5)

    def to_ffhq(self, points: NDArray[np.floating[Any]]) -> Points:
        """Map places (..., 2) x, y on the crop, in its sides, to places on the FFHQ square, in that one's."""
        offset = np.asarray(points, dtype=np.float64) - 0.5
        return np.asarray(offset * self.scale + [0.5, 0.5 + self.down])


FFHQ: Final = Crop(1.0, 0.0)  # the crop of Karras et al., which is that of every prior that names no other


@dataclass(frozen=True)
class AlignedFace:
    """An upright square crop around a face."""

    pixels: Pixels  # uint8 (R, R, 3)
    # float64 (4, 2), photo coordinates of the crop's corners: top left, bottom left, bottom right, top right
    quad: Points
    # float32 (R, R), 1 where the crop lies inside the photo, 0 where it was filled
    valid: NDArray[np.float32]

    @property
    def side(self) -> float:
        """Length of the crop's side on the photo, in photo pixels."""
        return quad_side(self.quad)


def face_quad(landmarks: NDArray[np.floating[Any]], crop: Crop) -> Points:
    """Return the corners (4, 2) of a face's crop: top left, bottom left, bottom right, top right.

    Args:
        landmarks: (68, 2) photo coordinates.

    Source: the FFHQ square is that of Karras et al. 2017, app. C: x' = e1 - e0,
        y' = (e0 + e1)/2 - (m0 + m1)/2, c = (e0 + e1)/2 - 0.1 y',
        s = max(4.0 |x'|, 3.6 |y'|), x = normalise(x' - rotate90(y')).
    """
    points = np.asarray(landmarks, dtype=np.float64)
    left_eye, right_eye = points[36:42].mean(0), points[42:48].mean(0)
    eyes, mouth = (left_eye + right_eye) / 2, (points[48] + points[54]) / 2
    across, down = right_eye - left_eye, mouth - eyes
    axis = across + np.array([down[1], -down[0]])
    side = max(4.0 * math.hypot(*across), 3.6 * math.hypot(*down))
    return crop.square(eyes + 0.1 * down, axis / math.hypot(*axis) * side / 2)


def square(centre: Points, half: Points) -> Points:
    """Return the corners (4, 2) of a square: top left, bottom left, bottom right, top right.

    Args:
        centre: (2,) its middle.
        half: (2,) from the middle to the middle of its right side.
    """
    down = np.array([-half[1], half[0]])
    return np.stack([centre - half - down, centre - half + down, centre + half + down, centre + half - down])


def quad_side(quad: Points) -> float:
    """Return the mean length of a quad's sides."""
    return float(np.linalg.norm(quad - np.roll(quad, 1, axis=0), axis=1).mean())


def quad_affine(quad: Points, size: int) -> NDArray[np.float64]:
    """Return the (2, 3) matrix from crop coordinates in [0, size] to the photo's, for a parallelogram."""
    across, down = (quad[3] - quad[0]) / size, (quad[1] - quad[0]) / size
    return np.column_stack([across, down, quad[0]])


def to_crop(points: NDArray[np.floating[Any]], quad: Points, size: int) -> Points:
    """Map photo coordinates (..., 2) into crop coordinates."""
    matrix = quad_affine(quad, size)
    return np.asarray((np.asarray(points, dtype=np.float64) - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T)


def to_photo(points: NDArray[np.floating[Any]], quad: Points, size: int) -> Points:
    """Map crop coordinates (..., 2) into photo coordinates."""
    matrix = quad_affine(quad, size)
    return np.asarray(np.asarray(points, dtype=np.float64) @ matrix[:, :2].T + matrix[:, 2])


def align(pixels: Pixels, landmarks: NDArray[np.floating[Any]], size: int, crop: Crop) -> AlignedFace:
    """Cut the crop of a face with landmarks (68, 2) out of a photo (H, W, 3), `size` pixels a side."""
    quad = face_quad(landmarks, crop)
    return AlignedFace(warp(pixels, quad, size), quad, valid_mask(pixels.shape[:2], quad, size))


def warp(pixels: Pixels, quad: Points, size: int) -> Pixels:
    """Resample the square `quad` of a photo to (size, size), antialiased; outside the photo it is filled.

    The neighbourhood is first shrunk to at most two photo pixels per crop pixel, then sampled at twice the
    size and averaged, so every photo pixel counts. The filling mirrors the photo, blurs and fades to one
    colour.

    Args:
        pixels: uint8 (H, W, 3) or (H, W).
        quad: (4, 2) photo coordinates: top left, bottom left, bottom right, top right.
        size: side of the result in pixels.
    """
    oversample = 2 if quad_side(quad) > size else 1
    window, matrix = _window(pixels, quad, size * oversample)
    image = Image.fromarray(window).transform(
        (size * oversample, size * oversample),
        Image.Transform.AFFINE,
        tuple(matrix.ravel()),
        Image.Resampling.BICUBIC,
    )
    return np.array(image.reduce(oversample) if oversample > 1 else image)


def valid_mask(shape: tuple[int, ...], quad: Points, size: int) -> NDArray[np.float32]:
    """Return float32 (size, size): how far each crop pixel lies inside a photo of `shape` (height, width)."""
    grid = np.arange(size) + 0.5
    centres = to_photo(np.stack(np.meshgrid(grid, grid), axis=-1), quad, size)  # (R, R, 2)
    inside = np.minimum(centres, np.array([shape[1], shape[0]]) - centres).min(axis=-1)
    return np.asarray(np.clip(0.5 + inside * size / quad_side(quad), 0, 1), dtype=np.float32)


def _window(pixels: Pixels, quad: Points, size: int) -> tuple[Pixels, NDArray[np.float64]]:
    """Cut, shrink and fill the quad's surroundings; return them with the (2, 3) map from crop to them."""
    height, width = pixels.shape[:2]
    side = quad_side(quad)
    margin = max(2.0, 3 * side / size)  # room for the kernels
    low = np.floor(quad.min(0) - margin)
    high = np.ceil(quad.max(0) + margin)
    left, top = np.clip(low, 0, [width - 1, height - 1]).astype(int)
    right, bottom = np.clip(high, [left + 1, top + 1], [width, height]).astype(int)
    cut = pixels[top:bottom, left:right]
    scale = min(1.0, size / side)
    shape = (max(1, round((bottom - top) * scale)), max(1, round((right - left) * scale)))
    if shape != cut.shape[:2]:
        cut = np.array(
            Image.fromarray(np.ascontiguousarray(cut)).resize(shape[::-1], Image.Resampling.LANCZOS)
        )
    ratio = np.array([shape[1] / (right - left), shape[0] / (bottom - top)])
    before = np.ceil(np.maximum(0, -low) * ratio).astype(int)
    after = np.ceil(np.maximum(0, high - [width, height]) * ratio).astype(int)
    if before.any() or after.any():
        cut = _fill(cut, before, after, side * scale)
    matrix = quad_affine(quad, size)
    matrix[:, 2] -= [left, top]
    matrix *= ratio[:, None]
    matrix[:, 2] += before
    return np.ascontiguousarray(cut), matrix


def _fill(cut: Pixels, before: NDArray[np.int_], after: NDArray[np.int_], side: float) -> Pixels:
    """Extend a picture by mirroring; the extension blurs and fades to one colour, pixels inside stay."""
    widths = [(int(before[1]), int(after[1])), (int(before[0]), int(after[0]))]
    widths += [(0, 0)] * (cut.ndim - 2)
    padded = np.pad(cut, widths, mode="symmetric")
    rows = _distance_outside(cut.shape[0], *widths[0])
    columns = _distance_outside(cut.shape[1], *widths[1])
    distance = np.hypot(rows[:, None], columns[None, :]) / side  # 0 inside, in crop sides
    fade = np.clip(distance / _FADE, 0, 1)
    fade = fade * fade * (3 - 2 * fade)  # smoothstep
    blurred = np.asarray(Image.fromarray(padded).filter(ImageFilter.GaussianBlur(_BLUR * side))).astype(
        np.float32
    )
    soft = np.clip(distance / (2 * _BLUR), 0, 1)
    if cut.ndim == 3:
        fade, soft = fade[..., None], soft[..., None]
    colour = np.median(cut.reshape(-1, *cut.shape[2:]), axis=0)
    filled = padded + (blurred - padded) * soft
    filled += (colour - filled) * fade
    return np.clip(np.rint(filled), 0, 255).astype(np.uint8)


def _distance_outside(length: int, before: int, after: int) -> NDArray[np.float64]:
    """Return, for each index of a padded axis, how far it lies outside the original."""
    return np.concatenate([np.arange(before, 0, -1), np.zeros(length), np.arange(1, after + 1)]).astype(
        np.float64
    )
