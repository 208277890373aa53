"""Edits with and without tuning on the photo first (sec. 3.4): what of it stays, and who they are then.

Rendered people have the truth of an edit: the same photo with another smile, or turned. Of the two real
people, held-out photos are edited that nobody has set anything by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from mystyle_cli.analysis.metrics import describe_faces, lpips, nearest_distance, psnr
from mystyle_cli.config import DEFAULT_PRIOR
from mystyle_cli.edit.directions import find_direction
from mystyle_cli.edit.photos import EditedPhoto, EditSettings, edit_photos
from mystyle_cli.edit.refined import Refiner
from mystyle_cli.find.locate import Subject
from mystyle_cli.person.profile import Profile
from mystyle_cli.person.reference import HELD_OUT
from mystyle_cli.person.score import id_scores
from mystyle_cli.photos.pixels import Pixels, grid, to_pixels, to_unit
from mystyle_cli.prior.registry import open_prior
from mystyle_cli.report.report import Cell, Report, Table, Target
from tools.figures.albums import ALBUMS, HELD, PEOPLE, album_photos, learn_photos
from tools.figures.common import NAMES, profile_of, report_progress, save_picture, spread, truths_of
from tools.portraits import PRIOR
from tools.portraits.dataset import crop_portrait
from tools.portraits.people import PEOPLE as RENDERED
from tools.portraits.people import Person
from tools.portraits.render import render
from tools.portraits.scene import draw_scene, draw_state

PHOTOS: Final = 6  # of each person
DIRECTIONS: Final = ("smile", "yaw")
STRENGTHS: Final = (-2.0, -1.0, 0.0, 1.0, 2.0)
ZERO: Final = STRENGTHS.index(0.0)
METHODS: Final = ("own prior", "refined")
SMILE, TURN = 0.5, 15.0  # what the truth of an edit changes, in the renderer's unit and degrees
_FIRST = 700  # number of the first photo of a rendered person that no folder holds


@dataclass(frozen=True)
class Case:
    """Photos of one person.

    Args:
        name: of the person.
        profile: theirs.
        crops: uint8 (B, R, R, 3), the photos.
        others: float32 (M, 3, R, R), photos of them that no profile has seen.
        same: photo b of `crops` is photo b of `others`, and does not count as a reference for itself.
        truths: by direction, uint8 (B, R, R, 3), what an edit should come to; none for real people.
    """

    name: str
    profile: Profile
    crops: Pixels
    others: np.ndarray
    same: bool
    truths: Mapping[str, Pixels]


@dataclass(frozen=True)
class Figures:
    """What came of one method, one value a photo.

    Args:
        lpips: of the unedited result to the photo, by a net that no search or tuning used.
        psnr: of the same on the person, dB.
        id: of both ends of all strips, to the nearest of the other photos.
        dlib: distance of the ends to the nearest of those by dlib's descriptors.
        truth: by direction, LPIPS to the truth at the best strength.
    """

    lpips: np.ndarray
    psnr: np.ndarray
    id: np.ndarray
    dlib: np.ndarray
    truth: Mapping[str, np.ndarray]


def make() -> Report:
    """Edit photos of rendered and of real people, with and without refining."""
    tables, targets, facts = [], [], {"skipped": "no folder ../shared/people"}
    tables.append(_table("rendered people", found := [_measure(_rendered(person)) for person in RENDERED]))
    targets += _targets("rendered", found)
    if PEOPLE.is_dir():
        facts = {}
        tables.append(_table("real people", found := [_measure(_real(album)) for album in ALBUMS]))
        targets += _targets("real", found)
    ends = f"{STRENGTHS[0]:g} and {STRENGTHS[-1]:g}"
    return Report(
        "refine",
        f"{PHOTOS} photos of each of two rendered and two real people, {' and '.join(DIRECTIONS)}",
        tables,
        targets,
        {
            "lpips, psnr": "of the result at strength 0 to the photo; psnr on the person, dB",
            "id, dlib": f"at strengths {ends}, to the nearest photo of them that no profile has seen",
            "truth": "LPIPS to the same photo rendered with another smile or turned, at the best strength",
            "pictures": "figures/refine-*.png: a photo's two strips, without and with, after the photo",
            **facts,
        },
    )


def _rendered(person: Person) -> Case:
    """Render photos that no folder holds, each also with a smile and turned."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("plain", *DIRECTIONS)}
    number = _FIRST
    while len(found["plain"]) < PHOTOS:
        rng = np.random.default_rng([person.seed, number, 2])
        state, number = draw_state(rng, yaw=TURN), number + 1
        scene = draw_scene(rng, width=400, height=500, face=105.0)
        states = (
            state._replace(smile=min(state.smile, 0.3)),
            state._replace(smile=min(state.smile, 0.3) + SMILE),
            state._replace(smile=min(state.smile, 0.3), yaw=state.yaw - np.sign(state.yaw) * TURN),
        )
        rows = [crop_portrait(render(person.identity, one, scene, person.traits)) for one in states]
        if all(row is not None for row in rows):
            for crops, row in zip(found.values(), rows, strict=True):
                crops.append(row["crops"])
    plain, *truths = (np.stack(crops) for crops in found.values())
    others = truths_of(person.name).images
    return Case(
        person.name, profile_of(person.name), plain, others, False, dict(zip(DIRECTIONS, truths, strict=True))
    )


def _real(album: str) -> Case:
    """Take held-out photos of an album."""
    profile = learn_photos(f"{album}-0", album_photos(album), DEFAULT_PRIOR, HELD, 0).profile
    others = profile.faces(HELD_OUT)
    return Case(album, profile, to_pixels(others)[:PHOTOS], others, True, {})


def _measure(case: Case) -> list[Figures]:
    """Edit the photos by each method; returns its figures."""
    settings = EditSettings()
    settings = replace(settings, restore=replace(settings.restore, aligned=True, force=True))
    subjects = [Subject(crop, name=f"{case.name}{number}") for number, crop in enumerate(case.crops)]
    prior = case.profile.prior
    edits = [[(find_direction(prior, name), strength)] for name in DIRECTIONS for strength in STRENGTHS]
    found, sheets = [], []
    for refiner in (None, Refiner(case.profile)):
        done = edit_photos(case.profile, subjects, edits, settings, report_progress, refiner)
        strips = np.stack([_faces(one) for one in done])  # (B, D, S, R, R, 3)
        found.append(_figures(case, strips))
        sheets.append(strips)
    for place, name in enumerate(DIRECTIONS):
        pairs = np.stack([strips[:, place] for strips in sheets], axis=1)  # (B, 2, S, R, R, 3)
        photos = np.repeat(case.crops[:, None, None], len(METHODS), axis=1)
        shown = np.concatenate([photos, pairs], axis=2)
        save_picture(
            f"refine-{case.name}-{name}", grid(shown.reshape(-1, *case.crops.shape[1:]), shown.shape[2])
        )
    return found


def _faces(photo: EditedPhoto) -> Pixels:
    """Return the faces (D, S, R, R, 3) of all edits of a photo."""
    if photo.error is not None:
        raise photo.error
    faces = np.stack([frame.face for frame in photo.frames])
    return faces.reshape(len(DIRECTIONS), len(STRENGTHS), *faces.shape[1:])


def _figures(case: Case, strips: Pixels) -> Figures:
    """Judge strips (B, D, S, R, R, 3)."""
    prior, photos = case.profile.prior, to_unit(case.crops)
    outside = open_prior(DEFAULT_PRIOR if prior.name == PRIOR else PRIOR).perceptual()
    plain = to_unit(strips[:, 0, ZERO])
    count = len(DIRECTIONS) * 2
    ends = to_unit(strips[:, :, [0, -1]].reshape(-1, *case.crops.shape[1:]))
    itself = [[row // count] if case.same else [] for row in range(len(ends))]
    return Figures(
        lpips=np.asarray(lpips(outside, plain, photos)),
        psnr=psnr(plain, photos, prior.matte(photos)),
        id=np.asarray(id_scores(prior.embed(ends), prior.embed(case.others), itself)),
        dlib=nearest_distance(
            describe_faces(ends, prior.crop), describe_faces(case.others, prior.crop), itself
        ),
        truth={
            name: np.min(
                [
                    lpips(outside, to_unit(strips[:, place, number]), to_unit(case.truths[name]))
                    for number in range(len(STRENGTHS))
                ],
                axis=0,
            )
            for place, name in enumerate(DIRECTIONS)
            if name in case.truths
        },
    )


def _together(people: list[list[Figures]], method: int, figure: str) -> np.ndarray:
    return np.concatenate([getattr(found[method], figure) for found in people])


def _table(title: str, people: list[list[Figures]]) -> Table:
    rows: list[list[Cell]] = []
    named = list(people[0][0].truth)
    for method, name in enumerate(METHODS):
        truths = [np.concatenate([found[method].truth[one] for found in people]) for one in named]
        figures = [_together(people, method, figure) for figure in ("lpips", "psnr", "id", "dlib")]
        rows.append([name, *map(spread, [*figures, *truths])])
    columns = ["", "lpips", "psnr", "id", "dlib", *(f"truth of {name}" for name in named)]
    return Table(f"{title}, {len(NAMES) * PHOTOS} photos (mean ± spread)", columns, rows)


def _targets(kind: str, people: list[list[Figures]]) -> list[Target]:
    """What must hold: more of the photo stays, and the person stays as they were."""

    def gain(figure: str) -> float:
        own, refined = (_together(people, method, figure).mean() for method in (0, 1))
        return float(refined - own)

    return [
        Target(f"{kind}: LPIPS to the photo, lower by", -gain("lpips"), "above", 0.0),
        Target(f"{kind}: PSNR to the photo, higher by", gain("psnr"), "above", 0.0),
        Target(f"{kind}: ID at the ends, lower by", -gain("id"), "at most", 0.02),
    ]
