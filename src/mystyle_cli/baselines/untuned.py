"""What needs no training: the domain prior, a few references with it, and ours as it was learned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mystyle_cli.baselines.baseline import Baseline, Floats, Settings, Trained
from mystyle_cli.hull.sampling import sample_three_anchors
from mystyle_cli.progress import Progress, Step, silent
from mystyle_cli.projection.projection import Problem, project
from mystyle_cli.projection.settings import Projection
from mystyle_cli.restore.engine import Engine
from mystyle_cli.restore.given import targets_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mystyle_cli.person.profile import Profile
    from mystyle_cli.projection.settings import SpaceName
    from mystyle_cli.restore.given import Given
    from mystyle_cli.restore.task import RestoreSettings


@dataclass(frozen=True)
class DomainPrior(Baseline):
    """G_d, which knows nobody, searched in W+."""

    name: ClassVar[str] = "Domain prior"
    source: ClassVar[str] = "MyStyle, sec. 5.2; PULSE (Menon et al. 2020)"

    psi: float = 0.7

    @property
    def settings(self) -> Settings:
        """The search and the truncation."""
        return {"space": self.space, "search steps": self.steps or 0, "psi": self.psi}

    def train(self, profile: Profile, seed: int, progress: Progress = silent) -> Trained:
        """Return G_d."""
        return Trained(profile.prior.generator())


def mix_anchors(anchors: Floats, count: int, seed: int) -> Floats:
    """Draw codes (count, w_dim) between three anchors each. Source: app. B.1."""
    seeds = np.random.default_rng(seed).integers(0, 2**63, count).tolist()
    mixed = sample_three_anchors(len(anchors), seeds) @ anchors.astype(np.float64)
    return np.asarray(mixed, np.float32)


@dataclass(frozen=True)
class MyStyle(Baseline):
    """The profile's own generator, searched in P_beta+."""

    name: ClassVar[str] = "MyStyle"
    source: ClassVar[str] = "MyStyle (Nitzan et al. 2022)"
    space: ClassVar[SpaceName] = "p+"

    steps: int | None = None

    @property
    def settings(self) -> Settings:
        """The search and the sampling; the tuning's stand in the profile."""
        return {"space": self.space, "anchors in a sample": 3}

    def train(self, profile: Profile, seed: int, progress: Progress = silent) -> Trained:
        """Return G_p and the anchors, as learning left them."""
        return Trained(profile.generator(), profile.anchors())

    def engine(self, profile: Profile, trained: Trained, settings: RestoreSettings) -> Engine:
        """Return the engine of the commands; the settings say where it starts."""
        search = replace(settings.projection, space=self.space)
        return Engine(profile, replace(settings, projection=search, quality="full"))

    def sample(self, profile: Profile, trained: Trained, count: int, seed: int) -> Floats:
        """Mix three anchors for each picture."""
        return mix_anchors(profile.anchors(), count, seed)


@dataclass(frozen=True)
class MyStyleNear(MyStyle):
    """The same, searched near P_beta+, too, as `upscale` and `inpaint` do."""

    name: ClassVar[str] = "MyStyle, near"
    space: ClassVar[SpaceName] = "near"


@dataclass(frozen=True)
class NearestAnchor(Baseline):
    """G_d and the few reference photos that look most like the photo; nothing is tuned.

    A photo's code is searched among the mixtures of its references' anchors, in every layer its own mixture.
    """

    name: ClassVar[str] = "Nearest anchor"
    source: ClassVar[str] = "restoration with a few references (Li et al. 2020), on the same prior"
    space: ClassVar[SpaceName] = "p+"

    steps: int | None = None
    references: int = 5  # anchors that a photo may use
    beta: float = 0.0  # dilation of their hull

    @property
    def settings(self) -> Settings:
        """The search, and how many references."""
        return {"space": self.space, "references": self.references, "beta": self.beta}

    def train(self, profile: Profile, seed: int, progress: Progress = silent) -> Trained:
        """Return G_d and the anchors."""
        return Trained(profile.prior.generator(), profile.anchors())

    def engine(self, profile: Profile, trained: Trained, settings: RestoreSettings) -> Engine:
        """Return an engine that chooses references for each photo."""
        search = replace(settings.projection, space=self.space, beta=self.beta)
        found = replace(settings, projection=search, start="centre", quality="full")
        return NearestEngine(profile.drawn_by(trained.generator), found, self.references)

    def sample(self, profile: Profile, trained: Trained, count: int, seed: int) -> Floats:
        """Mix three anchors for each picture, as ours does."""
        return mix_anchors(profile.anchors(), count, seed)


class NearestEngine(Engine):
    """Answers with mixtures of the anchors whose photos look most like what is given.

    Args:
        profile: the person, drawn by G_d.
        settings: how photos are restored.
        references: anchors for a photo.
    """

    def __init__(self, profile: Profile, settings: RestoreSettings, references: int) -> None:
        super().__init__(profile, settings)
        self.references = references

    def answer(self, given: Sequence[Given], beta: float | None, progress: Progress) -> Projection:
        """Project each photo by itself, among its own references."""
        import torch

        anchors, found = self.profile.anchors(), []
        targets, degradation = targets_of(given)
        seen = self.profile.prior.embed(degradation.view(torch.from_numpy(targets)).numpy())
        cosines = seen @ self.profile.reference_embeddings().T  # (B, N)
        for number, (item, row) in enumerate(zip(given, cosines, strict=True)):
            chosen = np.argsort(-row, kind="stable")[: self.references]
            targets, degradation = targets_of([item])
            problem = Problem(self.generator, anchors[chosen], targets, degradation, self.perceptual)
            part = project(problem, replace(self.projection, beta=beta))
            assert part.alpha_plus is not None
            alpha_plus = np.zeros((*part.alpha_plus.shape[:2], len(anchors)))
            alpha_plus[..., chosen] = part.alpha_plus
            found.append(replace(part, alpha_plus=alpha_plus))
            progress(Step("project", number + 1, len(given)))
        return joined(found)


def joined(parts: Sequence[Projection]) -> Projection:
    """Return the projections of several photos as one."""
    longest = max(len(part.history) for part in parts)
    history = [
        np.pad(part.history, ((0, longest - len(part.history)), (0, 0)), constant_values=np.nan)
        for part in parts
    ]
    alphas = [part.alpha_plus for part in parts if part.alpha_plus is not None]
    return Projection(
        alpha_plus=np.concatenate(alphas) if len(alphas) == len(parts) else None,
        w_plus=np.concatenate([part.w_plus for part in parts]),
        images=np.concatenate([part.images for part in parts]),
        losses=np.concatenate([part.losses for part in parts]),
        history=np.concatenate(history, axis=1),
        steps=np.concatenate([part.steps for part in parts]),
        motions=np.concatenate([part.motions for part in parts]),
    )
