"""Projection against the plain loop: seconds until the loss on each photo is as low, for one and for 32.

The plain loop takes all its 1000 steps on as many held-out photos as rounds, for each task. Ours takes 40
steps, and if that was not enough more, with a schedule of their own: on each photo, and on 32 given together,
which are all the held-out photos, repeated. It searches in the simplex form, which goes lower than the
default (see docs/how-it-works.md), with ramps that suit so many steps.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

import numpy as np
import torch

from benchmarks import plain
from benchmarks.measure import Report, Spread, spread
from mystyle_cli.analysis.metrics import lpips
from mystyle_cli.find.locate import locate
from mystyle_cli.hull import hull
from mystyle_cli.nets.processors import usable_processors
from mystyle_cli.person.score import synthesise
from mystyle_cli.photos.pixels import Pixels, to_pixels, to_unit
from mystyle_cli.projection.projection import in_a_beta
from mystyle_cli.restore.engine import Answering, open_engine
from mystyle_cli.restore.given import Given, targets_of
from mystyle_cli.restore.restore import restore_with
from mystyle_cli.restore.task import TaskName, default_settings
from mystyle_cli.restore.trials import comparison_settings, subjects
from tools.figures.common import NAMES, profile_of, truths_of

TASKS: Final[tuple[TaskName, ...]] = ("upscale", "inpaint")
STEPS: Final = (40, 50, 60, 75, 90, 100, 115, 130, 150, 200)
MANY: Final = 32
RAMPS: Final = (0.01, 0.15)
"""Shares of the steps over which the rate rises and falls."""


@dataclass(frozen=True)
class Answers:
    """What one search gave for some photos.

    Args:
        seconds: for each picture.
        steps: for each picture.
        losses: (B,), eq 1 of codes in A_beta.
        pictures: uint8 (B, R, R, 3), what the generator makes of the codes, not pasted into the photos.
    """

    seconds: Sequence[float]
    steps: Sequence[int]
    losses: np.ndarray
    pictures: Pixels


def run(rounds: int) -> Report:
    """Project the same photos with the plain loop and with ours, one photo after the other in turn."""
    torch.set_num_threads(usable_processors())
    figures: dict[str, Spread] = {}
    ratios: dict[str, Spread] = {}
    for task in TASKS:
        held_out = truths_of(NAMES[0]).crops
        crops = held_out[np.arange(MANY) % len(held_out)]
        theirs, alone = _one_by_one(task, crops[:rounds])
        together = _until(task, crops, theirs.losses, least=max(alone.steps[:rounds]))
        figures |= _described(f"{task}, plain, {plain.PROJECTION_STEPS} steps", theirs, crops)
        figures |= _described(f"{task}, ours", alone, crops)
        figures |= _described(f"{task}, ours, {MANY} together", together, crops)
        for name, ours in (("one picture", alone), (f"{MANY} together, a picture", together)):
            figures[f"{task}, {name}, steps to the plain loop's loss"] = spread(ours.steps[:rounds])
            found = [slow / fast for slow, fast in zip(theirs.seconds, ours.seconds, strict=False)]
            ratios[f"{task}, {name}: plain / ours"] = spread(found)
    facts = {
        "person": NAMES[0],
        "photos": rounds,
        "threads": usable_processors(),
        "prior": profile_of(NAMES[0]).prior.digest,
        "plain": f"batch 1, float32, Adam {plain.PROJECTION_RATE}, LPIPS of both pictures every step, "
        f"from the centre; all {plain.PROJECTION_STEPS} steps run",
        "ours": "as few steps as reach the plain loop's loss: on the photo, or on all of them in a batch",
        "as low": "at or below; where that is never reached, the ratio is 0",
    }
    return Report("Projection: time to the plain loop's loss", figures, ratios, facts)


def _one_by_one(task: TaskName, crops: Pixels) -> tuple[Answers, Answers]:
    """Project photo after photo, each with the plain loop and then with ours."""
    theirs, ours = [], []
    for crop in crops:
        theirs.append(_plain(task, crop))
        ours.append(_until(task, crop[None], theirs[-1].losses))
    return _joined(theirs), _joined(ours)


def _until(task: TaskName, crops: Pixels, losses: np.ndarray, least: int = 0) -> Answers:
    """Search with as many steps as the first photos need for these losses; endless seconds if none do.

    Args:
        task: what was done to the photos.
        crops: uint8 (B, R, R, 3).
        losses: to reach, of the first photos.
        least: steps that one of them needs alone; it needs them in a batch too.
    """
    for steps in (number for number in STEPS if number >= least):
        found = _search(_engine(task, steps), task, crops, steps)
        if (found.losses[: len(losses)] <= losses).all():
            return found
    return replace(found, seconds=[math.inf] * len(crops))


def _engine(task: TaskName, steps: int) -> Answering:
    base = default_settings(task, space="p+")  # as the plain loop
    rise, fall = RAMPS
    projection = replace(
        base.projection, steps=steps, parametrisation="simplex", ramp_up=rise, ramp_down=fall
    )
    settings = comparison_settings(task, replace(base, projection=projection))
    return open_engine(profile_of(NAMES[0]), settings)


def _search(engine: Answering, task: TaskName, crops: Pixels, steps: int) -> Answers:
    """Restore aligned photos with the program itself; locating and pasting count."""
    degraded = subjects(crops, task, ["photo"] * len(crops), engine.profile.prior.crop)
    started = time.perf_counter()
    found = restore_with(engine, degraded, task)
    seconds = (time.perf_counter() - started) / len(crops)
    losses = np.array([answer.loss for answer in found])
    codes = np.stack([answer.w_plus for answer in found if answer.w_plus is not None])
    made = to_pixels(synthesise(profile_of(NAMES[0]).generator(), codes))
    return Answers([seconds] * len(crops), [steps] * len(crops), losses, made)


def _plain(task: TaskName, crop: Pixels) -> Answers:
    """Run all steps of the plain loop on one aligned photo."""
    profile = profile_of(NAMES[0])
    settings = default_settings(task).projection
    (subject,) = subjects(crop[None], task, ["photo"], profile.prior.crop)
    located = locate(profile, subject, aligned=True, force=True, tiny=False)
    targets, phi = targets_of([Given(located, task, profile.prior.resolution)])
    target, generator, perceptual = torch.from_numpy(targets), profile.generator(), profile.prior.perceptual()
    started = time.perf_counter()
    anchors = torch.from_numpy(profile.anchors().copy())
    loop = plain.projection(generator, perceptual, anchors, target, phi, settings)
    *_, last = islice(loop, plain.PROJECTION_STEPS)
    seconds = time.perf_counter() - started
    with torch.no_grad():
        alpha_plus = in_a_beta(last.double().numpy(), settings.beta)
        w_plus = torch.from_numpy(hull.combine(alpha_plus, profile.anchors().astype(np.float64))).float()
        made = generator.synthesis(w_plus)
        degraded = phi.apply(made)
        loss = perceptual.distance(phi.view(target), phi.view(degraded)) / phi.seen(degraded)
        loss += (degraded - target).square().mean(dim=(1, 2, 3)) / phi.known(degraded)
    return Answers([seconds], [plain.PROJECTION_STEPS], loss.numpy(), to_pixels(made.numpy()))


def _joined(answers: Sequence[Answers]) -> Answers:
    return Answers(
        [seconds for one in answers for seconds in one.seconds],
        [steps for one in answers for steps in one.steps],
        np.concatenate([one.losses for one in answers]),
        np.concatenate([one.pictures for one in answers]),
    )


def _described(name: str, answers: Answers, crops: Pixels) -> dict[str, Spread]:
    profile, images = profile_of(NAMES[0]), to_unit(answers.pictures)
    return {
        f"{name}, s a picture": spread(answers.seconds),
        f"{name}, loss": spread(answers.losses.tolist()),
        f"{name}, LPIPS to the truth": spread(
            lpips(profile.prior.perceptual(), images, to_unit(crops[: len(images)])).tolist()
        ),
        f"{name}, ID": spread(profile.id_score(images).tolist()),
    }
