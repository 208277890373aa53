"""Eight people learned by one command, one by one and two at a time, against eight commands in a row.

Each is a folder with eight photos of a demonstration person, learned in one pass. The profiles are compared:
they hold the same photos.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.clusters import adopt, spent
from benchmarks.measure import Report, ratio, spread
from mystyle_cli.nets.processors import usable_processors
from mystyle_cli.store.store import Store
from tools.figures.common import people
from tools.portraits import PRIOR

PARTS: Final = 4
"""Folders for each demonstration person."""

PHOTOS: Final = 8
"""Photos in each."""

LEARN: Final = (
    *("--prior", PRIOR, "--passes", "1", "--held-out", "0", "--no-instant", "--no-export"),
    *("--consent", "rendered"),
)
ROW: Final = "eight commands in a row"
CASES: Final = (ROW, "--each --on local:1", "--each --on local:2")


def run(rounds: int) -> Report:
    """Learn the eight in every way, as often as rounds."""
    adopt()
    seconds: dict[str, list[float]] = {case: [] for case in CASES}
    processor: dict[str, list[float]] = {case: [] for case in CASES}
    loads: dict[str, list[float]] = {case: [] for case in CASES}
    known: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as name:
        clients = _clients(Path(name) / "clients")
        for _ in range(rounds):
            for case in CASES:
                store = Path(name) / "store"
                began, before = time.perf_counter(), spent()
                if case == ROW:
                    for folder in sorted(clients.iterdir()):
                        _mystyle(store, folder.name, str(folder), *LEARN)
                else:
                    each, *on = case.split()
                    _mystyle(store, each, str(clients), *on, *LEARN)
                seconds[case].append(time.perf_counter() - began)
                processor[case].append(spent() - before)
                loads[case].append(os.getloadavg()[0])
                print(
                    f"{case}: {seconds[case][-1]:.0f} s, load {loads[case][-1]:.1f}",
                    file=sys.stderr,
                    flush=True,
                )
                learned = {one.name: _photos(store, one.name) for one in Store(store).entries()}
                known = known or learned
                if learned != known or len(known) != len([*clients.iterdir()]):
                    raise RuntimeError(f"{case}: other profiles than {ROW}")
                shutil.rmtree(store)
        count = len([*clients.rglob("*.*")])
    figures = {}
    for case in CASES:
        figures[f"{case}, s"] = spread(seconds[case])
        figures[f"{case}, processor, s"] = spread(processor[case])
        figures[f"{case}, load"] = spread(loads[case])
    ratios = {f"{ROW} / {case}": ratio(seconds, ROW, case) for case in CASES[1:]}
    facts = {
        "people": len(known),
        "photos": count,
        "kept": sum(map(len, known.values())),
        "words": " ".join(LEARN),
        "cores": usable_processors(),
    }
    return Report("Eight people", figures, ratios, facts)


def _clients(folder: Path) -> Path:
    """Make a folder a person."""
    for person in people():
        for part in range(PARTS):
            target = folder / f"{person.name}{part}"
            target.mkdir(parents=True)
            for photo in person.photos[part::PARTS][:PHOTOS]:
                shutil.copy(photo, target)
    return folder


def _mystyle(store: Path, *words: str) -> None:
    command = [sys.executable, "-m", "mystyle_cli", "--store", str(store), "-q", "profile", "create", *words]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def _photos(store: Path, name: str) -> list[str]:
    return [photo.sha256 for photo in Store(store).open(name).photos()]
