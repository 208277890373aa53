"""Adam for many independent problems at once, in the axes along which each problem's gradients vary.

The few hundred coefficients of a code are far from independent: anchors resemble each other, and so do
layers. Adam scales every number by itself, so it sees little of that; along the principal axes of the
gradients' own second moments, over layers and over anchors, it needs about a quarter of the steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from array_api_compat import array_namespace, device

from mystyle_cli.nets.device import WHOLE

if TYPE_CHECKING:
    from torch import Tensor

Array: TypeAlias = Any  # a numpy array or a torch tensor; what comes out is what went in

EVERY: Final = 4
"""Steps between two searches for the axes, after the first few."""

FIRST: Final = 10
"""Steps at the beginning in each of which the axes are searched."""

DAMPING: Final = 1e-3
"""Added to the root mean square along an axis, in parts of the largest: axes without gradient stay still."""

BETAS: Final = (0.9, 0.999)
"""Decay of the two moments. Source: Kingma & Ba 2015."""

BETAS_TURNED: Final = (0.9, 0.9)
"""The same along the axes: a search has few steps, and the axes turn."""

EPS: Final = 1e-8
"""Keeps the quotient finite. Source: Kingma & Ba 2015."""


class Moments:
    """The running moments of gradients, and the steps that they ask for.

    Source: Kingma & Ba 2015, algorithm 1.
    """

    def __init__(self) -> None:
        """Start without a gradient seen."""
        self.count = 0
        self.first: Array = 0.0
        self.second: Array = 0.0

    def move(self, gradient: Array) -> Array:
        """Return what the next step takes away at a rate of 1, for a gradient of any shape."""
        xp, (slow, slower) = array_namespace(gradient), BETAS
        self.count += 1
        self.first = slow * self.first + (1 - slow) * gradient
        self.second = slower * self.second + (1 - slower) * gradient**2
        scale = xp.sqrt(self.second / (1 - slower**self.count)) + EPS
        return self.first / (1 - slow**self.count) / scale

    def select(self, rows: Array) -> None:
        """Go on with some rows of the first axis only (int64 indices)."""
        if self.count:
            self.first, self.second = self.first[rows], self.second[rows]


class TurnedMoments(Moments):
    """The same for gradients (..., L, N), the second moment kept along the principal axes of L and of N.

    Source: Shampoo (Gupta 2018) for the axes, SOAP (Vyas 2024) for Adam along them.
    """

    def __init__(self) -> None:
        """Start without a gradient seen."""
        super().__init__()
        self.spreads: list[Array] = []  # (..., L, L) and (..., N, N)
        self.axes: list[Array] = []  # their eigenvectors, as columns

    def move(self, gradient: Array) -> Array:
        """Return what the next step along the axes takes away at a rate of 1."""
        xp, (slow, slower) = array_namespace(gradient), BETAS_TURNED
        self.count += 1
        self.first = slow * self.first + (1 - slow) * gradient
        self._note_spreads(gradient, slower)
        if self.count <= FIRST or self.count % EVERY == 0:
            self._find_axes()
        layers, anchors = self.axes
        turned = _turned(layers) @ gradient @ anchors
        self.second = slower * self.second + (1 - slower) * turned**2
        scale = xp.sqrt(self.second / (1 - slower**self.count))
        largest = xp.max(scale, axis=(-2, -1), keepdims=True)
        scale = scale + xp.clip(DAMPING * largest, min=EPS**2)
        ahead = _turned(layers) @ self.first @ anchors / (1 - slow**self.count)
        return layers @ (ahead / scale) @ _turned(anchors)

    def _note_spreads(self, gradient: Array, slower: float) -> None:
        """Keep the running second moments of the gradient over L and over N."""
        found = [gradient @ _turned(gradient), _turned(gradient) @ gradient]
        if self.spreads:
            pairs = zip(self.spreads, found, strict=True)
            found = [slower * old + (1 - slower) * new for old, new in pairs]
        self.spreads = found

    def _find_axes(self) -> None:
        """Turn to the principal axes as they are now; the second moment goes along as far as it can."""
        axes = [_eigenvectors(spread) for spread in self.spreads]
        if self.axes:
            shares = [(_turned(new) @ old) ** 2 for new, old in zip(axes, self.axes, strict=True)]
            self.second = shares[0] @ self.second @ _turned(shares[1])
        self.axes = axes

    def select(self, rows: Array) -> None:
        """Go on with some rows of the first axis only."""
        super().select(rows)
        self.spreads, self.axes = [s[rows] for s in self.spreads], [a[rows] for a in self.axes]


class RowAdam:
    """Adam whose tensors all have the inputs as their first axis.

    With a loss that is a sum over inputs, every row moves exactly as it would alone.

    Args:
        tensors: leaves (B, n) or (B, L, N) with `requires_grad`; they are changed in place.
        turned: whether tensors (B, L, N) are turned into each row's own axes of L and of N.
    """

    def __init__(self, tensors: Sequence[Tensor], turned: bool = False) -> None:
        self.tensors = list(tensors)
        self.moments = [(TurnedMoments if turned and t.ndim == 3 else Moments)() for t in tensors]

    def step(self, rates: Tensor) -> None:
        """Move every row by its own rate (B,), against the gradient that its tensors hold, and clear that."""
        import torch

        with torch.no_grad():
            for tensor, moments in zip(self.tensors, self.moments, strict=True):
                if tensor.grad is not None:
                    shape = (-1, *[1] * (tensor.ndim - 1))
                    tensor -= rates.view(shape).to(tensor) * moments.move(tensor.grad)
                    tensor.grad = None

    def select(self, rows: Tensor) -> list[Tensor]:
        """Go on with some rows only (int64 indices) and return their new leaves."""
        self.tensors = [tensor.detach()[rows].requires_grad_() for tensor in self.tensors]
        for moments in self.moments:
            moments.select(rows)
        return self.tensors


def _turned(matrices: Array) -> Array:
    """Return matrices (..., m, n) transposed."""
    return array_namespace(matrices).matrix_transpose(matrices)


def _eigenvectors(spread: Array) -> Array:
    """Return the eigenvectors of symmetric matrices; torch on a Mac's GPU finds them on the CPU only."""
    xp, where = array_namespace(spread), device(spread)
    if getattr(where, "type", "cpu") not in WHOLE:
        return xp.linalg.eigh(spread.cpu())[1].to(where)
    return xp.linalg.eigh(spread)[1]
