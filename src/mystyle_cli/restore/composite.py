"""From a generated face back to the whole photo.

A crop's border cuts through hair, cap, ear and neck, where the generated picture never agrees with the photo.
So the two are mixed in two bands: detail over a narrow zone along the border, colour and light over a wide
one. Neither zone has corners.

Source: Burt and Adelson 1983, "A multiresolution spline", with two bands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from mystyle_cli.faces.align import Crop, Points
    from mystyle_cli.find.locate import Located
    from mystyle_cli.nets.exported import Degraded
    from mystyle_cli.photos.decode import Photo
    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.projection.damage import Damage
    from mystyle_cli.projection.fine import Fine

# Lengths in sides of the FFHQ square, as what a border cuts through is as large in any crop.
FEATHER: Final = 0.08  # width of the zone along a crop's border in which a face's detail fades in
WIDE: Final = 0.2  # width of the zone in which its colour and light do
CELLS: Final = 30  # what is coarser than this many cells a side counts as colour and light

# exponent of the rounded square that the zones follow: 2 is a circle, infinity the square itself
ROUND: Final = 4.0

# how often an enlarged face is compared with the small photo; what is left then is below a grey level
ROUNDS: Final = 8

SOLID: Final = 0.999  # share of a face in what is shown from which the rest is less than a grey level

Floats = npt.NDArray[np.float32]
Sides = Sequence[bool]  # whether each side of a crop is open: top, bottom, left, right
EVERY: Final = (True,) * 4


def consistent(image: Floats, photo: Degraded) -> Floats:
    """Move a generated face (3, R, R) until it is, made small, the photo that it was enlarged from.

    A code in P_beta+ meets the photo nearly, not exactly. What the photo does say is kept as it says it; only
    what is finer comes from the person. So an input that holds much loses nothing of it.

    Source: Irani and Peleg 1991, iterative back-projection.
    """
    met = np.asarray(image, np.float64)
    for _ in range(ROUNDS):
        small = photo.down @ met @ photo.down.T  # (3, h, h)
        met = met + photo.up @ (photo.target - small) @ photo.up.T  # (3, R, R)
    return np.asarray(met, np.float32)


def toned(located: Located, face: Pixels) -> Pixels:
    """Return a generated face uint8 (R, R, 3) in grey where its photo is grey."""
    if not located.photo.grey:
        return face
    luma = np.rint(face @ np.array([0.299, 0.587, 0.114])).clip(0, 255).astype(np.uint8)  # Rec. 601 luma
    return np.repeat(luma[..., None], 3, axis=2)


def paste_face(located: Located, face: Pixels, shown: Floats, crop: Crop, aligned: bool) -> Pixels:
    """Lay a generated face over the photo.

    Args:
        face: uint8 (R, R, 3).
        shown: (R, R) in [0, 1], where it may show.
        aligned: the photo is the crop itself, which the face replaces up to its border.
    """
    from mystyle_cli.faces.paste import paste

    if aligned:
        return paste(located.photo.pixels, face, located.quad, shown, 0.0)
    return _blend(located.photo.pixels, face, located.quad, shown, crop, EVERY)


def enlarge_and_paste(
    located: Located, face: Pixels, shown: Floats, crop: Crop, aligned: bool, factor: float
) -> Pixels:
    """Enlarge the whole photo by Lanczos, and lay the face over it.

    Args:
        face: uint8 (R, R, 3).
        shown: (R, R) in [0, 1], the person's matte; the rest stays Lanczos. Source: sec. 5.2.2.
        factor: how many times; about as often as the face must be enlarged to have R pixels.
    """
    from mystyle_cli.faces.paste import paste

    large, quad = enlarge(located.photo, factor), _quad_on(located, factor)
    return paste(large, face, quad, shown, 0.0) if aligned else _blend(large, face, quad, shown, crop, EVERY)


def enlarge(photo: Photo, factor: float) -> Pixels:
    """Return a photo enlarged by Lanczos, uint8 (H, W, 3)."""
    from mystyle_cli.photos.pixels import resize

    height, width = photo.pixels.shape[:2]
    return resize(photo.pixels, (enlarged(height, factor), enlarged(width, factor)), "lanczos", photo.alpha)


def _quad_on(located: Located, factor: float) -> Points:
    """Return where a face is on its photo enlarged, (4, 2)."""
    height, width = located.photo.pixels.shape[:2]
    size = enlarged(width, factor), enlarged(height, factor)
    return np.asarray(located.quad * (np.array(size) / (width, height)))


def unscratched(located: Located) -> Located:
    """Return a face on its photo with what a mask hides of it continued smoothly."""
    from mystyle_cli.projection.degradations import fill_hole

    if located.mask is None:
        return located
    filled = fill_hole(located.photo.pixels, located.mask)
    return replace(located, photo=replace(located.photo, pixels=filled))


def mended(located: Located, fine: Fine, shown: Floats, crop: Crop, aligned: bool, grain: bool) -> Located:
    """Return a face on its photo without what the photo suffered at its own pixels, where the face may show.

    Args:
        grain: its noise stays.
    """
    from mystyle_cli.faces.paste import blend
    from mystyle_cli.projection.fine import mended as undone
    from mystyle_cli.restore.estimates import own_pixels

    pixels, corner = own_pixels(located)
    changed = undone(pixels.astype(np.float64), fine, grain, int(located.photo.sha256[:16], 16))
    mask = shown if aligned else shown * _fade(len(shown), FEATHER / crop.scale, EVERY)
    base = unscratched(located)
    pixels = blend(base.photo.pixels, changed, corner, located.quad, mask)
    return replace(base, mask=None, photo=replace(base.photo, pixels=pixels))


def repair(located: Located, face: Pixels, shown: Floats, crop: Crop, aligned: bool, factor: float) -> Pixels:
    """Lay a restored face over the photo; what the photo has beyond what a face's crop can hold stays.

    Args:
        located: the photo; what a mask hides of it is continued smoothly.
        face: uint8 (R, R, 3).
        shown: (R, R) in [0, 1], where it may show.
        crop: which square about the face it shows.
        aligned: the photo is the crop itself, which the face replaces up to its border.
        factor: how much larger the photo becomes; 1 keeps its size.
    """
    from mystyle_cli.faces.align import warp
    from mystyle_cli.projection.fine import FINER

    located = unscratched(located)
    if factor != 1:
        if located.side * factor < FINER * len(face):
            return enlarge_and_paste(located, face, shown, crop, aligned, factor)
        # it is larger than it is drawn, beside a smaller one that is not
        large = enlarge(located.photo, factor)
        located = replace(located, photo=replace(located.photo, pixels=large), quad=_quad_on(located, factor))
    photo = located.photo
    made = paste_face(located, face, shown, crop, aligned).astype(np.int16)
    # the same with the photo's own crop in the face's place: what a crop cannot hold is in neither
    own = warp(photo.pixels, located.quad, len(face))
    again = paste_face(located, own, shown, crop, aligned)
    return np.asarray((photo.pixels + (made - again)).clip(0, 255), np.uint8)


def grained(face: Pixels, damage: Damage, seed: str) -> Pixels:
    """Return a face uint8 (R, R, 3) with as much noise as its photo has, as fine as there.

    Args:
        seed: a hexadecimal number; the same grain comes of the same.
    """
    from mystyle_cli.photos.pixels import linear_kernel

    if not damage.noise:
        return face
    random = np.random.default_rng(int(seed[:16], 16))
    grain = random.standard_normal((3, damage.side, damage.side)) * damage.noise
    if damage.tone is not None:
        grain = np.repeat(grain[:1], 3, axis=0)
    up = linear_kernel(damage.side, len(face))
    large = (up @ grain @ up.T).transpose(1, 2, 0)
    return np.asarray(np.rint(face + large).clip(0, 255), np.uint8)


def enlarged(length: int, factor: float) -> int:
    """Return how many pixels a side of a photo has once it is enlarged."""
    return max(1, round(length * factor))


def drawn_alone(shown: Floats, crop: Crop, aligned: bool, margin: int) -> Floats:
    """Return (R, R) of 0 and 1, where a pasted face is what was drawn: nothing of the photo is mixed in.

    Pasting looks a margin of pixels around, so that what is so near to the photo does not count.
    """
    from PIL import Image, ImageFilter

    alone = shown >= SOLID
    if not aligned:
        alone &= _fade(len(shown), WIDE / crop.scale, EVERY) == 1
    solid = Image.fromarray(alone).convert("L").filter(ImageFilter.MinFilter(2 * margin + 1))
    return np.asarray(np.asarray(solid) > 0, np.float32)


def fill_photo(located: Located, face: Pixels, crop: Crop, aligned: bool) -> Pixels:
    """Fill the photo's hole with a generated face (R, R, 3); pixels where the mask is 0 keep their very bits.

    What of the hole lies outside the face's crop is continued smoothly from around it.
    """
    from mystyle_cli.projection.degradations import fill_hole

    pixels, mask = located.photo.pixels, located.mask
    assert mask is not None
    base, hole = fill_hole(pixels, mask), located.hole > 0
    # where the hole ends inside the crop the face meets the photo already
    sides = [bool(edge.any()) and not aligned for edge in (hole[0], hole[-1], hole[:, 0], hole[:, -1])]
    laid = _blend(base, face, located.quad, np.ones_like(located.hole), crop, sides)
    share = mask[..., None].astype(np.float32) / 255
    mixed = np.rint(pixels + (laid.astype(np.float32) - pixels) * share).clip(0, 255).astype(np.uint8)
    return np.where(mask[..., None] > 0, mixed, pixels)


def _blend(pixels: Pixels, face: Pixels, quad: Points, shown: Floats, crop: Crop, sides: Sides) -> Pixels:
    """Lay a face over a photo so that neither detail nor light jumps at the open sides of its crop.

    Args:
        pixels: uint8 (H, W, 3), the photo.
        face: uint8 (R, R, 3).
        quad: (4, 2), where on the photo.
        shown: (R, R) in [0, 1], where the face may show.
        sides: those at which it must meet the photo.
    """
    from mystyle_cli.faces.align import warp
    from mystyle_cli.faces.paste import paste

    size = len(face)
    difference = warp(pixels, quad, size).astype(np.float32) - face
    outer = 1 - _fade(size, WIDE / crop.scale, sides)
    met = face + outer[..., None] * _coarse(difference, shown, max(2, round(CELLS * crop.scale)))
    mask = shown * _fade(size, FEATHER / crop.scale, sides)
    return paste(pixels, np.rint(met).clip(0, 255).astype(np.uint8), quad, mask, 0.0)


def _fade(size: int, width: float, sides: Sides) -> Floats:
    """Return (size, size) weights that rise smoothly from 0 at the open sides to 1 at `width` crop sides.

    They reach 1 before the middle, however tight the crop.
    """
    place = (np.arange(size) + 0.5) / size * 2 - 1  # -1 to 1
    top, bottom, left, right = (
        np.maximum(0, sign * place) * is_open for sign, is_open in zip((-1, 1, -1, 1), sides, strict=True)
    )
    rows, columns = top + bottom, left + right
    out = (rows[:, None] ** ROUND + columns[None] ** ROUND) ** (1 / ROUND)  # 0 in the middle, 1 at the border
    ramp = np.clip((1 - out) / 2 / min(width, 0.45), 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp), np.float32)  # smoothstep


def _coarse(difference: Floats, shown: Floats, cells: int) -> Floats:
    """Return what of a difference (R, R, 3) is coarser than `cells` a side, as told by where `shown` is."""
    from mystyle_cli.photos.pixels import area_kernel, linear_kernel

    size = len(shown)
    cells = min(cells, size)
    smooth = (linear_kernel(cells, size) @ area_kernel(size, cells)).astype(np.float32)
    planes = np.concatenate([difference * shown[..., None], shown[..., None]], axis=-1).transpose(2, 0, 1)
    coarse = (smooth @ planes @ smooth.T).transpose(1, 2, 0)  # (R, R, 4)
    return np.asarray(coarse[..., :3] / np.maximum(coarse[..., 3:], 1e-3), np.float32)


def seamless(image: Floats, crop: Floats, hole: Floats) -> Floats:
    """Shift an image (3, R, R) inside a hole (R, R) so that it meets the crop around it, which stays.

    The difference at the hole's edge is continued smoothly inwards, which removes a seam in colour and light
    but keeps the generated detail.
    """
    from mystyle_cli.projection.degradations import EDGE, continued

    seam = continued(crop - image, hole > EDGE)
    return np.asarray(image + seam, np.float32)


def hole_outside(located: Located) -> float:
    """Return the share of the mask that lies outside the face's crop."""
    from mystyle_cli.faces.paste import worked_region

    assert located.mask is not None
    region = worked_region(located.mask.shape, located.quad)
    total = float(located.mask.sum())
    return 1.0 - float(located.mask[region].sum()) / max(total, 1.0)
