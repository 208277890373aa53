"""How a person is tuned, by which schedule, and what comes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from mystyle_cli.config import TUNE_BATCH, TUNE_PASSES, TUNE_RATE
from mystyle_cli.errors import UsageError, check_choice
from mystyle_cli.nets.device import Precision

# photos below which a set is shown more often, so that every tuning takes as many steps as with these
SAME_WORK: Final = 24


@dataclass(frozen=True)
class TuneSettings:
    """How a person is tuned.

    Args:
        passes: how often every photo is seen.
        batch: photos a step.
        learning_rate: how far a step moves a weight at most, as a root mean square; weights are about 1.
        warmup: part of all steps during which the rate rises, in [0, 1).
        weight_l2: lambda_L2 of eq 1.
        precision: arithmetic of the networks; "auto" takes bfloat16 where the device has units for it.
        seed: order of the photos.
        save_seconds: at most this much work is lost by a kill.
    """

    passes: int = TUNE_PASSES
    batch: int = TUNE_BATCH
    learning_rate: float = TUNE_RATE
    warmup: float = 0.05
    weight_l2: float = 1.0
    precision: Precision = "auto"
    seed: int = 0
    save_seconds: float = 15.0

    def __post_init__(self) -> None:
        if self.passes < 1 or self.batch < 1:
            raise UsageError(f"passes {self.passes} and batch {self.batch} must be 1 or more")
        check_choice("precision", self.precision, Precision)
        if not 0 < self.learning_rate < math.inf or not 0 <= self.warmup < 1:
            raise UsageError(
                f"rate {self.learning_rate} must be above 0, finite, and warmup {self.warmup} in [0, 1)"
            )

    def for_photos(self, count: int) -> TuneSettings:
        """Return the same, but that few photos are seen more often, unless passes are given.

        Args:
            count: of the photos.
        """
        if self.passes != TUNE_PASSES:
            return self
        return replace(self, passes=passes_for(count, self.passes, self.batch))


def passes_for(count: int, passes: int, batch: int) -> int:
    """Return how often so many photos are shown: a few would otherwise get a handful of steps.

    Args:
        count: of photos.
        passes: over a set of `SAME_WORK` photos or more.
        batch: photos a step.
    """
    steps = passes * math.ceil(max(count, SAME_WORK) / batch)
    return math.ceil(steps / math.ceil(count / batch))


@dataclass(frozen=True)
class LossPoint:
    """Mean losses of one pass over the reference set, before each step's update."""

    number: int
    loss: float
    perceptual: float
    l2: float
    learning_rate: float


@dataclass(frozen=True)
class TuneResult:
    """What tuning made."""

    state: dict[str, torch.Tensor]  # the tuned synthesis parameters by name; everything else is as in G_d
    curve: tuple[LossPoint, ...]  # one point for each pass
    seconds: float  # time spent, over all commands that took part
    precision: str  # the arithmetic that was used


def learning_rate_at(settings: TuneSettings, step: int, steps: int) -> float:
    """Return the rate of a step: a linear rise, then half a cosine down to nothing."""
    rise = max(1, round(settings.warmup * steps))
    if step < rise:
        return settings.learning_rate * (step + 1) / rise
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def batches_of_pass(count: int, batch: int, seed: int, number: int) -> list[NDArray[np.int64]]:
    """Split one pass into batches of nearly equal size, in an order that depends only on seed and pass."""
    order = np.random.default_rng([seed, number]).permutation(count)
    return np.array_split(order, math.ceil(count / batch))
