"""Clusters on this machine for benchmarks that need some: Ray with two nodes, Slurm with two cores."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final

CORES: Final = 2
SUBREAPER: Final = 36  # as Linux numbers it for `prctl`


def present(names: Iterable[str]) -> list[str]:
    """Return those of engines, by their name for `--on`, that are installed here."""
    from tests.engines.slurm import missing

    there = {
        "ray": find_spec("ray") is not None,
        "slurm": find_spec("submitit") is not None and not missing(),
    }
    return [name for name in names if there.get(name, True)]


@contextmanager
def on(name: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Run an engine's cluster, if it has one; yields what `--on` is told, and what the environment gets."""
    if name == "ray":
        from tests.engines.ray_nodes import ray_nodes

        with ray_nodes(CORES) as nodes:
            secrets = {key: value for key, value in os.environ.items() if key.startswith("RAY_")}
            yield f"ray:{nodes.address}", secrets
    elif name == "slurm":
        from tests.engines.slurm import slurm

        with slurm(CORES) as added:
            yield "slurm", added
    else:
        yield name, {}


def adopt() -> None:
    """Have this process be the parent of what its descendants leave behind, so that `spent` counts it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)


def spent() -> float:
    """Return the seconds of a processor of this process and all below it, the ended included.

    NaN where the system does not tell (it is Linux that does). Call `adopt` first.
    """
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        process = int(entry.parent.name)
        parents[process], ticks[process] = int(fields[1]), sum(map(int, fields[11:15]))
    if os.getpid() not in parents:
        return float("nan")
    ours = {os.getpid()}
    while more := {one for one, parent in parents.items() if parent in ours} - ours:
        ours |= more
    return sum(ticks[one] for one in ours) / float(os.sysconf("SC_CLK_TCK"))
