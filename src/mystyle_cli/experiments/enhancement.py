"""Inpainting and upscaling against other methods on the same prior and photos (sec. 5.2; fig 9, 21b)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from mystyle_cli.analysis.baselines import Task, lanczos
from mystyle_cli.baselines.adversarial import CrossDomain, DiffAugment
from mystyle_cli.baselines.fitted import Glo, Restorer
from mystyle_cli.baselines.methods import BASELINES
from mystyle_cli.baselines.untuned import DomainPrior, MyStyle
from mystyle_cli.experiments.bench import MEASURES
from mystyle_cli.experiments.experiment import Experiment, Measured, Values, spread_of
from mystyle_cli.photos.pixels import grid
from mystyle_cli.report.report import Cell, Report, Table, Target
from mystyle_cli.restore.trials import BOX, MOUTH, Box, shrink, subjects

if TYPE_CHECKING:
    from mystyle_cli.baselines.baseline import Baseline
    from mystyle_cli.experiments.bench import Bench
    from mystyle_cli.faces.align import Crop
    from mystyle_cli.find.locate import Subject
    from mystyle_cli.photos.pixels import Pixels


@dataclass(frozen=True)
class Case:
    """What is taken from a photo.

    Args:
        name: of it.
        task: "upscale" or "inpaint".
        times: how many times smaller what is to be enlarged is than the crop.
        box: the hole.
    """

    name: str
    task: Task
    times: int = 8
    box: Box = BOX

    def small(self, resolution: int) -> int:
        """Return the side in pixels of what is to be enlarged."""
        return resolution // self.times

    def taken_from(self, crops: Pixels, names: Sequence[str], crop: Crop) -> list[Subject]:
        """Return aligned crops (B, R, R, 3) without what is taken, as `restore` works on them."""
        small = self.small(crops.shape[1])
        return subjects(crops, self.task, names, crop, small=small, box=self.box)

    def subjects(self, bench: Bench) -> list[Subject]:
        """Return the bench's held-out photos without what is taken."""
        return self.taken_from(bench.held_out, bench.names, bench.profile.prior.crop)

    def shown(self, bench: Bench) -> Pixels:
        """Return what is left of the photos, uint8 (B, R, R, 3)."""
        if self.task == "upscale":
            side = bench.held_out.shape[1]
            return lanczos(shrink(bench.held_out, self.small(side)), side)
        return np.stack([np.asarray(subject.photo) for subject in self.subjects(bench)])


CASES: Final = (
    Case("eyes and nose hidden", "inpaint"),
    Case("mouth hidden", "inpaint", box=MOUTH),
    Case("enlarged 8 times", "upscale"),
    Case("enlarged 4 times", "upscale", times=4),
)

INPUT: Final = "input"
OURS: Final = MyStyle.name
DOMAIN: Final = DomainPrior.name
SYNTHESIS: Final = (CrossDomain.name, Glo.name)
"""Methods that only make new pictures."""

ROWS: Final = (INPUT, *(method.name for method in BASELINES if method.name not in SYNTHESIS))


def measure(bench: Bench) -> Measured:
    """Restore held-out photos by every method in every case.

    Returns:
        For every measure (cases, methods, B), methods as in `ROWS`, NaN where one cannot be had or failed;
        failed (cases, methods), photos without an answer; truth (measures, B) of the true photos.
    """
    shape = (len(CASES), len(ROWS), len(bench.held_out))
    found: dict[str, Values] = {name: np.full(shape, np.nan) for name in MEASURES}
    failed = np.full(shape[:2], np.nan)
    sheets = {}
    for place, case in enumerate(CASES):
        shown = [case.shown(bench)]
        _note(found, bench.score(shown[0]), place, 0)
        failed[place, 0] = 0
        for method in bench.methods:
            if method.name in SYNTHESIS:
                continue
            made, well = answers(bench, method, case)
            row = ROWS.index(method.name)
            failed[place, row] = (~well).sum()
            scores = {name: np.where(well, column, np.nan) for name, column in bench.score(made).items()}
            _note(found, scores, place, row)
            shown.append(made)
        stack = np.stack([*shown, bench.held_out], axis=1)  # (B, 2 + methods, R, R, 3)
        sheets[case.name.replace(" ", "-")] = grid(stack.reshape(-1, *stack.shape[2:]), stack.shape[1])
    truth = bench.score(bench.held_out)
    found |= {"failed": failed, "truth": np.stack([truth[name] for name in MEASURES])}
    return Measured(found, sheets)


def _note(found: dict[str, Values], scores: Mapping[str, Values], place: int, row: int) -> None:
    for name, column in scores.items():
        found[name][place, row] = column


def answers(bench: Bench, method: Baseline, case: Case) -> tuple[Pixels, np.ndarray]:
    """Return a method's answers uint8 (B, R, R, 3), the input where there is none, and where one is."""
    given, settings = case.subjects(bench), bench.settings(case.task)
    found = method.restore(bench.profile, bench.trained(method), given, case.task, settings, bench.progress)
    made = case.shown(bench)
    for row, answer in enumerate(found):
        if answer.pixels is not None:
            made[row] = answer.pixels
    return made, np.array([answer.error is None for answer in found])


PAPER_IDS: Final = {
    "inpaint": {DOMAIN: 0.55, Restorer.name: 0.71, DiffAugment.name: 0.68, OURS: 0.72},
    "upscale": {DOMAIN: 0.65, Restorer.name: 0.75, DiffAugment.name: 0.75, OURS: 0.81},
}
"""ID in fig 9; its people, nets and identity net are others, so that only differences compare."""

MARGINS: Final = {"inpaint": (0.17, 0.01), "upscale": (0.16, 0.05)}
"""How far ours is ahead of the domain prior and of the strongest other method in fig 9."""


def tell(measured: Mapping[str, Measured]) -> Report:
    """Lay fig 9 and 21b out, all people's photos together."""
    tables, targets = [], []
    for place, case in enumerate(CASES):
        rows: list[list[Cell]] = []
        for row, method in enumerate(ROWS):
            columns = {name: _column(measured, name, place, row) for name in MEASURES}
            if not np.isfinite(columns["id"]).any():
                continue
            failed = sum(int(found.values["failed"][place, row]) for found in measured.values())
            paper = PAPER_IDS[case.task].get(method)
            rows.append([method, *(spread_of(columns[name]) for name in MEASURES), failed, paper])
        truth = [
            np.concatenate([m.values["truth"][number] for m in measured.values()]) for number in range(6)
        ]
        rows.append(["truth", *(spread_of(column) for column in truth), 0, None])
        tables.append(Table(f"{case.name}: {len(truth[0])} held-out photos", HEADERS, rows))
        targets += _targets(measured, place, case)
    return Report(
        "enhancement",
        "inpainting and upscaling against other methods (fig 9, 21b)",
        tables,
        targets,
        {"id": "cosine to the nearest reference photo; dlib: distance, lower is nearer"},
        findings=_findings(measured),
    )


HEADERS: Final = (
    "method",
    "ID",
    "ID, held-out photos",
    "ID to the truth",
    "dlib",
    "dlib to the truth",
    "LPIPS",
    "failed",
    "ID in the paper",
)


def _column(measured: Mapping[str, Measured], name: str, place: int, row: int) -> Values:
    return np.concatenate([found.values[name][place, row] for found in measured.values()])


def _targets(measured: Mapping[str, Measured], place: int, case: Case) -> list[Target]:
    ours = _column(measured, "id", place, ROWS.index(OURS))
    targets = []
    rivals = {
        name: _column(measured, "id", place, row)
        for row, name in enumerate(ROWS)
        if name not in (INPUT, OURS)
    }
    rivals = {name: column for name, column in rivals.items() if np.isfinite(column).any()}
    over_domain, over_best = MARGINS[case.task]
    if DOMAIN in rivals:
        gain = float(np.nanmean(ours - rivals[DOMAIN]))
        targets.append(Target(f"{case.name}: ID over the domain prior", gain, "at least", over_domain))
    if rivals:
        best = max(rivals, key=lambda name: float(np.nanmean(rivals[name])))
        gain = float(np.nanmean(ours - rivals[best]))
        targets.append(Target(f"{case.name}: ID over {best}", gain, "at least", over_best))
    return targets


def _findings(measured: Mapping[str, Measured]) -> Sequence[str]:
    found = []
    for place, case in enumerate(CASES):
        ours, given = (_column(measured, "truth_id", place, ROWS.index(name)) for name in (OURS, INPUT))
        nearer = float((ours > given)[np.isfinite(ours)].mean())
        found.append(f"{case.name}: {nearer:.0%} of the photos come nearer to the true one.")
    return found


EXPERIMENTS: Final = (
    Experiment(
        "enhancement",
        "fig 9, 21b",
        "Do restored photos look like the person, more than other methods' do?",
        measure,
        tell,
        held_out=1,
    ),
)
