"""Figures as text for people and as plain data for files; nothing here prints."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

Comparison = Literal["at least", "at most", "above", "below"]
Cell = str | int | float | None

_HOLDS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "at least": lambda value, bound: value >= bound,
    "at most": lambda value, bound: value <= bound,
    "above": lambda value, bound: value > bound,
    "below": lambda value, bound: value < bound,
}


@dataclass(frozen=True)
class Target:
    """Something that must hold."""

    name: str  # what is measured
    value: float  # what was found
    comparison: Comparison  # how it must stand to `bound`
    bound: float  # what is wanted

    @property
    def met(self) -> bool:
        """Whether it holds; a value that is not a number meets nothing."""
        return _HOLDS[self.comparison](self.value, self.bound)


@dataclass(frozen=True)
class Table:
    """Rows of figures."""

    title: str  # one line above it
    columns: Sequence[str]  # their names
    rows: Sequence[Sequence[Cell]]  # their cells; None shows as a dash


@dataclass(frozen=True)
class Curve:
    """One series of a plot."""

    label: str  # what it is of
    x: Sequence[float]  # its places along the plot
    y: Sequence[float]  # its values; the heights of bars and histograms
    spread: Sequence[float] = ()  # standard deviation about each value, or nothing


PlotKind = Literal["lines", "points", "bars"]


@dataclass(frozen=True)
class Plot:
    """A picture of figures."""

    title: str  # what it shows
    x: str  # what is along it, with its unit
    y: str  # what is up it
    curves: Sequence[Curve]  # its series
    kind: PlotKind = "lines"  # how they are drawn
    ticks: Sequence[str] = ()  # words in place of the numbers along it, at 0, 1, 2, ..


@dataclass(frozen=True)
class Report:
    """One figure that the project states about itself."""

    name: str  # of the figure
    title: str  # what it shows, and where in the paper
    tables: Sequence[Table]  # what was measured
    targets: Sequence[Target] = ()  # what must hold
    facts: Mapping[str, Cell] = field(default_factory=dict)  # inputs and settings that it was measured with
    plots: Sequence[Plot] = ()  # pictures of the tables
    findings: Sequence[str] = ()  # what they say, in sentences for a person

    @property
    def met(self) -> bool:
        """Whether every target holds."""
        return all(target.met for target in self.targets)


def to_text(report: Report) -> str:
    """Lay a report out as lines of text."""
    parts = [f"== {report.name}: {report.title}"]
    parts += [f"   {name}: {shown(value)}" for name, value in report.facts.items()]
    parts += [f"   {finding}" for finding in report.findings]
    parts += [f"\n{table.title}\n{layout(table.columns, table.rows)}" for table in report.tables]
    if report.targets:
        rows = [
            ["met" if t.met else "MISSED", t.name, t.value, f"{t.comparison} {shown(t.bound)}"]
            for t in report.targets
        ]
        parts.append("\n" + layout(["", "target", "found", "wanted"], rows))
    return "\n".join(parts)


def layout(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Align cells in columns: text to the left, figures to the right."""
    text = [[shown(cell) for cell in row] for row in rows]
    widths = [max(len(line[place]) for line in [list(columns), *text]) for place in range(len(columns))]
    numeric = [
        all(isinstance(row[place], int | float | None) for row in rows) and bool(rows)
        for place in range(len(columns))
    ]

    def line(cells: Sequence[str]) -> str:
        aligned = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, numeric, strict=True)
        ]
        return "  ".join(aligned).rstrip()

    return "\n".join(
        [line(columns), "  ".join("-" * width for width in widths), *(line(row) for row in text)]
    )


def shown(cell: Cell) -> str:
    """Write a cell: four significant figures, a dash for what is not there."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "-"
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def to_csv(table: Table) -> str:
    """Return a table as CSV, its title left out; what is not there is an empty cell."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([["" if _plain(cell) is None else cell for cell in row] for row in table.rows])
    return stream.getvalue()


def to_data(report: Report) -> dict[str, object]:
    """Return a report as what JSON can hold; numbers that it cannot become None."""
    return {
        "name": report.name,
        "title": report.title,
        "facts": {name: _plain(value) for name, value in report.facts.items()},
        "tables": [
            {
                "title": table.title,
                "columns": list(table.columns),
                "rows": [[_plain(cell) for cell in row] for row in table.rows],
            }
            for table in report.tables
        ],
        "targets": [
            {
                "name": target.name,
                "found": _plain(target.value),
                "wanted": f"{target.comparison} {shown(target.bound)}",
                "met": target.met,
            }
            for target in report.targets
        ],
        "findings": list(report.findings),
        "met": report.met,
    }


def _plain(cell: Cell) -> Cell:
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell
