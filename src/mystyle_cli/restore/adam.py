"""Adam for many independent problems at once: a learning rate for each row, and rows that end early."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class RowAdam:
    """Adam whose tensors all have the inputs as their first axis.

    With a loss that is a sum over inputs, every row moves exactly as it would alone.

    Args:
        tensors: leaves (B, ...) with `requires_grad`; they are changed in place.
        betas: decay of the two moments.
        eps: keeps the quotient finite. Source: Kingma & Ba 2015, algorithm 1.
    """

    def __init__(
        self, tensors: Sequence[Tensor], betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        import torch

        self.tensors = list(tensors)
        self.betas, self.eps, self.count = betas, eps, 0
        self.first = [torch.zeros_like(tensor) for tensor in self.tensors]
        self.second = [torch.zeros_like(tensor) for tensor in self.tensors]

    def step(self, rates: Tensor) -> None:
        """Move every row by its own rate (B,), against the gradient that its tensors hold, and clear that."""
        import torch

        self.count += 1
        slow, slower = self.betas
        first_bias, second_bias = 1 - slow**self.count, 1 - slower**self.count
        with torch.no_grad():
            for tensor, first, second in zip(self.tensors, self.first, self.second, strict=True):
                if tensor.grad is None:
                    continue
                first.lerp_(tensor.grad, 1 - slow)
                second.mul_(slower).addcmul_(tensor.grad, tensor.grad, value=1 - slower)
                scale = (second / second_bias).sqrt_().add_(self.eps)
                rate = rates.view(-1, *[1] * (tensor.ndim - 1)).to(tensor)
                tensor -= rate * (first / first_bias) / scale
                tensor.grad = None

    def select(self, rows: Tensor) -> list[Tensor]:
        """Go on with some rows only (int64 indices) and return their new leaves."""
        self.first = [first[rows] for first in self.first]
        self.second = [second[rows] for second in self.second]
        self.tensors = [tensor.detach()[rows].requires_grad_() for tensor in self.tensors]
        return self.tensors
