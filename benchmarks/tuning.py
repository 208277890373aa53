"""Tuning against the plain loop: seconds until the loss on the whole reference set is as low.

First the speed of both is measured, interleaved. Then ours runs for several numbers of passes, each with
its own schedule, and the plain loop for MYSTYLE_PLAIN_PASSES passes (default 1000, which takes an hour and
three quarters on one core); how fast these runs are does not count.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch

from benchmarks import plain
from benchmarks.measure import Report, Spread, ratio, spread
from benchmarks.people import good_faces
from mystyle_cli.learn.figures import reconstruction_figures
from mystyle_cli.nets.generator import Generator
from mystyle_cli.nets.perceptual import Perceptual
from mystyle_cli.nets.processors import usable_processors
from mystyle_cli.person.score import perceptual_distances, synthesise
from mystyle_cli.prior.registry import Prior, open_prior
from mystyle_cli.progress import Progress, silent
from mystyle_cli.tuning.settings import TuneSettings
from mystyle_cli.tuning.tuning import Reconstruction, tune
from tools.figures.common import NAMES, truths_of
from tools.portraits import PRIOR

COUNT = 48
PLAIN_PASSES = int(os.environ.get("MYSTYLE_PLAIN_PASSES", str(plain.TUNE_PASSES)))
CHECKED = (5, 10, 20, 50, 100, 150, 200, 250, 300, 400, 500, 600, 700, 800, 900, 1000)
"""Passes of the plain loop after which its loss is measured."""

OURS = (5, 15, 20, 25, 30, 35, 60, 100, 150)


@dataclass(frozen=True)
class Quality:
    """How good a generator is.

    Args:
        loss: eq 1, mean over the reference set.
        held_out_id, held_out_lpips: of photos it was not tuned on, from the encoder's codes.
    """

    loss: float
    held_out_id: float
    held_out_lpips: float

    def reaches(self, other: Quality) -> bool:
        """Tell whether the loss is as low, and held-out photos are as near."""
        nearer = self.held_out_id >= other.held_out_id and self.held_out_lpips <= other.held_out_lpips
        return self.loss <= other.loss and nearer


@dataclass(frozen=True)
class Work:
    """What is tuned.

    Args:
        prior: the domain prior.
        perceptual: LPIPS.
        anchors: (48, w_dim).
        images: float32 (48, 3, R, R).
        held_out: codes and photos.
    """

    prior: Prior
    perceptual: Perceptual
    anchors: np.ndarray
    images: np.ndarray
    held_out: tuple[np.ndarray, np.ndarray]

    def quality(self, generator: Generator) -> Quality:
        """Measure a generator."""
        made = synthesise(generator, self.anchors)
        loss = perceptual_distances(self.perceptual, made, self.images).mean()
        loss += np.square(made - self.images).mean()
        own = (self.anchors, self.images)
        found = reconstruction_figures(generator, self.prior, self.perceptual, own, self.held_out)
        return Quality(float(loss), found["held_out_id"], found["held_out_lpips"])

    def plain(self) -> tuple[Generator, Iterator[int]]:
        """Return a fresh copy of G_d and the plain loop that tunes it."""
        generator = self.prior.generator()
        steps = plain.tuning(
            generator, torch.from_numpy(self.anchors), torch.from_numpy(self.images), self.perceptual
        )
        return generator, steps

    def ours(self, passes: int, progress: Progress = silent) -> Generator:
        """Return G_p after some passes of our tuning."""
        generator, settings = self.prior.generator(), TuneSettings(passes=passes)
        objective = Reconstruction(generator, self.anchors, self.images, self.perceptual)
        tune(objective, settings, progress=progress)
        return generator


def run(rounds: int) -> Report:
    """Time both loops, then find how many of our passes are as good as how many plain ones."""
    torch.set_num_threads(usable_processors())
    work = _work()
    seconds = _time(work, rounds)
    passes, once = ("plain", "ours"), seconds.pop("ours, once")
    figures = {f"{name}, s a pass of {COUNT} photos": spread(seconds[name]) for name in passes}
    figures["ours, s before the first pass"] = spread(once)
    ours = {number: work.quality(work.ours(number)) for number in OURS}
    theirs = _plain_curve(work)
    figures |= _described("ours", ours) | _described("plain", theirs)
    ratios = {"one pass: plain / ours": ratio(seconds, *passes)}
    ratios |= _to_their_losses(seconds, once, theirs, ours)
    facts = {
        "photos": COUNT,
        "held_out_photos": len(work.held_out[0]),
        "threads": usable_processors(),
        "prior": work.prior.digest,
        "plain": f"batch 1, float32, Adam {plain.TUNE_RATE}, LPIPS of both pictures every step",
        "plain_passes_run": max(theirs),
    }
    return Report("Tuning 48 photos: time to the plain loop's loss", figures, ratios, facts)


def _work() -> Work:
    """Encode the first photos that curation keeps, and the photos that no profile has seen."""
    prior = open_prior(PRIOR)
    images, rest = good_faces(COUNT), truths_of(NAMES[0]).images
    return Work(prior, prior.perceptual(), prior.encode(images), images, (prior.encode(rest), rest))


def _time(work: Work, rounds: int) -> dict[str, list[float]]:
    """Time a pass of both loops, in turn, and what ours does before the first pass."""
    seconds: dict[str, list[float]] = {"plain": [], "ours": [], "ours, once": []}
    _, steps = work.plain()
    next(steps)
    for _ in range(rounds):
        started = time.perf_counter()
        for _ in range(COUNT):
            next(steps)
        seconds["plain"].append(time.perf_counter() - started)
        ends: list[float] = []
        started = time.perf_counter()
        work.ours(2, lambda step, ends=ends: ends.append(time.perf_counter()))
        half = len(ends) // 2
        seconds["ours"].append(ends[-1] - ends[half - 1])
        seconds["ours, once"].append(ends[half - 1] - started - seconds["ours"][-1])
    return seconds


def _to_their_losses(
    seconds: Mapping[str, list[float]],
    once: list[float],
    theirs: Mapping[int, Quality],
    ours: Mapping[int, Quality],
) -> dict[str, Spread]:
    """Return how much faster each quality of the plain loop is reached, where ours reaches it.

    Args:
        seconds: of a pass of each loop.
        once: seconds before our first pass.
        theirs, ours: quality by the number of passes.
    """
    ratios: dict[str, Spread] = {}
    for number, quality in theirs.items():
        enough = [own for own, found in ours.items() if found.reaches(quality)]
        if enough:
            times = [
                number * slow / (enough[0] * fast + first)
                for slow, fast, first in zip(seconds["plain"], seconds["ours"], once, strict=True)
            ]
            ratios[f"to the loss of {number} plain passes, in {enough[0]} of ours"] = spread(times)
    return ratios


def _plain_curve(work: Work) -> dict[int, Quality]:
    """Run the plain loop; returns how good it is after some numbers of passes."""
    generator, steps = work.plain()
    curve: dict[int, Quality] = {}
    for number in range(1, PLAIN_PASSES + 1):
        for _ in range(COUNT):
            next(steps)
        if number in CHECKED or number == PLAIN_PASSES:
            curve[number] = work.quality(generator)
            print(f"  plain, {number} passes: {curve[number]}", file=sys.stderr, flush=True)
    return curve


def _described(name: str, curve: Mapping[int, Quality]) -> dict[str, Spread]:
    """Return the figures of a curve."""
    return {
        f"{name}, {passes} passes, {what.replace('_', ' ')}": spread([value])
        for passes, quality in curve.items()
        for what, value in asdict(quality).items()
    }
