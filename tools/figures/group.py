"""Group pictures of rendered people and strangers, blurred, noisy and compressed, restored with `--who all`.

The people are those of the figure `restore`, three on a picture beside two whom nobody knows, all in photos
that no profile has seen. Pictures stay in figures/.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter

from mystyle_cli.api import People
from mystyle_cli.faces.align import Points, face_quad, warp
from mystyle_cli.find.locate import as_photo
from mystyle_cli.group.group import GroupRestoration
from mystyle_cli.person.profile import Profile
from mystyle_cli.photos.pixels import Pixels, grid, resize, to_unit
from mystyle_cli.projection.jpeg import coded
from mystyle_cli.report.report import Cell, Report, Table, Target
from mystyle_cli.restore.composite import enlarge
from mystyle_cli.store.store import Store
from tools.figures.common import report_progress, save_picture, spread
from tools.figures.restore import NAMES, STORE
from tools.figures.video import person_of
from tools.portraits.dataset import HELD_OUT, render_photo
from tools.portraits.people import draw_photo
from tools.portraits.render import Portrait

KNOWN: Final = 3  # of the people on a picture; two strangers stand between them
PHOTO: Final = 500  # number of a person's photo: their albums have fewer
HEIGHT: Final = 220  # pixels of a picture
BLUR, NOISE, QUALITY = 1.6, 7.0, 80  # pixels, of 255, and of the JPEG
ROWS: Final = ("truth", "given", "restored")


@dataclass(frozen=True)
class Standing:
    """Somebody on a picture.

    Args:
        name: "" of a stranger.
        landmarks: (68, 2) on the picture.
    """

    name: str
    landmarks: Points


def make() -> Report:
    """Compose, damage and restore pictures, and tell what became of each face."""
    store = Store(STORE)
    profiles = {name: store.open(name) for name in NAMES}
    people = People(list(profiles.values()))
    rows: list[list[Cell]] = []
    right, changed, gains = [], [], []
    for number, first in enumerate(range(0, len(NAMES) - KNOWN + 1, KNOWN)):
        truth, standing = _compose(NAMES[first : first + KNOWN], 2 * number)
        given = _damaged(truth, number)
        answer = people.restore(given, quality="full", progress=report_progress)
        assert answer.pixels is not None
        made = resize(answer.pixels, given.shape[:2], "area")
        save_picture(f"group-{number}", grid(np.stack([truth, given, made]), 1, 0))
        for one in standing:
            verdict, done = _told(answer, one)
            right.append(done == one.name)
            if one.name:
                told = [_likeness(profiles[one.name], truth, seen, one) for seen in (given, made)]
                gains.append(told)
                rows.append([number, one.name, done or verdict, *(f"{value:.3f}" for value in told)])
            else:
                same = resize(enlarge(as_photo(given), answer.factor), given.shape[:2], "area")
                off = np.abs(_around(made, one).astype(int) - _around(same, one))
                changed.append(float(off.max()))
                rows.append([number, "nobody", done or verdict, None, None])
    before, after = np.array(gains).T
    return Report(
        "group",
        f"group pictures of {KNOWN} people ({', '.join(NAMES)}) and two strangers",
        [
            Table("faces", ["picture", "who", "told as", "ID to the truth, given", "restored"], rows),
            Table("of those who are known", ["given", "restored"], [[spread(before), spread(after)]]),
        ],
        [
            Target("share of faces that are told right", float(np.mean(right)), "at least", 1.0),
            Target("strangers' faces changed by, of 255", max(changed), "at most", 1.0),
            Target("ID to the truth gained", float((after - before).mean()), "above", 0.0),
        ],
        {
            "damage": f"blur {BLUR} px, noise {NOISE:g}, JPEG {QUALITY}, pictures {HEIGHT} px high",
            "pictures": f"figures/group-*.png: {', '.join(ROWS)}",
        },
    )


def _compose(names: tuple[str, ...], stranger: int) -> tuple[Pixels, list[Standing]]:
    """Return a picture of people side by side, strangers second and last, and where each stands."""
    known = [(name, draw_photo(person_of(name), PHOTO)) for name in names]
    strange = [("", render_photo(HELD_OUT // 2 + stranger + more, 1)) for more in range(2)]
    tiles, standing, left = [], [], 0
    for name, portrait in (known[0], strange[0], *known[1:], strange[1]):
        tile, landmarks = _shrunk(portrait)
        standing.append(Standing(name, landmarks + np.array([left, 0])))
        tiles.append(tile)
        left += tile.shape[1]
    return np.concatenate(tiles, axis=1), standing


def _shrunk(portrait: Portrait) -> tuple[Pixels, Points]:
    height, width = portrait.pixels.shape[:2]
    size = round(width * HEIGHT / height), HEIGHT
    return resize(portrait.pixels, size[::-1], "area"), portrait.landmarks * (
        np.array(size) / (width, height)
    )


def _damaged(truth: Pixels, seed: int) -> Pixels:
    soft = gaussian_filter(truth.astype(np.float64), (BLUR, BLUR, 0))
    noisy = soft + np.random.default_rng(seed).normal(0, NOISE, soft.shape)
    return coded(np.rint(noisy).clip(0, 255).astype(np.uint8), QUALITY)


def _likeness(profile: Profile, truth: Pixels, made: Pixels, one: Standing) -> float:
    """Return the ID of a face to what it is in truth."""
    prior = profile.prior
    quad = face_quad(one.landmarks, prior.crop)
    seen, wanted = (
        prior.embed(to_unit(warp(pixels, quad, prior.resolution)[None])) for pixels in (made, truth)
    )
    return float((seen * wanted).sum())


def _told(answer: GroupRestoration, one: Standing) -> tuple[str, str]:
    """Return what was said of a face, and as whose it was worked on, "" where as nobody's."""
    across, down = one.landmarks.mean(axis=0)
    for face in answer.faces:
        left, top, width, height = face.box
        if left <= across < left + width and top <= down < top + height:
            return face.verdict, face.person if face.verdict == "done" else ""
    return "not found", ""


def _around(pixels: Pixels, one: Standing) -> Pixels:
    """Return the box of a face's landmarks."""
    (left, top), (right, bottom) = np.rint((one.landmarks.min(axis=0), one.landmarks.max(axis=0))).astype(int)
    return pixels[top:bottom, left:right]
