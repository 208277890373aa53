"""Projection against the plain loop: seconds until the loss on each photo is as low, for one and for 32.

The plain loop takes all its 1000 steps on as many held-out photos as rounds, for each task. Ours takes
several numbers of steps, each with its own schedule, on the same photos alone and in a batch of 32.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

import numpy as np
import torch

from benchmarks import plain
from benchmarks.measure import Report, Spread, spread
from benchmarks.people import NAMES, person, truths
from mystyle_cli.analysis.baselines import Task, comparison_settings, pictures, subjects
from mystyle_cli.analysis.metrics import lpips
from mystyle_cli.person import hull
from mystyle_cli.photos.decode import Pixels, to_pixels, to_unit
from mystyle_cli.prior.sessions import available_cpus
from mystyle_cli.restore.locate import locate
from mystyle_cli.restore.projection import in_a_beta
from mystyle_cli.restore.restore import Answering, default_settings, open_engine, restore_with
from mystyle_cli.restore.views import degrade

TASKS: Final[tuple[Task, ...]] = ("upscale", "inpaint")
STEPS: Final = (30, 45, 60, 90, 130, 200)
MANY: Final = 32


@dataclass(frozen=True)
class Answers:
    """What one search gave for some photos.

    Args:
        seconds: for each picture.
        losses: (B,), eq 1 of codes in A_beta.
        pictures: uint8 (B, R, R, 3).
    """

    seconds: Sequence[float]
    losses: np.ndarray
    pictures: Pixels


def run(rounds: int) -> Report:
    """Project the same photos with the plain loop and with ours, one photo after the other in turn."""
    torch.set_num_threads(available_cpus())
    figures: dict[str, Spread] = {}
    ratios: dict[str, Spread] = {}
    for task in TASKS:
        crops = np.concatenate([truths(NAMES[0]).crops[:rounds], _others(MANY - rounds)])
        theirs, ours = _one_by_one(task, crops[:rounds])
        together = {steps: _together(task, crops, steps) for steps in STEPS}
        figures |= _described(f"{task}, plain, {plain.PROJECTION_STEPS} steps", theirs, crops)
        for steps in STEPS:
            figures |= _described(f"{task}, ours, {steps} steps", ours[steps], crops)
            figures |= _described(f"{task}, ours, {MANY} at once, {steps} steps", together[steps], crops)
        ratios[f"{task}, one picture: plain / ours"] = times_to_quality(theirs, ours)
        ratios[f"{task}, {MANY} at once: plain / ours, a picture"] = times_to_quality(theirs, together, True)
    facts = {
        "person": NAMES[0],
        "photos": rounds,
        "threads": available_cpus(),
        "prior": person(NAMES[0]).prior.digest,
        "plain": f"batch 1, float32, Adam {plain.PROJECTION_RATE}, LPIPS of both pictures every step, "
        f"from the centre; all {plain.PROJECTION_STEPS} steps run",
        "ours": "as few steps as reach the plain loop's loss: on the photo, or on all of them in a batch",
    }
    return Report("Projection: time to the plain loop's loss", figures, ratios, facts)


def _others(count: int) -> Pixels:
    """Return photos uint8 (count, R, R, 3) to fill a batch with."""
    return to_pixels(person(NAMES[0]).faces()[:count])


def _one_by_one(task: Task, crops: Pixels) -> tuple[Answers, dict[int, Answers]]:
    """Project photo after photo, each with the plain loop and with ours."""
    theirs, ours = [], []
    engines = {steps: _engine(task, steps) for steps in STEPS}
    for crop in crops:
        theirs.append(_plain(task, crop))
        ours.append({steps: _search(engines[steps], task, crop[None]) for steps in STEPS})
    return _joined(theirs), {steps: _joined([one[steps] for one in ours]) for steps in STEPS}


def _together(task: Task, crops: Pixels, steps: int) -> Answers:
    return _search(_engine(task, steps), task, crops)


def _engine(task: Task, steps: int) -> Answering:
    base = default_settings(task)
    projection = replace(base.projection, steps=steps)
    return open_engine(
        person(NAMES[0]), comparison_settings(task, replace(base, projection=projection, batch=MANY))
    )


def _search(engine: Answering, task: Task, crops: Pixels) -> Answers:
    """Restore aligned photos with the program itself; locating and pasting count."""
    degraded = subjects(crops, task, ["photo"] * len(crops))
    started = time.perf_counter()
    found = restore_with(engine, degraded, task)
    seconds = (time.perf_counter() - started) / len(crops)
    losses = np.array([answer.loss for answer in found])
    return Answers([seconds] * len(crops), losses, pictures(found))


def _plain(task: Task, crop: Pixels) -> Answers:
    """Run all steps of the plain loop on one aligned photo."""
    profile = person(NAMES[0])
    settings = default_settings(task).projection
    (subject,) = subjects(crop[None], task, ["photo"])
    located = locate(profile, subject, aligned=True, force=True, tiny=False)
    targets, phi = degrade([located], task, profile.prior.resolution)
    target, generator, perceptual = torch.from_numpy(targets), profile.generator(), profile.prior.perceptual()
    started = time.perf_counter()
    loop = plain.projection(profile, target, phi, settings)
    *_, last = islice(loop, plain.PROJECTION_STEPS)
    seconds = time.perf_counter() - started
    with torch.no_grad():
        alpha_plus = in_a_beta(last.double().numpy(), settings.beta)
        w_plus = torch.from_numpy(hull.combine(alpha_plus, profile.anchors().astype(np.float64))).float()
        made = generator.synthesis(w_plus)
        degraded = phi.apply(made)
        loss = perceptual.distance(phi.view(target), phi.view(degraded)) / phi.seen(degraded)
        loss += (degraded - target).square().mean(dim=(1, 2, 3)) / phi.known(degraded)
    return Answers([seconds], loss.numpy(), to_pixels(made.numpy()))


def _joined(answers: Sequence[Answers]) -> Answers:
    return Answers(
        [seconds for one in answers for seconds in one.seconds],
        np.concatenate([one.losses for one in answers]),
        np.concatenate([one.pictures for one in answers]),
    )


def times_to_quality(theirs: Answers, ours: Mapping[int, Answers], together: bool = False) -> Spread:
    """Return how many times sooner ours is at the plain loop's loss; 0 for a photo where it never is.

    Args:
        theirs: for the photos that are compared.
        ours: by number of steps, for at least these.
        together: all photos take as many steps, so many that each is there.
    """
    there = {steps: one.losses[: len(theirs.losses)] <= theirs.losses for steps, one in ours.items()}
    if together:
        there = {steps: np.full_like(reached, reached.all()) for steps, reached in there.items()}
    found = []
    for row, seconds in enumerate(theirs.seconds):
        enough = [ours[steps].seconds[row] for steps, reached in there.items() if reached[row]]
        found.append(seconds / enough[0] if enough else 0.0)
    return spread(found)


def _described(name: str, answers: Answers, crops: Pixels) -> dict[str, Spread]:
    profile, images = person(NAMES[0]), to_unit(answers.pictures)
    return {
        f"{name}, s a picture": spread(answers.seconds),
        f"{name}, loss": spread(answers.losses.tolist()),
        f"{name}, LPIPS to the truth": spread(
            lpips(profile.prior.perceptual(), images, to_unit(crops[: len(images)])).tolist()
        ),
        f"{name}, ID": spread(profile.id_score(images).tolist()),
    }
