"""`local[:N]`: in this process, or in processes of this machine that `multiprocessing` starts.

Each process has a pipe of its own and is watched alone, so that one which dies costs only what it had, and
all can be ended at once; an executor of the standard library breaks as a whole there, and ends nothing.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mystyle_cli.engines.answering import Answering
from mystyle_cli.engines.engine import Chunk, Demand, Opener, Outcome, Pool, Seat, Work
from mystyle_cli.nets.memory import free_memory
from mystyle_cli.nets.processors import free_processors, settle, threads

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

USED: Final = 0.6  # part of the free memory that workers get together: a machine has other things to do
PATIENCE_S: Final = 2.0  # for a process that is to end by itself
EVERY_S: Final = 1.0  # how often whoever waits for workers is asked whether it still wants to

VISIBLE: Final = "CUDA_VISIBLE_DEVICES"


def engine(count: int | None) -> Local:
    """Return the engine of this machine; None settles the number of processes when it starts."""
    return Local(count)


@dataclass
class Local:
    """Processes of this machine; one is this process itself."""

    count: int | None  # None: as many as cores, memory and graphics cards are free for

    @property
    def name(self) -> str:
        """What `--on` calls it."""
        return "local" if self.count is None else f"local:{self.count}"

    def seats(self, demand: Demand) -> int:
        """Return how many processes work."""
        return self.count or fitting(demand)

    def threads(self, seats: int) -> int:
        """Return a worker's share of the threads."""
        return max(1, threads() // seats)

    @contextmanager
    def start(self, opener: Opener, demand: Demand, folder: Path | None, here: Seat) -> Iterator[Pool]:
        """Start workers, each when the first chunk for it is there."""
        count = self.seats(demand)
        if count == 1:
            yield _Here(opener, here)
            return
        pool = _Processes(opener, count, demand, self.threads(count))
        try:
            yield pool
        finally:
            pool.close()


def fitting(demand: Demand) -> int:
    """Return how many workers there is room for now: one a graphics card, or by free cores and memory."""
    if demand.gpu and (cards := _cards()):
        return len(cards)
    count = free_processors()
    free = free_memory()
    if demand.memory and free is not None:
        count = min(count, int(free * USED) // demand.memory)
    return max(1, count)


def _cards() -> list[str]:
    """Return the graphics cards that CUDA may use, as `CUDA_VISIBLE_DEVICES` calls them."""
    from mystyle_cli.nets.providers import cuda_devices

    said = os.environ.get(VISIBLE)
    if said is not None:
        return [card for card in (part.strip() for part in said.split(",")) if card]
    return [str(number) for number in range(cuda_devices())]


class _Here:
    """This process."""

    seats = 1

    def __init__(self, opener: Opener, seat: Seat) -> None:
        self.opener, self.seat = opener, seat
        self._work: Work | None = None
        self._chunks: list[Chunk] = []

    def give(self, chunk: Chunk) -> None:
        """Keep a chunk until it is asked for."""
        self._chunks.append(chunk)

    def take(self) -> Sequence[Outcome]:
        """Do the work; what is raised in it is raised here, as it is."""
        if self._work is None:
            self._work = self.opener.open(self.seat)
        return [Outcome(chunk.number, self._work(chunk.items)) for chunk in self._cleared()]

    def _cleared(self) -> list[Chunk]:
        chunks, self._chunks = self._chunks, []
        return chunks


@dataclass
class _Worker:
    """A process, this end of its pipe, and what it has."""

    process: SpawnProcess
    pipe: Connection
    chunk: Chunk | None = None


@dataclass
class _Processes:
    """Processes that answer for one opener."""

    opener: Opener
    seats: int
    demand: Demand
    share: int  # of the threads, for each
    _workers: dict[int, _Worker] = field(default_factory=dict)  # by place, from 0

    def give(self, chunk: Chunk) -> None:
        """Hand a chunk to an idle process, or to a new one."""
        place = self._free_place()
        if place not in self._workers:
            self._workers[place] = self._started(place)
        worker = self._workers[place]
        worker.chunk = chunk
        with suppress(OSError):  # it died while it was idle: `take` finds that
            worker.pipe.send(chunk)

    def _free_place(self) -> int:
        idle = [place for place, worker in self._workers.items() if worker.chunk is None]
        return idle[0] if idle else next(i for i in range(self.seats) if i not in self._workers)

    def _started(self, place: int) -> _Worker:
        import multiprocessing

        context = multiprocessing.get_context("spawn")
        environment = {}
        if self.demand.gpu and (cards := _cards()):
            environment[VISIBLE] = cards[place % len(cards)]
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_serve, args=(theirs, self.opener, self.share, environment), name=f"mystyle-{place}"
        )
        process.start()
        theirs.close()  # so that its end is the end of the pipe
        return _Worker(process, ours)

    def take(self) -> Sequence[Outcome]:
        """Wait for answers and deaths."""
        from multiprocessing.connection import wait

        busy = {worker.pipe: place for place, worker in self._workers.items() if worker.chunk is not None}
        return [self._taken(busy[pipe]) for pipe in wait(list(busy), EVERY_S) if pipe in busy]

    def _taken(self, place: int) -> Outcome:
        """Return what came of a process' chunk; one that died makes room for another."""
        worker = self._workers[place]
        assert worker.chunk is not None
        try:
            outcome = worker.pipe.recv()
            assert isinstance(outcome, Outcome)
        except (EOFError, OSError):
            del self._workers[place]
            return Outcome(worker.chunk.number, died=_ended(worker))
        worker.chunk = None
        return outcome

    def close(self) -> None:
        """End all processes: those with nothing to do leave, the others are killed."""
        for worker in self._workers.values():
            worker.pipe.close()
            if worker.chunk is not None:
                worker.process.kill()
        for worker in self._workers.values():
            worker.process.join(PATIENCE_S)
            if worker.process.exitcode is None:
                worker.process.kill()
                worker.process.join()
        self._workers.clear()


def _ended(worker: _Worker) -> str:
    """Say how a process has ended whose pipe is at its end."""
    worker.pipe.close()
    worker.process.join(PATIENCE_S)
    if worker.process.exitcode is None:
        worker.process.kill()
        worker.process.join()
    code = worker.process.exitcode or 0
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"


def _serve(pipe: Connection, opener: Opener, share: int, environment: dict[str, str]) -> None:
    """Be a worker: answer for chunks until the pipe ends.

    Args:
        share: of the CPU's threads.
        environment: what else is set before a library is loaded.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's, which ends its workers
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    os.environ.update(environment)
    settle(share)
    answering = Answering(opener)
    while True:
        try:
            chunk: Chunk = pipe.recv()
        except (EOFError, OSError):
            return
        outcome = answering.outcome(chunk)
        try:
            pipe.send(outcome)
        except OSError:  # nobody waits for it any more
            return


def _leave_with_parent() -> None:
    """End this process when its parent is gone, however that went and whatever is being done here."""
    from multiprocessing import parent_process

    parent = parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
