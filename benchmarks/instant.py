"""Instant, fast and full restore against the plain projection: cost and quality on held-out photos.

Beside them what the instant net's answer is worth alone, without the steps that the exported gradient of eq 1
takes from there, and what one photo costs from a cold start, where the torch that those steps do without
counts.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image

from benchmarks import plain
from benchmarks.measure import Report, Spread, interleaved, ratio, spread
from benchmarks.startup import PROGRAM
from mystyle_cli.analysis.metrics import lpips
from mystyle_cli.find.locate import locate
from mystyle_cli.instant.steps import STEPS
from mystyle_cli.nets.processors import usable_processors
from mystyle_cli.photos.pixels import to_unit
from mystyle_cli.restore.engine import Answering, open_engine
from mystyle_cli.restore.given import Given, targets_of
from mystyle_cli.restore.restore import restore_with
from mystyle_cli.restore.task import Quality, TaskName, default_settings
from mystyle_cli.restore.trials import comparison_settings, pictures, subjects
from tools.figures.common import NAMES, profile_of, truths_of

COUNT = int(os.environ.get("MYSTYLE_COUNT", "12"))
"""Held-out photos of each person."""

PLAIN_RUN = 10
"""Steps of the plain loop that are run; the time of the rest is extrapolated."""

TASKS: tuple[TaskName, ...] = ("upscale", "inpaint")
QUALITIES: tuple[Quality, ...] = ("instant", "fast", "full")
SMALL = 48
"""Side in pixels of the photo that is enlarged from a cold start."""

Answer = Quality | Literal["the net alone"]
ANSWERS: tuple[Answer, ...] = (*QUALITIES, "the net alone")


class Restorer:
    """One person with what answers for them, ready."""

    def __init__(self, name: str) -> None:
        """Open a person, with no net loaded yet."""
        self.profile, self.truths = profile_of(name), truths_of(name).first(COUNT)
        self.engines: dict[tuple[TaskName, Quality], Answering] = {}

    def answer(self, task: TaskName, wanted: Answer, row: int) -> tuple[float, np.ndarray]:
        """Restore one photo; returns the seconds and the picture, uint8 (R, R, 3)."""
        quality: Quality = "instant" if wanted == "the net alone" else wanted
        if (task, quality) not in self.engines:
            settings = comparison_settings(task, default_settings(task, quality, "p+"))
            self.engines[task, quality] = open_engine(self.profile, settings)
            self.answer(task, quality, row)  # the first call also warms up
        truths = self.truths
        (subject,) = subjects(truths.crops[row : row + 1], task, [truths.paths[row].name], truths.crop)
        steps = patch.dict(STEPS, {task: 0}) if wanted == "the net alone" else nullcontext()
        started = time.perf_counter()
        with steps:
            found = restore_with(self.engines[task, quality], [subject], task)
        seconds = time.perf_counter() - started
        return seconds, pictures(found)[0]


def run(rounds: int) -> Report:
    """Restore held-out photos one at a time with each quality in turn; the plain loop beside them."""
    torch.set_num_threads(usable_processors())
    people = [Restorer(name) for name in NAMES]
    figures: dict[str, Spread] = {}
    ratios: dict[str, Spread] = {}
    for task in TASKS:
        seconds, made = _measure(people, task, rounds)
        figures |= {f"{task}, {name}, s a picture": spread(values) for name, values in seconds.items()}
        for name in ANSWERS:
            ratios[f"{task}: plain / {name}"] = ratio(seconds, "plain", name)
            figures |= _quality(people, task, name, made[name])
    cold = cold_starts(people[0], rounds)
    figures |= {f"cold start, {name}, s": spread(values) for name, values in cold.items()}
    ratios["cold start: fast / instant"] = ratio(cold, "fast", "instant")
    facts = {
        "people": NAMES,
        "held_out_photos_of_each": COUNT,
        "plain": f"batch 1, float32, Adam {plain.PROJECTION_RATE}, {plain.PROJECTION_STEPS} steps, "
        f"LPIPS of both images every step; {PLAIN_RUN} steps run, the rest extrapolated",
        "threads": usable_processors(),
        "prior": people[0].profile.prior.digest,
    }
    return Report("Restoring one picture: instant, fast, full and the plain loop", figures, ratios, facts)


def cold_starts(restorer: Restorer, rounds: int) -> dict[str, list[float]]:
    """Enlarge one small photo in a fresh interpreter, with each quality in turn; returns the seconds."""
    store, photo = restorer.profile.path.parent, restorer.truths.paths[0]
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.png"
        Image.open(photo).convert("RGB").resize((SMALL, SMALL), Image.Resampling.BOX).save(small)

        def enlarge(quality: Quality) -> None:
            words = ["--store", store, "upscale", restorer.profile.name, small, "--quality", quality]
            command = [sys.executable, "-c", PROGRAM, *map(str, words), "-o", f"{folder}/out.png"]
            subprocess.run([*command, "--overwrite"], check=True, capture_output=True)

        return interleaved({name: partial(enlarge, name) for name in QUALITIES}, rounds)


def _measure(
    people: Sequence[Restorer], task: TaskName, rounds: int
) -> tuple[dict[str, list[float]], dict[Answer, list[np.ndarray]]]:
    """Restore every photo with every quality, and run the plain loop for the first photos, interleaved.

    Returns:
        Seconds by name for the first `rounds` photos, so that they are pairs; and the pictures of all.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ("plain", *ANSWERS)}
    made: dict[Answer, list[np.ndarray]] = {name: [] for name in ANSWERS}
    number = 0
    for restorer in people:
        for row in range(len(restorer.truths.crops)):
            timed = number < rounds
            if timed:
                seconds["plain"].append(_plain(restorer, task, row))
            for name in ANSWERS:
                taken, picture = restorer.answer(task, name, row)
                made[name].append(picture)
                if timed:
                    seconds[name].append(taken)
            number += 1
    return seconds, made


def _plain(restorer: Restorer, task: TaskName, row: int) -> float:
    """Run some steps of the plain loop on one photo; returns the seconds that all would take."""
    truths = restorer.truths
    (subject,) = subjects(truths.crops[row : row + 1], task, ["plain"], truths.crop)
    located = locate(restorer.profile, subject, aligned=True, force=True, tiny=False)
    targets, phi = targets_of([Given(located, task, restorer.profile.prior.resolution)])
    settings = default_settings(task).projection
    profile = restorer.profile
    nets = profile.generator(), profile.prior.perceptual()
    anchors = torch.from_numpy(profile.anchors().copy())
    loop = plain.projection(*nets, anchors, torch.from_numpy(targets), phi, settings)
    times = []
    for _ in range(PLAIN_RUN + 1):
        started = time.perf_counter()
        next(loop)
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:]) * plain.PROJECTION_STEPS


def _quality(
    people: Sequence[Restorer], task: TaskName, name: Answer, made: Sequence[np.ndarray]
) -> dict[str, Spread]:
    """Return LPIPS to the truth and ID of all pictures of a quality."""
    distances: list[float] = []
    scores: list[float] = []
    first = 0
    for restorer in people:
        count = len(restorer.truths.crops)
        images = to_unit(np.stack(made[first : first + count]))
        distances += lpips(restorer.profile.prior.perceptual(), images, restorer.truths.images).tolist()
        scores += restorer.profile.id_score(images).tolist()
        first += count
    found = {"LPIPS to the truth": distances, "ID": scores}
    return {f"{task}, {name}, {what}": _mean(values) for what, values in found.items()}


def _mean(values: Sequence[float]) -> Spread:
    """Return the mean, as quality is compared, with the range."""
    return replace(spread(values), median=statistics.fmean(values))
