"""How many threads the work takes, and how they wait, on a machine that has other things to do.

The libraries below read their environment when they are loaded, so `settle` comes before the first of them.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final

# how OpenMP's threads wait for each other: asleep. Awake, they take the processor from whoever has work.
WAITING: Final = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}

# what says how many threads torch, and the libraries for matrices beneath it and numpy, take; the first is
# for all of them
COUNTS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

# what a container may take of the processors, of both kinds of cgroup
QUOTAS: Final = (
    (Path("/sys/fs/cgroup/cpu.max"), None),
    (Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")),
)

LOAD: Final = Path("/proc/loadavg")

_settled: list[int] = []


def usable_processors() -> int:
    """Return how many processors this process may use: by its affinity and its container's quota."""
    known = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota()
    return known if quota is None else max(1, min(known, math.ceil(quota)))


def free_processors() -> int:
    """Return how many of the usable processors nothing else works on now; at least one."""
    usable = usable_processors()
    return max(1, min(usable, (os.cpu_count() or usable) - _busy()))


def threads() -> int:
    """Return how many threads a net takes on the CPU: what was settled, else as `settle` would find it."""
    if _settled:
        return _settled[0]
    return _positive(os.environ.get(COUNTS[0], "")) or free_processors()


def settle(wanted: int | None = None, environment: MutableMapping[str, str] = os.environ) -> int:
    """Settle how many threads are taken and how they wait, for this process and those that it starts.

    What the environment says already stays as it is, but a number that is asked for comes before it; without
    either, as many are taken as processors are free.
    """
    if not any(name in environment for name in WAITING):  # one setting of the user's speaks for all
        environment.update(WAITING)
    count = wanted or _positive(environment.get(COUNTS[0], "")) or free_processors()
    if wanted:
        environment.update(dict.fromkeys(COUNTS, str(count)))
    else:
        environment.setdefault(COUNTS[0], str(count))
    torch = sys.modules.get("torch")
    if wanted and torch is not None:  # loaded already, it no longer reads its environment
        torch.set_num_threads(count)
    _settled[:] = [count]
    return count


def _positive(text: str) -> int | None:
    """Return the number that OpenMP would read, the first of a list; None where there is none."""
    first = text.partition(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else None


def _quota() -> float | None:
    """Return how many processors' time a container may take, or None where it is not limited."""
    for quota, period in QUOTAS:
        try:
            words = quota.read_text().split()
            length = words[1] if period is None else period.read_text()
            share = float(words[0]) / float(length)
        except (OSError, ValueError, IndexError, ZeroDivisionError):  # no such file, or "max": no limit
            continue
        return share if share > 0 else None
    return None


def _busy() -> int:
    """Return how many processors others work on: threads that run now, else the load of the last minute."""
    try:
        return max(0, int(LOAD.read_text().split()[3].partition("/")[0]) - 1)  # this one runs, too
    except (OSError, ValueError, IndexError):
        pass
    try:
        return max(0, round(os.getloadavg()[0]))
    except (AttributeError, OSError):
        return 0
