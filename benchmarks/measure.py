"""How things are timed: interleaved in one run, so that a machine that slows down slows all of them."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Spread:
    """A figure that was measured several times.

    Args:
        median: what to quote.
        low: least.
        high: most.
        count: measurements.
    """

    median: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        """Return median and range."""
        return f"{self.median:.3g} ({self.low:.3g} to {self.high:.3g}, n={self.count})"


@dataclass(frozen=True)
class Report:
    """What a benchmark found.

    Args:
        title: one line.
        figures: by name, with unit in the name: "onnx, batch 16, ms a picture".
        ratios: by name, "torch / onnx, batch 16": above 1 where the second is faster.
        facts: settings, sizes, and what was extrapolated.
    """

    title: str
    figures: Mapping[str, Spread]
    ratios: Mapping[str, Spread]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return what is written as JSON."""
        return asdict(self)


def spread(values: Sequence[float]) -> Spread:
    """Return median and range of measurements."""
    return Spread(statistics.median(values), min(values), max(values), len(values))


def interleaved(
    cases: Mapping[str, Callable[[], object]],
    rounds: int,
    warmup: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Time callables in turn, each round in the opposite order of the one before.

    Args:
        cases: what to time, by name.
        rounds: measurements of each.
        warmup: rounds before these that do not count.
        clock: `time.process_time` counts the processor only, and other work on the machine little.

    Returns:
        Seconds by name, one for each round, so that the rounds of two cases are pairs.
    """
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(-warmup, rounds):
        for name in list(cases) if number % 2 == 0 else reversed(list(cases)):
            started = clock()
            cases[name]()
            if number >= 0:
                seconds[name].append(clock() - started)
    return seconds


def ratio(seconds: Mapping[str, Sequence[float]], slow: str, fast: str) -> Spread:
    """Return how many times faster one case is than another, round by round."""
    return spread([a / b for a, b in zip(seconds[slow], seconds[fast], strict=True)])


def per(values: Sequence[float], units: float, scale: float = 1.0) -> Spread:
    """Return seconds as a share of `units`, times `scale`."""
    return spread([value * scale / units for value in values])


def machine() -> dict[str, Any]:
    """Describe what was measured on; nothing that names the machine."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text("utf-8", "replace").splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    packages = {name: version(name) for name in ("torch", "numpy")}
    return {"processor": model, "cores_used": cores, "load_before": load, "packages": packages}
