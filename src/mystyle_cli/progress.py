"""How long loops report and are interrupted: they call back, and only `terminal/console.py` draws."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Step:
    """One report of a loop under way."""

    stage: str  # what is being done: "curate", "anchors", "tune", "project", ..
    done: int  # finished units, from 0 to `total`
    total: int  # units in all, at least 1
    detail: Mapping[str, float] = field(default_factory=dict)  # figures worth showing, such as {"loss": 0.12}


Progress = Callable[[Step], None]


def silent(step: Step) -> None:
    """Ignore a report."""


@contextmanager
def deferred_interrupt() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a wish, granted at the end of a step; the second stops at once."""
    wish = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield wish  # only the main thread is interrupted, and only it may say how
        return
    before = signal.getsignal(signal.SIGINT)

    def note(signum: int, frame: object) -> None:
        wish.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield wish
    finally:
        signal.signal(signal.SIGINT, before)
