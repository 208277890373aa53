"""What every engine is: workers that open once what all items need, and answer for a few items at a time.

`spread` is the one loop over items, whatever the engine: nothing is lost and nothing is done twice when a
worker dies. An engine brings workers (`Engine.start`) and carries chunks to them and answers back (`Pool`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeVar

from mystyle_cli.errors import MystyleError
from mystyle_cli.progress import Progress, silent

Item = TypeVar("Item")
Answer = TypeVar("Answer")

Work = Callable[[Sequence[Any]], Iterable[Any]]
"""Answers for some items at once: an answer for each, in their order. What fails on one item is its answer;
what is raised, also while answers are drawn, concerns all of them, and ends the whole."""

TRIES: Final = 2  # how often an item is begun whose worker died


class LostError(MystyleError):
    """An item whose worker died each time that it was tried."""


@dataclass(frozen=True)
class Note:
    """What a worker tells besides its answers; the same note of several workers is told once."""

    kind: Literal["info", "warning", "left out"]
    text: str
    hint: str = ""
    about: str = ""  # whom or what is left out


def _tell_nobody(note: Note) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Seat:
    """Where a worker works, and whom it tells."""

    tell: Callable[[Note], None] = _tell_nobody
    progress: Progress = silent  # how far it is within a chunk; heard only in this process


class Opener(Protocol):
    """What is opened once in each worker; picklable, of a class in a module."""

    def open(self, seat: Seat) -> Work:
        """Return what answers for items; raises MystyleError where what all need is missing."""


@dataclass(frozen=True)
class Demand:
    """What one worker takes besides a core, as far as it is known."""

    memory: int | None = None  # bytes
    gpu: bool = False  # one of its own, where there are any
    seconds: float | None = None  # that a chunk takes, of earlier runs


@dataclass(frozen=True)
class Chunk:
    """Items that are worked on together."""

    number: int  # unlike that of any other chunk of the same pool
    items: tuple[Any, ...]
    tries: int = 1  # how often they are tried with this


@dataclass(frozen=True)
class Outcome:
    """What became of a chunk: answers, an error that concerns all, or the end of its worker."""

    number: int  # the chunk's
    answers: Iterable[Any] = ()  # one for each item, in their order
    error: Exception | None = None  # of what all need: it ends the whole
    died: str = ""  # how the worker ended, such as "killed by signal 9"; "" where it lives
    blame: bool = True  # whether the items may have been its end; not where its whole machine went
    notes: tuple[Note, ...] = ()


class Pool(Protocol):
    """Workers that one opener was given to."""

    @property
    def seats(self) -> int:
        """How many chunks may be under way at once, at least 1."""

    def give(self, chunk: Chunk) -> None:
        """Begin a chunk; called while fewer than `seats` are under way."""

    def take(self) -> Sequence[Outcome]:
        """Wait until something has come of some chunks, or for a second or so, and return that.

        An outcome is returned for every chunk that was given, once; also when its worker died.
        """


class Engine(Protocol):
    """Where work runs."""

    @property
    def name(self) -> str:
        """What `--on` calls it, with all that was settled: "local:2"."""

    def seats(self, demand: Demand) -> int:
        """Return how many chunks would be under way at once, as far as that is known before they start."""

    def threads(self, seats: int) -> int:
        """Return how many threads each of so many workers has."""

    def start(
        self, opener: Opener, demand: Demand, folder: Path | None, here: Seat
    ) -> AbstractContextManager[Pool]:
        """Start workers; at the end of the context all of them end, what is under way included.

        Args:
            folder: of the run, for logs and what the engine keeps of it; None where no run is kept.
            here: the seat of a worker that is this process; others tell by their outcomes.

        Raises:
            MystyleError: they cannot be started.
        """


@dataclass
class Spread:
    """The loop over items: see `over`.

    Args:
        here: hears each note once, and how far it is within a chunk that is worked on in this process.
        stopped: whether somebody wants this to end, asked between outcomes.
    """

    engine: Engine
    demand: Demand = Demand()
    folder: Path | None = None
    here: Seat = Seat()
    stopped: Callable[[], bool] = bool
    _told: set[Note] = field(default_factory=set)

    def over(
        self, opener: Opener, chunks: Iterable[Sequence[Item]]
    ) -> Generator[tuple[Item, Any | MystyleError]]:
        """Yield every item with its answer as they finish, in any order.

        Chunks are drawn as workers come free, and the next one after what came of the last was taken. Where a
        worker died, what it had is tried again, each item alone; an item whose worker dies then, too, is
        `LostError`.

        Raises:
            MystyleError: of what all items need, or the workers die whatever they are given.
            KeyboardInterrupt: `stopped` said so.
        """
        source, numbers = iter(chunks), count()
        again: deque[Chunk] = deque()
        under_way: dict[int, Chunk] = {}
        deaths = answered = 0
        seat = Seat(self._tell, self.here.progress)
        with self.engine.start(opener, self.demand, self.folder, seat) as pool:
            while True:
                while len(under_way) < pool.seats:
                    chunk = again.popleft() if again else _next(source, numbers)
                    if chunk is None:
                        break
                    under_way[chunk.number] = chunk
                    pool.give(chunk)
                if not under_way:
                    return
                for outcome in pool.take():
                    chunk = under_way.pop(outcome.number)
                    self._hear(outcome)
                    if outcome.died:
                        deaths += 1
                        if not answered and deaths > 2 * (pool.seats + TRIES):
                            raise MystyleError(
                                f"workers of {self.engine.name} end before they have done anything: "
                                f"{outcome.died}",
                                "Try it with --on local:1, which shows why.",
                            )
                        retried, lost = _after_death(chunk, outcome, numbers)
                        again += retried
                        yield from lost
                    else:
                        answered += 1
                        yield from zip(chunk.items, outcome.answers, strict=True)
                if self.stopped():
                    raise KeyboardInterrupt

    def _hear(self, outcome: Outcome) -> None:
        """Tell what a worker told; raises what ends the whole."""
        for note in outcome.notes:
            self._tell(note)
        if outcome.error is not None:
            raise outcome.error

    def _tell(self, note: Note) -> None:
        if note not in self._told:
            self._told.add(note)
            self.here.tell(note)


def _next(source: Iterator[Sequence[Any]], numbers: Iterator[int]) -> Chunk | None:
    items = next(source, None)
    return None if items is None else Chunk(next(numbers), tuple(items))


def _after_death(
    chunk: Chunk, outcome: Outcome, numbers: Iterator[int]
) -> tuple[list[Chunk], list[tuple[Any, MystyleError]]]:
    """Return what is tried again, each item alone, and what is given up."""
    if outcome.blame and chunk.tries >= TRIES:
        times = "twice" if TRIES == 2 else f"{TRIES} times"
        error = LostError(
            f"the worker that had it ended {times} ({outcome.died})",
            "Look at it with --on local:1, or leave it out.",
        )
        return [], [(item, error) for item in chunk.items]
    tries = chunk.tries + 1 if outcome.blame else chunk.tries
    return [Chunk(next(numbers), (item,), tries) for item in chunk.items], []
