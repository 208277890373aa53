"""What few photos give: a person learned from some of their photos, and others of theirs enlarged and filled.

The profiles are those of the figure `restore`; what is tuned here is tuned as `profile create` tunes so few.
Beside the person's own space (P_beta+) what lies near it is searched, which holds more than a few anchors
span, or W+ of the same generator. MYSTYLE_FEW_COUNTS says how many photos, "all" being the profile as it is,
and MYSTYLE_FEW_SPACES which spaces; each row is told on stderr when it is there.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import Final, get_args

import numpy as np

from mystyle_cli.baselines.baseline import FREE_STEPS
from mystyle_cli.experiments.bench import PAPER, Bench, fraction
from mystyle_cli.experiments.cases import HIDDEN, SMALL
from mystyle_cli.person.profile import Profile
from mystyle_cli.projection.settings import STEPS, SpaceName
from mystyle_cli.report.report import Cell, Report, Table
from mystyle_cli.restore.task import FEW, FEW_STEPS
from mystyle_cli.store.store import Store
from mystyle_cli.tuning.settings import TuneSettings
from mystyle_cli.tuning.tuning import Reconstruction, tune
from tools.figures.common import report_progress, spread
from tools.figures.restore import NAMES, PHOTOS, STORE

ALL: Final = "all"
COUNTS: Final = tuple(os.environ.get("MYSTYLE_FEW_COUNTS", f"3,8,20,{ALL}").split(","))
SPACES: Final = tuple(os.environ.get("MYSTYLE_FEW_SPACES", "p+,near").split(","))
MEASURES: Final = {
    "id": "ID to the nearest photo",
    "truth_id": "ID to the truth",
    "lpips": "LPIPS",
}

COLUMNS: Final = ["person", "photos", "space", "case", *MEASURES.values()]


def make() -> Report:
    """Tune on some photos, and answer for held-out ones in both spaces."""
    spaces = tuple(one for one in get_args(SpaceName) if one in SPACES)
    rows: list[list[Cell]] = []
    for profile in (Store(STORE).open(name) for name in NAMES):
        bench = Bench(profile, replace(fraction(PAPER, 0.02), photos=PHOTOS), progress=report_progress)
        rows += _rows(bench, profile.drawn_by(profile.prior.generator()), "none", ("w+",))
        order = np.random.default_rng(0).permutation(len(profile.anchors()))
        for count in COUNTS:
            some = order if count == ALL else order[: int(count)]
            person = profile if count == ALL else _learned(bench, sorted(some.tolist()))
            rows += _rows(bench, person, len(some), spaces)
    return Report(
        "few",
        f"a person of few photos ({', '.join(NAMES)}; {PHOTOS} held-out photos each)",
        [Table("by the number of photos", COLUMNS, rows)],
        [],
        {
            "none": "the domain prior",
            "start": "the anchors' mean; of all photos, the instant net's answer",
            "id": "cosine of the prior's identity net, to the nearest of all their photos or the truth",
            "near": f"{STEPS['near']} steps, {FEW_STEPS} with fewer than {FEW} photos",
            "w+": f"{FREE_STEPS} steps",
        },
    )


def _learned(bench: Bench, rows: list[int]) -> Profile:
    """Return the person as some of their photos give them."""
    profile = bench.profile
    generator, anchors, faces = profile.prior.generator(), profile.anchors()[rows], profile.faces()[rows]
    wanted = Reconstruction(generator, anchors, faces, bench.judge.perceptual)
    result = tune(wanted, TuneSettings().for_photos(len(rows)), progress=report_progress)
    generator.load_state_dict(dict(result.state), strict=False)
    return profile.drawn_by(generator, anchors)


def _rows(bench: Bench, person: Profile, count: Cell, spaces: tuple[SpaceName, ...]) -> list[list[Cell]]:
    found: list[list[Cell]] = []
    for space in spaces:
        for case in (SMALL, HIDDEN):
            settings = bench.settings(case.task)
            steps = FREE_STEPS if space == "w+" else None
            settings = replace(settings, projection=replace(settings.projection, space=space, steps=steps))
            scores = bench.judged(case.answered(person, bench.photos, settings, report_progress))
            row = [bench.profile.name, count, space, case.name, *(spread(scores[one]) for one in MEASURES)]
            print("  ", *row, sep="  ", file=sys.stderr, flush=True)
            found.append(row)
    return found
