"""Upscaling and inpainting of both people's held-out photos against the domain prior (fig 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mystyle_cli.analysis.judge import Judge
from mystyle_cli.analysis.membership import excess
from mystyle_cli.baselines.baseline import FREE_STEPS
from mystyle_cli.experiments.cases import HIDDEN, SMALL, Case
from mystyle_cli.photos.pixels import grid
from mystyle_cli.projection.settings import STEPS
from mystyle_cli.report.report import Cell, Report, Table, Target
from mystyle_cli.restore.task import RestoreSettings, default_settings
from tools.figures.common import people, profile_of, report_progress, save_picture, spread, truths_of
from tools.figures.restored import METHODS, Enhancement, enhance, targets

TAKEN = (SMALL, HIDDEN)
COLUMNS = ("id", "dlib", "lpips", "psnr", "trait")


def make() -> Report:
    """Restore every held-out photo with both priors."""
    tables, wanted, outside = [], [], 0.0
    for case in TAKEN:
        runs = {}
        for person in people():
            judge, truths = Judge(profile_of(person.name)), truths_of(person.name)
            runs[person.name] = enhance(judge, truths, case, _settings(case), report_progress)
            _show(person.name, runs[person.name])
            outside = max(outside, _outside(runs[person.name]))
        tables += [_table(name, [run]) for name, run in runs.items()]
        tables += [_table("both people", list(runs.values())), _by_photo(case, list(runs.values()))]
        wanted += targets(list(runs.values()))
    wanted.append(Target("how far the worst code lies outside A_beta", outside, "at most", 1e-6))
    return Report(
        "enhancement",
        "upscaling 16 px -> 128 px and inpainting eyes and nose, against the domain prior in W+ (fig 9)",
        tables,
        wanted,
        {
            "steps": {"personal prior": STEPS["p+"], "domain prior": FREE_STEPS},
            "id": "cosine to the nearest reference photo by our identity net",
            "dlib": "distance to the nearest reference photo by dlib's net, lower is nearer",
            "trait": "share of the skin mark's contrast that is there",
            "pictures": "figures/enhancement-*.png: input, domain prior, personal prior, truth",
        },
    )


def _settings(case: Case) -> RestoreSettings:
    return replace(default_settings(case.task), batch=12)


def _table(name: str, runs: Sequence[Enhancement]) -> Table:
    rows: list[list[Cell]] = []
    for method in METHODS:
        columns = [
            np.concatenate([getattr(run.scores[method], figure) for run in runs]) for figure in COLUMNS
        ]
        rows.append([method, *(spread(column) for column in columns)])
    photos = sum(len(run.answers) for run in runs)
    return Table(f"{runs[0].case.task}, {name}, {photos} photos (mean ± spread)", ["", *COLUMNS], rows)


def _by_photo(case: Case, runs: Sequence[Enhancement]) -> Table:
    """Return how far apart the two priors are on single photos."""
    ours, theirs = METHODS[2], METHODS[1]
    rows: list[list[Cell]] = []
    for figure in COLUMNS:
        found = [getattr(run.scores[ours], figure) - getattr(run.scores[theirs], figure) for run in runs]
        gain = np.concatenate(found)
        gain = gain[np.isfinite(gain)]
        rows.append(
            [figure, float(gain.min()), float(np.median(gain)), float(gain.max()), int((gain > 0).sum())]
        )
    return Table(
        f"{case.task}: personal less domain prior, by photo", ["", "least", "median", "most", "above 0"], rows
    )


def _show(name: str, run: Enhancement) -> None:
    rows = np.concatenate([run.pictures[method] for method in METHODS])
    save_picture(f"enhancement-{run.case.task}-{name}", grid(rows, columns=len(run.answers)))


def _outside(run: Enhancement) -> float:
    found = [excess(a.alpha_plus, a.beta) for a in run.answers if a.alpha_plus is not None]
    return max(found)
