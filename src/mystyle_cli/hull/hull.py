"""The person's own space: the dilated hull of their anchors, as pure functions on arrays (sec. 3.2 and 3.3).

    M       (N, w_dim)      the anchors, one a row; the paper has them as columns
    alpha   (..., N)        coefficients: w = sum_i alpha_i w_i = alpha @ M
    A_beta  {alpha : sum_i alpha_i = 1, alpha_i >= -beta}            eq 2
    P_beta  {alpha @ M : alpha in A_beta}                            eq 3
    alpha+  (..., num_ws, N)  an alpha for each layer of the generator

A_beta is the simplex with its corners moved outwards, alpha = -beta + (1 + N beta) s with s on the ordinary
simplex, so P_beta is the hull of the anchors, enlarged about their mean by the factor 1 + N beta.

Functions work along the last axis, take numpy arrays or torch tensors and answer in kind. `beta` is 0 or
more; None leaves the coefficients unbounded, so that only their sum counts.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

from array_api_compat import array_namespace

from mystyle_cli.errors import UsageError

Array: TypeAlias = Any  # a numpy array or a torch tensor; what comes out is what went in

SHARPNESS = 100.0  # s in eq 5, from B.3


def bound(beta: float | None) -> float | None:
    """Return a dilation, infinity told as None; raises UsageError where it is negative or not a number."""
    if beta is None or beta == math.inf:
        return None
    if not beta >= 0:  # so that NaN is refused, too
        raise UsageError(f"beta is {beta}, but a dilation is 0 or more", "Give a beta such as 0.02, or none.")
    return float(beta)


def centre(n_anchors: int) -> Array:
    """Return the coefficients (N,) float64 of the anchors' mean, where projection starts. Source: B.3."""
    import numpy as np

    if n_anchors < 1:
        raise UsageError(f"a hull of {n_anchors} anchors does not exist", "Give at least one anchor.")
    return np.full(n_anchors, 1.0 / n_anchors)


def least_dilation(alpha: Array) -> Array:
    """Return the smallest beta (...) whose A_beta holds each alpha (..., N), given that its entries sum to 1.

    Source: sec. 3.4, "the minimal dilation".
    """
    xp = array_namespace(alpha)
    lowest = xp.min(alpha, axis=-1)  # (...)
    return xp.where(lowest < 0, -lowest, xp.zeros_like(lowest))  # |min({alpha_i} and 0)|


def in_hull(alpha: Array, beta: float | None, tol: float = 1e-6) -> Array:
    """Tell for each alpha (..., N) whether it lies in A_beta (eq 2), to within `tol`: (...) bool.

    One with an entry that is not finite does not.
    """
    xp, beta = array_namespace(alpha), bound(beta)
    wide = xp.astype(alpha, xp.float64)
    right_sum = xp.abs(xp.sum(wide, axis=-1) - 1.0) <= tol  # (...)
    if beta is None:
        return right_sum
    return right_sum & (xp.min(wide, axis=-1) >= -beta - tol)


def project_onto_hull(alpha: Array, beta: float | None) -> Array:
    """Return the point of A_beta nearest to each alpha (..., N), which must be finite; exactly.

    A_beta + beta is the simplex of total 1 + N beta, whose projection is a shift by `tau` and a cut at zero;
    `tau` follows from the sorted entries. Computed in float64, so that the sum holds at any N.
    """
    xp, beta = array_namespace(alpha), bound(beta)
    wide, n = xp.astype(alpha, xp.float64), alpha.shape[-1]
    if beta is None:  # the nearest point of the plane sum = 1
        return xp.astype(wide + (1.0 - xp.sum(wide, axis=-1, keepdims=True)) / n, alpha.dtype)
    total = 1.0 + n * beta
    top = xp.max(wide, axis=-1, keepdims=True)  # (..., 1)
    lowered = wide - top  # a common shift changes nothing but the rounding
    falling = xp.flip(xp.sort(lowered, axis=-1), axis=-1)  # (..., N), largest first
    counts = xp.zeros_like(falling) + xp.arange(1, n + 1, dtype=xp.float64, device=_device(wide))
    taus = (xp.cumulative_sum(falling, axis=-1) - total) / counts  # the shift, if so many stay above zero
    active = xp.sum(xp.astype(falling > taus, xp.int64), axis=-1, keepdims=True)  # (..., 1), how many do
    tau = xp.take_along_axis(taus, active - 1, axis=-1)  # (..., 1)
    kept = xp.maximum(lowered - tau, xp.zeros_like(lowered))
    return xp.astype(kept - beta, alpha.dtype)


def softplus_alpha(raw: Array, beta: float | None, sharpness: float = SHARPNESS) -> Array:
    """Return alpha_beta (..., N) >= -beta for any free alpha (eq 5); the sum stays free.

    `sharpness` is s: how closely the bend follows max(alpha, -beta).
    """
    xp, beta = array_namespace(raw), bound(beta)
    if beta is None:
        return raw
    # log(1 + e^x) as logaddexp(x, 0), which no x overflows: s (alpha + beta) is often above 100
    return xp.logaddexp((raw + beta) * sharpness, xp.zeros_like(raw)) / sharpness - beta  # eq 5


def softplus_raw(alpha: Array, beta: float | None, sharpness: float = SHARPNESS) -> Array:
    """Invert `softplus_alpha` for alpha (..., N) >= -beta; entries at the bound go just inside it."""
    xp, beta = array_namespace(alpha), bound(beta)
    if beta is None:
        return alpha
    height = xp.clip((alpha + beta) * sharpness, min=1e-3)  # at the bound itself the inverse is -infinity
    # log(e^h - 1) = h + log(1 - e^-h), for h of any size
    return (height + xp.log(-xp.expm1(-height))) / sharpness - beta


def simplex_alpha(theta: Array, beta: float | None) -> Array:
    """Return a member of A_beta for any free theta (..., N): -beta + (1 + N beta) softmax(theta).

    Both conditions of eq 2 hold by construction, where eq 5 needs the penalty of eq 6 for the sum. A common
    shift of theta changes nothing. Without a bound, theta is only moved to the sum 1.
    """
    xp, beta, n = array_namespace(theta), bound(beta), theta.shape[-1]
    if beta is None:
        return theta - xp.mean(theta, axis=-1, keepdims=True) + 1.0 / n
    powers = xp.exp(theta - xp.max(theta, axis=-1, keepdims=True))  # at most 1: nothing overflows
    return (1.0 + n * beta) * powers / xp.sum(powers, axis=-1, keepdims=True) - beta


def simplex_theta(alpha: Array, beta: float | None) -> Array:
    """Invert `simplex_alpha` for alpha (..., N) in A_beta; entries at the bound go just inside it."""
    xp, beta, n = array_namespace(alpha), bound(beta), alpha.shape[-1]
    if beta is None:
        return alpha
    share = xp.clip((alpha + beta) / (1.0 + n * beta), min=1e-4 / n)  # of a share of 0, log is -infinity
    return xp.log(share * n)


def sum_penalty(alpha_plus: Array) -> Array:
    """Return L_sum (...) of alpha+ (..., num_ws, N): eq 6, "calculated per-layer and then averaged"."""
    xp = array_namespace(alpha_plus)
    off = xp.sum(alpha_plus, axis=-1) - 1.0  # (..., num_ws)
    return xp.mean(off**2, axis=-1)  # eq 6


def offset_penalty(delta: Array) -> Array:
    """Return L_reg (...) of offsets Delta (..., num_ws, N): eq 7, of the first layers only (B.3)."""
    xp = array_namespace(delta)
    coarse = delta[..., : penalised_layers(delta.shape[-2]), :]  # (..., two thirds of num_ws, N)
    return xp.sum(xp.linalg.vector_norm(coarse, axis=-1), axis=-1)  # eq 7


def penalised_layers(num_ws: int) -> int:
    """Return how many of the first layers eq 7 holds together: two thirds, 12 of the paper's 18 (B.3)."""
    return math.ceil(2 * num_ws / 3)


def combine(alpha: Array, anchors: Array, slack: Array | None = None) -> Array:
    """Return the codes (..., w_dim) of alpha (..., N) over anchors (N, w_dim): M alpha (eq 3).

    Args:
        slack: (w_dim,), by what all of them lie beside it, if they do.
    """
    return alpha @ anchors if slack is None else alpha @ anchors + slack


def coordinates(w: Array, anchors: Array, rcond: float = 1e-6) -> Array:
    """Return the shortest gamma (..., N) whose combination is nearest to w (..., w_dim); its sum is free.

    Args:
        w: a code or a direction.
        anchors: (N, w_dim); dependent ones are no obstacle.
        rcond: singular values below this share of the largest count as zero.

    Source: eq 9, gamma = (M^T M)^-1 M^T n.
    """
    xp = array_namespace(w, anchors)
    return w @ xp.linalg.pinv(anchors, rtol=rcond)  # eq 9; a small rcond would follow rounding out of V


def edit_coordinates(direction: Array, anchors: Array, rcond: float = 1e-6) -> Array:
    """Return the shortest gamma (..., N) with sum 0 whose step is nearest to `direction` (..., w_dim).

    With eq 9 as printed the sum of gamma is free, so alpha + theta gamma would sum to something else than 1
    and lie in no A_beta. Steps between points of P_beta are combinations of the anchors' differences from
    their mean.
    """
    xp = array_namespace(direction, anchors)
    spokes = anchors - xp.mean(anchors, axis=0, keepdims=True)  # (N, w_dim), which sum to 0
    gamma = coordinates(direction, spokes, rcond)
    return gamma - xp.mean(gamma, axis=-1, keepdims=True)  # moves nothing, for the spokes sum to 0


def largest_step(alpha: Array, gamma: Array, beta: float | None) -> Array:
    """Return the largest theta >= 0 for which alpha + theta gamma keeps every entry at -beta or more.

    Args:
        alpha: (..., N) in A_beta; a vector already outside gets 0, unless the step leads inwards.
        gamma: broadcastable to alpha, with sum 0.
        beta: dilation.

    Returns:
        (...); infinity where nothing stops the step.
    """
    xp, beta = array_namespace(alpha, gamma), bound(beta)
    alpha, gamma = xp.broadcast_arrays(alpha, gamma)
    if beta is None:
        return xp.full(alpha.shape[:-1], math.inf, dtype=alpha.dtype, device=_device(alpha))
    falls = gamma < 0
    slopes = xp.where(falls, -gamma, xp.ones_like(gamma))  # 1 where it rises: nothing is divided by 0
    room = xp.where(falls, (alpha + beta) / slopes, xp.full_like(alpha, math.inf))
    return xp.clip(xp.min(room, axis=-1), min=0.0)


def _device(array: Array) -> Any:
    from array_api_compat import device

    return device(array)
