"""Tuning by one process and by two, which share the cores: time of a pass, and how far apart the weights end.

Every case runs in fresh processes, whose start does not count. Weights are compared after 20 steps with those
of one process: of two, and of one that went on with what two had begun.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch.distributed import FileStore

from benchmarks.measure import Report, ratio, spread
from mystyle_cli.errors import RankError
from mystyle_cli.nets.device import CPU, Precision
from mystyle_cli.nets.generator import Generator
from mystyle_cli.nets.processors import usable_processors
from mystyle_cli.prior.registry import open_prior
from mystyle_cli.progress import Step
from mystyle_cli.ranks import Ranks
from mystyle_cli.tuning.settings import TuneSettings
from mystyle_cli.tuning.tuning import Reconstruction, plan_for, tune, tuned_parameters
from tools.figures.common import NAMES, truths_of
from tools.portraits import PRIOR

COUNT: Final = 24
PASSES: Final = 10
"""More than are done, so that 20 steps are early in the schedule, where they are largest."""

TIMED: Final = 3
"""Passes that are timed, after the first."""

STEPS: Final = 20
CASES: Final = {"one process": 1, "two processes": 2}
PRECISIONS: Final[tuple[Precision, ...]] = ("float32", "bfloat16")

FACES: Final = "faces.npy"

Weights = dict[str, np.ndarray]


def run(rounds: int) -> Report:
    """Time the cases in turn, then compare the weights."""
    per_pass = -(-COUNT // TuneSettings().batch)
    seconds: dict[str, list[float]] = {case: [] for case in CASES}
    for _ in range(rounds):
        for case, size in CASES.items():
            with tempfile.TemporaryDirectory() as folder:
                _, marks = _tune(size, Path(folder), "float32", (1 + TIMED) * per_pass, save=1e9)
            seconds[case].append((marks[-1] - marks[per_pass - 1]) / TIMED)
    figures = {f"{case}, s a pass of {COUNT} photos": spread(values) for case, values in seconds.items()}
    for precision in PRECISIONS:
        for case, difference in _differences(precision).items():
            figures[f"{precision}, {STEPS} steps: largest {case}"] = spread([difference])
    ratios = {"one process / two processes": ratio(seconds, *CASES)}
    facts = {"threads": usable_processors(), "batch": TuneSettings().batch, "prior": open_prior(PRIOR).digest}
    return Report("Tuning by several processes", figures, ratios, facts)


def _differences(precision: Precision) -> dict[str, float]:
    """Return the largest differences of weights from those of one process, and what it moved them at most."""
    with tempfile.TemporaryDirectory() as folder:
        one, two, begun = (Path(folder) / name for name in ("one", "two", "begun"))
        found, _ = _tune(1, one, precision, STEPS)
        both, _ = _tune(2, two, precision, STEPS)
        _tune(2, begun, precision, STEPS // 2)
        gone_on, _ = _tune(1, begun, precision, STEPS)
    start = _weights(open_prior(PRIOR).generator())
    return {
        "difference of a weight, two processes": _largest(found, both),
        "difference of a weight, begun by two and gone on with by one": _largest(found, gone_on),
        "change of a weight by tuning": _largest(found, start),
    }


@cache
def _faces() -> np.ndarray:
    """Return photos of the demonstration people that no profile sees, float32 (COUNT, 3, R, R)."""
    return np.concatenate([truths_of(name).images for name in NAMES])[:COUNT]


def _weights(generator: Generator) -> Weights:
    return {name: p.detach().numpy() for name, p in tuned_parameters(generator).items()}


def _largest(one: Weights, other: Weights) -> float:
    return max(float(np.abs(one[name] - other[name]).max()) for name in one)


def _tune(
    size: int, folder: Path, precision: Precision, stop: int, save: float = 0.0
) -> tuple[Weights, list[float]]:
    """Tune up to a step in fresh processes, from where the folder is; returns what the first found."""
    folder.mkdir(exist_ok=True)
    np.save(folder / FACES, _faces())
    with ProcessPoolExecutor(size, multiprocessing.get_context("spawn")) as pool:
        found = [pool.submit(_part, rank, size, folder, precision, stop, save) for rank in range(size)]
        return found[0].result()


class _EnoughError(Exception):
    """Stops a tuning."""


def _part(
    rank: int, size: int, folder: Path, precision: Precision, stop: int, save: float
) -> tuple[Weights, list[float]]:
    """Do one process's part in this process; returns the weights, and when each step was done."""
    torch.set_num_threads(max(1, usable_processors() // size))
    ranks = Ranks(rank, size, rank, size, FileStore(str(folder / "meeting"), size) if size > 1 else None)
    prior, images = open_prior(PRIOR), np.load(folder / FACES)
    settings = TuneSettings(passes=PASSES, precision=precision, save_seconds=save)
    generator, perceptual = prior.generator().to(memory_format=torch.channels_last), prior.perceptual()
    plan = plan_for(generator, perceptual, COUNT, settings, CPU, ranks)
    marks: list[float] = []

    def note(step: Step) -> None:
        marks.append(time.perf_counter())
        if step.done == stop:
            raise _EnoughError

    with suppress(_EnoughError, RankError):  # the other has had enough
        tune(
            Reconstruction(generator, prior.encode(images), images, perceptual),
            settings,
            folder,
            note,
            plan,
            ranks,
        )
    return _weights(generator), marks
