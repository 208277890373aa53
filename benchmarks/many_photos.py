"""Two thousand small photos of two people through the command line, in one process and on every engine.

Each person's thousand is one command. Time counts from the first result that is told to the last, so that
what starts does not; what the work itself takes is what workers note of each photo. All results are compared
with those of one process, byte for byte. Ray has two nodes on this machine, Slurm one with two cores; where
they are not installed those cases are left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.clusters import CORES, adopt, on, present, spent
from benchmarks.measure import Report, ratio, spread
from mystyle_cli.engines.runs import Runs
from tests.support.studio import CLIENTS, SIDE, Studio, digests, make_studio, names

COUNT: Final = 1_000
"""Photos of each person."""

LOOK_S: Final = 1.0
"""Between looks at the processor's time: Ray's workers that have ended are counted no more."""

PROGRAM: Final = (sys.executable, "-m", "mystyle_cli")


@dataclass(frozen=True)
class Case:
    """Where the photos are worked on, and how many at once."""

    engine: str  # "" for no `--on`
    together: int = 8
    workers: int = 1

    @property
    def name(self) -> str:
        """What it is called in the report."""
        return f"{self.engine or 'one process'}, {self.together} at a time"


ALONE: Final = Case("")
CASES: Final = (
    ALONE,
    Case("local:1"),  # which measures what a photo takes, and so how many a job of Slurm's gets
    Case("local:2", workers=2),
    Case("ray", workers=CORES),
    Case("slurm", workers=CORES),
    Case("ray", 1, workers=CORES),
)


@dataclass(frozen=True)
class Taken:
    """What a case took, both people together."""

    wall: float  # seconds
    waiting: float  # of these until the first result was told
    processor: float  # seconds of all processes after that; NaN where it is not known
    work: float  # seconds of workers, as they note it; NaN where no run is kept
    load: float  # of the machine meanwhile

    def each(self, case: Case) -> dict[str, float]:
        """Return figures by name; ms are of a photo."""
        photos = COUNT * len(CLIENTS)
        first = case.workers * case.together * len(CLIENTS)  # which were worked on before one was told
        apart = case.workers * (self.wall - self.waiting) / (photos - first)
        return {
            "wall, s": self.wall,
            "s until the first result": self.waiting,
            "photos/s after it": photos / (self.wall - self.waiting),
            "work, ms": 1e3 * self.work / photos,
            "overhead over the work, ms": 1e3 * (apart - self.work / photos),
            "processor, ms": 1e3 * self.processor / photos,
            "load": self.load,
        }


def run(rounds: int) -> Report:
    """Have all cases work on all photos as often as rounds, and compare the results of each."""
    adopt()
    found: dict[Case, list[Taken]] = {}
    there = set(present([case.engine for case in CASES]))
    with tempfile.TemporaryDirectory() as folder:
        studio = make_studio(Path(folder), COUNT)
        originals, whole = studio.originals(), dict[str, str]()
        for _ in range(rounds):
            for case in (case for case in CASES if case.engine in there):
                output = Path(folder) / "out"
                with on(case.engine) as (engine, added):
                    found.setdefault(case, []).append(_take(studio, case, output, engine, added))
                print(f"{case.name}: {found[case][-1]}", file=sys.stderr, flush=True)
                whole = whole or digests(output)
                _compare(digests(output), whole, case)
                shutil.rmtree(output)
        if studio.originals() != originals:
            raise RuntimeError("a photo has changed")
    figures = {
        f"{case.name}: {name}": spread([taken.each(case)[name] for taken in cases])
        for case, cases in found.items()
        for name in cases[0].each(case)
        if case.engine or name not in {"work, ms", "overhead over the work, ms"}
    }
    seconds = {case.name: [taken.wall - taken.waiting for taken in cases] for case, cases in found.items()}
    ratios = {
        f"{ALONE.name} / {case.name}": ratio(seconds, ALONE.name, case.name) for case in found if case.engine
    }
    facts = {
        "photos": COUNT * len(CLIENTS),
        "people": len(CLIENTS),
        "side": SIDE,
        "threads": 1,
        "bytes": "all results of every case are to the byte those of one process",
    }
    return Report("Two thousand small photos of two people", figures, ratios, facts)


def _compare(made: Mapping[str, str], whole: Mapping[str, str], case: Case) -> None:
    """Raise RuntimeError unless all results are there, and as they were made by one process."""
    wanted = {f"{who}/{name}" for who in CLIENTS for name in names(COUNT)}
    if made.keys() != wanted:
        raise RuntimeError(f"{case.name}: {len(wanted - made.keys())} results are missing")
    if unlike := [name for name, digest in made.items() if digest != whole[name]]:
        raise RuntimeError(f"{case.name}: {len(unlike)} results differ, {unlike[0]} among them")


def _take(studio: Studio, case: Case, output: Path, engine: str, added: Mapping[str, str]) -> Taken:
    wall = waiting = processor = work = 0.0
    for name in CLIENTS:
        words = [*PROGRAM, *studio.words(name, output / name, case.together, engine)]
        began = looked = time.perf_counter()
        first = before = after = float("nan")
        told = 0
        with (
            tempfile.TemporaryFile("w+") as said,  # a pipe that nobody reads meanwhile would fill
            subprocess.Popen(
                words, env=os.environ | added, stdout=subprocess.PIPE, stderr=said, text=True
            ) as driver,
        ):
            assert driver.stdout is not None
            for _ in driver.stdout:
                if not told:
                    first, before = time.perf_counter(), spent()
                    after = before
                told += 1
                if told == studio.count or time.perf_counter() > looked + LOOK_S:
                    after, looked = max(after, spent()), time.perf_counter()
            last = time.perf_counter()
            if driver.wait() or told != studio.count:
                said.seek(0)
                raise RuntimeError(f"{case.name}: {told} told, exit {driver.returncode}\n{said.read()}")
        processor += max(after, spent()) - before
        wall, waiting = wall + last - began, waiting + first - began
        if engine:
            record = Runs(studio.root / "store").all()[0].read()
            work += record.seconds
    return Taken(wall, waiting, processor, work if engine else float("nan"), os.getloadavg()[0])
