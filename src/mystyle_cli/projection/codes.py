"""The spaces that a projection can search: P_beta+, P_beta, and for comparison W+ and W (sec. 3.3, C.4).

A space turns free numbers ("leaves", one row per input) into codes. In P_beta+ each layer has an offset from
a common vector of coefficients, whose lengths eq 7 holds down.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from mystyle_cli.hull import hull

if TYPE_CHECKING:
    from torch import Tensor

Parametrisation = Literal["softplus", "simplex"]


class Space(Protocol):
    """Where codes are searched."""

    def leaves(self, start: Tensor) -> list[Tensor]:
        """Return free numbers for starting codes: alpha (B, N), alpha_plus (B, num_ws, N) or w (B, w_dim)."""

    def w_plus(self, leaves: Sequence[Tensor]) -> Tensor:
        """Return the codes (B, num_ws, w_dim); differentiable."""

    def alpha_plus(self, leaves: Sequence[Tensor]) -> Tensor | None:
        """Return the coefficients (B, num_ws, N), or None in a space without anchors."""

    def penalty(self, leaves: Sequence[Tensor]) -> Tensor:
        """Return what regularises the codes (B,): eq 6 and eq 7, weighted."""


class HullSpace:
    """P_beta+ and P_beta: combinations of the anchors.

    Args:
        anchors: (N, w_dim).
        num_ws: layers of the generator.
        layered: an alpha for each layer (P_beta+) rather than one (P_beta).
        beta: dilation, or None.
        parametrisation: "softplus" bounds every entry and penalises the sum, as printed; "simplex" does both
            by construction.
        sharpness: s of eq 5.
        weights: of eq 6 and of eq 7 in the loss.
    """

    def __init__(
        self,
        anchors: Tensor,
        num_ws: int,
        *,
        layered: bool,
        beta: float | None,
        parametrisation: Parametrisation,
        sharpness: float,
        weights: tuple[float, float],
    ) -> None:
        self.anchors, self.num_ws, self.layered, self.beta = anchors, num_ws, layered, beta
        self.parametrisation, self.sharpness = parametrisation, sharpness
        self.sum_weight, self.offset_weight = weights

    def _bound(self, raw: Tensor) -> Tensor:
        if self.parametrisation == "simplex":
            bounded: Tensor = hull.simplex_alpha(raw, self.beta)
        else:
            bounded = hull.softplus_alpha(raw, self.beta, self.sharpness)
        return bounded

    def _raw(self, alpha: Tensor) -> Tensor:
        if self.parametrisation == "simplex":
            raw: Tensor = hull.simplex_theta(alpha, self.beta)
        else:
            raw = hull.softplus_raw(alpha, self.beta, self.sharpness)
        return raw

    def leaves(self, start: Tensor) -> list[Tensor]:
        """Return the raw numbers of what the layers of `start` share, and their offsets from it.

        Args:
            start: (B, N), the same for all layers, or (B, num_ws, N).
        """
        rows = start if start.dim() == 3 else start.unsqueeze(1)  # (B, 1 or num_ws, N)
        common = self._raw(rows.mean(dim=1, keepdim=True))
        offsets = [(self._raw(rows) - common).expand(-1, self.num_ws, -1)] if self.layered else []
        return [leaf.detach().clone().requires_grad_() for leaf in (common, *offsets)]

    def alpha_plus(self, leaves: Sequence[Tensor]) -> Tensor:
        """Return the bounded coefficients (B, num_ws, N)."""
        raw = sum(leaves[1:], leaves[0])
        return self._bound(raw).expand(-1, self.num_ws, -1)

    def w_plus(self, leaves: Sequence[Tensor]) -> Tensor:
        """Return M alpha for every layer."""
        codes: Tensor = hull.combine(self.alpha_plus(leaves), self.anchors)
        return codes

    def penalty(self, leaves: Sequence[Tensor]) -> Tensor:
        """Return the weighted sum of eq 6 and eq 7, both on bounded coefficients."""
        alpha_plus = self.alpha_plus(leaves)
        total: Tensor = self.sum_weight * hull.sum_penalty(alpha_plus)
        if self.layered:
            total = total + self.offset_weight * hull.offset_penalty(alpha_plus - self._bound(leaves[0]))
        return total


class FreeSpace:
    """W+ and W: any code, as projection with a domain prior searches them.

    Args:
        num_ws: layers of the generator.
        layered: a code for each layer (W+) rather than one (W).
    """

    def __init__(self, num_ws: int, *, layered: bool) -> None:
        self.num_ws, self.layered = num_ws, layered

    def leaves(self, start: Tensor) -> list[Tensor]:
        """Return the codes themselves, one for each layer in W+."""
        codes = start.unsqueeze(1).expand(-1, self.num_ws if self.layered else 1, -1)
        return [codes.detach().clone().requires_grad_()]

    def w_plus(self, leaves: Sequence[Tensor]) -> Tensor:
        """Return the codes, the same for every layer in W."""
        return leaves[0].expand(-1, self.num_ws, -1)

    def alpha_plus(self, leaves: Sequence[Tensor]) -> None:
        """Return None: there are no anchors."""

    def penalty(self, leaves: Sequence[Tensor]) -> Tensor:
        """Return zeros: nothing holds these codes."""
        return leaves[0].new_zeros(len(leaves[0]))
