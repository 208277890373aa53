"""The spaces that a projection can search: P_beta+, P_beta, beside it, and for comparison W+ and W.

A space turns free numbers ("leaves", one row per input) into codes. In P_beta+ each layer has an offset from
a common vector of coefficients, whose lengths eq 7 holds down. Source: sec. 3.3, C.4; `NearSpace` is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from mystyle_cli.errors import UsageError
from mystyle_cli.hull import hull
from mystyle_cli.projection.settings import HULL, ProjectionSettings

if TYPE_CHECKING:
    from torch import Tensor

    from mystyle_cli.hull.held import Held
    from mystyle_cli.nets.generator import Generator

SLACK_STEP: Final = 0.2  # spreads of the prior's codes by which z moves in one step at the highest rate
PEOPLE: Final = 4096  # drawn at random, to see how codes spread


class Space(Protocol):
    """Where codes are searched."""

    def leaves(self, start: Tensor) -> list[Tensor]:
        """Return free numbers for starting codes: alpha (B, N), alpha+ (B, num_ws, N) or w (B, w_dim)."""

    def w_plus(self, leaves: Sequence[Tensor]) -> Tensor:
        """Return the codes (B, num_ws, w_dim); differentiable."""

    def alpha_plus(self, leaves: Sequence[Tensor]) -> Tensor | None:
        """Return the coefficients (B, num_ws, N), or None in a space without anchors."""

    def slack(self, leaves: Sequence[Tensor]) -> Tensor | None:
        """Return by what codes lie beside their coefficients' (B, w_dim); None where they cannot."""

    def penalty(self, leaves: Sequence[Tensor]) -> Tensor:
        """Return what regularises the codes (B,): eq 6 and eq 7, weighted as in eq 8."""


def space_of(
    settings: ProjectionSettings,
    anchors: Tensor | None,
    generator: Generator,
    held: Held | None = None,
    spread: Tensor | None = None,
) -> Space:
    """Return the space that settings name.

    Args:
        anchors: M, (N, w_dim); None in W and W+.
        generator: whose codes are searched.
        held: what mean the coefficients of a person's space keep, if any.
        spread: of the generator's people, where it is known already; see `spread_of`.

    Raises:
        UsageError: a space of the person is asked for without anchors.
    """
    num_ws = generator.num_ws
    if settings.space not in HULL:
        return FreeSpace(num_ws, layered=settings.space == "w+")
    if anchors is None:
        raise UsageError(f"{settings.space} is a person's space and needs anchors", "Use space w or w+.")
    if settings.space == "near":
        known = spread_of(generator) if spread is None else spread
        if known is not None:
            return NearSpace(anchors, known, num_ws, settings, held)
    return HullSpace(anchors, num_ws, settings, held)


class HullSpace:
    """P_beta+ and P_beta: combinations of the anchors M (N, w_dim).

    Free are alpha and, in P_beta+, the layers' offsets Delta from it, both before eq 5. With the simplex form
    of A_beta in eq 5's place, bounds and sum hold by construction. A mean that is held is kept at each step,
    by coefficients that may go a little beyond the bounds on the way.
    """

    def __init__(
        self, anchors: Tensor, num_ws: int, settings: ProjectionSettings, held: Held | None = None
    ) -> None:
        self.anchors, self.num_ws, self.settings, self.held = anchors, num_ws, settings, held
        self.layered = settings.space != "p"
        self.beta = hull.bound(settings.beta)

    def _bound(self, raw: Tensor) -> Tensor:
        """Return alpha_beta (..., N) of free numbers."""
        bounded: Tensor
        if self.settings.parametrisation == "simplex":
            bounded = hull.simplex_alpha(raw, self.beta)
        else:
            bounded = hull.softplus_alpha(raw, self.beta, self.settings.sharpness)  # eq 5
        return bounded if self.held is None else self.held.moved(bounded)

    def _raw(self, alpha: Tensor) -> Tensor:
        raw: Tensor
        if self.settings.parametrisation == "simplex":
            raw = hull.simplex_theta(alpha, self.beta)
        else:
            raw = hull.softplus_raw(alpha, self.beta, self.settings.sharpness)
        return raw

    def leaves(self, start: Tensor) -> list[Tensor]:
        """Return alpha (B, 1, N) and Delta (B, num_ws, N), as free numbers.

        Args:
            start: (B, N), the same for all layers, or (B, num_ws, N).
        """
        rows = start if start.dim() == 3 else start.unsqueeze(1)  # (B, 1 or num_ws, N)
        alpha = self._raw(rows.mean(dim=1, keepdim=True))  # (B, 1, N)
        delta = [(self._raw(rows) - alpha).expand(-1, self.num_ws, -1)] if self.layered else []
        return [leaf.detach().clone().requires_grad_() for leaf in (alpha, *delta)]

    def alpha_plus(self, leaves: Sequence[Tensor]) -> Tensor:
        """Return alpha_beta+ (B, num_ws, N)."""
        raw = sum(leaves[1:], leaves[0])  # (alpha + Delta_0, ..., alpha + Delta_N)
        return self._bound(raw).expand(-1, self.num_ws, -1)

    def w_plus(self, leaves: Sequence[Tensor]) -> Tensor:
        """Return M alpha_beta+ (B, num_ws, w_dim)."""
        codes: Tensor = hull.combine(self.alpha_plus(leaves), self.anchors)
        return codes

    def slack(self, leaves: Sequence[Tensor]) -> Tensor | None:
        """Return None: every code is a combination of the anchors."""
        return None

    def penalty(self, leaves: Sequence[Tensor]) -> Tensor:
        """Return the last two terms of eq 8 (B,)."""
        alpha_plus = self.alpha_plus(leaves)  # (B, num_ws, N)
        total: Tensor = self.settings.sum_weight * hull.sum_penalty(alpha_plus)  # eq 6
        if self.layered:
            # the offsets of what is rendered, after eq 5: those before it may be long and change nothing
            delta = alpha_plus - self._bound(leaves[0])
            total = total + self.settings.offset_weight * hull.offset_penalty(delta)  # eq 7
        return total


class NearSpace(HullSpace):
    """P_beta+ and what lies near it: a combination of the anchors, and a step beside all of them.

    A photo shows a turn, a light or a look that no mixture of the person's photos has, the more so the fewer
    there are. The step z is the same for all layers, in the spreads of the domain prior's codes, and its
    length costs, as if photos of a person were spread about their space as people are about their mean.
    """

    def __init__(
        self,
        anchors: Tensor,
        spread: Tensor,
        num_ws: int,
        settings: ProjectionSettings,
        held: Held | None = None,
    ) -> None:
        super().__init__(anchors, num_ws, settings, held)
        self.spread = spread  # L, (w_dim, w_dim)

    def leaves(self, start: Tensor) -> list[Tensor]:
        """Return the free numbers of P_beta+, then those of z (B, 1, w_dim), which begins at 0."""
        beside = start.new_zeros(len(start), 1, len(self.spread)).requires_grad_()
        return [*super().leaves(start), beside]

    def _z(self, leaves: Sequence[Tensor]) -> Tensor:
        return leaves[-1] * (SLACK_STEP / self.settings.rate)  # moved at the rate of the coefficients

    def alpha_plus(self, leaves: Sequence[Tensor]) -> Tensor:
        """Return alpha_beta+ (B, num_ws, N) of the combination."""
        return super().alpha_plus(leaves[:-1])

    def w_plus(self, leaves: Sequence[Tensor]) -> Tensor:
        """Return M alpha_beta+ + z L (B, num_ws, w_dim)."""
        codes: Tensor = hull.combine(self.alpha_plus(leaves), self.anchors)
        return codes + self._z(leaves) @ self.spread

    def slack(self, leaves: Sequence[Tensor]) -> Tensor:
        """Return z L (B, w_dim)."""
        return (self._z(leaves) @ self.spread).squeeze(1)

    def penalty(self, leaves: Sequence[Tensor]) -> Tensor:
        """Return the last two terms of eq 8, and what z costs (B,)."""
        cost = self._z(leaves).square().mean(dim=(1, 2))
        return super().penalty(leaves) + self.settings.slack_weight * cost


def spread_of(generator: Generator) -> Tensor | None:
    """Return L (w_dim, w_dim): z L, for normal z, spreads as the codes of people drawn at random do.

    None without a mapping: nothing tells then how people spread.
    """
    import torch

    if not generator.z_dim:
        return None
    draw = torch.Generator().manual_seed(0)
    seeds = torch.randn(PEOPLE, generator.z_dim, generator=draw).to(generator.device)
    with torch.no_grad():
        codes = generator.mapping(seeds).cpu().numpy()  # (PEOPLE, w_dim)
    variances, axes = np.linalg.eigh(np.cov(codes.T.astype(np.float64)))
    spread = (axes * np.sqrt(variances.clip(min=0))).T
    return torch.as_tensor(spread, dtype=torch.float32, device=generator.device)


class FreeSpace:
    """W+ and W: any code, as projection with a domain prior searches them (eq 10)."""

    def __init__(self, num_ws: int, *, layered: bool) -> None:
        self.num_ws, self.layered = num_ws, layered

    def leaves(self, start: Tensor) -> list[Tensor]:
        """Return the codes themselves: (B, num_ws, w_dim) in W+, (B, 1, w_dim) in W."""
        codes = start.unsqueeze(1).expand(-1, self.num_ws if self.layered else 1, -1)
        return [codes.detach().clone().requires_grad_()]

    def w_plus(self, leaves: Sequence[Tensor]) -> Tensor:
        """Return the codes, the same for every layer in W."""
        return leaves[0].expand(-1, self.num_ws, -1)  # (B, num_ws, w_dim)

    def alpha_plus(self, leaves: Sequence[Tensor]) -> None:
        """Return None: there are no anchors."""

    def slack(self, leaves: Sequence[Tensor]) -> None:
        """Return None, as every code is free."""

    def penalty(self, leaves: Sequence[Tensor]) -> Tensor:
        """Return zeros (B,): nothing holds these codes."""
        return leaves[0].new_zeros(len(leaves[0]))
