"""Pivotal tuning: a personal generator tuned on one photo, behind that photo's code, which stays (sec. 3.4).

What a photo shows and the person's space does not, a mole of that year or the light of that room, goes into
the generator, so that it is still there when the code is edited. So that edits go where they went before, the
generator keeps to its own pictures on the way from the photo's code to the anchors.

Source: Roich et al. 2021, "Pivotal Tuning". Deviations: steps as in tuning a person (Muon); locality by the
person's anchors rather than by random codes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray

from mystyle_cli.errors import MystyleError, UsageError, check_choice, ran_out
from mystyle_cli.nets.cost import Plan, plan_tuning
from mystyle_cli.nets.device import Device, Precision
from mystyle_cli.progress import Progress, Step, silent
from mystyle_cli.projection.projection import Schedule
from mystyle_cli.projection.settings import ProjectionSettings
from mystyle_cli.tuning.tuning import optimisers_of, set_rate, tuned_parameters

if TYPE_CHECKING:
    from torch import Tensor

    from mystyle_cli.nets.generator import Generator
    from mystyle_cli.nets.perceptual import Perceptual

Floats = NDArray[np.float32]

# names the way it is done; what another way has tuned is not taken for this one's
METHOD: Final = "pivotal 1"

WAY: Final = (0.25, 0.75)  # where on the way from the photo's code, 0, to an anchor, 1, the generator is held


@dataclass(frozen=True)
class RefineSettings:
    """How a generator is tuned on one photo."""

    steps: int = 40  # at most
    # how far a step moves a weight at most, as a root mean square; weights are about 1
    learning_rate: float = 3e-3
    patience: int = 8  # steps without gain after which the rate begins to fall; 0 never stops early
    tolerance: float = 1e-2  # the relative fall of the loss that counts as a gain
    held: int = 12  # codes on the way to anchors at which pictures are kept
    at_once: int = 2  # how many of them count in a step; 0 holds nothing
    locality: float = 1.0  # what they weigh against the photo
    weight_l2: float = 1.0  # lambda_L2 of eq 1
    # arithmetic of the networks; "auto" takes bfloat16 where the device has units for it
    precision: Precision = "auto"
    seed: int = 0  # of the choice of those codes

    def __post_init__(self) -> None:
        if self.steps < 1 or self.held < 0 or not 0 <= self.at_once <= self.held:
            raise UsageError(f"{self.steps} steps, {self.at_once} of {self.held} codes: that cannot be tuned")
        check_choice("precision", self.precision, Precision)


@dataclass(frozen=True)
class Refinement:
    """What tuning on one photo made."""

    state: dict[str, Tensor]  # the tuned synthesis parameters by name; everything else is as in G_p
    losses: tuple[float, ...]  # eq 1 of the photo before each step


def refine(
    generator: Generator,
    w_plus: Floats,
    photo: Floats,
    perceptual: Perceptual,
    anchors: Floats,
    settings: RefineSettings,
    progress: Progress = silent,
) -> Refinement:
    """Tune a generator until a photo's code gives the photo back.

    Args:
        generator: a copy of G_p on the device to work on; it is changed in place.
        w_plus: (num_ws, w_dim), the photo's code.
        photo: (3, R, R) in [-1, 1], the aligned crop.
        anchors: (N, w_dim).

    Raises:
        MystyleError: the loss is not finite.
    """
    run = _Run(generator, w_plus, photo, perceptual, anchors, settings)
    schedule = Schedule(
        ProjectionSettings(
            steps=settings.steps,
            learning_rate=settings.learning_rate,
            ramp_up=0.1,
            ramp_down=0.5,
            patience=settings.patience,
            tolerance=settings.tolerance,
        )
    )
    losses: list[float] = []
    while not schedule.ended:
        losses.append(run.gradients(len(losses)))
        set_rate(run.optimisers, schedule.rate(losses[-1]))
        for optimiser in run.optimisers:
            optimiser.step()
        done = settings.steps if schedule.ended else schedule.taken
        progress(Step("refine", done, settings.steps, {"loss": losses[-1]}))
    return Refinement(run.close(), tuple(losses))


class _Run:
    """One tuning: the photo, the pictures that are held, and how gradients are computed."""

    def __init__(
        self,
        generator: Generator,
        w_plus: Floats,
        photo: Floats,
        perceptual: Perceptual,
        anchors: Floats,
        settings: RefineSettings,
    ) -> None:
        self.generator, self.perceptual, self.settings = generator, perceptual, settings
        self.place = Device.of(generator.device)
        self.precision = self.place.precision(settings.precision)
        codes = _codes(w_plus, anchors, settings)
        self.plan = self._plan(len(codes))
        generator.synthesis.recompute = self.plan.recompute
        self.codes = torch.from_numpy(codes).to(generator.device)
        self.targets, self.features = self._targets(torch.from_numpy(photo).to(generator.device))
        self.parameters = tuned_parameters(generator)
        for parameter in self.parameters.values():
            parameter.requires_grad_(True)
        self.optimisers = optimisers_of(self.parameters)

    def _plan(self, pictures: int) -> Plan:
        half = self.precision == "bfloat16"
        batch = 1 + self.settings.at_once
        return plan_tuning(self.generator, self.perceptual, pictures, batch, self.place, half=half)

    def _targets(self, photo: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the photo and what the generator draws at the held codes now, and LPIPS' features of all."""
        pictures, features = [], []
        for number, code in enumerate(self.codes):
            with torch.no_grad(), self.place.arithmetic(self.precision):
                drawn = self.generator.synthesis(code[None], noise="const") if number else photo[None]
                pictures.append(drawn.float())
                features.append(self.perceptual.features(pictures[-1]))
        return torch.cat(pictures), [torch.cat(level) for level in zip(*features, strict=True)]

    def gradients(self, step: int) -> float:
        """Compute a step's gradients, in smaller parts where memory runs out; returns the photo's loss."""
        pool = len(self.codes) - 1
        count = min(self.settings.at_once, pool)
        chosen = [0, *(1 + (step * count + number) % pool for number in range(count))]
        while True:
            for parameter in self.parameters.values():
                parameter.grad = None
            try:
                parts = np.array_split(chosen, math.ceil(len(chosen) / self.plan.at_once))
                first, *_ = [self._add_gradients(part, len(chosen) - 1) for part in parts]
                return first
            except Exception as error:
                plan = self.plan.smaller(len(chosen)) if ran_out(error) else None
                if plan is None:
                    raise
                self.plan, self.generator.synthesis.recompute = plan, plan.recompute
            self.place.give_back()

    def _add_gradients(self, part: NDArray[np.int64], held: int) -> float:
        """Add the gradients at some codes; returns the loss at the first."""
        index = torch.from_numpy(part).to(self.codes.device)
        with self.place.arithmetic(self.precision):
            made = self.generator.synthesis(self.codes[index], noise="const")
            seen = self.perceptual.distance_to([level[index] for level in self.features], made)
        l2 = (made.float() - self.targets[index]).square().mean(dim=(1, 2, 3))
        losses = seen.float().flatten() + self.settings.weight_l2 * l2
        if not losses.isfinite().all():
            raise MystyleError("the loss of tuning on the photo is not finite", "Leave --refine out.")
        weights = torch.where(index == 0, 1.0, self.settings.locality / max(1, held))
        torch.autograd.backward((weights * losses).sum())
        return float(losses[0].detach())

    def close(self) -> dict[str, Tensor]:
        """Freeze the generator; returns its tuned parameters."""
        self.generator.synthesis.recompute = False
        for parameter in self.parameters.values():
            parameter.requires_grad_(False)
            parameter.grad = None
        return {name: p.detach().cpu().contiguous().clone() for name, p in self.parameters.items()}


def _codes(w_plus: Floats, anchors: Floats, settings: RefineSettings) -> Floats:
    """Return the photo's code and those at which pictures are held (1 + held or fewer, num_ws, w_dim)."""
    rng = np.random.default_rng(settings.seed)
    count = min(settings.held, len(anchors)) if settings.at_once else 0
    ends = anchors[np.sort(rng.choice(len(anchors), count, replace=False))][:, None]  # (held, 1, w_dim)
    way = rng.uniform(*WAY, (count, 1, 1))
    return np.concatenate([w_plus[None], w_plus + way * (ends - w_plus)]).astype(np.float32)
