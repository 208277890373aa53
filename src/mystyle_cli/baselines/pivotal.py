"""PTI for editing: a photo inverted in W, the generator tuned on it alone, then any step along a direction.

Source: Roich et al. 2021; MyStyle, sec. 5.3, where every generator is edited so. Deviations: both searches
are shorter, the weights move as in a person's tuning, and there is no locality term, as in their own runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mystyle_cli.baselines.baseline import Floats, Settings
from mystyle_cli.person.score import synthesise
from mystyle_cli.progress import Progress, silent
from mystyle_cli.tuning.anchors import AnchorSettings, optimise_anchors
from mystyle_cli.tuning.settings import TuneSettings
from mystyle_cli.tuning.tuning import Reconstruction, tune

if TYPE_CHECKING:
    from mystyle_cli.nets.generator import Generator
    from mystyle_cli.nets.perceptual import Perceptual
    from mystyle_cli.prior.directions import Direction


@dataclass(frozen=True)
class PivotSettings:
    """How a photo becomes a pivot."""

    name: ClassVar[str] = "PTI"
    source: ClassVar[str] = "Roich et al. 2021"

    inversion: AnchorSettings = field(default_factory=lambda: AnchorSettings(steps=100))  # the search in W
    # of the generator on the one photo; a pass is a step
    tuning: TuneSettings = field(default_factory=lambda: TuneSettings(passes=40, batch=1, learning_rate=3e-3))

    @property
    def settings(self) -> Settings:
        """What it was run with, as reports print it."""
        return {
            "steps in w": self.inversion.steps,
            "rate in w": self.inversion.learning_rate,
            "steps of G": self.tuning.passes,
            "rate of G": self.tuning.learning_rate,
        }


@dataclass(frozen=True)
class Pivot:
    """A photo as a code of a generator that was tuned on it."""

    generator: Generator  # tuned
    code: Floats  # (w_dim,)

    def edited(self, direction: Direction, strengths: Sequence[float]) -> Floats:
        """Draw edits (K, 3, R, R), one for each strength along a direction; nothing bounds them."""
        steps = np.asarray(strengths, np.float64)[:, None] * direction.step * direction.vector
        return synthesise(self.generator, (self.code + steps).astype(np.float32))


def find_pivot(
    generator: Generator,
    perceptual: Perceptual,
    photo: Floats,
    settings: PivotSettings | None = None,
    progress: Progress = silent,
) -> Pivot:
    """Invert a photo in W and tune a generator on it.

    Args:
        generator: any of a person's or none's; it stays as it is.
        perceptual: LPIPS on the same device.
        photo: (3, R, R) in [-1, 1].
        settings: how.
        progress: told of every step.
    """
    settings, tuned = settings or PivotSettings(), generator.frozen()
    code = optimise_anchors(photo[None], tuned, perceptual, settings.inversion, progress)
    objective = Reconstruction(tuned, code, photo[None], perceptual)
    tune(objective, settings.tuning, progress=progress)
    return Pivot(tuned, code[0])
