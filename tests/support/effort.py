"""What work costs, counted: clocks depend on the machine and on what else runs there."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

HANGS = 900.0
"""Seconds of the clock after which something is taken to hang, however busy the machine is."""


def calls(work: Callable[[], object]) -> Counter[str]:
    """Return how often functions of each name, those of C among them, are called in this thread by work."""
    ours: Counter[CodeType] = Counter()
    of_c: Counter[str] = Counter()

    def called(frame: FrameType, event: str, function: Any) -> None:
        if event == "call":
            ours[frame.f_code] += 1
        elif event == "c_call":
            of_c[function.__name__] += 1

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        work()
    finally:
        sys.setprofile(before)
    for code, count in ours.items():
        of_c[code.co_name] += count
    return of_c


def peak_memory() -> int:
    """Return the most bytes of memory that this process has held; 0 where nothing tells."""
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # a Mac counts bytes


def extra_memory(work: Callable[[], object]) -> int:
    """Return the most bytes of memory that this process holds during work beyond those of before.

    Only Linux forgets an earlier peak; elsewhere what remains below it is not seen.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    before = peak_memory()
    work()
    return peak_memory() - before
