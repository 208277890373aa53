"""The inverse of alignment: an aligned result back into the whole photo."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mystyle_cli.faces.align import Points, quad_affine, quad_side
from mystyle_cli.photos.pixels import Pixels


def paste(
    pixels: Pixels,
    face_pixels: Pixels,
    quad: Points,
    mask: NDArray[np.floating[Any]] | None = None,
    feather: float = 0.06,
) -> Pixels:
    """Return the photo with an aligned face laid over its quad; pixels outside keep their very bits.

    Args:
        pixels: uint8 (H, W, 3), the photo.
        face_pixels: uint8 (R, R, 3), aligned as `align` cuts it.
        quad: (4, 2) photo coordinates: top left, bottom left, bottom right, top right.
        mask: (R, R) in [0, 1], where the face may show; None: everywhere.
        feather: width of the soft edge inside the quad, in crop sides; 0 is a hard edge.
    """
    result = pixels.copy()
    box = _box(pixels.shape[:2], quad)
    if box is None:
        return result
    left, top, right, bottom = box
    weight = _weight(quad, box, mask, feather)
    face = np.stack([_unwarp(face_pixels[..., c].astype(np.float32), quad, box) for c in range(3)], axis=-1)
    under = pixels[top:bottom, left:right].astype(np.float32)
    mixed = np.clip(np.rint(under + (face - under) * weight[..., None]), 0, 255).astype(np.uint8)
    worked = weight > 0
    result[top:bottom, left:right][worked] = mixed[worked]
    return result


def worked_region(
    shape: tuple[int, ...], quad: Points, mask: NDArray[np.floating[Any]] | None = None
) -> NDArray[np.bool_]:
    """Return bool (H, W): the pixels that `paste` may change on a photo of `shape` (height, width)."""
    region = np.zeros(shape[:2], dtype=bool)
    box = _box(shape, quad)
    if box is None:
        return region
    left, top, right, bottom = box
    region[top:bottom, left:right] = _weight(quad, box, mask, 0.0) > 0
    return region


def blend(
    pixels: Pixels,
    changed: NDArray[np.floating[Any]],
    corner: tuple[int, int],
    quad: Points,
    mask: NDArray[np.floating[Any]],
) -> Pixels:
    """Return the photo with another version of a part of it laid over it, where a face may show.

    Args:
        pixels: uint8 (H, W, 3), the photo.
        changed: (h, w, 3), of 255, the part, with the face's quad in it as far as that lies on the photo.
        corner: left and top of the part on the photo.
        quad, mask: see `paste`.
    """
    result = pixels.copy()
    box = _box(pixels.shape[:2], quad)
    if box is None:
        return result
    left, top, right, bottom = box
    weight = _weight(quad, box, mask, 0.0)
    under = pixels[top:bottom, left:right].astype(np.float32)
    over = changed[top - corner[1] : bottom - corner[1], left - corner[0] : right - corner[0]]
    mixed = np.clip(np.rint(under + (over - under) * weight[..., None]), 0, 255).astype(np.uint8)
    result[top:bottom, left:right] = mixed
    return result


def _box(shape: tuple[int, ...], quad: Points) -> tuple[int, int, int, int] | None:
    """Return the quad's bounding box on the photo: left, top, right, bottom; None where they do not meet."""
    left, top = np.maximum(np.floor(quad.min(0)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(quad.max(0)).astype(int), [shape[1], shape[0]])
    return (int(left), int(top), int(right), int(bottom)) if left < right and top < bottom else None


def _weight(
    quad: Points, box: tuple[int, int, int, int], mask: NDArray[np.floating[Any]] | None, feather: float
) -> NDArray[np.float32]:
    """Return (h, w) in [0, 1] on the box, how much of a face shows."""
    weight = _edge_weight(quad, box, feather)
    if mask is None:
        return weight
    scaled = np.clip(np.asarray(mask, dtype=np.float32), 0, 1) * 255
    return np.asarray(weight * np.clip(_unwarp(scaled, quad, box) / 255, 0, 1), np.float32)


def _inverse(quad: Points, size: int) -> NDArray[np.float64]:
    """Return the (2, 3) matrix from photo to crop coordinates."""
    matrix = quad_affine(quad, size)
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def _edge_weight(quad: Points, box: tuple[int, int, int, int], feather: float) -> NDArray[np.float32]:
    """Return (h, w) weights on the box: 0 outside the quad, 1 inside, rising smoothly over the feather."""
    left, top, right, bottom = box
    inverse = _inverse(quad, 1)
    x, y = np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5
    u = inverse[0, 0] * x[None, :] + inverse[0, 1] * y[:, None] + inverse[0, 2]
    v = inverse[1, 0] * x[None, :] + inverse[1, 1] * y[:, None] + inverse[1, 2]
    depth = np.minimum(np.minimum(u, 1 - u), np.minimum(v, 1 - v))  # crop sides inside the quad
    if feather <= 0:
        return np.asarray(depth > 0, dtype=np.float32)
    ramp = np.clip(depth / feather, 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp), dtype=np.float32)  # smoothstep


def _unwarp(plane: NDArray[np.float32], quad: Points, box: tuple[int, int, int, int]) -> NDArray[np.float32]:
    """Resample one (R, R) plane of the crop onto the box of the photo, antialiased."""
    left, top, right, bottom = box
    side = max(1, round(quad_side(quad)))
    image = Image.fromarray(plane)
    if side < plane.shape[0]:
        image = image.resize((side, side), Image.Resampling.LANCZOS)
    size = image.width
    margin = 4  # repeated edge, so that bicubic taps near the border see no black
    padded = Image.fromarray(np.pad(np.asarray(image), margin, mode="edge"))
    matrix = _inverse(quad, size)
    matrix[:, 2] += matrix[:, :2] @ [left, top] + margin
    warped = padded.transform(
        (right - left, bottom - top), Image.Transform.AFFINE, tuple(matrix.ravel()), Image.Resampling.BICUBIC
    )
    return np.asarray(warped, dtype=np.float32)
