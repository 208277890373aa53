"""A few steps of a search, without torch: from a first answer towards what a photo shows, inside A_beta."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.hull import hull
from mystyle_cli.projection.adam import SoapMoments

if TYPE_CHECKING:
    from mystyle_cli.nets.exported import Degraded, Gradient

Array = NDArray[np.float64]

# steps of an instant answer; what a hole hides is found more slowly
STEPS: Final = {"invert": 8, "upscale": 8, "inpaint": 12, "restore": 8}

RATE: Final = 0.03  # how far a step moves each number, about; the last step goes half as far

# what share of its own part a layer gives back in a step, half in the last. Source: in the place of eq 7
PULL: Final = 0.1


def improve(
    gradient: Gradient,
    photo: Degraded,
    start: Array,
    beta: float | None,
    steps: int,
    placed: Callable[[Array, float | None], Array] = hull.project_onto_hull,
) -> tuple[Array, NDArray[np.float32]]:
    """Take steps down eq 1 from coefficients (num_ws, N); returns the last in A_beta, and eq 1 before each.

    What the layers share and what each has of its own are moved apart, and their sum is put back to the
    nearest point of A_beta before it is looked at, or where `placed` puts it.
    """
    given, losses = gradient.place(photo), np.zeros(steps, np.float32)
    common = start.mean(axis=0, keepdims=True)  # alpha, (1, N)
    own = start - common  # Delta, (num_ws, N)
    common_moments, own_moments = SoapMoments(), SoapMoments()
    for step in range(steps):
        losses[step], slope = gradient.at(placed(common + own, beta), given)
        slope -= slope.mean(axis=-1, keepdims=True)  # the sum of coefficients stays
        # the last step is half as long: its point is the answer, and nothing corrects it any more
        rate = RATE if step < steps - 1 else RATE / 2
        own = own * (1 - PULL * rate / RATE) - rate * own_moments.move(slope)
        # d loss / d alpha is the sum over the layers, for each of them is alpha + Delta_i
        common = common - rate * common_moments.move(slope.sum(axis=0, keepdims=True))
    return np.asarray(placed(common + own, beta), np.float64), losses
