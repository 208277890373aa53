"""Instant, fast and full restore against the plain projection: cost and quality on held-out photos."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import Report, Spread, ratio, spread
from mystyle_cli.analysis.baselines import Task, comparison_settings, pictures, subjects
from mystyle_cli.analysis.metrics import lpips
from mystyle_cli.analysis.truths import Truths, read_truths
from mystyle_cli.learn import LearnSettings, learn
from mystyle_cli.person import hull
from mystyle_cli.person.profile import Profile
from mystyle_cli.person.store import Store
from mystyle_cli.person.tuning import TuneSettings
from mystyle_cli.photos.decode import to_unit
from mystyle_cli.prior.registry import open_prior
from mystyle_cli.prior.sessions import available_cpus
from mystyle_cli.restore.projection import ProjectionSettings
from mystyle_cli.restore.restore import Answering, Quality, default_settings, open_engine, restore_with
from mystyle_cli.restore.views import degrade

PHOTOS = Path("profiles/photos")
PEOPLE = tuple(os.environ.get("MYSTYLE_PEOPLE", "ada marco").split())
STORE = os.environ.get("MYSTYLE_STORE")
"""A store with these people learned already; without it they are learned first, in 50 passes."""

COUNT = int(os.environ.get("MYSTYLE_COUNT", "12"))
"""Held-out photos of each person."""

PASSES = 50
PLAIN_STEPS, PLAIN_RUN = 1000, 10
"""The plain loop takes this many steps; this many are run, and the time of the rest is extrapolated."""

TASKS: tuple[Task, ...] = ("upscale", "inpaint")
QUALITIES: tuple[Quality, ...] = ("instant", "fast", "full")


@dataclass
class Person:
    """One person with what answers for them, ready.

    Args:
        profile: learned.
        truths: their held-out photos.
        engines: by task and quality.
    """

    profile: Profile
    truths: Truths
    engines: dict[tuple[Task, Quality], Answering] = field(default_factory=dict)

    def answer(self, task: Task, quality: Quality, row: int) -> tuple[float, np.ndarray]:
        """Restore one photo; returns the seconds and the picture, uint8 (R, R, 3)."""
        if (task, quality) not in self.engines:
            settings = comparison_settings(task, default_settings(task, quality))
            self.engines[task, quality] = open_engine(self.profile, settings)
            self.answer(task, quality, row)  # the first call also warms up
        (subject,) = subjects(self.truths.crops[row : row + 1], task, [self.truths.paths[row].name])
        started = time.perf_counter()
        found = restore_with(self.engines[task, quality], [subject], task)
        seconds = time.perf_counter() - started
        if found[0].error is not None:
            raise found[0].error
        return seconds, pictures(found)[0]


def run(rounds: int) -> Report:
    """Restore held-out photos one at a time with each quality in turn; the plain loop beside them."""
    torch.set_num_threads(available_cpus())
    with tempfile.TemporaryDirectory() as folder:
        people = [_person(Path(STORE or folder), name) for name in PEOPLE]
        figures: dict[str, Spread] = {}
        ratios: dict[str, Spread] = {}
        for task in TASKS:
            seconds, made = _measure(people, task, rounds)
            figures |= {f"{task}, {name}, s a picture": spread(values) for name, values in seconds.items()}
            for name in QUALITIES:
                ratios[f"{task}: plain / {name}"] = ratio(seconds, "plain", name)
                figures |= _quality(people, task, name, made[name])
    facts = {
        "people": PEOPLE,
        "held_out_photos_of_each": COUNT,
        "plain": f"batch 1, float32, Adam 5e-3, {PLAIN_STEPS} steps, LPIPS of both images every step; "
        f"{PLAIN_RUN} steps run, the rest extrapolated",
        "threads": available_cpus(),
        "prior": people[0].profile.prior.digest,
    }
    return Report("Restoring one picture: instant, fast, full and the plain loop", figures, ratios, facts)


def _person(store: Path, name: str) -> Person:
    """Open a person, learning them first where the store does not have them."""
    profiles, prior = Store(store), open_prior()
    if name not in profiles.names():
        photos = sorted(path for path in (PHOTOS / name).iterdir() if path.is_file())
        learn(profiles, name, photos, prior, LearnSettings(tuning=TuneSettings(passes=PASSES)))
    truths = read_truths(PHOTOS / f"{name}-held-out", prior.resolution).first(COUNT)
    return Person(profiles.open(name, prior), truths)


def _measure(
    people: Sequence[Person], task: Task, rounds: int
) -> tuple[dict[str, list[float]], dict[Quality, list[np.ndarray]]]:
    """Restore every photo with every quality, and run the plain loop for the first photos, interleaved.

    Returns:
        Seconds by name for the first `rounds` photos, so that they are pairs; and the pictures of all.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ("plain", *QUALITIES)}
    made: dict[Quality, list[np.ndarray]] = {name: [] for name in QUALITIES}
    number = 0
    for person in people:
        for row in range(len(person.truths.crops)):
            timed = number < rounds
            if timed:
                seconds["plain"].append(_plain(person, task, row))
            for name in QUALITIES:
                taken, picture = person.answer(task, name, row)
                made[name].append(picture)
                if timed:
                    seconds[name].append(taken)
            number += 1
    return seconds, made


def _plain(person: Person, task: Task, row: int) -> float:
    """Run some steps of the plain loop on one photo; returns the seconds that all would take."""
    from mystyle_cli.restore.locate import locate

    profile, prior = person.profile, person.profile.prior
    (subject,) = subjects(person.truths.crops[row : row + 1], task, ["plain"])
    located = locate(profile, subject, aligned=True, force=True, tiny=False)
    targets, phi = degrade([located], task, prior.resolution)
    target, generator, perceptual = torch.from_numpy(targets), profile.generator(), prior.perceptual()
    anchors = torch.from_numpy(profile.anchors().copy())
    settings = ProjectionSettings(beta=default_settings(task).projection.beta)
    raw = torch.full((1, generator.num_ws, len(anchors)), 1 / len(anchors), requires_grad=True)
    optimiser = torch.optim.Adam([raw], lr=5e-3)
    times = []
    for _ in range(PLAIN_RUN + 1):
        started = time.perf_counter()
        alpha = hull.softplus_alpha(raw, settings.beta)
        degraded = phi.apply(generator.synthesis(hull.combine(alpha, anchors), noise="const"))
        loss = perceptual.distance(phi.view(target), phi.view(degraded)).sum()
        loss = loss + (degraded - target).square().mean() + hull.sum_penalty(alpha).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:]) * PLAIN_STEPS


def _quality(
    people: Sequence[Person], task: Task, name: Quality, made: Sequence[np.ndarray]
) -> dict[str, Spread]:
    """Return LPIPS to the truth and ID of all pictures of a quality."""
    distances: list[float] = []
    scores: list[float] = []
    first = 0
    for person in people:
        count = len(person.truths.crops)
        images = to_unit(np.stack(made[first : first + count]))
        distances += lpips(person.profile.prior.perceptual(), images, person.truths.images).tolist()
        scores += person.profile.id_score(images).tolist()
        first += count
    found = {"LPIPS to the truth": distances, "ID": scores}
    return {f"{task}, {name}, {what}": _mean(values) for what, values in found.items()}


def _mean(values: Sequence[float]) -> Spread:
    """Return the mean, as quality is compared, with the range."""
    return replace(spread(values), median=statistics.fmean(values))
