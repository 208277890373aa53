"""What workers open in tests of engines; light to import, as workers do so anew."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mystyle_cli.batch.errands import Job, Needs, Picture, Result
from mystyle_cli.engines.engine import Note, Seat
from mystyle_cli.errors import ModelError, NotThisPersonError
from mystyle_cli.progress import Progress

if TYPE_CHECKING:
    from mystyle_cli.store.found import Found


@dataclass(frozen=True)
class Squaring:
    """Answers with squares, and leaves a line for each item that it begins.

    Args:
        log: a file that all workers add a line to for each item, with the number of their process.
        deadly: items at which the worker kills itself; a positive number so many times, -1 always.
        pause: seconds that each item takes.
    """

    log: Path
    deadly: tuple[tuple[int, int], ...] = ()
    pause: float = 0.0

    def open(self, seat: Seat) -> Callable[[Sequence[int]], list[int]]:
        """Tell of it, and return what squares."""
        seat.tell(Note("info", "opened"))
        return self.square

    def square(self, items: Sequence[int]) -> list[int]:
        """Return the squares."""
        for item in items:
            with self.log.open("a") as file:
                file.write(f"{item} {os.getpid()}\n")
            time.sleep(self.pause)
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


@dataclass(frozen=True)
class Negating:
    """A command's opening whose answers are negatives of photos; light, too.

    Args:
        deadly: a photo's name; the worker kills itself when its result is to be made, as often as there are
            fewer than so many lines in `log`.
        log: a file that gets a line for each result that is made.
        slow: seconds that each photo takes.
    """

    log: Path
    deadly: str = ""
    times: int = 1
    slow: float = 0.0

    def open(self, seat: Seat) -> Negating:
        """Be ready."""
        return self

    def needs(self) -> Needs:
        """Return what it reads."""
        return Needs()

    def moved(self, people: Sequence[Found]) -> Negating:
        """Return itself, for it reads none."""
        return self

    def answer(self, jobs: Sequence[Job], progress: Progress) -> list[Any]:
        """Return the negatives; of strangers, that they are."""
        time.sleep(self.slow * len(jobs))
        return [
            NotThisPersonError(f"{job.item.name}: nobody we know")
            if "stranger" in job.item.name
            else 255 - job.photo.pixels
            for job in jobs
        ]

    def finish(self, job: Job, answer: Any) -> Result:
        """Return what is written and said."""
        with self.log.open("a") as file:
            file.write(f"{job.item.path}\n")
        if self.deadly and self.deadly in job.item.name:
            lines = self.log.read_text().splitlines()
            if sum(self.deadly in line for line in lines) <= self.times:
                os.kill(os.getpid(), signal.SIGKILL)
        report = {"mean": float(answer.mean()), "warnings": ["it is negative"]}
        code = job.item.name.encode() if job.code is not None else b""
        said = f"{job.item.name} turned"
        return Result(lambda: Picture(answer, None), said, ["it is negative"], report, code=code)


def chunks(count: int, size: int) -> list[list[int]]:
    """Return the numbers below a count, some at a time."""
    return [list(range(first, min(first + size, count))) for first in range(0, count, size)]


def begun(log: Path) -> list[tuple[int, str]]:
    """Return the items that workers began, each with its process."""
    return [(int(item), who) for item, who in (line.split() for line in log.read_text().splitlines())]
