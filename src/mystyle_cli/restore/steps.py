"""A few steps of a search, without torch: from a first answer towards what a photo shows, inside A_beta."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.person import hull

if TYPE_CHECKING:
    from mystyle_cli.onnx.gradient import Degraded, Gradient

Array = NDArray[np.float64]

STEPS: Final = 7
"""Steps of an instant answer."""

RATE: Final = 0.03
"""How far a step moves each number, about; the last step goes half as far."""

DECAY: Final = 0.9
"""Of all running means."""

DAMPING: Final = 1e-3
"""Added to the root mean square along an axis, in parts of the largest."""


def improve(
    gradient: Gradient, photo: Degraded, start: Array, beta: float | None
) -> tuple[Array, NDArray[np.float32]]:
    """Take `STEPS` steps down eq 1.

    What the layers share and what each has of its own are moved apart, and their sum is put back to the
    nearest point of A_beta before it is looked at.

    Args:
        gradient: of eq 1.
        photo: with what was done to it.
        start: (num_ws, N).
        beta: dilation, or None for no bound.

    Returns:
        Coefficients (num_ws, N) in A_beta, and eq 1 before each step (STEPS,).
    """
    placed, losses = gradient.place(photo), np.zeros(STEPS, np.float32)
    common = start.mean(axis=0, keepdims=True)
    own = start - common
    common_adam, own_adam = TurnedAdam(), TurnedAdam()
    for step in range(STEPS):
        losses[step], slope = gradient.at(hull.project_onto_hull(common + own, beta), placed)
        slope -= slope.mean(axis=-1, keepdims=True)  # the sum of coefficients stays
        rate = RATE if step < STEPS - 1 else RATE / 2
        own = own - rate * own_adam.move(slope)
        common = common - rate * common_adam.move(slope.sum(axis=0, keepdims=True))
    return np.asarray(hull.project_onto_hull(common + own, beta), np.float64), losses


class TurnedAdam:
    """Adam of one matrix, along the principal axes of its gradients' second moments over rows and columns.

    Source: as `restore.adam`: Kingma & Ba 2015, algorithm 1; axes as in SOAP (Vyas 2024).
    """

    def __init__(self) -> None:
        """Start without a step taken."""
        self.count = 0
        self.first, self.second = np.zeros(()), np.zeros(())
        self.spreads: list[Array] = []
        self.axes: list[Array] = []

    def move(self, gradient: Array) -> Array:
        """Return what the next step takes away at a rate of 1, for a gradient (L, N)."""
        self.count += 1
        whole = 1 - DECAY**self.count  # how much of a running mean is not its start
        self.first = DECAY * self.first + (1 - DECAY) * gradient
        self._turn([gradient @ gradient.T, gradient.T @ gradient])
        rows, columns = self.axes
        self.second = DECAY * self.second + (1 - DECAY) * np.square(rows.T @ gradient @ columns)
        scale = np.sqrt(self.second / whole)
        scale += max(DAMPING * float(scale.max()), 1e-16)
        return np.asarray(rows @ (rows.T @ self.first @ columns / whole / scale) @ columns.T, np.float64)

    def _turn(self, found: list[Array]) -> None:
        """Find the axes anew; the second moment goes along as far as it can."""
        if self.spreads:
            pairs = zip(self.spreads, found, strict=True)
            found = [DECAY * old + (1 - DECAY) * new for old, new in pairs]
        axes = [np.linalg.eigh(spread)[1] for spread in found]
        if self.axes:
            rows, columns = (np.square(new.T @ old) for new, old in zip(axes, self.axes, strict=True))
            self.second = rows @ self.second @ columns.T
        self.spreads, self.axes = found, axes
