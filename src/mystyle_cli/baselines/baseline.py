"""What a baseline is: how a method learns a person, answers for photos of them, and draws new ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.errors import ModelError
from mystyle_cli.progress import Progress, silent
from mystyle_cli.restore.engine import Engine
from mystyle_cli.restore.restore import restore_with

if TYPE_CHECKING:
    from torch import Tensor

    from mystyle_cli.baselines.encoder import TrainableEncoder
    from mystyle_cli.find.locate import Subject
    from mystyle_cli.nets.generator import Generator
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.projection.settings import SpaceName
    from mystyle_cli.restore.task import Restoration, RestoreSettings, TaskName

Floats = NDArray[np.float32]
Settings = Mapping[str, float | int | str]
State = Mapping[str, NDArray[np.generic]]

# steps of a search in W+ where none are given; by then its loss is near the personal prior's
FREE_STEPS: Final = 90


@dataclass(frozen=True)
class Trained:
    """What a method made of a person: all that it answers with."""

    generator: Generator  # frozen; its mapping is G_d's
    anchors: Floats | None = None  # (N, w_dim), the codes that it mixes, where it mixes any
    encoder: TrainableEncoder | None = None  # answers in one pass, where the method has one

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Return everything that was learned, by name, to be kept; see `Baseline.revive`."""
        parts: dict[str, Tensor] = {
            f"generator.{name}": value
            for name, value in self.generator.named_parameters()
            if name.startswith("synthesis.")
        }
        if self.encoder is not None:
            parts |= {f"encoder.{name}": value for name, value in self.encoder.named_parameters()}
        kept: dict[str, NDArray[np.generic]] = {
            name: value.detach().cpu().contiguous().numpy() for name, value in parts.items()
        }
        return kept if self.anchors is None else kept | {"anchors": self.anchors}


@dataclass(frozen=True)
class Baseline(ABC):
    """A method, with its settings."""

    name: ClassVar[str]
    source: ClassVar[str]
    space: ClassVar[SpaceName] = "w+"

    psi: float = 1.0  # truncation of the codes that are drawn from W's own density
    steps: int | None = FREE_STEPS  # of a search for a photo's code; None takes the space's own number

    @property
    @abstractmethod
    def settings(self) -> Settings:
        """What the method was run with, as reports print it; a result depends on nothing else of it."""

    @abstractmethod
    def train(self, profile: Profile, seed: int, progress: Progress = silent) -> Trained:
        """Learn a person from their reference set.

        Args:
            profile: the person; their faces must be there.
            seed: of everything that is drawn; the same seed gives the same weights.
            progress: told of every step.

        Raises:
            ModelError: the prior lacks what the method needs; see `lacking`.
        """

    def lacking(self, profile: Profile) -> str:
        """Say what the profile's prior lacks, so that the method cannot be tried with it; "" if nothing."""
        return ""

    def refuse_lacking(self, profile: Profile) -> None:
        """Raise ModelError where the prior lacks what the method needs."""
        lack = self.lacking(profile)
        if lack:
            raise ModelError(
                f"{self.name} cannot be tried with prior {profile.prior.name}: {lack}",
                "Leave this baseline out, or use one of the priors that come with mystyle.",
            )

    def revive(self, profile: Profile, state: State) -> Trained:
        """Return what was trained, from what `Trained.state` returned."""
        generator = profile.prior.generator()
        fill(dict(generator.named_parameters()), state, "generator.")
        anchors = state.get("anchors")
        return Trained(generator, None if anchors is None else np.asarray(anchors, np.float32))

    def engine(self, profile: Profile, trained: Trained, settings: RestoreSettings) -> Engine:
        """Return what answers for photos; settings' beta counts where the method has a hull."""
        found = replace(
            settings,
            projection=replace(
                settings.projection,
                space=self.space,
                steps=settings.projection.steps or self.steps,
            ),
            quality="full",
        )
        return Engine(profile.drawn_by(trained.generator, trained.anchors), found)

    def restore(
        self,
        profile: Profile,
        trained: Trained,
        subjects: Sequence[Subject],
        task: TaskName,
        settings: RestoreSettings,
        progress: Progress = silent,
    ) -> list[Restoration]:
        """Restore photos with the method, finished as the commands finish them; see `restore.restore`.

        Args:
            profile: the person.
            trained: what `train` made of them.
            subjects: the photos.
            task: "invert", "inpaint" or "upscale".
            settings: what is not the method's own affair.
            progress: told of every step.
        """
        return restore_with(self.engine(profile, trained, settings), subjects, task, progress)

    def sample(self, profile: Profile, trained: Trained, count: int, seed: int) -> Floats:
        """Draw codes (count, w_dim) of new pictures; render them with the generator.

        They are drawn from W's own density, truncated by `psi`, where the method says nothing else.
        """
        return draw_codes(trained.generator, count, seed, self.psi)


def draw_codes(generator: Generator, count: int, seed: int, psi: float) -> Floats:
    """Draw codes (count, w_dim) from W's own density, truncated."""
    import torch

    z = np.random.default_rng(seed).standard_normal((count, generator.z_dim), np.float32)
    with torch.no_grad():
        codes = generator.mapping(torch.from_numpy(z).to(generator.device))
        codes = generator.w_avg + psi * (codes - generator.w_avg)
    return np.asarray(codes.float().cpu().numpy(), np.float32)


def in_every_layer(codes: Tensor, generator: Generator) -> Tensor:
    """Return codes (B, w_dim) for every layer (B, num_ws, w_dim)."""
    return codes.unsqueeze(1).expand(-1, generator.num_ws, -1)


def fill(parameters: Mapping[str, Tensor], state: State, prefix: str) -> None:
    """Copy what a state holds under a prefix into parameters."""
    import torch

    with torch.no_grad():
        for name, value in state.items():
            if name.startswith(prefix):
                parameters[name.removeprefix(prefix)].copy_(torch.from_numpy(np.array(value, np.float32)))
