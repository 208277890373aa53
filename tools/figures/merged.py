"""Two people in one generator: their held-out photos restored by it and by each one's own profile (fig 13).

The demonstration people, and with MYSTYLE_ALBUMS=STORE/NAME,STORE/NAME profiles of real people, which are
copied and never changed. A photo's person is not told: it is chosen by identity, as `mystyle upscale` does.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from mystyle_cli.analysis.judge import Judge, Scores, Truths
from mystyle_cli.hull.hull import in_hull
from mystyle_cli.learn.learn import merge
from mystyle_cli.person.profile import Profile
from mystyle_cli.person.reference import HELD_OUT
from mystyle_cli.photos.pixels import to_pixels
from mystyle_cli.report.report import Cell, Report, Table, Target
from mystyle_cli.restore.restore import restore
from mystyle_cli.restore.task import Quality, TaskName, default_settings
from mystyle_cli.restore.trials import comparison_settings, pictures, subjects
from mystyle_cli.store.store import Store
from tools.figures.common import NAMES, OUT, profile_of, report_progress, spread, store, truths_of

ALBUMS_VARIABLE: Final = "MYSTYLE_ALBUMS"
TASKS: Final[tuple[TaskName, ...]] = ("upscale", "inpaint")
NEAR: Final = 0.02
"""How far the shared generator may stay behind, in ID and in LPIPS."""

SINGLE, SHARED = "own profile", "shared generator"
FIGURES: Final = ("id", "truth_id", "lpips", "dlib", "psnr")


def make() -> Report:
    """Merge pairs of people, and restore their held-out photos twice."""
    demonstration = [profile_of(name) for name in NAMES]
    pairs = {"rendered": (store(), demonstration, [truths_of(name) for name in NAMES])}
    if albums := os.environ.get(ALBUMS_VARIABLE):
        pairs["albums"] = _albums([Path(place) for place in albums.split(",")])
    tables, wanted = [], []
    for pair, (where, people, truths) in pairs.items():
        names = [person.name for person in people]
        duo = merge(where, "-".join(names), names, progress=report_progress).profile
        for task in TASKS:
            for quality in ("full", "instant"):
                runs = {
                    person.name: _restored(duo, person, true, task, quality)
                    for person, true in zip(people, truths, strict=True)
                }
                tables.append(_table(f"{pair}, {task}, {quality}", runs))
                wanted += _targets(f"{pair}, {task}, {quality}", runs)
    return Report(
        "merged",
        "two people in one generator, against each one's own profile (fig 13)",
        tables,
        wanted,
        {
            "id": "cosine to the nearest reference photo by our identity net",
            "truth_id": "the same cosine to the true photo",
            "dlib": "distance to the nearest reference photo by dlib's net, lower is nearer",
            "whose": "share of photos for which the right one of the two was chosen by identity",
        },
    )


def _albums(places: Sequence[Path]) -> tuple[Store, list[Profile], list[Truths]]:
    """Copy profiles of real people into a store of their own; their held-out photos are the truth."""
    ours = Store(OUT / "merged")
    for place in places:
        if not (ours.root / place.name).exists():
            shutil.copytree(place, ours.root / place.name)
    people = [ours.open(place.name) for place in places]
    return ours, people, [_truths(person) for person in people]


def _truths(profile: Profile) -> Truths:
    """Return a profile's held-out photos; nobody knows of marks on them."""
    crops = to_pixels(profile.faces(HELD_OUT))
    paths = tuple(Path(record.file) for record in profile.photos(HELD_OUT))
    return Truths(paths, crops, np.zeros(crops.shape[:3], bool), profile.prior.crop)


def _restored(
    duo: Profile, person: Profile, truths: Truths, task: TaskName, quality: Quality
) -> tuple[dict[str, Scores], float, float]:
    """Restore one person's photos twice.

    Returns:
        The scores by who drew, the share of photos whose person was told right, and how far the worst code of
        the shared generator lies outside that person's hull.
    """
    settings = default_settings(task, quality)
    judge, names = Judge(person), [path.name for path in truths.paths]
    degraded = subjects(truths.crops, task, names, truths.crop)
    chosen = comparison_settings(task, settings)
    own = restore(person, degraded, task, chosen, report_progress)
    shared = restore(duo, degraded, task, chosen, report_progress)
    scores = {SINGLE: judge.score(pictures(own), truths), SHARED: judge.score(pictures(shared), truths)}
    outside = 0.0
    for answer in shared:
        assert answer.alpha_plus is not None
        inside = in_hull(answer.alpha_plus, settings.projection.beta)
        fits = answer.alpha_plus.shape[-1] == len(duo.one(answer.person).anchors())
        outside += float(not (inside.all() and fits))
    whose = float(np.mean([answer.person == person.name for answer in shared]))
    return scores, whose, outside


Runs = Mapping[str, tuple[dict[str, Scores], float, float]]


def _table(name: str, runs: Runs) -> Table:
    rows: list[list[Cell]] = []
    for person, (scores, whose, _) in runs.items():
        for method, found in scores.items():
            told = f"{whose:.0%}" if method == SHARED else "-"
            rows.append(
                [f"{person}, {method}", *(spread(getattr(found, figure)) for figure in FIGURES), told]
            )
    return Table(name, ["", *FIGURES, "whose"], rows)


def _targets(name: str, runs: Runs) -> list[Target]:
    wanted = []
    for person, (scores, whose, outside) in runs.items():
        own, shared = scores[SINGLE].means(), scores[SHARED].means()
        said = f"{name}, {person}"
        wanted += [
            Target(f"{said}: ID below their own profile's by", own["id"] - shared["id"], "at most", NEAR),
            Target(
                f"{said}: ID to the truth below it by", own["truth_id"] - shared["truth_id"], "at most", NEAR
            ),
            Target(f"{said}: LPIPS above it by", shared["lpips"] - own["lpips"], "at most", NEAR),
            Target(f"{said}: share of photos told right", whose, "at least", 1.0),
            Target(f"{said}: codes outside their hull", outside, "at most", 0.0),
        ]
    return wanted
