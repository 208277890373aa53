"""Inpainting and upscaling against other methods on the same prior and photos (sec. 5.2; fig 9, 21b)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from mystyle_cli.baselines.adversarial import CrossDomain, DiffAugment
from mystyle_cli.baselines.fitted import Glo, Restorer
from mystyle_cli.baselines.methods import BASELINES
from mystyle_cli.baselines.untuned import DomainPrior, MyStyle, MyStyleNear
from mystyle_cli.experiments.cases import CASES
from mystyle_cli.experiments.experiment import Experiment, Measured, Values, mean_of, sheet_of, spread_of
from mystyle_cli.report.report import Cell, Report, Table, Target
from mystyle_cli.restore.trials import Answers

if TYPE_CHECKING:
    from mystyle_cli.baselines.baseline import Baseline
    from mystyle_cli.baselines.pivotal import PivotSettings
    from mystyle_cli.experiments.bench import Bench
    from mystyle_cli.experiments.cases import Case


INPUT: Final = "input"
OURS: Final = MyStyle.name  # as the paper has it
SHIPPED: Final = MyStyleNear.name  # as `upscale` and `inpaint` answer
DOMAIN: Final = DomainPrior.name
SYNTHESIS: Final = (CrossDomain.name, Glo.name)  # methods that only make new pictures
ROWS: Final = (INPUT, *(method.name for method in BASELINES if method.name not in SYNTHESIS))


def measure(bench: Bench) -> Measured:
    """Restore held-out photos by every method in every case.

    Returns:
        For every measure (cases, methods, B), methods as in `ROWS`, NaN where one cannot be had or failed;
        failed (cases, methods), photos without an answer; truth (measures, B) of the true photos.
    """
    shape = (len(CASES), len(ROWS), len(bench.held_out))
    found: dict[str, Values] = {name: np.full(shape, np.nan) for name in bench.measures}
    failed = np.full(shape[:2], np.nan)
    sheets = {}
    for place, case in enumerate(CASES):
        shown = [case.left(bench.photos, bench.profile.prior.crop)]
        _note(found, bench.score(shown[0]), place, 0)
        failed[place, 0] = 0
        for method in bench.methods:
            if method.name in SYNTHESIS:
                continue
            answers, row = answered(bench, method, case), ROWS.index(method.name)
            failed[place, row] = answers.failed
            _note(found, bench.judged(answers), place, row)
            shown.append(answers.pixels)
        sheets[case.name.replace(" ", "-")] = sheet_of(np.stack([*shown, bench.held_out], axis=1))
    truth = bench.score(bench.held_out)
    found |= {"failed": failed, "truth": np.stack([truth[name] for name in bench.measures])}
    return Measured(found, sheets)


def _note(found: dict[str, Values], scores: Mapping[str, Values], place: int, row: int) -> None:
    for name, column in scores.items():
        found[name][place, row] = column


def answered(bench: Bench, method: Baseline, case: Case) -> Answers:
    """Return a method's answers to the held-out photos."""
    profile, settings = bench.profile, bench.settings(case.task)
    crop = profile.prior.crop
    given = case.subjects(bench.photos, crop)
    found = method.restore(profile, bench.trained(method), given, case.task, settings, bench.progress)
    return Answers.of([one.pixels for one in found], case.left(bench.photos, crop))


# ID in fig 9; its people, nets and identity net are others, so that only differences compare
PAPER_IDS: Final = {
    "inpaint": {DOMAIN: 0.55, Restorer.name: 0.71, DiffAugment.name: 0.68, OURS: 0.72},
    "upscale": {DOMAIN: 0.65, Restorer.name: 0.75, DiffAugment.name: 0.75, OURS: 0.81},
}

# how far ours is ahead of the domain prior and of the strongest other method in fig 9
MARGINS: Final = {"inpaint": (0.17, 0.01), "upscale": (0.16, 0.05)}


def tell(measured: Mapping[str, Measured]) -> Report:
    """Lay fig 9 and 21b out, all people's photos together."""
    tables, targets, titles = [], [], told_of(measured, TITLES)
    for place, case in enumerate(CASES):
        rows: list[list[Cell]] = []
        for row, method in enumerate(ROWS):
            columns = {name: _column(measured, name, place, row) for name in titles}
            failures = np.array([found.values["failed"][place, row] for found in measured.values()])
            if np.isnan(failures).all():
                continue  # the prior lacks what the method needs
            failed = int(np.nansum(failures))
            paper = PAPER_IDS[case.task].get(method)
            rows.append([method, *(spread_of(column) for column in columns.values()), failed, paper])
        truth = [
            np.concatenate([found.values["truth"][number] for found in measured.values()])
            for number in range(len(titles))
        ]
        headers = ["method", *titles.values(), "failed", "ID in the paper"]
        rows.append(["truth", *(spread_of(column) for column in truth), 0, None])
        tables.append(Table(f"{case.name}: {len(truth[0])} held-out photos", headers, rows))
        targets += _targets(measured, place, case)
    tables.append(methods_told(list(dict.fromkeys(str(row[0]) for table in tables for row in table.rows))))
    return Report(
        "enhancement",
        "inpainting and upscaling against other methods (fig 9, 21b)",
        tables,
        targets,
        {
            "id": "cosine to the nearest reference photo; dlib: distance, lower is nearer",
            **({"judge": "the same cosine by the outside net"} if "judge" in titles else {}),
        },
        findings=_findings(measured),
    )


def methods_told(names: Sequence[str], *others: Baseline | PivotSettings) -> Table:
    """Return what methods are run with and where they are published, of those with the names and others."""
    chosen = [*(method for method in BASELINES if method.name in names), *others]
    rows = [
        [one.name, ", ".join(f"{name} {value}" for name, value in one.settings.items()), one.source]
        for one in chosen
    ]
    return Table("methods", ["method", "settings", "source"], rows)


# of columns, by what was measured
TITLES: Final = {
    "id": "ID",
    "held_out_id": "ID, held-out photos",
    "truth_id": "ID to the truth",
    "dlib": "dlib",
    "dlib_truth": "dlib to the truth",
    "lpips": "LPIPS",
    "judge": "judge",
    "judge_truth": "judge to the truth",
}


def told_of(measured: Mapping[str, Measured], titles: Mapping[str, str]) -> dict[str, str]:
    """Return the titles of what was measured on everybody: an outside judge is not always there."""
    return {
        name: title
        for name, title in titles.items()
        if all(name in found.values for found in measured.values())
    }


def _column(measured: Mapping[str, Measured], name: str, place: int, row: int) -> Values:
    return np.concatenate([found.values[name][place, row] for found in measured.values()])


def _targets(measured: Mapping[str, Measured], place: int, case: Case) -> list[Target]:
    ours = _column(measured, "id", place, ROWS.index(SHIPPED))
    targets = []
    rivals = {
        name: _column(measured, "id", place, row)
        for row, name in enumerate(ROWS)
        if name not in (INPUT, OURS, SHIPPED)
    }
    rivals = {name: column for name, column in rivals.items() if np.isfinite(column).any()}
    over_domain, over_best = MARGINS[case.task]
    if DOMAIN in rivals:
        gain = mean_of(ours - rivals[DOMAIN])
        targets.append(Target(f"{case.name}: ID over the domain prior", gain, "at least", over_domain))
    if rivals:
        best = max(rivals, key=lambda name: mean_of(rivals[name]))
        gain = mean_of(ours - rivals[best])
        targets.append(Target(f"{case.name}: ID over {best}", gain, "at least", over_best))
    return targets


def _findings(measured: Mapping[str, Measured]) -> Sequence[str]:
    found = []
    for place, case in enumerate(CASES):
        ours, given = (_column(measured, "truth_id", place, ROWS.index(name)) for name in (SHIPPED, INPUT))
        well = np.isfinite(ours)
        if well.any():
            nearer = float((ours > given)[well].mean())
            found.append(f"{case.name}: {nearer:.0%} of the photos come nearer to the true one.")
        else:
            found.append(f"{case.name}: no photo was answered.")
    return found


EXPERIMENTS: Final = (
    Experiment(
        "enhancement",
        "Do restored photos look like the person, more than other methods' do?",
        measure,
        tell,
        held_out=1,
        methods=ROWS,
        judged=True,
        version=2,
    ),
)
