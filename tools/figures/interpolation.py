"""Identity along lines between anchors, before and after tuning (fig 4, 15, 16)."""

from __future__ import annotations

import numpy as np

from mystyle_cli.analysis.report import Cell, Report, Table, Target
from mystyle_cli.analysis.tuned import Interpolation, interpolate
from tools.figures.common import people, profile_of, report_progress, spread

PAIRS, POINTS = 200, 7


def make() -> Report:
    """Interpolate both people's anchors."""
    found = {
        person.name: interpolate(profile_of(person.name), PAIRS, POINTS, progress=report_progress)
        for person in people()
    }
    below = float(np.mean([item.below_both() for item in found.values()]))
    targets = [
        Target(f"{name}: mean ID after tuning, higher by", i.gain, "at least", 0.15)
        for name, i in found.items()
    ]
    targets.append(Target("share of codes below both their anchors", below, "at most", 0.07))
    facts = {"pairs of anchors": PAIRS, "codes between them": POINTS - 2, "reference": "without the pair"}
    return Report(
        "interpolation",
        "identity between anchors (fig 4), against the lower anchor (fig 15), from the better one (fig 16)",
        [*(_along(name, item) for name, item in found.items()), _changes(found)],
        targets,
        facts,
    )


def _along(name: str, item: Interpolation) -> Table:
    """Return fig 4 and, with the better anchor at theta 0, fig 16."""
    turned = [item.from_better(scores).mean(axis=0) for scores in (item.before, item.after)]
    rows: list[list[Cell]] = [
        [
            float(theta),
            spread(item.before[:, i]),
            spread(item.after[:, i]),
            float(turned[0][i]),
            float(turned[1][i]),
        ]
        for i, theta in enumerate(item.thetas)
    ]
    return Table(name, ["theta", "before", "after", "from the better: before", "after"], rows)


def _changes(found: dict[str, Interpolation]) -> Table:
    """Return fig 15 in figures."""
    rows: list[list[Cell]] = [
        [name, item.below_both(), item.below_both(0.05), float(-item.changes.min()), _above(item)]
        for name, item in found.items()
    ]
    columns = ["", "below both", "by more than 0.05", "largest fall", "above both"]
    return Table("ID of codes against their anchors', after tuning", columns, rows)


def _above(item: Interpolation) -> float:
    highest = item.after[:, [0, -1]].max(axis=1, keepdims=True)
    return float((item.after[:, 1:-1] > highest).mean())
