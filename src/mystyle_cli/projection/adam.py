"""Adam for many independent problems at once, in the eigenbases of each problem's own gradients.

The few hundred coefficients of a code are far from independent: anchors resemble each other, and so do
layers. Adam scales every number by itself, so it sees little of that; in the eigenbases of the gradients' own
second moments, over layers and over anchors, it needs about a quarter of the steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from array_api_compat import array_namespace, device

from mystyle_cli.nets.device import WHOLE

if TYPE_CHECKING:
    from torch import Tensor

Array: TypeAlias = Any  # a numpy array or a torch tensor; what comes out is what went in

EVERY: Final = 4  # steps between two searches for the eigenbases, which take time, after the first few
FIRST: Final = 10  # steps at the beginning in each of which they are searched: young moments change much

# added to the root mean square along an axis, in parts of the largest: axes without gradient stay still
DAMPING: Final = 1e-3

BETAS: Final = (0.9, 0.999)  # decay of the two moments. Source: Kingma & Ba 2015
SOAP_BETAS: Final = (0.9, 0.9)  # the same in the eigenbases: a search has few steps, and the bases turn
EPS: Final = 1e-8  # keeps the quotient finite. Source: Kingma & Ba 2015


class Moments:
    """The running moments of gradients, and the steps that they ask for.

    Source: Kingma & Ba 2015, algorithm 1.
    """

    def __init__(self) -> None:
        self.t = 0
        self.m: Array = 0.0
        self.v: Array = 0.0

    def move(self, g: Array) -> Array:
        """Return what the next step takes away at a rate of 1, for a gradient of any shape."""
        xp = array_namespace(g)
        beta1, beta2 = BETAS
        self.t += 1
        self.m = beta1 * self.m + (1 - beta1) * g
        self.v = beta2 * self.v + (1 - beta2) * g**2
        # the moments begin at 0; divided by 1 - beta^t they are means of the gradients seen so far
        scale = xp.sqrt(self.v / (1 - beta2**self.t)) + EPS
        return self.m / (1 - beta1**self.t) / scale

    def select(self, rows: Array) -> None:
        """Go on with some rows of the first axis only (int64 indices)."""
        if self.t:
            self.m = self.m[rows]
            self.v = self.v[rows]


class SoapMoments(Moments):
    """The same for gradients (..., L, N), the second moment kept in the eigenbases of L and of N.

    Source: Shampoo (Gupta 2018) for the bases, SOAP (Vyas 2024) for Adam in them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.covariances: list[Array] = []  # E[G G^T] (..., L, L) and E[G^T G] (..., N, N)
        self.eigenbases: list[Array] = []  # their eigenvectors, as columns

    def move(self, g: Array) -> Array:
        """Return what the next step takes away at a rate of 1."""
        xp = array_namespace(g)
        beta1, beta2 = SOAP_BETAS
        self.t += 1
        self.m = beta1 * self.m + (1 - beta1) * g  # (..., L, N), where it came from: bases may turn under it
        self._note_covariances(g, beta2)
        if self.t <= FIRST or self.t % EVERY == 0:
            self._find_eigenbases()
        left, right = self.eigenbases  # (..., L, L), (..., N, N)
        rotated = transposed(left) @ g @ right  # (..., L, N), in the eigenbases
        self.v = beta2 * self.v + (1 - beta2) * rotated**2
        scale = xp.sqrt(self.v / (1 - beta2**self.t))
        # Adam's EPS would let axes that have next to no gradient move as far as all others
        largest = xp.max(scale, axis=(-2, -1), keepdims=True)  # (..., 1, 1)
        scale = scale + xp.clip(DAMPING * largest, min=EPS**2)
        ahead = transposed(left) @ self.m @ right / (1 - beta1**self.t)
        return left @ (ahead / scale) @ transposed(right)  # (..., L, N), back from the eigenbases

    def _note_covariances(self, g: Array, beta2: float) -> None:
        """Keep the running second moments of the gradient over L and over N."""
        found = [g @ transposed(g), transposed(g) @ g]  # (..., L, L), (..., N, N)
        if self.covariances:
            pairs = zip(self.covariances, found, strict=True)
            found = [beta2 * old + (1 - beta2) * new for old, new in pairs]
        self.covariances = found

    def _find_eigenbases(self) -> None:
        """Turn to the eigenbases as they are now; the second moment goes along as far as it can."""
        found = [_eigenvectors(covariance) for covariance in self.covariances]
        if self.eigenbases:
            # a new axis' second moment is the old ones', by its squared cosines with them: their own
            # correlation was never kept
            pairs = zip(found, self.eigenbases, strict=True)
            left, right = ((transposed(new) @ old) ** 2 for new, old in pairs)
            self.v = left @ self.v @ transposed(right)
        self.eigenbases = found

    def select(self, rows: Array) -> None:
        """Go on with some rows of the first axis only."""
        super().select(rows)
        self.covariances = [covariance[rows] for covariance in self.covariances]
        self.eigenbases = [basis[rows] for basis in self.eigenbases]


class RowAdam:
    """Adam whose tensors all have the inputs as their first axis.

    With a loss that is a sum over inputs, every row moves exactly as it would alone.

    Args:
        tensors: leaves (B, n) or (B, L, N) with `requires_grad`; they are changed in place.
        soap: whether tensors (B, L, N) are moved in each row's own eigenbases.
    """

    def __init__(self, tensors: Sequence[Tensor], soap: bool = False) -> None:
        self.tensors = list(tensors)
        self.moments = [(SoapMoments if soap and t.ndim == 3 else Moments)() for t in tensors]

    def step(self, rates: Tensor) -> None:
        """Move every row by its own rate (B,), against the gradient that its tensors hold, and clear that."""
        import torch

        with torch.no_grad():
            for tensor, moments in zip(self.tensors, self.moments, strict=True):
                if tensor.grad is not None:
                    shape = (-1, *[1] * (tensor.ndim - 1))  # (B, 1, ...)
                    tensor -= rates.view(shape).to(tensor) * moments.move(tensor.grad)
                    tensor.grad = None

    def select(self, rows: Tensor) -> list[Tensor]:
        """Go on with some rows only (int64 indices) and return their new leaves."""
        self.tensors = [tensor.detach()[rows].requires_grad_() for tensor in self.tensors]
        for moments in self.moments:
            moments.select(rows)
        return self.tensors


def transposed(matrices: Array) -> Array:
    """Return matrices (..., m, n) as (..., n, m)."""
    return array_namespace(matrices).matrix_transpose(matrices)


def _eigenvectors(covariance: Array) -> Array:
    """Return the eigenvectors (..., n, n) of symmetric matrices, as columns."""
    xp, where = array_namespace(covariance), device(covariance)
    if getattr(where, "type", "cpu") not in WHOLE:  # torch on a Mac's GPU finds them on the CPU only
        return xp.linalg.eigh(covariance.cpu())[1].to(where)
    return xp.linalg.eigh(covariance)[1]
