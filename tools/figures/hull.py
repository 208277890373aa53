"""Every returned code lies in A_beta; a profile of 500 anchors, most of them dependent, works everywhere.

And whether any anchor of the demonstration people lies in the hull of the others, as app. B.5 has it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mystyle_cli.analysis.membership import excess, outside_the_others, with_many_anchors
from mystyle_cli.faces.align import FFHQ
from mystyle_cli.person.profile import Profile
from mystyle_cli.photos.encode import encode
from mystyle_cli.photos.pixels import Pixels
from mystyle_cli.projection.settings import Parametrisation
from mystyle_cli.report.report import Cell, Report, Table, Target
from mystyle_cli.restore.restore import restore
from mystyle_cli.restore.task import TaskName, default_settings
from mystyle_cli.restore.trials import hole_mask, shrink, subjects
from mystyle_cli.store.store import Store
from tools.figures.common import people, profile_of, report_progress, truths_of

ANCHORS, STEPS, PHOTOS = 500, 20, 2
INSIDE = 1e-3
"""How far outside the hull of the others an anchor may lie that app. B.5 would leave out."""

BETAS = (0.0, 0.05)
TASKS: tuple[TaskName, ...] = ("upscale", "inpaint")
KINDS: tuple[Parametrisation, ...] = ("simplex", "softplus")


def make() -> Report:
    """Restore with many betas and both parametrisations; give 500 anchors to every command."""
    name = people()[0].name
    profile, crops = profile_of(name), truths_of(name).crops[:PHOTOS]
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store")
        many = with_many_anchors(profile, store, "many", ANCHORS)
        rank = int(np.linalg.matrix_rank(many.anchors().astype(np.float64), tol=1e-4))
        rows = [*_codes("own anchors", profile, crops), *_codes("500 anchors", many, crops)]
        commands = _commands(Path(folder), store, crops)
    worst = max(float(row[-1] or 0) for row in rows)
    failed = sum(row[1] != 0 for row in commands)
    columns = ["profile", "task", "parametrisation", "beta", "outside A_beta by"]
    return Report(
        "hull",
        f"every code in A_beta, and {ANCHORS} anchors",
        [
            Table("returned codes", columns, rows),
            Table(
                f"commands on {ANCHORS} anchors of rank {rank}", ["command", "exit code", "seconds"], commands
            ),
            Table(
                "anchors outside the hull of the others by; 1: the mean distance from their mean",
                ["person", "anchors", "the least", "the median", "inside"],
                _apart(),
            ),
        ],
        [
            Target("how far the worst code lies outside A_beta", worst, "at most", 1e-6),
            Target("commands that fail on 500 anchors", failed, "at most", 0),
        ],
        {"photos": PHOTOS, "steps": STEPS},
    )


def _apart() -> list[list[Cell]]:
    """Return a row for each person."""
    rows: list[list[Cell]] = []
    for person in people():
        found = outside_the_others(profile_of(person.name).anchors())
        inside = int((found < INSIDE).sum())
        rows.append([person.name, len(found), float(found.min()), float(np.median(found)), inside])
    return rows


def _codes(label: str, profile: Profile, crops: Pixels) -> list[list[Cell]]:
    """Return a row for each task, parametrisation and beta."""
    names = [str(number) for number in range(len(crops))]
    rows: list[list[Cell]] = []
    for kind in KINDS:
        for beta in BETAS:
            worst = {}
            for task in TASKS:
                base = default_settings(task)
                chosen = replace(base.projection, steps=STEPS, beta=beta, parametrisation=kind)
                settings = replace(base, projection=chosen, aligned=True, force=True)
                found = restore(profile, subjects(crops, task, names, FFHQ), task, settings, report_progress)
                worst[task] = max(excess(a.alpha_plus, beta) for a in found if a.alpha_plus is not None)
            rows += [[label, task, kind, beta, value] for task, value in worst.items()]
    return rows


def _commands(folder: Path, store: Store, crops: Pixels) -> list[list[Cell]]:
    """Run the commands as a user types them."""
    large, small, mask = folder / "large.png", folder / "small.png", folder / "mask.png"
    hole = hole_mask(crops.shape[1], FFHQ)
    encode(crops[0], large)
    encode(shrink(crops)[0], small)
    encode(np.repeat(hole[..., None], 3, axis=2), mask)
    steps = ["--steps", str(STEPS), "--aligned", "--force"]
    out = ["-o", str(folder / "out.png"), "--overwrite"]
    lines = [
        ["sample", "many", "-n", "4", "--seed", "1", "--grid", str(folder / "grid.png")],
        ["sample", "many", "--sampler", "uniform", "--beta", "0.01", "--seed", "1", *out],
        ["invert", "many", str(large), *steps, *out],
        ["inpaint", "many", str(large), "--mask", str(mask), *steps, *out],
        ["upscale", "many", str(small), *steps, *out],
        ["edit", "many", str(large), "-d", "yaw", "-s", "2", *steps, *out],
        ["edit", "many", str(large), "-d", "smile", "--sweep=-3:3:5", "--at-limit", "project", *steps, *out],
        ["profile", "verify", "many"],
    ]
    return [_run(store, line, folder) for line in lines]


def _run(store: Store, words: Sequence[str], folder: Path) -> list[Cell]:
    code = "import sys; from mystyle_cli.cli import main; sys.exit(main())"
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, "--store", str(store.root), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.stderr.write(done.stderr)
    shown = " ".join(words).replace(f"{folder}/", "")
    return [shown, done.returncode, seconds]
