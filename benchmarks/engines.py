"""What an engine costs by itself: items that take no time, on this machine's processes, Ray and Slurm.

Ray has two nodes on this machine, Slurm one with two cores; where they are not installed those cases are
left out. Every case is a driver in a process of its own, so that its memory and its processor time are its
own.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.clusters import on, present
from benchmarks.measure import Report, Spread, spread
from mystyle_cli.engines.engine import Demand, Seat
from mystyle_cli.engines.engine import Spread as Loop
from mystyle_cli.engines.named import parse
from mystyle_cli.nets.memory import peak_memory

SIZES: Final = (100, 1_000, 10_000)
TOGETHER: Final = {"local:1": 1, "local:2": 1, "ray": 1, "slurm": 10}
"""Items of a chunk."""

SECONDS: Final = 0.05
"""What a chunk is said to take, so that a job of Slurm's gets as many as of photos that are instant."""


@dataclass(frozen=True)
class Nothing:
    """Answers with the item."""

    def open(self, seat: Seat) -> Callable[[Sequence[int]], Sequence[int]]:
        """Return what does nothing."""
        return lambda items: items


def run(rounds: int) -> Report:
    """Measure every case as often as rounds."""
    found: dict[tuple[str, int], list[dict[str, float]]] = {}
    with ExitStack() as stack:
        engines = {name: stack.enter_context(on(name)) for name in present(TOGETHER)}
        for _, (name, (engine, added)), size in itertools.product(range(rounds), engines.items(), SIZES):
            found.setdefault((name, size), []).append(_apart(engine, added, size, TOGETHER[name]))
    figures: dict[str, Spread] = {}
    ratios: dict[str, Spread] = {}
    for (name, size), cases in found.items():
        case = f"{name}, {size} items in chunks of {TOGETHER[name]}"
        figures[f"{case}, ms an item"] = spread([1e3 * one["working"] / size for one in cases])
        figures[f"{case}, driver's processor, ms an item"] = spread(
            [1e3 * one["processor"] / size for one in cases]
        )
        figures[f"{case}, s until the first answer"] = spread([one["first"] for one in cases])
        figures[f"{case}, driver's peak memory, MB"] = spread([one["memory"] for one in cases])
    for name in engines:
        for less, more in itertools.pairwise(SIZES):
            pair = [statistics.median(one["working"] for one in found[name, size]) for size in (less, more)]
            ratios[f"{name}: time of {more} / {less} items"] = spread([pair[1] / pair[0]])
    return Report(
        "What an engine costs by itself", figures, ratios, {"start_up": "until the first answer, apart"}
    )


def _apart(engine: str, added: dict[str, str], size: int, together: int) -> dict[str, float]:
    words = [sys.executable, "-m", "benchmarks.engines", engine, str(size), str(together)]
    done = subprocess.run(words, env=os.environ | added, stdout=subprocess.PIPE, check=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def _drive(engine: str, size: int, together: int) -> dict[str, float]:
    """Be a driver; returns seconds and MB."""
    chunks = (range(first, min(first + together, size)) for first in range(0, size, together))
    with tempfile.TemporaryDirectory() as folder:
        began = first = time.perf_counter()
        spent = time.process_time()
        count = 0
        for item, answer in Loop(parse(engine).open(), Demand(seconds=SECONDS), Path(folder)).over(
            Nothing(), chunks
        ):
            if item != answer:
                raise RuntimeError(f"{item}: {answer}")
            if not count:
                first = time.perf_counter()
            count += 1
        ended = time.perf_counter()
    if count != size:
        raise RuntimeError(f"{count} answers of {size}")
    return {
        "first": first - began,
        "working": ended - first,
        "processor": time.process_time() - spent,
        "memory": peak_memory() / 1e6,
    }


if __name__ == "__main__":
    from benchmarks import engines  # as workers know it

    print(json.dumps(engines._drive(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
