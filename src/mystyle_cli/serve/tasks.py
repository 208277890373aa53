"""Long work one piece after the other, in a thread of its own: what waits, what runs, how far it is."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Final, Literal

from mystyle_cli.errors import MystyleError, NotThisPersonError, contained
from mystyle_cli.progress import Progress, Step

MOST_WAITING: Final = 8
KEPT: Final = 8  # finished pieces of work that are remembered

State = Literal["waiting", "running", "done", "failed", "cancelled"]
Outcome = Mapping[str, object]
"""What a piece of work tells of itself, as JSON has it."""


class CancelledError(KeyboardInterrupt):
    """What ends a piece of work at its next step, as Ctrl-C ends a command."""


@dataclass
class Task:
    """A piece of work, and how far it is."""

    number: int
    kind: str
    title: str
    work: Callable[[Progress], Outcome] = field(repr=False)
    state: State = "waiting"
    stage: str = ""
    done: int = 0
    total: int = 0
    left: float | None = None  # seconds that this stage may take yet
    began: float = 0.0
    seconds: float = 0.0
    outcome: Outcome = field(default_factory=dict)
    error: Mapping[str, str] | None = None
    wish: threading.Event = field(default_factory=threading.Event, repr=False)
    version: int = 0  # the desk's when something of this changed last

    @property
    def over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state in ("done", "failed", "cancelled")

    def to_json(self) -> dict[str, object]:
        """Return what the page is told of it."""
        return {
            "task": self.number,
            "kind": self.kind,
            "title": self.title,
            "state": self.state,
            "stage": self.stage,
            "done": self.done,
            "total": self.total,
            "left": self.left,
            "seconds": round(self.seconds if self.over else self.spent(), 1),
            "outcome": dict(self.outcome),
            "error": None if self.error is None else dict(self.error),
        }

    def spent(self) -> float:
        """Return how long it has been running, in seconds."""
        return time.monotonic() - self.began if self.began else 0.0


class Desk:
    """Does one piece of work at a time, in the order in which they came."""

    def __init__(self) -> None:
        self._numbers, self._change = count(1), threading.Condition()
        self._waiting: deque[Task] = deque()
        self._tasks: dict[int, Task] = {}
        self._closed, self.version = False, 0
        self._thread = threading.Thread(target=self._run, name="work", daemon=True)
        self._thread.start()

    def submit(self, kind: str, title: str, work: Callable[[Progress], Outcome]) -> Task:
        """Put a piece of work in the queue; raises MystyleError where that is full."""
        with self._change:
            if self._closed or len(self._waiting) >= MOST_WAITING:
                raise MystyleError("too much is waiting already", "Wait until some of it is done.")
            task = Task(next(self._numbers), kind, title, work)
            self._waiting.append(task)
            self._tasks[task.number] = task
            for number in [one.number for one in self._tasks.values() if one.over][:-KEPT]:
                del self._tasks[number]
            self._changed(task)
            return task

    def tasks(self, since: int = -1) -> list[Task]:
        """Return what is known of, the oldest first, and has changed since a version of the desk."""
        with self._change:
            return [task for task in self._tasks.values() if task.version > since]

    def cancel(self, number: int) -> None:
        """End a piece of work at its next step; what waits is not begun."""
        with self._change:
            task = self._tasks.get(number)
            if task is None or task.over:
                return
            task.wish.set()
            if task.state == "waiting":
                self._waiting.remove(task)
                task.state = "cancelled"
            self._changed(task)

    def cancel_all(self) -> None:
        """End all of them."""
        for task in self.tasks():
            self.cancel(task.number)

    def close(self, patience: float) -> None:
        """End all of them, and wait for that, so many seconds at most."""
        with self._change:
            self._closed = True
        self.cancel_all()
        with self._change:
            self._change.notify_all()
        self._thread.join(patience)

    def _changed(self, task: Task) -> None:
        self.version += 1
        task.version = self.version
        self._change.notify_all()

    def _run(self) -> None:
        while True:
            with self._change:
                while not self._waiting and not self._closed:
                    self._change.wait()
                if self._closed:
                    return
                task = self._waiting.popleft()
                task.state, task.began = "running", time.monotonic()
                self._changed(task)
            self._do(task)

    def _do(self, task: Task) -> None:
        """Do a piece of work; whatever becomes of it is told in it, and ends no other."""
        state: State = "failed"
        try:
            task.outcome = task.work(_Pace(self, task))
            state = "done"
        except CancelledError:
            state = "cancelled"
        except Exception as error:
            task.error = told(contained(task.title, error))
        with self._change:
            task.seconds, task.state = task.spent(), state
            self._changed(task)


def told(error: MystyleError) -> dict[str, str]:
    """Return what the page is told of an error: the command's own words."""
    kind = "stranger" if isinstance(error, NotThisPersonError) else "error"
    return {"kind": kind, "message": error.message, "hint": error.hint}


class _Pace:
    """Notes how far a piece of work is, and how long its stage may take yet; ends it where that is wished."""

    def __init__(self, desk: Desk, task: Task) -> None:
        self.desk, self.task = desk, task
        self.stage, self.began, self.first = "", 0.0, 0

    def __call__(self, step: Step) -> None:
        if self.task.wish.is_set():
            raise CancelledError
        now = time.monotonic()
        if step.stage != self.stage or step.done < self.task.done:
            self.stage, self.began, self.first = step.stage, now, step.done
        taken = step.done - self.first
        with self.desk._change:
            self.task.stage, self.task.done, self.task.total = step.stage, step.done, step.total
            self.task.left = (now - self.began) * (step.total - step.done) / taken if taken else None
            self.desk._changed(self.task)
