"""What an experiment is: measured on one person at a time, told of all of them together."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mystyle_cli.files.parsing import json_of

if TYPE_CHECKING:
    from mystyle_cli.experiments.bench import Bench
    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.report.report import Report

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """What an experiment found out about one person.

    Args:
        values: by name, arrays of any shape; NaN where nothing could be measured.
        pictures: by name, sheets uint8 (H, W, 3) for people to look at.
    """

    values: Mapping[str, Values]
    pictures: Mapping[str, Pixels] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the values as JSON; a number that it lacks becomes null."""
        plain = {
            name: {"shape": list(array.shape), "values": [_plain(value) for value in array.ravel()]}
            for name, array in self.values.items()
        }
        return json.dumps(plain).encode()


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def read_measured(data: bytes) -> dict[str, Values]:
    """Return the values of `Measured.to_bytes`.

    Raises:
        ValueError: it is nothing that was written so.
    """
    found = json_of(data.decode())
    if not isinstance(found, dict):
        raise ValueError("no table of values")
    read: dict[str, Values] = {}
    for name, entry in found.items():
        if not isinstance(entry, dict) or set(entry) != {"shape", "values"}:
            raise ValueError(f"{name} is no array")
        flat = [np.nan if value is None else float(value) for value in entry["values"]]
        read[str(name)] = np.array(flat, np.float64).reshape([int(side) for side in entry["shape"]])
    return read


Measure = Callable[["Bench"], Measured]
Tell = Callable[[Mapping[str, Measured]], "Report"]


@dataclass(frozen=True)
class Experiment:
    """One experiment.

    Args:
        name: as it is asked for.
        figure: of the paper, such as "fig 4, 15, 16"; "" where the paper has none.
        question: in plain words.
        measure: does it for one person; everything that is drawn comes from the bench's seed.
        tell: makes tables, plots and targets of what was measured on each person.
        own: part of a plain `evaluate`, of which a person wants to know.
        others: how many people beside the one it needs.
        held_out: held-out photos that it needs at least.
        timed: it measures time, which is another on each machine and day, and is not kept.
        version: rises with every change of what is measured, so that nothing old is taken for it.
    """

    name: str
    figure: str
    question: str
    measure: Measure
    tell: Tell
    own: bool = False
    others: int = 0
    held_out: int = 0
    timed: bool = False
    version: int = 1


def together(measured: Mapping[str, Measured], name: str) -> Values:
    """Return the values of a name of all people, one person after the other along the first axis."""
    return np.concatenate([found.values[name] for found in measured.values()])


def spread_of(values: npt.NDArray[np.floating] | Sequence[float]) -> str:
    """Return mean and standard deviation as the paper's tables do; a dash where nothing was measured."""
    finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    return f"{finite.mean():.3f} ± {finite.std():.3f}" if finite.size else "-"
