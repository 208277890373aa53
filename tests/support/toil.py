"""What workers open in tests of engines; light to import, as workers do so anew."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mystyle_cli.engines.engine import Note, Seat
from mystyle_cli.errors import ModelError


@dataclass(frozen=True)
class Squaring:
    """Answers with squares, and leaves a line for each item that it begins.

    Args:
        log: a file that all workers add a line to for each item, with the number of their process.
        deadly: items at which the worker kills itself; a positive number so many times, -1 always.
    """

    log: Path
    deadly: tuple[tuple[int, int], ...] = ()

    def open(self, seat: Seat) -> Callable[[Sequence[int]], list[int]]:
        """Tell of it, and return what squares."""
        seat.tell(Note("info", "opened"))
        return self.square

    def square(self, items: Sequence[int]) -> list[int]:
        """Return the squares."""
        for item in items:
            with self.log.open("a") as file:
                file.write(f"{item} {os.getpid()}\n")
            times = dict(self.deadly).get(item, 0)
            if times and (times < 0 or self._begun().count(item) <= times):
                os.kill(os.getpid(), signal.SIGKILL)
        return [item * item for item in items]

    def _begun(self) -> list[int]:
        return [int(line.split()[0]) for line in self.log.read_text().splitlines()]


@dataclass(frozen=True)
class Refusing:
    """Cannot be opened."""

    def open(self, seat: Seat) -> Callable[[Sequence[int]], list[int]]:
        """Refuse."""
        raise ModelError("the prior is gone", "Bring it back.")


@dataclass(frozen=True)
class Settings:
    """Answers with what its process says of its threads."""

    def open(self, seat: Seat) -> Callable[[Sequence[str]], list[str]]:
        """Return what looks names up."""
        return lambda names: [os.environ.get(name, "") for name in names]


@dataclass(frozen=True)
class Sleeping:
    """Writes the number of its process into a folder, and takes long."""

    folder: Path

    def open(self, seat: Seat) -> Callable[[Sequence[int]], list[int]]:
        """Return what takes long."""
        return self.sleep

    def sleep(self, items: Sequence[int]) -> list[int]:
        """Sleep for a minute an item."""
        for item in items:
            (self.folder / f"{item}").write_text(str(os.getpid()))
            time.sleep(60)
        return list(items)
