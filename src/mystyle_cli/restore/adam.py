"""Adam for many independent problems at once, in the axes along which each problem's gradients vary.

The few hundred coefficients of a code are far from independent: anchors resemble each other, and so do
layers. Adam scales every number by itself, so it sees little of that; along the principal axes of the
gradients' own second moments, over layers and over anchors, it needs about a quarter of the steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from torch import Tensor

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


class RowAdam:
    """Adam whose tensors all have the inputs as their first axis.

    With a loss that is a sum over inputs, every row moves exactly as it would alone.

    Args:
        tensors: leaves (B, n) or (B, L, N) with `requires_grad`; they are changed in place.
        turned: whether tensors (B, L, N) are turned into each row's own axes of L and of N.

    Source: Kingma & Ba 2015, algorithm 1; axes as in Shampoo (Gupta 2018) and SOAP (Vyas 2024).
    """

    def __init__(self, tensors: Sequence[Tensor], turned: bool = False) -> None:
        self.count = 0
        self.leaves = [(_Turned if turned and tensor.ndim == 3 else _Leaf)(tensor) for tensor in tensors]

    def step(self, rates: Tensor) -> None:
        """Move every row by its own rate (B,), against the gradient that its tensors hold, and clear that."""
        import torch

        self.count += 1
        with torch.no_grad():
            for leaf in self.leaves:
                if leaf.tensor.grad is not None:
                    shape = (-1, *[1] * (leaf.tensor.ndim - 1))
                    leaf.tensor -= rates.view(shape).to(leaf.tensor) * leaf.move(leaf.tensor.grad, self.count)
                    leaf.tensor.grad = None

    def select(self, rows: Tensor) -> list[Tensor]:
        """Go on with some rows only (int64 indices) and return their new leaves."""
        for leaf in self.leaves:
            leaf.select(rows)
        return [leaf.tensor for leaf in self.leaves]


class _Leaf:
    """One tensor and its moments."""

    def __init__(self, tensor: Tensor) -> None:
        import torch

        self.tensor = tensor
        self.first, self.second = torch.zeros_like(tensor), torch.zeros_like(tensor)

    def move(self, gradient: Tensor, count: int) -> Tensor:
        """Return what Adam's step of number `count` takes away, at a rate of 1."""
        slow, slower = BETAS
        self.first.lerp_(gradient, 1 - slow)
        self.second.mul_(slower).addcmul_(gradient, gradient, value=1 - slower)
        scale = (self.second / (1 - slower**count)).sqrt_().add_(EPS)
        return self.first / (1 - slow**count) / scale

    def select(self, rows: Tensor) -> None:
        """Keep some rows."""
        self.tensor = self.tensor.detach()[rows].requires_grad_()
        self.first, self.second = self.first[rows], self.second[rows]


class _Turned(_Leaf):
    """One tensor (B, L, N), whose second moment is kept along the principal axes of its gradients."""

    def __init__(self, tensor: Tensor) -> None:
        super().__init__(tensor)
        self.spreads: list[Tensor] = []  # (B, L, L) and (B, N, N)
        self.axes: list[Tensor] = []  # their eigenvectors, as columns

    def move(self, gradient: Tensor, count: int) -> Tensor:
        """Return what a step along the axes takes away."""
        slow, slower = BETAS_TURNED
        self.first.lerp_(gradient, 1 - slow)
        self._note_spreads(gradient, slower)
        if count <= FIRST or count % EVERY == 0:
            self._find_axes()
        layers, anchors = self.axes
        turned = layers.mT @ gradient @ anchors
        self.second.mul_(slower).addcmul_(turned, turned, value=1 - slower)
        scale = (self.second / (1 - slower**count)).sqrt_()
        scale += (DAMPING * scale.amax(dim=(1, 2), keepdim=True)).clamp(min=EPS**2)
        return layers @ (layers.mT @ self.first @ anchors / (1 - slow**count) / scale) @ anchors.mT

    def _note_spreads(self, gradient: Tensor, slower: float) -> None:
        """Keep the running second moments of the gradient over L and over N."""
        found = [gradient @ gradient.mT, gradient.mT @ gradient]
        if self.spreads:
            found = [old.lerp(new, 1 - slower) for old, new in zip(self.spreads, found, strict=True)]
        self.spreads = found

    def _find_axes(self) -> None:
        """Turn to the principal axes as they are now; the second moment goes along as far as it can."""
        axes = [_eigenvectors(spread) for spread in self.spreads]
        if self.axes:
            shares = [(new.mT @ old).square() for new, old in zip(axes, self.axes, strict=True)]
            self.second = shares[0] @ self.second @ shares[1].mT
        self.axes = axes

    def select(self, rows: Tensor) -> None:
        """Keep some rows."""
        super().select(rows)
        self.spreads, self.axes = [s[rows] for s in self.spreads], [a[rows] for a in self.axes]


def _eigenvectors(spread: Tensor) -> Tensor:
    """Return the eigenvectors of symmetric matrices, on the CPU where torch knows no other way."""
    import torch

    where = spread.cpu() if spread.device.type == "mps" else spread
    return torch.linalg.eigh(where)[1].to(spread.device)
