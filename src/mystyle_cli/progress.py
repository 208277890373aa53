"""How long loops report: they call back, and only `console.py` draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Step:
    """One report of a loop under way.

    Args:
        stage: what is being done: "curate", "anchors", "tune", "project", ...
        done: finished units, from 0 to `total`.
        total: units in all, at least 1.
        detail: figures worth showing, such as {"loss": 0.12}.
    """

    stage: str
    done: int
    total: int
    detail: Mapping[str, float] = field(default_factory=dict)


Progress = Callable[[Step], None]


def silent(step: Step) -> None:
    """Ignore a report."""
