"""What an experiment is: measured on one person at a time, told of all of them together."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from mystyle_cli.files.documents import Items, Number, Record, Table, Text, Whole
from mystyle_cli.files.parsing import json_of
from mystyle_cli.photos.pixels import grid

if TYPE_CHECKING:
    from mystyle_cli.experiments.bench import Bench
    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.report.report import Report

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """What an experiment found out about one person."""

    values: Mapping[str, Values]  # by name, arrays of any shape; NaN where nothing could be measured
    # by name, sheets uint8 (H, W, 3) for people to look at
    pictures: Mapping[str, Pixels] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the values, and which pictures belong to them, as JSON; a number that it lacks is null."""
        values = {
            name: {"shape": list(array.shape), "values": [_plain(value) for value in array.ravel()]}
            for name, array in self.values.items()
        }
        return json.dumps({"values": values, "pictures": list(self.pictures)}).encode()


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


class _Figure(Number):
    """A number, or null where nothing could be measured."""

    def read(self, value: object, name: str) -> float:
        """Return the number, NaN for null."""
        return float("nan") if value is None else float(super().read(value, name))


MOST_VALUES: Final = 1 << 24  # numbers in an array, at most
_WORD: Final = Text(80, re.compile(r"[\w-]+"), "a word")
# what `Measured.to_bytes` writes
_FIELDS: Final = Record(
    {
        "values": Table(
            Record({"shape": Items(Whole(0, MOST_VALUES), 8), "values": Items(_Figure(), MOST_VALUES)}), _WORD
        ),
        "pictures": Items(_WORD, 1000),
    }
)


def read_measured(data: bytes) -> tuple[dict[str, Values], list[str]]:
    """Return the values of `Measured.to_bytes`, and the names of the pictures.

    Raises:
        ValueError: it is nothing that was written so.
    """
    found = _FIELDS.read(json_of(data))
    values = {
        name: np.array(array["values"], np.float64).reshape(array["shape"])
        for name, array in found["values"].items()
    }
    return values, found["pictures"]


Measure = Callable[["Bench"], Measured]
Tell = Callable[[Mapping[str, Measured]], "Report"]


@dataclass(frozen=True)
class Experiment:
    """One experiment."""

    name: str  # as it is asked for
    question: str  # in plain words
    measure: Measure  # does it for one person; everything that is drawn comes from the bench's seed
    # makes tables, plots and targets of what was measured on each person; the report's title names the
    # paper's figures
    tell: Tell
    own: bool = False  # part of a plain `evaluate`, of which a person wants to know
    others: int = 0  # how many people beside the one it needs
    held_out: int = 0  # held-out photos that it needs at least
    methods: tuple[str, ...] = ()  # that it compares
    judged: bool = False  # it tells what an outside judge says, too
    timed: bool = False  # it measures time, which is another on each machine and day, and is not kept
    version: int = 1  # rises with every change of what is measured, so that nothing old is taken for it


def together(measured: Mapping[str, Measured], name: str) -> Values:
    """Return the values of a name of all people, one person after the other along the first axis."""
    return np.concatenate([found.values[name] for found in measured.values()])


def mean_of(values: npt.NDArray[np.floating] | Sequence[float]) -> float:
    """Return the mean of what was measured; NaN where nothing was."""
    finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    return float(finite.mean()) if finite.size else float("nan")


def means_of(values: Values) -> Values:
    """Return the means (A,) of values (A, B), each over what was measured; NaN where nothing was."""
    return np.array([mean_of(row) for row in values])


def failures_in(values: Values) -> int:
    """Return how many photos have no answer, of scores that each answer has."""
    return int(np.isnan(values).sum())


def sheet_of(pictures: npt.NDArray[np.uint8]) -> Pixels:
    """Lay pictures uint8 (B, K, R, R, 3) out, those of one photo in a row."""
    return grid(pictures.reshape(-1, *pictures.shape[2:]), pictures.shape[1])


def spread_of(values: npt.NDArray[np.floating] | Sequence[float]) -> str:
    """Return mean and standard deviation as the paper's tables do; a dash where nothing was measured."""
    finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    return f"{finite.mean():.3f} ± {finite.std():.3f}" if finite.size else "-"
