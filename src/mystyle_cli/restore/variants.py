"""How sure an answer is: others that explain the photo as well, and where they differ from it.

A photo says nothing of what it hides. A search that starts at other photos of the person changes of them only
what the photo contradicts; the rest stays as it is there. So searches from some of them draw what the photo
leaves open, as the person's photos have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from mystyle_cli.projection.damage import LUMA
from mystyle_cli.restore.task import Openness

if TYPE_CHECKING:
    from mystyle_cli.faces.align import Crop, Points
    from mystyle_cli.nets.exported import Degraded
    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.restore.task import Restoration

Floats = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]

EQUAL: Final = 0.25
"""Share of the answer's loss by which that of another may be higher that explains the photo as well ..."""

UNSEEN: Final = 0.003
"""... and by how much in any case: of two pictures so little apart in eq 1 nobody sees the difference."""

AIM: Final = 0.6
"""Share of that at which a search for another ends: further, it would forget its start."""

LONGER: Final = 2
"""How many times as many steps it may take: it starts farther away."""

AWAY: Final = 0.9
"""Share of another photo of the person in what a variant starts from; the rest is the answer."""

NEAREST: Final = 4
"""Of how many photos one is near enough to start from: the farther ones are held or lit otherwise, which any
photo says, and would be searched for in vain."""

SMOOTH: Final = 1 / 64
"""Sides of the crop over which answers are compared: a hair that lies elsewhere is no other face."""

OPEN: Final = 1.5
"""Levels of 255 by which answers differ in a part that the photo leaves open."""

HIDDEN: Final = 0.5  # share of a part of a face that is hidden, so that the photo says nothing about it

FULL: Final = 8.0
"""Levels of 255 from which a map is at its lightest."""

TOLD: Final = ("right-eye", "left-eye", "brows", "nose", "mouth", "cheeks", "chin", "forehead")
"""Parts of a face that are told of, one of `find.region.PARTS` each."""

_HEAT: Final = ((0, 0, 0), (80, 10, 110), (200, 50, 70), (250, 150, 20), (255, 250, 160))


def as_well(own: float, share: float = 1.0) -> float:
    """Return up to which loss another answer explains a photo as well as one with a loss of its own."""
    return own + share * max(EQUAL * own, UNSEEN)


def how_far(pictures: Floats, photo: Degraded) -> Array:
    """Return how far pictures (N, 3, R, R) are from a photo (N,), as far as it shows, in light alone."""
    luma = np.tensordot(pictures, LUMA, axes=(1, 0))  # (N, R, R)
    off = photo.down @ luma @ photo.down.T - np.tensordot(LUMA, photo.target, 1)  # (N, h, h)
    return np.asarray((np.square(off) * photo.known).mean(axis=(1, 2)), np.float64)


def other_starts(alpha_plus: Array, off: Array, count: int, seed: int) -> Array:
    """Return where variants of an answer start, (count, num_ws, N): each at another of the person's photos.

    Args:
        alpha_plus: (num_ws, N), the answer.
        off: (N,), how far the person's photos are from the one that is answered, as far as it shows.
    """
    rows = len(off)
    near = np.argsort(off)[: max(2 * count, rows // NEAREST)]
    drawn = np.random.default_rng(seed).choice(near, count, replace=count > len(near))
    return np.asarray(AWAY * np.eye(rows)[drawn][:, None] + (1 - AWAY) * alpha_plus)


def disagreement(faces: Sequence[Pixels]) -> Floats:
    """Return by how many levels of 255 faces uint8 (K, R, R, 3) differ, (R, R): their standard deviation."""
    from scipy.ndimage import gaussian_filter

    if len(faces) < 2:
        return np.zeros(faces[0].shape[:2], np.float32)
    wide = SMOOTH * len(faces[0])
    smooth = np.stack([gaussian_filter(face.astype(np.float32), (wide, wide, 0)) for face in faces])
    return np.asarray(np.sqrt(smooth.var(axis=0, ddof=1).mean(axis=-1)), np.float32)


def parts_where(level: Floats, points: Points, least: float) -> tuple[str, ...]:
    """Return the names of the parts of a face in which a level (R, R) is so high at least, on average.

    Args:
        points: (68, 2), the face's on it.
    """
    from mystyle_cli.find.region import Region

    inside = {name: Region((name,)).mask(level.shape, points) > 0 for name in TOLD}
    return tuple(name for name, part in inside.items() if part.any() and level[part].mean() >= least)


def openness(answers: Sequence[Restoration], crop: Crop, dropped: int) -> Openness:
    """Return what answers to one photo leave open, measured on what is returned of them.

    Args:
        answers: the first is the one whose face says where its parts are.
        crop: which square about a face they show.
        dropped: how many more explain the photo less well.
    """
    from mystyle_cli.faces.face import aligned_face

    faces, located = [_face_of(answer) for answer in answers], answers[0].located
    assert located is not None
    level = disagreement(faces)
    if level.max() < OPEN and not located.hole.any():
        return Openness(level, (), (), dropped)
    points = aligned_face(faces[0], crop).landmarks
    hidden, parts = parts_where(located.hole, points, HIDDEN), parts_where(level, points, OPEN)
    return Openness(level, hidden, parts, dropped)


def _face_of(answer: Restoration) -> Pixels:
    """Return the face uint8 (R, R, 3) as an answer's photo shows it."""
    from mystyle_cli.faces.align import warp

    assert answer.pixels is not None
    assert answer.face is not None
    return warp(answer.pixels, quad_on(answer), len(answer.face))


def quad_on(answer: Restoration) -> Points:
    """Return where on an answer's photo the face is, (4, 2)."""
    assert answer.pixels is not None
    assert answer.located is not None
    (height, width), (tall, wide) = answer.pixels.shape[:2], answer.located.photo.pixels.shape[:2]
    return np.asarray(answer.located.quad * (np.array([width, height]) / (wide, tall)))


def heat(answer: Restoration) -> Pixels:
    """Return an answer's photo uint8 (H, W, 3), dark and grey, on which it glows where the face is open."""
    from mystyle_cli.faces.paste import paste

    assert answer.pixels is not None
    assert answer.openness is not None
    pixels, level = answer.pixels, answer.openness.map
    shown = np.clip(np.repeat(level[..., None], 3, axis=-1) / FULL * 255, 0, 255).astype(np.uint8)
    glow = paste(np.zeros_like(pixels), shown, quad_on(answer))[..., 0]  # (H, W)
    stops = np.linspace(0, 255, len(_HEAT))
    colours = np.stack([np.interp(glow, stops, channel) for channel in np.transpose(_HEAT)], axis=-1)
    grey = pixels.astype(np.float32).mean(axis=-1, keepdims=True)
    return np.asarray(np.rint(0.4 * grey + 0.75 * colours).clip(0, 255), np.uint8)
