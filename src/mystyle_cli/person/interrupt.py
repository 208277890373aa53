"""Ctrl-C in the middle of a long loop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


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
