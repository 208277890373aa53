"""Coefficients whose weighted mean of some number of each anchor, such as the year of its photo, is held.

    y (N,)    a number of each anchor
    {alpha in A_beta : sum_i alpha_i y_i = at}

The whole set of anchors stays at work: those whose numbers are far from `at` lend what they differ in among
each other, and what they would add of their own number is taken back by the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
from array_api_compat import array_namespace, device

from mystyle_cli.hull import hull
from mystyle_cli.hull.hull import Array

Floats = npt.NDArray[np.float64]

HALVINGS: Final = 60  # of the interval in which the shift lies that meets the mean


@dataclass(frozen=True, eq=False)
class Held:
    """A mean that coefficients keep.

    Args:
        values: y, float64 (N,), not all equal.
        at: the mean, between the least and the largest of them.
    """

    values: Floats
    at: float

    @cached_property
    def _off(self) -> Floats:
        """y without its mean, (N,), which moves no sum."""
        return np.asarray(self.values - self.values.mean(), np.float64)

    def _above(self, alpha: Array) -> Array:
        """Return by how much the weighted means (...) of alphas (..., N) are too large."""
        # not alpha.y - at, which in float32 and with a sum that is nearly 1 would be off by years
        return alpha @ _like(alpha, self.values - self.at)

    def moved(self, alpha: Array) -> Array:
        """Return the nearest coefficients (..., N) of the same sums with the mean; they may leave A_beta."""
        off = _like(alpha, self._off)
        return alpha - self._above(alpha)[..., None] * off / (off @ off)

    def project(self, alpha: npt.ArrayLike, beta: float | None) -> Floats:
        """Return the point of A_beta with the mean that is nearest to each alpha (..., N), to rounding.

        It is the projection onto A_beta of alpha - mu y for some mu, of which the mean falls as mu rises.
        """
        wide = np.asarray(alpha, np.float64)
        if hull.bound(beta) is None:
            return np.asarray(self.moved(hull.project_onto_hull(wide, None)), np.float64)
        step: Floats = self._off / np.abs(self._off).max()

        def at(mu: Floats) -> Floats:
            return np.asarray(hull.project_onto_hull(wide - mu[..., None] * step, beta), np.float64)

        # beyond this all that can be is with the anchors of the least number, or the largest
        reach = np.full(wide.shape[:-1], self._reach(wide, beta))
        low, high = -reach, reach
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            above = self._above(at(middle)) > 0
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        return at((low + high) / 2)

    def _reach(self, alpha: Floats, beta: float | None) -> float:
        """Return a shift at which only anchors of the least number, or of the largest, are above -beta."""
        steps = np.unique(self._off / np.abs(self._off).max())
        spread = float(alpha.max() - alpha.min()) + 1.0 + len(self.values) * float(beta or 0.0)
        return spread / float(min(steps[1] - steps[0], steps[-1] - steps[-2]))


def _like(alpha: Array, values: Floats) -> Array:
    """Return numbers as an array of the kind of another."""
    return array_namespace(alpha).asarray(values, dtype=alpha.dtype, device=device(alpha))
