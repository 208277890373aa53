"""What a whole clip suffered: one phi for all its frames, however near the face is in each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from mystyle_cli.projection.damage import Damage

if TYPE_CHECKING:
    from mystyle_cli.find.locate import Located
    from mystyle_cli.restore.estimates import Estimator

SMALLEST: Final = 4  # pixels of the smallest crop that says anything

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
    """

    blur: tuple[float, float, float] = (0.0, 0.0, 0.0)
    noise: float = 0.0
    scale: float = 1.0
    tone: Tone | None = None

    def at(self, side: float, resolution: int) -> Damage:
        """Return it for a face whose crop is so many of the clip's pixels wide, drawn at R."""
        unit = resolution / side
        small = max(SMALLEST, round(min(side, resolution) / self.scale))
        across, mixed, down = (entry * unit**2 for entry in self.blur)
        return Damage(min(small, resolution), (across, mixed, down), self.noise, None, self.tone)


def suffered_of(damages: Sequence[tuple[Damage, float]], resolution: int) -> Suffered:
    """Return what frames agree on.

    Args:
        damages: of some frames, each with the side of the face's crop in the clip's pixels.
    """
    if not damages:
        return Suffered()
    blurs = np.array([np.array(damage.blur) * (side / resolution) ** 2 for damage, side in damages])
    across, mixed, down = np.median(blurs, axis=0).tolist()
    most = math.sqrt(max(across * down, 0.0))
    scales = [min(side, resolution) / damage.side for damage, side in damages]
    tones = [damage.tone for damage, _ in damages if damage.tone is not None]
    tone = None
    if 2 * len(tones) > len(damages):
        tone = tuple((float(slope), float(offset)) for slope, offset in np.median(np.array(tones), axis=0))
    noise = float(np.median([damage.noise for damage, _ in damages]))
    blur = (across, min(max(mixed, -most), most), down)
    return Suffered(blur, noise, max(1.0, float(np.median(scales))), tone)


def estimated(estimator: Estimator, faces: Sequence[Located]) -> list[tuple[Damage, float]]:
    """Return the damage of some frames, each with its side."""
    return [(estimator.of_photo(face), face.side) for face in faces]
