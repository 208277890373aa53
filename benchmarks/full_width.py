"""Steps at the widths of the public 1024 generator, with random weights: ours against the plain loop.

At 1024 pixels on a CUDA device where there is one, else at 256 on the CPU; MYSTYLE_RESOLUTION takes another
generator of the same family. Speed does not depend on what the weights are; quality is not measured here.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import plain
from benchmarks.measure import Report, Spread, ratio, spread
from mystyle_cli.nets.cost import Plan, plan_tuning
from mystyle_cli.nets.device import Device
from mystyle_cli.nets.generator import Generator
from mystyle_cli.nets.perceptual import Perceptual
from mystyle_cli.progress import Step
from mystyle_cli.projection.degradations import Identity
from mystyle_cli.projection.projection import Problem, project
from mystyle_cli.projection.settings import ProjectionSettings
from mystyle_cli.tuning.settings import TuneSettings
from mystyle_cli.tuning.tuning import Reconstruction, plan_for, tune

DEVICE: Final = "cuda" if torch.cuda.is_available() else "cpu"
RESOLUTION: Final = int(os.environ.get("MYSTYLE_RESOLUTION", "1024" if DEVICE == "cuda" else "256"))
WIDEST: Final = 512
"""Features of the lowest resolutions."""

PHOTOS: Final = 100
"""Anchors, and photos of the person whose tuning is told in seconds."""

STEPS: Final = 4
"""Steps of each loop that are timed in a round, after one that is not."""

INPUTS: Final = 4
"""Photos that are searched for at once."""

SMALL: Final = 12e9
"""Bytes of memory of a small graphics card."""

SIDE: Final = {"cuda": 8192, "cpu": 2048}
"""Of the square matrices whose product is taken for what the device can do."""


@dataclass(frozen=True)
class Work:
    """What the loops work on.

    Args:
        generator: with random weights, as wide as the public one.
        perceptual: LPIPS over AlexNet, with random weights.
        anchors: (N, w_dim).
        images: uint8 (B, 3, R, R), one batch of noise.
    """

    generator: Generator
    perceptual: Perceptual
    anchors: np.ndarray
    images: np.ndarray

    def fresh(self) -> Generator:
        """Return a copy of the generator that may be changed."""
        return self.generator.frozen().to(memory_format=torch.channels_last)


def run(rounds: int) -> Report:
    """Time a step of tuning and of a search for one picture, both loops in turn, with the memory of each."""
    work, settings = _work(), TuneSettings()
    perceptual, count = work.perceptual, len(work.images)
    plan = plan_for(work.generator, perceptual, count, settings, Device(DEVICE))
    small = plan_tuning(
        work.generator, perceptual, count, settings.batch, Device(DEVICE), free=int(SMALL), half=_half()
    )
    cases: dict[str, Callable[[], list[float]]] = {
        "tuning, plain": lambda: _timed(_plain_tuning(work)),
        "tuning, ours": lambda: _tuned(work, settings, plan),
        "tuning, ours in 12 GB": lambda: _tuned(work, settings, small),
        "search, plain": lambda: _timed(_plain_search(work)),
        f"search, ours, {INPUTS} at once": lambda: _searched(work),
    }
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    memory: dict[str, float] = {}
    for _ in range(rounds):
        for name, case in cases.items():
            _forget_peak()
            seconds[name] += case()
            memory[name] = _peak()
    figures = {f"{name}, s a picture and step": spread(values) for name, values in seconds.items()}
    figures |= {f"{name}, peak memory, GB": spread([value / 1e9]) for name, value in memory.items()}
    figures |= _whole(seconds, settings) | _shares(work, seconds)
    pairs = [*zip(list(cases)[:1] * 2, list(cases)[1:3], strict=True), tuple(list(cases)[3:])]
    ratios = {f"{slow} / {fast}": ratio(seconds, slow, fast) for slow, fast in pairs}
    facts = {
        "device": torch.cuda.get_device_name() if DEVICE == "cuda" else "cpu",
        "resolution": RESOLUTION,
        "precision": Device(DEVICE).precision("auto"),
        "plan": repr(plan),
        "plan_in_12_gb": repr(small),
        "extrapolated": f"tunings of {PHOTOS} photos, from {STEPS} steps a round",
    }
    return Report(f"Steps at the widths of the public generator, {RESOLUTION} pixels", figures, ratios, facts)


def _half() -> bool:
    return Device(DEVICE).precision("auto") == "bfloat16"


def _work() -> Work:
    """Make nets with random weights, anchors, and photos of noise."""
    torch.manual_seed(0)
    sizes = [4 << i for i in range(RESOLUTION.bit_length() - 2)]
    channels = {size: min(64 * WIDEST // size, WIDEST) for size in sizes}  # config-f
    generator = Generator(channels=channels, z_dim=512, w_dim=512).eval().requires_grad_(False).to(DEVICE)
    perceptual = Perceptual(min(RESOLUTION, 256)).to(DEVICE)
    random, batch = np.random.default_rng(0), TuneSettings().batch
    images = random.integers(0, 256, (batch, 3, RESOLUTION, RESOLUTION), np.uint8)
    return Work(generator, perceptual, random.standard_normal((PHOTOS, 512)).astype(np.float32), images)


def _unit(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).to(DEVICE).float() / 127.5 - 1


def _plain_tuning(work: Work) -> Iterator[int]:
    anchors = torch.from_numpy(work.anchors[: len(work.images)]).to(DEVICE)
    return plain.tuning(work.fresh(), anchors, _unit(work.images), work.perceptual)


def _plain_search(work: Work) -> Iterator[torch.Tensor]:
    anchors, target = torch.from_numpy(work.anchors).to(DEVICE), _unit(work.images[:1])
    settings = ProjectionSettings(beta=0.02)
    return plain.projection(work.fresh(), work.perceptual, anchors, target, Identity(), settings)


def _timed(loop: Iterator[object]) -> list[float]:
    """Return the seconds of each of some steps of a loop, after a first."""
    clock = _Clock()
    for _ in islice(loop, 1 + STEPS):
        clock.tick()
    return clock.seconds(1)


def _tuned(work: Work, settings: TuneSettings, plan: Plan) -> list[float]:
    """Return the seconds a picture of steps of our tuning."""
    clock, count = _Clock(), len(work.images)
    how = replace(settings, passes=1 + STEPS)
    objective = Reconstruction(work.fresh(), work.anchors[:count], work.images, work.perceptual)
    tune(objective, how, None, clock.tick, plan)
    return clock.seconds(count)


def _searched(work: Work) -> list[float]:
    """Return the seconds a picture of steps of our search."""
    clock, settings = _Clock(), ProjectionSettings(beta=0.02, steps=1 + STEPS)
    images = work.images[:INPUTS]
    targets = _unit(images).cpu()
    problem = Problem(work.fresh(), work.anchors, targets, Identity(), work.perceptual)
    project(problem, settings, clock.tick)
    return clock.seconds(len(images))


class _Clock:
    """Notes when steps end."""

    def __init__(self) -> None:
        self.marks: list[float] = []

    def tick(self, step: Step | None = None) -> None:
        """Note the end of a step, when the device has done it."""
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        self.marks.append(time.perf_counter())

    def seconds(self, pictures: int) -> list[float]:
        """Return the seconds a picture of every step after the first."""
        return [float(value) / pictures for value in np.diff(self.marks)][:STEPS]


def _forget_peak() -> None:
    if DEVICE == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peak() -> float:
    """Return the most bytes held: of the device's memory since `_forget_peak`, or by this process so far."""
    if DEVICE == "cuda":
        return float(torch.cuda.max_memory_reserved())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def _whole(seconds: dict[str, list[float]], settings: TuneSettings) -> dict[str, Spread]:
    """Return what a whole person takes, from the seconds of a picture and step."""
    passes = {"tuning, plain": plain.TUNE_PASSES, "tuning, ours": settings.passes}
    return {
        f"{name}, {PHOTOS} photos, {number} passes, s": spread([PHOTOS * number * s for s in seconds[name]])
        for name, number in passes.items()
    }


def _shares(work: Work, seconds: dict[str, list[float]]) -> dict[str, Spread]:
    """Return the device's rate for a matrix product, and what a tuning step reaches of it."""
    kind = torch.bfloat16 if _half() else torch.float32
    side = SIDE[DEVICE]
    a, clock = torch.randn(side, side, device=DEVICE, dtype=kind), _Clock()
    for _ in range(6):
        clock.tick()
        a @ a
    clock.tick()
    peaks = [2 * side**3 / s for s in np.diff(clock.marks)[1:]]
    counter, generator = FlopCounterMode(display=False), work.fresh()
    codes = torch.zeros(1, generator.num_ws, 512, device=DEVICE)
    generator.synthesis.requires_grad_(True)
    with torch.no_grad():
        features = work.perceptual.features(_unit(work.images[:1]))
    with counter:
        work.perceptual.distance_to(features, generator.synthesis(codes)).sum().backward()  # type: ignore[no-untyped-call]
    flops = counter.get_total_flops()
    peak = spread(peaks)
    return {
        "matrix product, TFLOP/s": spread([one / 1e12 for one in peaks]),
        "tuning step, TFLOP a picture": spread([flops / 1e12]),
        "tuning, ours, share of the matrix product's rate, %": spread(
            [100 * flops / s / peak.median for s in seconds["tuning, ours"]]
        ),
    }
