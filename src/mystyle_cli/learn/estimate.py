"""What a tuning will take, told before it starts: memory counted, time measured on a step of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from mystyle_cli.nets.cost import Plan, gradient_bytes, picture_cost, planned_bytes
from mystyle_cli.nets.memory import used_memory
from mystyle_cli.progress import Step
from mystyle_cli.tuning.settings import TuneSettings
from mystyle_cli.tuning.tuning import Reconstruction, plan_for, tune

if TYPE_CHECKING:
    from mystyle_cli.nets.device import Device
    from mystyle_cli.prior.registry import Prior

# steps are tried until this much time has passed, two at least; the first prepares and does not count
PROBE_SECONDS: Final = 4.0

PROBE_STEPS: Final = 6
LIBRARIES: Final = 700 << 20  # what torch and its companions hold where the process cannot be asked
LATER: Final = 150 << 20  # what libraries hold that are loaded for other stages than tuning

# nets that other stages of learning leave open: their weights, and as much again to work in
HELD_TWICE: Final = ("encoder", "identity", "matte")


@dataclass(frozen=True)
class Estimate:
    """What a tuning is expected to take."""

    pictures: int
    passes: int
    batch: int
    steps: int
    resolution: int
    device: str
    precision: str
    plan: Plan
    memory: int  # bytes that the process, or the device, holds at most
    later: bool  # whether it holds the most when the nets for instant answers are made
    free: int | None  # bytes that it may take, what it holds already among them; None where nothing tells
    seconds_per_step: float | None  # measured on this machine; None where no step was tried
    taken: int = 0  # steps that were taken before, from which the tuning goes on

    @property
    def left(self) -> int:
        """Steps that are left; 0 where the profile is tuned so already."""
        return self.steps - self.taken

    @property
    def seconds(self) -> float | None:
        """Time of the steps that are left."""
        if not self.left:
            return 0.0
        return None if self.seconds_per_step is None else self.left * self.seconds_per_step

    @property
    def fits(self) -> bool:
        """Whether the memory is expected to do."""
        return self.plan.fits and (self.free is None or self.memory <= self.free)

    @property
    def advice(self) -> tuple[str, ...]:
        """What to change, one sentence each, where it does not fit or is cut small."""
        lines: list[str] = []
        if not self.left:
            return ()
        if not self.fits and self.later:
            lines.append("The nets for instant answers take the most: leave them out with --no-instant.")
        if not self.fits:
            lines.append("There is too little free memory: close other programs, or take a larger machine.")
        if self.plan.recompute:
            lines.append("Memory is short, so much is computed twice: about a third slower.")
        if not self.plan.cache:
            lines.append("The targets' features are computed again in every step: they do not fit.")
        return tuple(lines)


def estimate_tuning(
    prior: Prior,
    pictures: int,
    settings: TuneSettings,
    instant: bool = False,
    taken: int | None = 0,
) -> Estimate:
    """Tell what tuning will take: the memory is counted, the time is that of a few steps on noise.

    Args:
        settings: of the tuning; few photos are seen more often.
        instant: whether the nets for instant answers are made afterwards, where there is more than one photo;
            their memory is counted, where it is more, but not their time.
        taken: steps that were taken before; None where all were, and none is tried then.
    """
    import torch

    settings = settings.for_photos(pictures)
    device, generator = prior.device, prior.generator().to(memory_format=torch.channels_last)
    perceptual = prior.perceptual()
    precision = device.precision(settings.precision)
    held, free = _held(device), device.free_memory()
    plan = plan_for(generator, perceptual, pictures, settings, device)
    cost = picture_cost(generator, perceptual, half=precision == "bfloat16")
    work = planned_bytes(plan, cost, generator, perceptual, pictures)
    later = gradient_bytes(generator, perceptual) if instant and pictures > 1 else 0
    # `batches_of_pass` splits evenly: no step may hold `batch`
    largest = math.ceil(pictures / math.ceil(pictures / settings.batch))
    steps = settings.passes * math.ceil(pictures / settings.batch)
    tried = plan.fits and taken is not None
    return Estimate(
        pictures=pictures,
        passes=settings.passes,
        batch=settings.batch,
        steps=steps,
        resolution=generator.resolution,
        device=device.torch,
        precision=precision,
        plan=plan,
        memory=held + _others(prior) + max(work, later),
        later=later > work,
        free=None if free is None else held + free,
        seconds_per_step=_measure(prior, largest, settings, plan) if tried else None,
        taken=steps if taken is None else taken,
    )


def _held(device: Device) -> int:
    """Return what is held with the nets loaded, on the device where it has memory of its own."""
    if device.has_own_memory:
        return device.held_memory()
    return (used_memory() or LIBRARIES) + LATER


def _others(prior: Prior) -> int:
    if prior.device.has_own_memory:
        return 0
    return sum(2 * prior.file(role).stat().st_size for role in prior.roles if role in HELD_TWICE)


def _measure(prior: Prior, batch: int, settings: TuneSettings, plan: Plan) -> float:
    """Return the seconds of a step with `batch` pictures, tried on those worked on at once."""
    import torch

    generator = prior.generator().to(memory_format=torch.channels_last)  # as tuning has it
    tried = min(plan.at_once, batch)
    size, rng = generator.resolution, np.random.default_rng(0)
    codes = rng.standard_normal((tried, generator.w_dim)).astype(np.float32)
    noise = rng.integers(0, 256, (tried, 3, size, size), np.uint8)
    clock = _Clock(prior.device.finish)
    how = replace(settings, passes=PROBE_STEPS, batch=tried)
    with suppress(_EnoughError):
        tune(Reconstruction(generator, codes, noise, prior.perceptual()), how, None, clock, plan)
    return clock.step_seconds * batch / tried


class _EnoughError(Exception):
    """Ends the tries."""


class _Clock:
    """Progress of the tries: times the steps, and ends them when there are enough."""

    def __init__(self, finish: Callable[[], None]) -> None:
        self.finish = finish
        self.marks: list[float] = []

    def __call__(self, step: Step) -> None:
        self.finish()  # a device works on after the call returns: unwaited for, a step would seem free
        self.marks.append(time.perf_counter())
        if self.marks[-1] - self.marks[0] > PROBE_SECONDS:
            raise _EnoughError

    @property
    def step_seconds(self) -> float:
        """The time of a step after the first; of several the middle one."""
        return float(np.median(np.diff(self.marks)))
