"""`--beta auto` against the best fixed beta, on photos of people on whom nothing was set.

Four people are rendered whom no net and no setting has seen, and learned with a part of their photos held
out; the profiles that MYSTYLE_FIGURE_PROFILES names (folders, separated as PATH is) are judged beside them.
One half of the held-out photos says which beta suits, as learning asks them; the other half is restored with
every beta, and what `auto` gives each photo is compared with the beta that would have been best for all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from mystyle_cli.curate.settings import CurateSettings
from mystyle_cli.instant.net import open_instant
from mystyle_cli.learn.betas import Measured, Restorer, measure_betas
from mystyle_cli.learn.learn import learn
from mystyle_cli.learn.settings import LearnSettings
from mystyle_cli.person.profile import Profile
from mystyle_cli.person.reference import HELD_OUT
from mystyle_cli.photos.pixels import to_pixels
from mystyle_cli.prior.registry import open_prior
from mystyle_cli.report.report import Cell, Report, Table, Target
from mystyle_cli.restore.betas import GRID, MEASURED, choose
from mystyle_cli.restore.task import BETAS, TaskName
from mystyle_cli.store.store import Store
from tools.figures.common import OUT, report_progress
from tools.portraits import PRIOR
from tools.portraits.identity import Traits
from tools.portraits.people import Person, write_good_photos

PROFILES_VARIABLE: Final = "MYSTYLE_FIGURE_PROFILES"
PEOPLE_VARIABLE: Final = "MYSTYLE_FIGURE_PEOPLE"  # how many people are rendered and learned
FIRST_SEED: Final = 930_000  # of people that nothing else draws
PHOTOS: Final = 60
HELD: Final = 0.2  # share of the photos that is held out
NEAR: Final = 0.01  # how near to the best fixed beta is wanted, in ID and in LPIPS


def make() -> Report:
    """Measure every profile, and compare."""
    found = {task: [] for task in MEASURED}
    for profile in _profiles():
        for task, measured in measure_betas(_restorer(profile), _held_out(profile), report_progress).items():
            found[task] += [_compare(profile.name, task, measured, first) for first in (0, 1)]
    rows = [line.row() for lines in found.values() for line in lines]
    columns = [
        "",
        "task",
        "photos",
        "best",
        "its ID",
        "its LPIPS",
        "auto",
        "its ID",
        "its LPIPS",
        "paper's ID",
        "LPIPS",
    ]
    return Report(
        "betas",
        "beta auto against the best fixed beta",
        [Table("each half of the held-out photos judged by what the other half advised", columns, rows)],
        [target for task, lines in found.items() for target in _targets(task, lines)],
        {"grid": ", ".join(f"{beta:g}" for beta in GRID), "photos of each rendered person": PHOTOS},
    )


def _profiles() -> Iterator[Profile]:
    """Yield the rendered people, then the profiles that were named."""
    for number in range(int(os.environ.get(PEOPLE_VARIABLE, "4"))):
        person = Person(f"rendered-{number}", FIRST_SEED + number, Traits(), "")
        photos = write_good_photos(person, OUT / "betas-photos", PHOTOS)
        settings = LearnSettings(curation=CurateSettings(held_out=HELD))
        store, prior = Store(OUT / "betas"), open_prior(PRIOR)
        yield learn(store, person.name, photos, prior, settings, report_progress).profile
    for place in filter(None, os.environ.get(PROFILES_VARIABLE, "").split(os.pathsep)):
        folder = Path(place)
        yield Store(folder.parent).open(folder.name)


def _restorer(profile: Profile) -> Restorer:
    prior = profile.prior
    instant = open_instant(profile, helper=True)
    nets = profile.generator(), prior.perceptual()
    return Restorer(prior, *nets, profile.anchors(), profile.reference_embeddings(), instant)


def _held_out(profile: Profile) -> np.ndarray:
    return to_pixels(profile.faces(HELD_OUT))


@dataclass(frozen=True)
class Line:
    """One half of a person's held-out photos in one task: dilations, and mean ID and LPIPS with them."""

    name: str
    task: TaskName
    photos: int
    best: float
    auto: Sequence[float]
    figures: tuple[float, ...]  # ID, LPIPS of the best fixed, of auto, of the paper's or the grid's nearest

    def row(self) -> list[Cell]:
        """Return the line of the table."""
        best, auto, paper = (self.figures[at : at + 2] for at in (0, 2, 4))
        chosen = ", ".join(f"{beta:g}" for beta in self.auto)
        return [self.name, self.task, self.photos, f"{self.best:g}", *best, chosen, *auto, *paper]


def _compare(name: str, task: TaskName, measured: Measured, first: int) -> Line:
    """Ask every second photo, and judge the others."""
    asked, judged = slice(first, None, 2), slice(1 - first, None, 2)
    ids, lpips = 1 - measured.id_errors, measured.lpips
    choice = choose((measured.id_errors + lpips)[:, asked], measured.id_scores[asked])
    ids, lpips, scores = ids[:, judged], lpips[:, judged], measured.id_scores[judged]
    columns = np.arange(len(scores))
    best = int((1 - ids + lpips).mean(axis=1).argmin())
    paper = int(np.abs(np.array(GRID) - BETAS[task]).argmin())
    auto = np.array([GRID.index(choice.of(float(score))) for score in scores])
    figures = [array[rows, columns].mean() for rows in (best, auto, paper) for array in (ids, lpips)]
    return Line(
        name, task, len(scores), GRID[best], sorted({GRID[row] for row in auto}), tuple(map(float, figures))
    )


def _targets(task: TaskName, lines: Sequence[Line]) -> list[Target]:
    figures = np.array([line.figures for line in lines])
    lost, worse = figures[:, 0] - figures[:, 2], figures[:, 3] - figures[:, 1]
    near = float(((lost <= NEAR) & (worse <= NEAR)).mean())
    return [
        Target(f"{task}: mean ID below the best fixed beta's by", float(lost.mean()), "at most", NEAR),
        Target(f"{task}: mean LPIPS above the best fixed beta's by", float(worse.mean()), "at most", NEAR),
        Target(f"{task}: share of halves within {NEAR} in both", near, "at least", 0.9),
    ]
