"""Reconstruction with more than the generator free: GLO, and a restoration net tuned on the person.

Both take eq 1 and the optimiser of a person's own tuning, so that what differs is what is free.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mystyle_cli.baselines.baseline import (
    Baseline,
    Floats,
    Settings,
    State,
    Trained,
    draw_codes,
    fill,
    in_every_layer,
)
from mystyle_cli.baselines.encoder import TrainableEncoder
from mystyle_cli.baselines.untuned import mix_anchors
from mystyle_cli.errors import ModelError
from mystyle_cli.nets.device import Device
from mystyle_cli.progress import Progress, Step, silent
from mystyle_cli.projection.degradations import Degradation, Downsample, Mask
from mystyle_cli.projection.settings import Projection
from mystyle_cli.restore.engine import Engine
from mystyle_cli.restore.given import targets_of
from mystyle_cli.tuning.settings import TuneSettings, batches_of_pass, learning_rate_at
from mystyle_cli.tuning.tuning import optimisers_of, plan_for, tuned_parameters

if TYPE_CHECKING:
    from mystyle_cli.nets.generator import Generator
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.projection.settings import SpaceName
    from mystyle_cli.restore.given import Given
    from mystyle_cli.restore.task import RestoreSettings


class Fit:
    """One reconstruction of the reference set, eq 1, by a generator and what gives it codes.

    Args:
        profile: the person.
        settings: passes, batch, rate; as for a person's tuning.
        rate: Adam's, of what gives the codes.
    """

    def __init__(self, profile: Profile, settings: TuneSettings, rate: float) -> None:
        self.settings, self.rate = settings, rate
        self.generator = profile.prior.generator()
        self.perceptual = profile.prior.perceptual()
        self.photos = torch.from_numpy(profile.faces()).to(self.generator.device)
        self.place = Device.of(self.generator.device)
        self.precision = self.place.precision(settings.precision)
        nets = self.generator, self.perceptual
        self.plan = plan_for(*nets, len(self.photos), settings, profile.device)
        self.generator.synthesis.recompute = self.plan.recompute

    @abstractmethod
    def free(self) -> list[nn.Parameter]:
        """Return what gives the codes."""

    @abstractmethod
    def codes(self, rows: NDArray[np.int64], photos: Tensor) -> Tensor:
        """Return the codes (B, w_dim) of photos (B, 3, R, R), which are these rows of the reference set."""

    def run(self, progress: Progress = silent) -> Generator:
        """Take all steps; returns the generator, frozen."""
        settings, parameters = self.settings, tuned_parameters(self.generator)
        for parameter in parameters.values():
            parameter.requires_grad_(True)
        weights, others = optimisers_of(parameters), torch.optim.Adam(self.free(), lr=self.rate)
        per_pass = math.ceil(len(self.photos) / settings.batch)
        total = settings.passes * per_pass
        for step in range(total):
            number, place = divmod(step, per_pass)
            rows = batches_of_pass(len(self.photos), settings.batch, settings.seed, number)[place]
            share = learning_rate_at(settings, step, total)
            for optimiser in (*weights, others):
                optimiser.zero_grad()
                for group in optimiser.param_groups:
                    group["lr"] = group.get("share", self.rate / settings.learning_rate) * share
            loss = 0.0
            for part in np.array_split(rows, math.ceil(len(rows) / self.plan.at_once)):
                term = self._loss(part) * (len(part) / len(rows))
                term.backward()  # type: ignore[no-untyped-call]
                loss += float(term.detach())
            for optimiser in (*weights, others):
                optimiser.step()
            progress(Step("tune", step + 1, total, {"loss": loss}))
        self.generator.synthesis.recompute = False
        return self.generator.requires_grad_(False)

    def _loss(self, rows: NDArray[np.int64]) -> Tensor:
        photos = self.photos[torch.from_numpy(rows).to(self.photos.device)]
        with self.place.arithmetic(self.precision):
            with torch.no_grad():
                seen = self.perceptual.features(photos)
            codes = self.codes(rows, photos).float()
            made = self.generator.synthesis(in_every_layer(codes, self.generator), noise="const")
            perceived = self.perceptual.distance_to(seen, made).float().mean()
        loss: Tensor = perceived + self.settings.weight_l2 * (made.float() - photos).square().mean()
        return loss


@dataclass(frozen=True)
class Glo(Baseline):
    """Ours, but for the anchors: they begin as codes of nobody and are trained with the generator."""

    name: ClassVar[str] = "GLO"
    source: ClassVar[str] = "Bojanowski et al. 2017; MyStyle, app. C.7"
    space: ClassVar[SpaceName] = "p+"

    steps: int | None = None
    tuning: TuneSettings = field(default_factory=TuneSettings)  # of the generator, a person's own
    rate: float = 0.1  # Adam's, of the anchors

    @property
    def settings(self) -> Settings:
        """The tuning and the search."""
        return {
            "passes": self.tuning.passes,
            "batch": self.tuning.batch,
            "rate of G": self.tuning.learning_rate,
            "rate of anchors": self.rate,
            "space": self.space,
            "anchors in a sample": 3,
        }

    def train(self, profile: Profile, seed: int, progress: Progress = silent) -> Trained:
        """Train anchors and generator together."""
        fit = GloFit(profile, self, seed)
        generator = fit.run(progress)
        return Trained(generator, fit.anchors.detach().cpu().numpy())

    def engine(self, profile: Profile, trained: Trained, settings: RestoreSettings) -> Engine:
        """Return an engine in the hull of the trained anchors; the encoder knows nothing of them."""
        return super().engine(profile, trained, _from_centre(settings))

    def sample(self, profile: Profile, trained: Trained, count: int, seed: int) -> Floats:
        """Mix three of the trained anchors for each picture, as ours does."""
        assert trained.anchors is not None
        return mix_anchors(trained.anchors, count, seed)


class GloFit(Fit):
    """The tuning of `Glo`."""

    def __init__(self, profile: Profile, method: Glo, seed: int) -> None:
        super().__init__(profile, _seeded(method.tuning, seed), method.rate)
        first = draw_codes(self.generator, len(self.photos), seed, 1.0)
        self.anchors = nn.Parameter(torch.from_numpy(first).to(self.photos.device))

    def free(self) -> list[nn.Parameter]:
        """Return the anchors."""
        return [self.anchors]

    def codes(self, rows: NDArray[np.int64], photos: Tensor) -> Tensor:
        """Return the photos' anchors."""
        return self.anchors[torch.from_numpy(rows).to(self.anchors.device)]


@dataclass(frozen=True)
class Restorer(Baseline):
    """A restoration net, tuned on the person: degraded photo -> E -> w -> G in one pass.

    E and G are the prior's, and both are tuned on pairs of reference photos and what is left of them, made
    small or with a hole at random, as GPEN and CoModGAN are in the paper.
    """

    name: ClassVar[str] = "Domain prior + FT"
    source: ClassVar[str] = "MyStyle, sec. 5.2; GPEN (Yang et al. 2021), CoModGAN (Zhao et al. 2021)"

    psi: float = 0.7
    tuning: TuneSettings = field(default_factory=TuneSettings)  # of the generator, a person's own
    rate: float = 2e-4  # Adam's, of the encoder
    # sides in pixels of the small photos, smallest and largest, in parts of the picture's
    sizes: tuple[float, float] = (1 / 16, 1 / 2)
    holes: tuple[float, float] = (1 / 5, 1 / 2)  # sides of the holes, in parts of the picture's

    @property
    def settings(self) -> Settings:
        """The tuning and the pairs."""
        return {
            "passes": self.tuning.passes,
            "batch": self.tuning.batch,
            "rate of G": self.tuning.learning_rate,
            "rate of E": self.rate,
            "smallest photo": self.sizes[0],
            "largest photo": self.sizes[1],
            "smallest hole": self.holes[0],
            "largest hole": self.holes[1],
            "space": "w in one pass",
            "psi": self.psi,
        }

    def lacking(self, profile: Profile) -> str:
        """Say that there is no encoder, or none that can be trained."""
        prior = profile.prior
        if "encoder" not in prior.roles:
            return "it has no encoder"
        try:
            TrainableEncoder(prior.file("encoder"))
        except ModelError as error:
            return error.message
        return ""

    def train(self, profile: Profile, seed: int, progress: Progress = silent) -> Trained:
        """Tune encoder and generator on degraded photos."""
        self.refuse_lacking(profile)
        fit = RestorerFit(profile, self, seed)
        generator = fit.run(progress)
        return Trained(generator, encoder=fit.encoder.requires_grad_(False))

    def revive(self, profile: Profile, state: State) -> Trained:
        """Return what was trained, the encoder too."""
        encoder = _encoder_of(profile)
        fill(dict(encoder.named_parameters()), state, "encoder.")
        return Trained(super().revive(profile, state).generator, encoder=encoder.requires_grad_(False))

    def engine(self, profile: Profile, trained: Trained, settings: RestoreSettings) -> Engine:
        """Return an engine that searches nothing."""
        assert trained.encoder is not None
        engine = super().engine(profile, trained, _from_centre(settings))
        return OnePass(engine.profile, engine.settings, trained.encoder)


class RestorerFit(Fit):
    """The tuning of `Restorer`."""

    def __init__(self, profile: Profile, method: Restorer, seed: int) -> None:
        super().__init__(profile, _seeded(method.tuning, seed), method.rate)
        self.method, self.numbers = method, np.random.default_rng([seed, 1])
        self.encoder = _encoder_of(profile)

    def free(self) -> list[nn.Parameter]:
        """Return the encoder's weights."""
        return list(self.encoder.parameters())

    def codes(self, rows: NDArray[np.int64], photos: Tensor) -> Tensor:
        """Return what the encoder answers to photos that lost something: half are small, half have holes."""
        half = len(photos) // 2 + int(self.numbers.integers(2)) * (len(photos) % 2)
        seen = [
            degradation.view(degradation.apply(part))
            for part, degradation in (
                (photos[:half], self._small(half)),
                (photos[half:], self._holed(photos[half:])),
            )
            if len(part)
        ]
        return cast(Tensor, self.encoder(torch.cat(seen)))

    def _small(self, count: int) -> Degradation:
        """Make photos small; sizes are drawn evenly in their logarithm, as halvings are."""
        side = self.generator.resolution
        low, high = (math.log(part * side) for part in self.method.sizes)
        sizes = np.exp(self.numbers.uniform(low, high, max(count, 1))).round().astype(int)
        return Downsample.of(sizes.tolist(), side).to(self.photos.device)

    def _holed(self, photos: Tensor) -> Degradation:
        """Cut a hole with upright edges into each photo."""
        side = self.generator.resolution
        holes = np.zeros((len(photos), 1, side, side), np.float32)
        for hole in holes[:, 0]:
            height, width = (self.numbers.uniform(*self.method.holes, 2) * side).round().astype(int)
            top, left = self.numbers.integers(side - height + 1), self.numbers.integers(side - width + 1)
            hole[top : top + height, left : left + width] = 1
        return Mask.of(torch.from_numpy(holes).to(photos), photos)


class OnePass(Engine):
    """Answers with the encoder's code, and searches nothing.

    Args:
        profile: the person, drawn by the tuned generator.
        settings: how photos are restored.
        encoder: tuned with the generator.
    """

    def __init__(self, profile: Profile, settings: RestoreSettings, encoder: TrainableEncoder) -> None:
        super().__init__(profile, settings)
        self.encoder = encoder

    def answer(self, given: Sequence[Given], beta: float | None, progress: Progress) -> Projection:
        """Encode what is left of the photos and draw their codes."""
        targets, phi = targets_of(given)
        count, device = len(given), self.generator.device
        inputs, phi = torch.from_numpy(targets).to(device), phi.to(device)
        with torch.no_grad():
            codes = in_every_layer(self.encoder(phi.view(inputs)), self.generator)
            images = self.generator.synthesis(codes, noise="const")
            degraded = phi.apply(images)
            perceived = self.perceptual.distance(phi.view(inputs), phi.view(degraded)) / phi.seen(degraded)
            squares = (degraded - inputs).square().mean(dim=(1, 2, 3)) / phi.known(degraded)
        progress(Step("project", count, count))
        return Projection(
            alpha_plus=None,
            w_plus=codes.float().cpu().contiguous().numpy(),
            images=images.float().cpu().numpy(),
            losses=(perceived + squares).float().cpu().numpy(),
            history=np.zeros((0, count), np.float32),
            steps=np.zeros(count, np.int64),
            motions=np.zeros((count, 4), np.float32),
        )


def _encoder_of(profile: Profile) -> TrainableEncoder:
    return TrainableEncoder(profile.prior.file("encoder")).to(profile.device.torch)


def _seeded(settings: TuneSettings, seed: int) -> TuneSettings:
    return replace(settings, seed=seed)


def _from_centre(settings: RestoreSettings) -> RestoreSettings:
    return replace(settings, start="centre")
