"""What a whole clip suffered: one phi for all its frames, however near the face is in each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from mystyle_cli.projection.damage import Damage
from mystyle_cli.projection.fine import FINER

if TYPE_CHECKING:
    from mystyle_cli.find.locate import Located
    from mystyle_cli.projection.fine import Fine
    from mystyle_cli.restore.estimates import Estimator

SMALLEST: Final = 4  # pixels of the smallest crop that says anything

ALIKE: Final = 0.15
"""How much larger or smaller than usual a face may be that is looked at with others, as a logarithm."""

Tone = tuple[tuple[float, float], ...]

GREY: Final[Tone] = ((1.0, 0.0),) * 3
"""The tone of a clip without colours."""


@dataclass(frozen=True)
class Suffered:
    """Damage in the clip's own pixels; without any, faces are at most small.

    Args:
        blur: the covariance of its Gaussian: across, mixed, down.
        noise: standard deviation in each colour, of 255.
        scale: how many times it was enlarged.
        tone: see `Damage`.
        fine: what is undone at the clip's own pixels, where a face is larger than it is drawn.
    """

    blur: tuple[float, float, float] = (0.0, 0.0, 0.0)
    noise: float = 0.0
    scale: float = 1.0
    tone: Tone | None = None
    fine: Fine | None = None

    def at(self, side: float, resolution: int) -> Damage:
        """Return it for a face whose crop is so many of the clip's pixels wide, drawn at R."""
        unit = resolution / side
        small = max(SMALLEST, round(min(side, resolution) / self.scale))
        across, mixed, down = (entry * unit**2 for entry in self.blur)
        fine = self.fine if side >= FINER * resolution else None
        return Damage(min(small, resolution), (across, mixed, down), self.noise, None, self.tone, fine=fine)


def suffered_of(estimator: Estimator, faces: Sequence[Located]) -> Suffered:
    """Return what frames suffered, as those of them tell together that show the face about as large.

    Args:
        faces: on some frames; at least one.
    """
    sides = np.array([face.side for face in faces])
    usual = float(np.median(sides))
    near = [face for face in faces if abs(math.log(face.side / usual)) < ALIKE] or [faces[0]]
    side, resolution = float(np.median([face.side for face in near])), estimator.resolution
    damage = estimator.of_frames(near)
    across, mixed, down = (entry * (side / resolution) ** 2 for entry in damage.blur)
    scale = min(side, resolution) / damage.side
    return Suffered((across, mixed, down), damage.noise, max(1.0, scale), damage.tone, damage.fine)
