"""Prior against expressiveness: beta by application, for typical and atypical photos (fig 5, 18)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from mystyle_cli.analysis.baselines import pictures
from mystyle_cli.experiments.bench import MEASURES
from mystyle_cli.experiments.enhancement import CASES
from mystyle_cli.experiments.experiment import Experiment, Measured, Values, spread_of
from mystyle_cli.find.locate import Subject
from mystyle_cli.photos.pixels import grid
from mystyle_cli.report.report import Cell, Curve, Plot, Report, Table, Target
from mystyle_cli.restore.restore import restore

if TYPE_CHECKING:
    from mystyle_cli.experiments.bench import Bench
    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.restore.task import TaskName

BETAS: Final = (0.0, 0.02, 0.05, 0.1, None)
"""From the hull itself to unbounded."""

TASKS: Final[tuple[TaskName, ...]] = ("invert", "upscale", "inpaint")
USED: Final = {"inpaint": CASES[0], "upscale": CASES[2]}
"""What is taken from photos."""


def measure(bench: Bench) -> Measured:
    """Restore held-out photos with every beta in every application.

    Returns:
        For every measure (tasks, betas, B); `typical` (B,): ID of the photo itself to the reference set.
    """
    shape = (len(TASKS), len(BETAS), len(bench.held_out))
    found: dict[str, Values] = {name: np.full(shape, np.nan) for name in MEASURES}
    sheets: dict[str, Pixels] = {}
    for place, task in enumerate(TASKS):
        rows = [_shown(bench, task)]
        for number, beta in enumerate(BETAS):
            made = restored(bench, task, beta)
            rows.append(made)
            for name, column in bench.score(made).items():
                found[name][place, number] = column
        rows.append(bench.held_out)
        sheets[task] = grid(np.stack(rows, axis=1).reshape(-1, *made.shape[1:]), len(rows))
    typical = bench.score(bench.held_out)["id"]
    return Measured(found | {"typical": typical}, sheets)


def _inputs(bench: Bench, task: TaskName) -> list[Subject]:
    if task == "invert":
        return [Subject(photo, name=name) for photo, name in zip(bench.held_out, bench.names, strict=True)]
    return USED[task].subjects(bench)


def _shown(bench: Bench, task: TaskName) -> Pixels:
    """Return what the search is given, at the size of its answers."""
    return bench.held_out if task == "invert" else USED[task].shown(bench)


def restored(bench: Bench, task: TaskName, beta: float | None) -> Pixels:
    """Return uint8 (B, R, R, 3), what a search within a dilation answers for the held-out photos."""
    settings = bench.settings(task)
    settings = replace(settings, projection=replace(settings.projection, beta=beta))
    return pictures(restore(bench.profile, _inputs(bench, task), task, settings, bench.progress))


def tell(measured: Mapping[str, Measured]) -> Report:
    """Lay fig 5 and 18 out."""
    tables, targets, plots = [], [], []
    for place, task in enumerate(TASKS):
        rows: list[list[Cell]] = []
        curves: list[Curve] = []
        for name, found in measured.items():
            errors, distances = 1 - found.values["id"][place], found.values["lpips"][place]  # (betas, B)
            atypical = found.values["typical"] < np.median(found.values["typical"])
            for number, beta in enumerate(BETAS):
                rows.append(
                    [
                        name,
                        "none" if beta is None else beta,
                        spread_of(errors[number]),
                        spread_of(distances[number]),
                        *(
                            _mean(values[number][which])
                            for values in (errors, distances)
                            for which in (~atypical, atypical)
                        ),
                    ]
                )
            steps = list(range(len(BETAS)))
            curves.append(Curve(f"{name}: ID error", steps, errors.mean(axis=1).tolist()))
            curves.append(Curve(f"{name}: LPIPS", steps, distances.mean(axis=1).tolist()))
        columns = ["person", "beta", "ID error", "LPIPS", *COLUMNS]
        tables.append(Table(f"{task}: held-out photos within each beta", columns, rows))
        ticks = ["none" if beta is None else f"{beta:g}" for beta in BETAS]
        plots.append(Plot(f"Fig 5: {task}", "beta", "error", curves, ticks=ticks))
        for name, sign in (("id", -1), ("lpips", 1)):
            curve = np.mean([found.values[name][place].mean(axis=1) for found in measured.values()], axis=0)
            fall = float(sign * (curve[0] - curve[-1]))
            said = "ID error, unbounded less beta 0" if name == "id" else "LPIPS, beta 0 less unbounded"
            if task == "invert":
                targets.append(Target(f"{task}: {said}", -fall if name == "id" else fall, "above", 0.0))
    return Report(
        "beta",
        "prior against expressiveness (fig 5, 18)",
        tables,
        targets,
        plots=plots,
        findings=[_best(measured, place, task) for place, task in enumerate(TASKS)],
    )


def _best(measured: Mapping[str, Measured], place: int, task: TaskName) -> str:
    """Say which beta has the least ID error and LPIPS together."""
    errors = [1 - found.values["id"][place] + found.values["lpips"][place] for found in measured.values()]
    sums = np.mean([error.mean(axis=1) for error in errors], axis=0)  # (betas,)
    beta = BETAS[int(sums.argmin())]
    said = "none" if beta is None else f"{beta:g}"
    return f"{task}: the least ID error and LPIPS together come with --beta {said}."


COLUMNS: Final = (
    "ID error, typical photos",
    "atypical",
    "LPIPS, typical photos",
    "atypical ",
)


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


EXPERIMENTS: Final = (
    Experiment(
        "beta",
        "fig 5, 18",
        "Which beta suits this person, for which photo?",
        measure,
        tell,
        own=True,
        held_out=2,
    ),
)
