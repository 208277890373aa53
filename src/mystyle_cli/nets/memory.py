"""How much memory there is, of this machine and of this process's limits, and what fits at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Final

CGROUPS: Final = Path("/sys/fs/cgroup")  # where Linux shows what containers may take
STATUS: Final = Path("/proc/self/status")  # where it counts what this process has had
MEMBERSHIP: Final = Path("/proc/self/cgroup")  # where it says which of them this process is in

# limit, use, and what of the use is given back when it is wanted, as both kinds of cgroup call them
COUNTERS: Final = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def free_memory() -> int | None:
    """Return the bytes of this machine's memory that more work may take, or None where nothing tells."""
    return min(_known([_machine(), _container(), _process()]), default=None)


def used_memory() -> int:
    """Return the bytes of memory that this process holds now; 0 where nothing tells."""
    return _pages(1) or 0


def peak_memory() -> int:
    """Return the bytes of memory that this process held at most; 0 where nothing tells."""
    with suppress(OSError, StopIteration, ValueError):  # Linux counts what the parent held for `getrusage`
        lines = STATUS.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    try:
        import resource
    except ImportError:  # Windows
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _known(values: Iterable[int | None]) -> list[int]:
    return [value for value in values if value is not None]


def _machine() -> int | None:
    """Return what the machine can still give; half of all it has where only that is known."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, OSError, ValueError):
        return None


def _container() -> int | None:
    """Return what is left of the tightest limit of the containers that this process is in."""
    return min(_known(_left_in(group) for group in _groups()), default=None)


def _groups() -> Iterator[Path]:
    """Yield the folder of this process's cgroup and of those around it, for both kinds of cgroup."""
    places = {CGROUPS: "/", CGROUPS / "memory": "/"}
    try:
        for line in MEMBERSHIP.read_text().splitlines():
            _, controllers, place = line.split(":", 2)
            if not controllers or "memory" in controllers.split(","):
                places[CGROUPS / "memory" if controllers else CGROUPS] = place
    except (OSError, ValueError):
        pass
    for root, place in places.items():
        inner = PurePosixPath(place.lstrip("/"))
        yield root
        if ".." not in inner.parts:  # seen from inside a container, what is around it has no place
            yield from (root / part for part in (inner, *inner.parents) if part.parts)


def _left_in(group: Path) -> int | None:
    """Return what a cgroup may still take, or None where it has no limit.

    Its use counts the pages of files that were read; those not in use are dropped when memory is wanted.
    """
    for limit, used, given_back in COUNTERS:
        try:
            free = int((group / limit).read_text()) - int((group / used).read_text())
        except (OSError, ValueError):  # no such file, or "max": no limit
            continue
        try:
            lines = (group / "memory.stat").read_text().splitlines()
            free += next(int(line.split()[1]) for line in lines if line.split()[:1] == [given_back])
        except (OSError, ValueError, IndexError, StopIteration):
            pass
        return max(0, free)
    return None


def _process() -> int | None:
    """Return what is left of the limit on this process's addresses (`ulimit -v`)."""
    held = _pages(0)
    if held is None:
        return None
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else max(0, limit - held)


def _pages(column: int) -> int | None:
    """Return a column of Linux's statm in bytes: 0 addresses, 1 resident memory."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[column]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return None


PIXELS: Final = 1 << 22  # pixels at once, four pictures of 1024: more make no net faster and only take memory


def at_once(resolution: int, most: int) -> int:
    """Return how many pictures of a resolution go through a net together; `most` if memory is no matter."""
    return max(1, min(most, PIXELS // resolution**2))
