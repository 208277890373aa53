"""Restoring in W, W+, P and P+ of the tuned generator (app. C.4, fig 19)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from mystyle_cli.baselines.baseline import FREE_STEPS
from mystyle_cli.experiments.bench import MEASURES
from mystyle_cli.experiments.cases import HIDDEN, SMALL
from mystyle_cli.experiments.experiment import (
    Experiment,
    Measured,
    Values,
    failures_in,
    mean_of,
    sheet_of,
    spread_of,
)
from mystyle_cli.projection.settings import HULL, SpaceName
from mystyle_cli.report.report import Cell, Report, Table, Target

if TYPE_CHECKING:
    from mystyle_cli.experiments.bench import Bench

SPACES: Final[tuple[SpaceName, ...]] = ("w", "w+", "p", "p+")
TRIED: Final = (HIDDEN, SMALL)


def measure(bench: Bench) -> Measured:
    """Restore held-out photos in each space.

    Returns:
        For every measure (cases, spaces, B), NaN where a photo failed.
    """
    shape = (len(TRIED), len(SPACES), len(bench.held_out))
    found: dict[str, Values] = {name: np.full(shape, np.nan) for name in MEASURES}
    sheets = {}
    for place, case in enumerate(TRIED):
        shown = [case.left(bench.photos, bench.profile.prior.crop)]
        for row, space in enumerate(SPACES):
            settings = bench.settings(case.task)
            steps = settings.projection.steps or (None if space in HULL else FREE_STEPS)
            search = replace(settings.projection, space=space, steps=steps)
            settings = replace(settings, projection=search, start="centre")  # the same for all
            answers = case.answered(bench.profile, bench.photos, settings, bench.progress)
            shown.append(answers.pixels)
            for name, column in bench.judged(answers).items():
                found[name][place, row] = column
        sheets[f"spaces-{case.task}"] = sheet_of(np.stack([*shown, bench.held_out], axis=1))
    return Measured(found, sheets)


def tell(measured: Mapping[str, Measured]) -> Report:
    """Lay fig 19 out."""
    tables, targets = [], []
    for place, case in enumerate(TRIED):
        rows: list[list[Cell]] = []
        ids = {}
        for row, space in enumerate(SPACES):
            columns = {
                name: np.concatenate([found.values[name][place, row] for found in measured.values()])
                for name in ("id", "truth_id", "dlib", "lpips")
            }
            ids[space] = mean_of(columns["id"])
            rows.append(
                [space, *(spread_of(column) for column in columns.values()), failures_in(columns["id"])]
            )
        tables.append(Table(case.name, ["space", "ID", "ID to the truth", "dlib", "LPIPS", "failed"], rows))
        free = max(ids["w"], ids["w+"])
        targets.append(Target(f"{case.name}: ID in P+ over W and W+", ids["p+"] - free, "above", 0.0))
    return Report(
        "spaces",
        "restoring in W, W+, P and P+ of the tuned generator (fig 19)",
        tables,
        targets,
        findings=[f"{target.name}: {target.value:+.3f}." for target in targets],
    )


EXPERIMENTS: Final = (
    Experiment("spaces", "What is the person's own space worth?", measure, tell, held_out=1),
)
