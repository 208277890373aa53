"""Prior against expressiveness: beta by application, for typical and atypical photos (fig 5, 18)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from mystyle_cli.experiments.bench import MEASURES
from mystyle_cli.experiments.cases import HIDDEN, SMALL, WHOLE
from mystyle_cli.experiments.experiment import (
    Experiment,
    Measured,
    Values,
    failures_in,
    mean_of,
    means_of,
    sheet_of,
    spread_of,
)
from mystyle_cli.report.report import Cell, Curve, Plot, Report, Table, Target

if TYPE_CHECKING:
    from mystyle_cli.experiments.bench import Bench
    from mystyle_cli.experiments.cases import Case
    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.restore.trials import Answers

BETAS: Final = (0.0, 0.02, 0.05, 0.1, None)  # from the hull itself to unbounded
USED: Final = (WHOLE, SMALL, HIDDEN)  # what is taken from photos, one for each application


def measure(bench: Bench) -> Measured:
    """Restore held-out photos with every beta in every application.

    Returns:
        For every measure (cases, betas, B), NaN where a photo failed; `typical` (B,): ID of the photo itself
        to the reference set.
    """
    shape = (len(USED), len(BETAS), len(bench.held_out))
    found: dict[str, Values] = {name: np.full(shape, np.nan) for name in MEASURES}
    sheets: dict[str, Pixels] = {}
    for place, case in enumerate(USED):
        shown = [case.left(bench.photos, bench.profile.prior.crop)]
        for number, beta in enumerate(BETAS):
            answers = answered(bench, case, beta)
            shown.append(answers.pixels)
            for name, column in bench.judged(answers).items():
                found[name][place, number] = column
        sheets[case.task] = sheet_of(np.stack([*shown, bench.held_out], axis=1))
    typical = bench.score(bench.held_out)["id"]
    return Measured(found | {"typical": typical}, sheets)


def answered(bench: Bench, case: Case, beta: float | None) -> Answers:
    """Return what a search within a dilation answers for the held-out photos."""
    settings = bench.settings(case.task)
    settings = replace(settings, projection=replace(settings.projection, beta=beta))
    return case.answered(bench.profile, bench.photos, settings, bench.progress)


def tell(measured: Mapping[str, Measured]) -> Report:
    """Lay fig 5 and 18 out."""
    tables, targets, plots = [], [], []
    for place, task in enumerate(case.task for case in USED):
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
                            mean_of(values[number][which])
                            for values in (errors, distances)
                            for which in (~atypical, atypical)
                        ),
                        failures_in(distances[number]),
                    ]
                )
            steps = list(range(len(BETAS)))
            curves.append(Curve(f"{name}: ID error", steps, means_of(errors).tolist()))
            curves.append(Curve(f"{name}: LPIPS", steps, means_of(distances).tolist()))
        columns = ["person", "beta", "ID error", "LPIPS", *COLUMNS, "failed"]
        tables.append(Table(f"{task}: held-out photos within each beta", columns, rows))
        ticks = ["none" if beta is None else f"{beta:g}" for beta in BETAS]
        plots.append(Plot(f"Fig 5: {task}", "beta", "error", curves, ticks=ticks))
        for name, sign in (("id", -1), ("lpips", 1)):
            curve = _curve([found.values[name][place] for found in measured.values()])
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
        findings=[_best(measured, place, case) for place, case in enumerate(USED)],
    )


def _curve(values: Sequence[Values]) -> Values:
    """Return the mean (betas,) of people's values (betas, B), each person counting as much."""
    return means_of(np.stack([means_of(one) for one in values], axis=1))


def _best(measured: Mapping[str, Measured], place: int, case: Case) -> str:
    """Say which beta has the least ID error and LPIPS together."""
    sums = _curve(
        [1 - found.values["id"][place] + found.values["lpips"][place] for found in measured.values()]
    )
    if not np.isfinite(sums).any():
        return f"{case.task}: no photo was answered."
    beta = BETAS[int(np.nanargmin(sums))]
    said = "none" if beta is None else f"{beta:g}"
    return f"{case.task} --space p+: the least ID error and LPIPS together come with --beta {said}."


COLUMNS: Final = (
    "ID error, typical photos",
    "atypical",
    "LPIPS, typical photos",
    "atypical ",
)


EXPERIMENTS: Final = (
    Experiment(
        "beta",
        "Which beta suits this person, for which photo?",
        measure,
        tell,
        own=True,
        held_out=2,
    ),
)
