"""Adversarial tuning of G_d on a person's photos: DiffAugment, and Ojha et al.'s correspondence.

Source: sec. 5.1; the loss and the lazy R1 are StyleGAN2's (Karras et al. 2020). Deviations of both: the
mapping stays G_d's, the same pictures serve generator, discriminator and correspondence, and the runs are as
short as a person's tuning.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mystyle_cli.baselines.augment import augment
from mystyle_cli.baselines.baseline import Baseline, Settings, Trained, in_every_layer
from mystyle_cli.baselines.discriminator import EqualisedConv, load_discriminator
from mystyle_cli.errors import ModelError
from mystyle_cli.nets.device import Device
from mystyle_cli.progress import Progress, Step, silent
from mystyle_cli.tuning.tuning import tuned_parameters

if TYPE_CHECKING:
    from mystyle_cli.baselines.discriminator import Discriminator
    from mystyle_cli.nets.generator import Generator
    from mystyle_cli.person.profile import Profile

BETAS: Final = (0.0, 0.99)  # Adam's, of both nets, as in StyleGAN2


@dataclass(frozen=True)
class AdversarialSettings:
    """How generator and discriminator are tuned against each other."""

    batch: int = 4  # pictures a step, photos as many
    steps: int = 300  # in all
    rate: float = 2e-3  # Adam's, of the generator
    judge_rate: float = 2e-3  # Adam's, of the discriminator
    r1: float = 1.0  # weight of the gradient penalty on photos
    r1_every: int = 16  # steps between two penalties; each counts that often
    half_life: float = 20.0  # steps in which the averaged generator forgets half

    def shown(self) -> dict[str, float | int | str]:
        """Return them as reports print them."""
        return {
            "batch": self.batch,
            "training steps": self.steps,
            "rate of G": self.rate,
            "rate of D": self.judge_rate,
            "R1": self.r1,
            "R1 every": self.r1_every,
            "half-life of the average": self.half_life,
        }


@dataclass(frozen=True)
class Adversarial(Baseline):
    """What both methods share: the reference set, G_d, and the discriminator that was trained with it."""

    tuning: AdversarialSettings = field(default_factory=AdversarialSettings)  # how the nets are tuned

    def lacking(self, profile: Profile) -> str:
        """Say that no discriminator is kept for the prior."""
        return "" if load_discriminator(profile.prior) else "no discriminator is kept for it"

    def train(self, profile: Profile, seed: int, progress: Progress = silent) -> Trained:
        """Tune G_d and its discriminator on the reference set; the averaged generator is the result."""
        self.refuse_lacking(profile)
        judge = load_discriminator(profile.prior)
        assert judge is not None  # `lacking` has looked
        duel = self.duel(profile, judge, seed)
        return Trained(duel.run(progress))

    def duel(self, profile: Profile, judge: Discriminator, seed: int) -> Duel:
        """Return the tuning, ready to run."""
        return Duel(profile, judge, self.tuning, seed)


class Duel:
    """One tuning of G against D with differentiable augmentation; see `DiffAugment`.

    Args:
        profile: the person.
        judge: D, changed in place.
        settings: how.
        seed: of everything that is drawn.
    """

    def __init__(
        self, profile: Profile, judge: Discriminator, settings: AdversarialSettings, seed: int
    ) -> None:
        self.settings, self.judge = settings, judge
        self.generator = profile.prior.generator()
        self.average = copy.deepcopy(self.generator)
        self.photos = torch.from_numpy(profile.faces()).to(self.generator.device)
        self.place = Device.of(self.generator.device)
        self.precision = self.place.precision("auto")
        self.numbers = np.random.default_rng([seed, 0])
        self.random = torch.Generator().manual_seed(seed)
        self.parameters = tuned_parameters(self.generator)
        for parameter in self.parameters.values():
            parameter.requires_grad_(True)
        self.optimiser = torch.optim.Adam(
            self.parameters.values(), lr=settings.rate, betas=BETAS, foreach=True
        )
        self.judging = torch.optim.Adam(self.judges(), lr=settings.judge_rate, betas=BETAS, foreach=True)

    def judges(self) -> list[nn.Parameter]:
        """Return everything that tells photos from made pictures."""
        return list(self.judge.parameters())

    def run(self, progress: Progress = silent) -> Generator:
        """Take all steps; returns the averaged generator, frozen."""
        settings = self.settings
        for step in range(settings.steps):
            codes = self.codes(step)
            made, further = self.made(codes)
            self._generate(step, made, further)
            loss = self._judge(step, made.detach())
            self._average()
            progress(Step("tune", step + 1, settings.steps, {"loss": loss}))
        return self.average

    def draw_z(self, count: int) -> Tensor:
        """Draw z (count, z_dim)."""
        drawn = self.numbers.standard_normal((count, self.generator.z_dim), np.float32)
        return torch.from_numpy(drawn).to(self.photos.device)

    def codes(self, step: int) -> Tensor:
        """Draw the codes (batch, w_dim) of a step."""
        with torch.no_grad():
            return cast(Tensor, self.generator.mapping(self.draw_z(self.settings.batch)))

    def made(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pictures of codes, and what else the generator is to bring down."""
        with self.place.arithmetic(self.precision):
            images = self.generator.synthesis(in_every_layer(codes, self.generator), noise="const")
        return images.float(), images.new_zeros((), dtype=torch.float32)

    def opinions(self, step: int, images: Tensor) -> Tensor:
        """Return logits of pictures (B, 3, R, R), high where they look like photos."""
        return cast(Tensor, self.judge(augment(images, self.random)))

    def _generate(self, step: int, made: Tensor, further: Tensor) -> None:
        """Move the generator towards what the discriminator takes for photos."""
        with self.place.arithmetic(self.precision):
            opinions = self.opinions(step, made)
        loss = F.softplus(-opinions.float()).mean() + further
        gradients = torch.autograd.grad(loss, list(self.parameters.values()))
        for parameter, gradient in zip(self.parameters.values(), gradients, strict=True):
            parameter.grad = gradient
        self.optimiser.step()

    def _judge(self, step: int, made: Tensor) -> float:
        """Teach the discriminator; returns its loss."""
        settings = self.settings
        chosen = self.numbers.integers(len(self.photos), size=settings.batch)
        true = self.photos[torch.from_numpy(chosen).to(self.photos.device)]
        self.judging.zero_grad()
        with self.place.arithmetic(self.precision):
            drawn, real = self.opinions(step, made), self.opinions(step, true)
        loss = F.softplus(drawn.float()).mean() + F.softplus(-real.float()).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        if step % settings.r1_every == 0:
            some = true.clone().requires_grad_(True)
            total = self.opinions(step, some).flatten(1).mean(1).sum()
            gradient = torch.autograd.grad(total, some, create_graph=True)[0]
            penalty = gradient.square().sum((1, 2, 3)).mean()
            (settings.r1_every * settings.r1 / 2 * penalty).backward()  # type: ignore[no-untyped-call]
        self.judging.step()
        return float(loss.detach())

    @torch.no_grad()
    def _average(self) -> None:
        """Move the averaged generator a little towards the one that is tuned."""
        names = dict(self.average.named_parameters())
        old: list[Tensor] = [names[name] for name in self.parameters]
        torch._foreach_lerp_(old, list(self.parameters.values()), 1 - 0.5 ** (1 / self.settings.half_life))


@dataclass(frozen=True)
class DiffAugment(Adversarial):
    """Few-shot GAN tuning in which the discriminator sees everything augmented."""

    name: ClassVar[str] = "DiffAugment"
    source: ClassVar[str] = "Zhao et al. 2020"

    psi: float = 0.7
    steps: int | None = 60
    tuning: AdversarialSettings = field(default_factory=lambda: AdversarialSettings(rate=1e-3, r1=0.3))

    @property
    def settings(self) -> Settings:
        """The tuning, the policy, the search and the truncation (B.3)."""
        return {
            **self.tuning.shown(),
            "augmentation": "colour + translation + cutout",
            "space": self.space,
            "search steps": self.steps or 0,
            "psi": self.psi,
        }


@dataclass(frozen=True)
class CrossDomain(Adversarial):
    """Few-shot adaptation that keeps how alike its pictures are to each other."""

    name: ClassVar[str] = "Ojha et al."
    source: ClassVar[str] = "Ojha et al. 2021"

    tuning: AdversarialSettings = field(default_factory=AdversarialSettings)
    consistency: float = 1000.0  # weight of the cross-domain distance consistency loss
    # every so many steps codes come from around fixed ones, as many as photos, and whole pictures are judged;
    # in the others, patches of them
    anchor_every: int = 4
    anchor_spread: float = 0.1  # standard deviation of z around the fixed ones
    halvings: int = 2  # of the discriminator, after which patches are judged; two: 30 of 128 pixels

    @property
    def settings(self) -> Settings:
        """The tuning, the correspondence, the search and the truncation."""
        return {
            **self.tuning.shown(),
            "consistency": self.consistency,
            "whole pictures every": self.anchor_every,
            "spread of z around anchors": self.anchor_spread,
            "halvings before patches": self.halvings,
            "space": self.space,
            "search steps": self.steps or 0,
            "psi": self.psi,
        }

    def duel(self, profile: Profile, judge: Discriminator, seed: int) -> Duel:
        """Return the tuning, ready to run."""
        return CorrespondingDuel(profile, judge, self, seed)


class CorrespondingDuel(Duel):
    """One tuning with correspondence; see `CrossDomain`.

    Args:
        profile: the person.
        judge: D, changed in place.
        method: how.
        seed: of everything that is drawn.
    """

    def __init__(self, profile: Profile, judge: Discriminator, method: CrossDomain, seed: int) -> None:
        self.method = method
        widths = judge.widths
        if method.halvings >= len(widths):
            raise ModelError(f"no patch is left after {method.halvings} halvings", "Judge larger patches.")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.patch = EqualisedConv(widths[method.halvings], 1).to(next(judge.parameters()).device)
        super().__init__(profile, judge, method.tuning, seed)
        self.source = copy.deepcopy(self.average)
        self.fixed = self.draw_z(len(self.photos))

    def judges(self) -> list[nn.Parameter]:
        """Return the discriminator's parameters and those of its opinion on patches."""
        return [*self.judge.parameters(), *self.patch.parameters()]

    def _whole(self, step: int) -> bool:
        return step % self.method.anchor_every == 0

    def codes(self, step: int) -> Tensor:
        """Draw the codes of a step, around the fixed ones or anywhere."""
        z = self.draw_z(self.settings.batch)
        if self._whole(step):
            chosen = self.numbers.integers(len(self.fixed), size=len(z))
            z = self.fixed[torch.from_numpy(chosen).to(z.device)] + self.method.anchor_spread * z
        with torch.no_grad():
            return cast(Tensor, self.generator.mapping(z))

    def made(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Return pictures, and how their likeness to each other differs from that of G_d's."""
        w_plus = in_every_layer(codes, self.generator)
        with self.place.arithmetic(self.precision):
            with torch.no_grad(), looked_into(self.source) as before:
                self.source.synthesis(w_plus, noise="const")
            with looked_into(self.generator) as after:
                images = self.generator.synthesis(w_plus, noise="const")
        return images.float(), self.method.consistency * inconsistency(before, after)

    def opinions(self, step: int, images: Tensor) -> Tensor:
        """Return logits of whole pictures (B, 1), or of their patches (B, 1, h, h)."""
        if self._whole(step):
            return cast(Tensor, self.judge(images))
        return cast(Tensor, self.patch(self.judge.seen(images, self.method.halvings)))


@contextmanager
def looked_into(generator: Generator) -> Iterator[list[Tensor]]:
    """Collect the features (B, C, h, h) of every block of a generator as it draws."""
    seen: list[Tensor] = []
    blocks = [getattr(generator.synthesis, f"b{side}") for side in generator.synthesis.resolutions]
    hooks = [block.register_forward_hook(lambda _, __, out: seen.append(out[0])) for block in blocks]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def inconsistency(source: list[Tensor], target: list[Tensor]) -> Tensor:
    """Return how much the likeness of pictures to each other differs between two generators.

    For each picture and layer, its cosines to the others of the batch become a distribution; what is returned
    is the mean of KL(source || target) over layers, pictures and others. The first layer, whose input is the
    same for all, and the last do not count, as published; all between do, where Ojha et al. draw one.

    Args:
        source: features (B, C, h, h) of each layer, of the generator that is kept to.
        target: the same, of the one that is tuned.
    """
    between = slice(1, -1) if len(source) > 2 else slice(None)
    parts = []
    for before, after in zip(source[between], target[between], strict=True):
        likeness = _likeness(before)
        parts.append((likeness.exp() * (likeness - _likeness(after))).mean())
    return torch.stack(parts).mean()


def _likeness(features: Tensor) -> Tensor:
    """Return the logarithm (B, B - 1) of how alike each picture is to each other one, as shares of 1."""
    rows = F.normalize(features.float().flatten(1), dim=1)
    others = ~torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    cosines = (rows @ rows.T)[others].reshape(len(rows), -1)
    return F.log_softmax(cosines, dim=1)
