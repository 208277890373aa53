"""Edits as steps in the coefficients, and what happens where they would leave P_beta (sec. 3.4, B.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from mystyle_cli.edit.directions import gamma_of
from mystyle_cli.errors import UsageError, check_choice
from mystyle_cli.hull import hull
from mystyle_cli.hull.solve import nearest_alpha

if TYPE_CHECKING:
    from mystyle_cli.prior.directions import Direction

AtLimit = Literal["stop", "project", "continue"]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Edited:
    """An edited code.

    Args:
        alpha_plus: float64 (num_ws, N).
        least_dilation: the dilation that it needs.
        limit: the dilation that was allowed: beta, or what the unedited code needed already, if that is more;
            None where nothing was bounded.
        reached: how far the code that is returned lies from the unedited one along each direction, in the
            direction's units and measured on the mean of the layers.
        largest: the largest multiple of the strengths within `limit`; infinite where nothing stops it.
        projected: the code was moved back into the person's space, off the directions.
    """

    alpha_plus: Floats
    least_dilation: float
    limit: float | None
    reached: tuple[float, ...]
    largest: float
    projected: bool


def edit(
    anchors: npt.ArrayLike,
    alpha_plus: npt.ArrayLike,
    strengths: Sequence[tuple[Direction, float]],
    beta: float | None,
    at_limit: AtLimit = "stop",
) -> Edited:
    """Move a code along directions, the same way in every layer.

    Args:
        anchors: (N, w_dim).
        alpha_plus: (num_ws, N), each layer's sum 1.
        strengths: directions and how far to go along each, in the direction's units; they add up.
        beta: dilation that the edit may use, or None.
        at_limit: where the edit would need more: "stop" there, "project" it back to the nearest code of
            P_beta, or "continue".

    Returns:
        The edited code; for "stop" and "project" in A_limit to 1e-6. Source: eq 9; B.4.

    Raises:
        UsageError: a strength is not finite, or there is no such thing to do at the limit.
    """
    check_choice("at_limit", at_limit, AtLimit)
    for direction, strength in strengths:
        if not np.isfinite(strength):
            raise UsageError(f"{direction.name} by {strength} is no edit", "Give a finite strength.")
    points, start = np.asarray(anchors, np.float64), np.asarray(alpha_plus, np.float64)
    step = total_step(points, strengths)
    limit = allowed(start, beta)
    largest = float(np.min(hull.largest_step(start, step, limit)))
    projected = False
    if largest >= 1 or at_limit == "continue":
        edited = start + step
    elif at_limit == "project":
        # each different layer once: P_beta's codes are the same in all
        layers, where = np.unique(start, axis=0, return_inverse=True)
        edited = nearest_alpha((layers + step) @ points, points, limit)[where.reshape(-1)]
        projected = True
    else:
        edited = start + largest * step
    return Edited(
        alpha_plus=edited,
        least_dilation=float(hull.least_dilation(edited).max()),
        limit=limit,
        reached=_reached(points, (edited - start).mean(axis=0), [direction for direction, _ in strengths]),
        largest=largest,
        projected=projected,
    )


def total_step(anchors: Floats, strengths: Sequence[tuple[Direction, float]]) -> Floats:
    """Return the change (N,) of every layer's coefficients that all strengths together make."""
    step = np.zeros(len(anchors))
    for direction, strength in strengths:
        step += strength * gamma_of(direction, anchors)
    return step


def allowed(alpha_plus: Floats, beta: float | None) -> float | None:
    """Return the dilation that an edit may use: beta, but never less than the unedited code needs."""
    beta = hull.bound(beta)
    return None if beta is None else max(beta, float(hull.least_dilation(alpha_plus).max()))


def _reached(anchors: Floats, change: Floats, directions: Sequence[Direction]) -> tuple[float, ...]:
    """Return the strengths whose joint step comes nearest to a change (N,) of the coefficients.

    What the person's space holds of a direction is what counts, as in eq 9: a full edit has reached what was
    asked for, whatever share of the direction is kept.
    """
    steps = np.stack([gamma_of(direction, anchors) @ anchors for direction in directions], axis=1)
    reached = np.linalg.lstsq(steps, change @ anchors, rcond=None)[0]
    return tuple(float(strength) for strength in reached)
