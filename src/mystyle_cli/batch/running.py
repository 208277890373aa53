"""Where a command's items are worked on, and the run that is kept of it: `--on` and `--dry-run`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mystyle_cli.engines.engine import Demand
from mystyle_cli.engines.named import Where
from mystyle_cli.terminal.learning import GIB, duration

if TYPE_CHECKING:
    from mystyle_cli.batch.errands import Cost
    from mystyle_cli.engines.engine import Engine
    from mystyle_cli.engines.runs import Noting, Run, RunRecord
    from mystyle_cli.terminal.app import App

HERE: Final = Where("local", "1")


@dataclass(frozen=True)
class Asked:
    """What a command with many items is known by.

    Args:
        what: all that decides the results, the versions of profiles among it.
        pace: what of it decides how long an item takes.
        beside: files and folders besides the items that are read.
    """

    app: App
    command: str
    what: tuple[object, ...]
    pace: tuple[object, ...]
    beside: tuple[Path, ...] = ()

    @property
    def kind(self) -> str:
        """A digest of what decides how long an item takes, besides the threads that its worker has."""
        from mystyle_cli.engines.runs import fingerprint

        return fingerprint(self.command, self.app.device, *self.pace)[:16]

    def run(self, inputs: Sequence[str], output: str | None) -> Run:
        """Return the run of the command with its inputs and the place of its results."""
        from mystyle_cli.engines.runs import Runs

        places = [os.path.abspath(one) for one in (*inputs, *([] if output is None else [output]))]
        stamps = [_stamp(path) for path in self.beside]
        return Runs(self.app.profiles().root).of((self.command, self.what, places, stamps))

    def measured(self, threads: int | None = None) -> RunRecord | None:
        """Return the last run of the same kind of items on this machine, or None.

        Args:
            threads: that workers had; None: any number.
        """
        from mystyle_cli.engines.runs import Runs

        return Runs(self.app.profiles().root).measured(self.kind, threads)

    def demand(self, engine: Engine, batch: int) -> Demand:
        """Return what one worker takes, as far as that was measured.

        Args:
            engine: on which that is.
            batch: items that are worked on together.
        """
        from mystyle_cli.nets.providers import cuda_devices

        before, paced = self.measured(), self.measured(engine.threads(1))
        memory = None if before is None else before.memory or None
        each = None if paced is None else paced.each
        cards = self.app.device in ("auto", "cuda") and cuda_devices() > 0
        return Demand(memory, gpu=cards, seconds=None if each is None else each * batch)


def _stamp(path: Path) -> tuple[object, ...]:
    """Return what tells that a file, or one in a folder, was changed."""
    files = [path, *(sorted(path.rglob("*")) if path.is_dir() else ())]
    found = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue
        found.append((str(file), status.st_size, status.st_mtime_ns))
    return tuple(found)


@dataclass(frozen=True)
class Order:
    """Where and how the items of a command are to be worked on."""

    on: Where | None  # as it was typed; None: in this process, and nothing is kept
    asked: Asked | None  # what the run is known by that is kept
    inputs: Sequence[str]  # as they were typed
    output: str | None
    together: int  # items that are worked on at once

    @property
    def where(self) -> Where:
        """Where work runs."""
        return self.on or HERE


@dataclass
class Kept:
    """A run under way, and what it has cost so far."""

    asked: Asked
    run: Run
    record: RunRecord
    noting: Noting
    measured: int = field(default=0, init=False)
    seconds: float = field(default=0.0, init=False)
    opening: float = field(default=0.0, init=False)
    memory: int = field(default=0, init=False)
    threads: int = field(default=0, init=False)

    def count(self, cost: Cost | None) -> None:
        """Add what an item cost."""
        if cost is not None:
            self.measured += 1
            self.seconds += cost.seconds
            self.opening, self.memory = max(self.opening, cost.opening), max(self.memory, cost.memory)
            self.threads = cost.threads

    def end(self, items: int, done: int, skipped: int, failed: int) -> None:
        """Note how it came out; raises MystyleError where that cannot be written."""
        from mystyle_cli.engines.runs import now

        ended = now() if done + skipped + failed == items else ""
        record = replace(self.record, ended=ended, items=items, done=done, skipped=skipped, failed=failed)
        if self.measured:
            record = _costing(record, self)
        self.run.write(record)


@contextmanager
def kept(asked: Asked, run: Run, where: Where, items: int) -> Iterator[Kept]:
    """Hold a run while it is driven.

    Raises:
        MystyleError: another command drives it, or it cannot be kept.
    """
    from mystyle_cli.engines.runs import Noting, RunRecord, now

    with run.driven():
        record = RunRecord(
            asked.command, asked.app.words, os.getcwd(), where.name, asked.kind, now(), "", items
        )
        before = asked.measured()
        if before is not None:  # until something was measured anew
            record = _costing(record, before)
        run.write(record)
        yield Kept(asked, run, record, Noting.of(run))


def _costing(record: RunRecord, by: RunRecord | Kept) -> RunRecord:
    """Return a record with what items cost by what was measured."""
    return replace(
        record,
        measured=by.measured,
        seconds=by.seconds,
        opening=by.opening,
        memory=by.memory,
        threads=by.threads,
    )


@dataclass(frozen=True)
class Forecast:
    """What a command will take, by what was measured here."""

    items: int  # to be worked on
    there: int  # whose results are there
    engine: str
    workers: int
    seconds: float | None  # None: not measured yet
    memory: int | None  # bytes, of all workers
    photos: int | None = None  # bytes of the files to be worked on; None: they are not counted
    sent: bool = False  # to machines that do not see them

    def lines(self) -> list[str]:
        """Lay it out, one matter a line."""
        unknown = "not measured yet: the first run with --on measures it"
        lines = [
            f"items    {self.items}, {self.there} more are there",
            f"engine   {self.engine}, {self.workers} at a time",
            f"time     {unknown if self.seconds is None else f'about {duration(self.seconds)}'}",
            f"memory   {unknown if self.memory is None else f'{self.memory / GIB:.1f} GB in all'}",
        ]
        if self.photos is not None:
            moved = "sent to machines that do not see them" if self.sent else "read where they are"
            lines.append(f"photos   {self.photos / 1e6:.1f} MB, {moved}")
        return lines

    def to_json(self) -> dict[str, object]:
        """Return its part of the JSON document."""
        return {
            "dry_run": True,
            "items": self.items,
            "there": self.there,
            "engine": self.engine,
            "workers": self.workers,
            "seconds": self.seconds,
            "memory": self.memory,
            "photos": self.photos,
            "sent": self.sent,
        }


def forecast(
    before: RunRecord | None, where: Where, workers: int, items: int, there: int, photos: int | None = None
) -> Forecast:
    """Return what work on items will take.

    Args:
        before: the last run of the same kind of items by workers of as many threads, where there was one.
        workers: at once.
        items: to be worked on.
        there: whose results are there.
        photos: bytes of the files to be worked on, where they are counted.
    """
    workers = min(workers, max(1, items))
    seconds = memory = None
    if before is not None and before.each is not None:
        seconds = before.opening + before.each * items / workers if items else 0.0
        memory = before.memory * workers or None
    return Forecast(items, there, where.name, workers, seconds, memory, photos, where.sends)
