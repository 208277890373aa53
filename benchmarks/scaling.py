"""How cost grows: tuning with photos, a search with its inputs, sampling with n; peak memory of each.

Every case runs in a process of its own, so that its peak memory is its own. Rounds are interleaved.
"""

from __future__ import annotations

import itertools
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Final

import numpy as np
import torch

from benchmarks.measure import Report, Spread, spread
from benchmarks.people import good_faces
from mystyle_cli.nets.device import CPU
from mystyle_cli.nets.processors import usable_processors
from mystyle_cli.photos.pixels import to_pixels
from mystyle_cli.prior.registry import open_prior
from mystyle_cli.restore.engine import open_engine
from mystyle_cli.restore.restore import restore_with
from mystyle_cli.restore.task import default_settings
from mystyle_cli.restore.trials import comparison_settings, subjects
from mystyle_cli.sample.samples import draw
from mystyle_cli.tuning.settings import TuneSettings
from mystyle_cli.tuning.tuning import Reconstruction, plan_for, tune
from tools.figures.common import NAMES, profile_of
from tools.portraits import PRIOR

PASSES: Final = 3
SIZES: Final = {"tune": (12, 24, 48, 96), "upscale": (1, 8, 64), "sample": (1, 16, 128, 1024)}
UNITS: Final = {"tune": f"photos, {PASSES} passes", "upscale": "inputs", "sample": "pictures"}


def run(rounds: int) -> Report:
    """Measure every case in turn, as often as rounds."""
    good_faces(max(SIZES["tune"]))  # the people are learned before anything is timed
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for case, sizes in SIZES.items():
            for size in sizes:
                found.setdefault((case, size), []).append(_apart(case, size))
    figures: dict[str, Spread] = {}
    ratios: dict[str, Spread] = {}
    for (case, size), pairs in found.items():
        seconds, peaks = zip(*pairs, strict=True)
        figures[f"{case}, {size} {UNITS[case]}, s"] = spread(seconds)
        figures[f"{case}, {size} {UNITS[case]}, peak memory, MB"] = spread(peaks)
    for case, sizes in SIZES.items():
        for less, more in itertools.pairwise(sizes):
            steps = [statistics.median(seconds for seconds, _ in found[case, size]) for size in (less, more)]
            ratios[f"{case}: time of {more} / {less} {UNITS[case]}"] = spread([steps[1] / steps[0]])
    facts = {"threads": usable_processors(), "prior": open_prior(PRIOR).digest, "start_up": "not counted"}
    return Report("Cost as work grows", figures, ratios, facts)


def _apart(case: str, size: int) -> tuple[float, float]:
    """Run a case in a fresh process; returns seconds, and its peak memory in MB."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, case, size).result()


def _measured(case: str, size: int) -> tuple[float, float]:
    """Run a case in this process."""
    torch.set_num_threads(usable_processors())
    work = _CASES[case](size)
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    unit = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, kilobytes elsewhere
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _tune(size: int) -> Callable[[], object]:
    prior, images, settings = open_prior(PRIOR), good_faces(size), TuneSettings(passes=PASSES)
    generator, perceptual, anchors = prior.generator(), prior.perceptual(), prior.encode(images)
    plan = plan_for(generator, perceptual, size, settings, CPU)
    objective = Reconstruction(generator, anchors, images, perceptual)
    return lambda: tune(objective, settings, plan=plan)


def _upscale(size: int) -> Callable[[], object]:
    faces = to_pixels(good_faces(32))
    crops = np.concatenate([faces, faces])[:size]
    engine = open_engine(
        profile_of(NAMES[0]), comparison_settings("upscale", default_settings("upscale", space="p+"))
    )
    degraded = subjects(crops, "upscale", ["photo"] * size, engine.profile.prior.crop)
    return lambda: restore_with(engine, degraded, "upscale")


def _sample(size: int) -> Callable[[], object]:
    profile = profile_of(NAMES[0])
    return lambda: draw(profile, range(size))


_CASES: Final[dict[str, Callable[[int], Callable[[], object]]]] = {
    "tune": _tune,
    "upscale": _upscale,
    "sample": _sample,
}
