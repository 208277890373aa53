"""Scratches, creases and hairs on a photo's face: thin lines that its person, drawn, does not have.

A line is taken for a scratch where it stands out of the photo on both sides, the generated face has none of
it, and it runs over skin. Brows, lids and lips are such lines, too, as are strands of hair; these end where
the skin begins.

Source: Serra 1982, the top-hat transform; Kokaram et al. 1995 look for scratches of film so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from mystyle_cli.projection.damage import LUMA
from mystyle_cli.projection.jpeg import tables
from mystyle_cli.restore.estimates import seen

if TYPE_CHECKING:
    from mystyle_cli.faces.align import Crop
    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.restore.given import Given

Floats = npt.NDArray[np.floating[Any]]
Flags = npt.NDArray[np.bool_]

# Lengths in sides of the FFHQ square.
WIDEST: Final = 0.03  # width of the widest line
SHORT: Final = 0.04  # that a line runs over skin, at least ...
LONG: Final = 0.13  # ... and over the face
FACE_SIDE: Final = 0.6  # side of the square that a face fills
BESIDE: Final = 0.006  # how much around a line is its soft edge

SLENDER: Final = 3.0  # times a line is longer than it is wide, at least
CONTRAST: Final = 22.0  # grey levels by which a line stands out at least ...
OVER_NOISE: Final = 5.0  # ... and times the photo's noise
OVER_BUSY: Final = 6.0  # ... and times what around it the generated face lacks: strands of hair are many ...
CLEARLY: Final = 60.0  # ... unless it stands out by so many grey levels
AROUND: Final = 0.08  # how far around that is, in sides of the FFHQ square
LEAST_AROUND: Final = 9  # ... and in pixels at least, so that a line alone is no more than a part of it
EDGE: Final = 2.0  # standard deviation in pixels of what is no fine detail
DIRECTIONS: Final = 12  # in which lines are followed
STRAY: Final = 0.8  # share of a line's pixels, at least, that are on its course: others may cross it
EIGHT: Final = np.ones((3, 3), bool)  # pixels that touch at a corner belong together
UNEXPLAINED: Final = 0.75  # share of the contrast that the generated face must lack


def scratches_of(given: Given, image: Floats, crop: Crop) -> Pixels | None:
    """Return where a damaged photo is scratched, uint8 (H, W), 255 inside; None where it is nowhere.

    Args:
        given: the face, where the search found it, and its damage.
        image: (3, R, R) in [-1, 1], the face as it was generated.
        crop: which square about the face it shows.
    """
    from mystyle_cli.faces.paste import paste
    from mystyle_cli.photos.pixels import linear_kernel, resize, to_pixels

    damage, located = given.damage, given.located
    assert damage is not None
    shown = seen(located, len(image[0]))
    size = len(shown)
    up = linear_kernel(damage.side, size)
    luma = np.tensordot(LUMA, damage.done_to(image), 1)  # (s, s)
    if damage.tone is not None:
        slope, offset = np.asarray(damage.tone).T
        luma = (LUMA @ slope) * luma + LUMA @ offset
    drawn = (up @ luma @ up.T + 1) * 127.5
    parts = Parts.of(resize(to_pixels(image), (size, size), "area"), crop)
    noise = damage.noise * float(np.linalg.norm(LUMA))
    if damage.quality is not None:  # its rounding makes lines beside edges
        noise = math.hypot(noise, float(tables(damage.quality)[0].mean()) / math.sqrt(12))
    found = find_scratches(shown @ np.array(LUMA), drawn, parts, noise, size / crop.scale)
    if not found.any():
        return None
    marks = np.repeat(np.where(found, np.uint8(255), np.uint8(0))[..., None], 3, axis=2)
    height, width = located.photo.pixels.shape[:2]
    mask = paste(np.zeros((height, width, 3), np.uint8), marks, located.quad, None, 0.0)[..., 0]
    return np.where(mask > 127, np.uint8(255), np.uint8(0))


def find_scratches(photo: Floats, drawn: Floats, parts: Parts, noise: float, side: float) -> Flags:
    """Return where a face is scratched, bool (S, S).

    Args:
        photo: (S, S), luma of 255.
        drawn: (S, S), the same of the generated face, made as bad as the photo.
        parts: of the face.
        noise: standard deviation in luma, of 255.
        side: of the FFHQ square in pixels.
    """
    from scipy import ndimage

    off = photo - drawn
    fine = np.abs(off - ndimage.gaussian_filter(off, EDGE))
    around = max(LEAST_AROUND, round(AROUND * side))
    busy = np.minimum(OVER_BUSY * ndimage.median_filter(fine, size=around), CLEARLY)
    least = np.maximum(max(OVER_NOISE * noise, CONTRAST), busy)
    found = np.zeros(photo.shape, bool)
    for sign in (1, -1):  # white and black
        stands_out = _top_hat(sign * photo, WIDEST * side)
        lacks = np.minimum(stands_out, sign * (photo - drawn) / UNEXPLAINED)
        for straight in _streaks(lacks, SHORT * side):  # apart by direction, as scratches cross
            lines, count = ndimage.label((np.minimum(straight, lacks) > least) & parts.skin, structure=EIGHT)
            for number in range(1, count + 1):
                found |= _whole(lines == number, lacks > least, parts.face, side)
    return np.asarray(ndimage.binary_dilation(found, iterations=max(1, round(BESIDE * side))))


def _top_hat(luma: Floats, width: float) -> Floats:
    """Return by how much a picture is lighter than all that is wider (S, S)."""
    from scipy import ndimage

    radius = max(width / 2, 1.0)
    reach = int(np.ceil(radius))
    down, across = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = down**2 + across**2 <= radius**2 + 0.5
    return np.asarray(luma - ndimage.grey_opening(luma, footprint=disc))


def _streaks(picture: Floats, length: float) -> Iterator[Floats]:
    """Yield what of a picture (S, S) is as long as that in each of some directions."""
    from scipy import ndimage

    reach = max(1, round(length / 2))
    broad = ndimage.maximum_filter(picture, 3)  # so that the steps of a line a pixel wide are none
    for angle in np.arange(DIRECTIONS) * np.pi / DIRECTIONS:
        steps = np.arange(-reach, reach + 1)
        places = np.rint(np.outer([np.sin(angle), np.cos(angle)], steps)).astype(int) + reach  # (2, P)
        line = np.zeros((2 * reach + 1, 2 * reach + 1), bool)
        line[tuple(places)] = True
        yield np.asarray(ndimage.grey_opening(broad, footprint=line))


def _whole(line: Flags, lacking: Flags, face: Flags, side: float) -> Flags:
    """Return a scratch as far as it goes, beyond the skin, too; nothing where it is none."""
    from scipy import ndimage

    course = _course(line, side)
    if course is None:
        return np.zeros_like(line)
    whole = np.asarray(ndimage.binary_propagation(line, EIGHT, lacking & (course < WIDEST * side)))
    return whole if _extent(np.argwhere(whole & face)) >= LONG * side else np.zeros_like(line)


def _course(line: Flags, side: float) -> Floats | None:
    """Return how far each pixel is from the curve that a line follows; None where it is no slender line."""
    places = np.argwhere(line)
    length = _extent(places)
    if length < max(SHORT * side, SLENDER * len(places) / max(length, 1.0)):
        return None
    middle = places.mean(axis=0)
    axes = np.linalg.eigh(np.cov((places - middle).T))[1]  # the longer last
    off, along = ((places - middle) @ axes).T
    powers = np.vander(along / length, 3)  # (P, 3)
    bend = np.linalg.lstsq(powers, off, rcond=None)[0]
    if np.quantile(np.abs(off - powers @ bend), STRAY) > WIDEST * side:
        return None
    every = np.moveaxis(np.indices(line.shape), 0, -1) - middle  # (S, S, 2)
    return np.asarray(np.abs(every @ axes[:, 0] - np.polyval(bend, every @ axes[:, 1] / length)))


def _extent(places: npt.NDArray[np.integer[Any]]) -> float:
    """Return the length of a bar that spreads as places (P, 2) do."""
    return float(np.sqrt(12 * np.linalg.eigvalsh(np.cov(places.T))[-1])) if len(places) > 1 else 0.0


@dataclass(frozen=True)
class Parts:
    """Where on a face lines are looked for."""

    face: Flags  # (S, S), all of it
    skin: Flags  # (S, S), where it has no lines of its own, and no glasses

    @classmethod
    def of(cls, face: Pixels, crop: Crop) -> Parts:
        """Return those of a generated face uint8 (S, S, 3)."""
        from mystyle_cli.faces.landmarks import find_landmarks
        from mystyle_cli.find.region import Region

        size = len(face)
        middle = crop.from_ffhq(np.full((1, 2), 0.5))[0] * size
        points = find_landmarks(face, middle, size / crop.scale * FACE_SIDE).points
        shape = (size, size)
        skin = Region(("face",), kept=("glasses", "mouth")).mask(shape, points) > 0
        return cls(Region(("face",)).mask(shape, points) > 0, skin)
