"""Photos of two real people edited: what a direction changes, and whether they stay themselves (sec. 5.3)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from mystyle_cli.analysis.properties import measure_properties
from mystyle_cli.config import DEFAULT_PRIOR
from mystyle_cli.edit.directions import find_direction
from mystyle_cli.edit.photos import EditSettings, Frame, edit_photos
from mystyle_cli.faces.face import aligned_face
from mystyle_cli.find.locate import Subject
from mystyle_cli.person.profile import Profile
from mystyle_cli.person.reference import HELD_OUT
from mystyle_cli.photos.pixels import Pixels, grid, to_pixels
from mystyle_cli.report.report import Cell, Report, Table, Target
from tools.faces import judge as outside
from tools.figures.albums import ALBUMS, HELD, PEOPLE, album_photos, learn_photos, outside_judge
from tools.figures.common import report_progress, save_picture, spread

PHOTOS = 6  # held-out photos of each person
STRENGTHS: Final = (-2.0, -1.0, 0.0, 1.0, 2.0)
MEASURED: Final = ("yaw", "pitch", "smile", "mouth", "eyes-open", "light")  # by landmarks and pixels
UNMEASURED: Final = ("glasses",)  # looked at on the sheets
STAYS = 0.6  # ID at the ends of a strip over ID at its middle


@dataclass(frozen=True)
class Strips:
    """Edits of the photos of one person along one direction.

    Args:
        ids: (B, S) ID of every picture.
        moved: (B, S - 1) change of the property from one strength to the next; NaN where nothing measures it.
        spread: of the property over the person's own photos.
        share: (B, S) how much of the strength was reached within beta.
    """

    ids: np.ndarray
    moved: np.ndarray
    spread: float
    share: np.ndarray


def make() -> Report:
    """Edit some held-out photos of both people along each direction."""
    if not PEOPLE.is_dir():
        return Report("editing", "real people edited", [], [], {"skipped": "no folder ../shared/people"})
    judge = outside_judge()
    names = [*MEASURED, "age", *UNMEASURED]
    found: dict[str, list[Strips]] = {name: [] for name in names}
    for album in ALBUMS:
        profile = learn_photos(f"{album}-0", album_photos(album), DEFAULT_PRIOR, HELD, 0).profile
        crops = to_pixels(profile.faces(HELD_OUT))[:PHOTOS]
        for name, strips in _edit(profile, crops, names, album, judge).items():
            found[name].append(strips)
    rows = [_row(name, strips) for name, strips in found.items()]
    columns = [
        "direction",
        "change from end to end",
        "of its steps the right way",
        "ID at 0",
        "ID at the ends",
    ]
    return Report(
        "editing",
        f"{PHOTOS} held-out photos of each of two people, strengths {STRENGTHS[0]:g} to {STRENGTHS[-1]:g}",
        [Table("both people (mean ± spread)", [*columns, "strength reached"], rows)],
        [target for name, strips in found.items() for target in _targets(name, strips)],
        {
            "change": "in spreads over the person's own photos; age in years by the outside judge",
            "pictures": "figures/editing-*.png, a row a photo",
        },
    )


def _edit(
    profile: Profile, crops: Pixels, names: Sequence[str], album: str, judge: outside.Judge | None
) -> dict[str, Strips]:
    """Invert photos once and edit them along every direction."""
    settings = EditSettings()
    settings = replace(settings, restore=replace(settings.restore, aligned=True, force=True))
    subjects = [Subject(crop, name=f"{album}{number}") for number, crop in enumerate(crops)]
    edits = [[(find_direction(profile.prior, name), strength)] for name in names for strength in STRENGTHS]
    edited = edit_photos(profile, subjects, edits, settings, report_progress)
    found = {}
    for number, name in enumerate(names):
        part = slice(number * len(STRENGTHS), (number + 1) * len(STRENGTHS))
        frames = [photo.frames[part] for photo in edited]
        faces = np.stack([[frame.face for frame in row] for row in frames])  # (B, S, R, R, 3)
        shown = np.concatenate([crops[:, None], faces], axis=1)  # (B, 1 + S, R, R, 3)
        save_picture(f"editing-{album}-{name}", grid(shown.reshape(-1, *crops.shape[1:]), shown.shape[1]))
        values = np.stack([_property(profile, row, name, judge) for row in faces])
        own = _property(profile, to_pixels(profile.faces()), name, judge)
        found[name] = Strips(
            ids=np.array([[frame.id_score for frame in row] for row in frames]),
            moved=np.diff(values, axis=1),
            spread=1.0 if name == "age" else float(own.std()),
            share=np.array([[_share(frame) for frame in row] for row in frames]),
        )
    return found


def _share(frame: Frame) -> float:
    """Return how much of the strength that was asked for an edit has reached; NaN where none was."""
    ((name, asked),) = frame.strengths.items()
    return frame.reached[name] / asked if asked else math.nan


def _property(profile: Profile, crops: Pixels, name: str, judge: outside.Judge | None) -> np.ndarray:
    """Return the property of every crop (N,), NaN where nothing measures it."""
    marks = [aligned_face(crop, profile.prior.crop).landmarks for crop in crops]
    if name == "age" and judge is not None:
        return judge.ages(np.stack([judge.cut(*pair) for pair in zip(crops, marks, strict=True)]))
    if name in MEASURED:
        return measure_properties(np.stack(marks) / crops.shape[1], crops)[name]
    return np.full(len(crops), np.nan)


def _row(name: str, strips: list[Strips]) -> list[Cell]:
    ids = np.concatenate([strip.ids for strip in strips])
    ends = ids[:, [0, -1]].mean(1)
    reached = np.concatenate([strip.share for strip in strips])[:, [0, -1]]
    return [
        name,
        spread(np.concatenate([strip.moved.sum(1) / strip.spread for strip in strips])),
        spread(_rightly(strips)),
        spread(ids[:, ids.shape[1] // 2]),
        spread(ends),
        spread(reached.ravel()),
    ]


def _rightly(strips: list[Strips]) -> np.ndarray:
    """Return for each photo (B,) the share of steps that change the property the right way."""
    moved = np.concatenate([strip.moved for strip in strips])
    return np.where(np.isnan(moved).any(1), np.nan, (moved > 0).mean(1))


def _targets(name: str, strips: list[Strips]) -> list[Target]:
    ids = np.concatenate([strip.ids for strip in strips])
    kept = float((ids[:, [0, -1]].mean(1) / ids[:, ids.shape[1] // 2]).mean())
    targets = [Target(f"{name}: share of ID kept at the ends", kept, "at least", STAYS)]
    rightly = _rightly(strips)
    if np.isfinite(rightly).all():
        targets.append(
            Target(f"{name}: share of steps the right way", float(rightly.mean()), "at least", 0.8)
        )
    return targets
