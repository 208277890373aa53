"""The person's own space: the dilated hull of their anchors, as pure functions on arrays (sec. 3.2 and 3.3).

A code is written by its coefficients `alpha` over the N anchors: `w = sum_i alpha_i w_i`. The coefficients
live in `A_beta = {alpha : sum alpha = 1, every alpha_i >= -beta}` (eq 2), a simplex with its corners moved
outwards: every member is `-beta + (1 + N beta) s` with `s` on the ordinary simplex. So `P_beta = {M alpha}`
(eq 3) is the convex hull of the anchors, enlarged about their mean by the factor `1 + N beta`.

`alpha_plus` (num_ws, N) holds one `alpha` for each layer of the generator. All functions work along the last
axis, take numpy arrays or torch tensors and answer in kind, unless they say otherwise. `beta=None` leaves the
coefficients unbounded, so that only their sum counts.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

from array_api_compat import array_namespace

from mystyle_cli.errors import UsageError

Array: TypeAlias = Any  # a numpy array or a torch tensor; what comes out is what went in

SHARPNESS = 100.0  # s in eq 5, from B.3


def bound(beta: float | None) -> float | None:
    """Return a dilation that makes sense, with infinity told as None.

    Args:
        beta: dilation, 0 or more; None or infinity for no bound.

    Raises:
        UsageError: beta is negative or not a number.
    """
    if beta is None or beta == math.inf:
        return None
    if not beta >= 0:
        raise UsageError(f"beta is {beta}, but a dilation is 0 or more", "Give a beta such as 0.02, or none.")
    return float(beta)


def centre(n_anchors: int) -> Array:
    """Return the coefficients (N,) float64 of the anchors' mean, where projection starts. Source: B.3."""
    import numpy as np

    if n_anchors < 1:
        raise UsageError(f"a hull of {n_anchors} anchors does not exist", "Give at least one anchor.")
    return np.full(n_anchors, 1.0 / n_anchors)


def least_dilation(alpha: Array) -> Array:
    """Return the smallest beta whose A_beta holds each vector, given that its entries sum to 1.

    Args:
        alpha: (..., N).

    Returns:
        (...), each 0 or more. Source: sec. 3.4, "the minimal dilation".
    """
    xp = array_namespace(alpha)
    lowest = xp.min(alpha, axis=-1)
    return xp.where(lowest < 0, -lowest, xp.zeros_like(lowest))


def in_hull(alpha: Array, beta: float | None, tol: float = 1e-6) -> Array:
    """Tell for each vector whether it lies in A_beta (eq 2), to within `tol`.

    Args:
        alpha: (..., N).
        beta: dilation, 0 or more, or None for no bound.
        tol: how far the sum may be from 1, and an entry below -beta.

    Returns:
        (...) bool; false where an entry is not finite.
    """
    xp, beta = array_namespace(alpha), bound(beta)
    wide = xp.astype(alpha, xp.float64)
    right_sum = xp.abs(xp.sum(wide, axis=-1) - 1.0) <= tol
    if beta is None:
        return right_sum
    return right_sum & (xp.min(wide, axis=-1) >= -beta - tol)


def project_onto_hull(alpha: Array, beta: float | None) -> Array:
    """Return the point of A_beta nearest to each vector, exactly.

    A_beta + beta is the simplex of total 1 + N beta, whose projection is a shift by `tau` and a cut at zero;
    `tau` follows from the sorted entries. Computed in float64, so that the sum holds at any N.

    Args:
        alpha: (..., N), finite.
        beta: dilation, 0 or more, or None to correct the sum only.
    """
    xp, beta = array_namespace(alpha), bound(beta)
    wide, n = xp.astype(alpha, xp.float64), alpha.shape[-1]
    if beta is None:
        return xp.astype(wide + (1.0 - xp.sum(wide, axis=-1, keepdims=True)) / n, alpha.dtype)
    total = 1.0 + n * beta
    top = xp.max(wide, axis=-1, keepdims=True)
    lowered = wide - top  # a common shift changes nothing but the rounding
    falling = xp.flip(xp.sort(lowered, axis=-1), axis=-1)
    counts = xp.zeros_like(falling) + xp.arange(1, n + 1, dtype=xp.float64, device=_device(wide))
    taus = (xp.cumulative_sum(falling, axis=-1) - total) / counts
    active = xp.sum(xp.astype(falling > taus, xp.int64), axis=-1, keepdims=True)
    tau = xp.take_along_axis(taus, active - 1, axis=-1)
    kept = xp.maximum(lowered - tau, xp.zeros_like(lowered))
    return xp.astype(kept - beta, alpha.dtype)


def softplus_alpha(raw: Array, beta: float | None, sharpness: float = SHARPNESS) -> Array:
    """Bound free numbers from below by -beta with a shifted softplus (eq 5); the sum stays free.

    Args:
        raw: (..., N), any real numbers.
        beta: dilation, 0 or more; None returns `raw` itself.
        sharpness: s, how closely the bend follows max(raw, -beta).
    """
    xp, beta = array_namespace(raw), bound(beta)
    if beta is None:
        return raw
    return xp.logaddexp((raw + beta) * sharpness, xp.zeros_like(raw)) / sharpness - beta


def softplus_raw(alpha: Array, beta: float | None, sharpness: float = SHARPNESS) -> Array:
    """Return free numbers of which `softplus_alpha` makes `alpha`; entries at the bound go just inside it.

    Args:
        alpha: (..., N), every entry at least -beta.
    """
    xp, beta = array_namespace(alpha), bound(beta)
    if beta is None:
        return alpha
    height = xp.clip((alpha + beta) * sharpness, min=1e-3)
    return (height + xp.log(-xp.expm1(-height))) / sharpness - beta


def simplex_alpha(theta: Array, beta: float | None) -> Array:
    """Return a member of A_beta for any free numbers: -beta + (1 + N beta) softmax(theta).

    Args:
        theta: (..., N), any real numbers; a common shift changes nothing.
        beta: dilation, 0 or more; None moves the sum to 1 and bounds nothing.
    """
    xp, beta, n = array_namespace(theta), bound(beta), theta.shape[-1]
    if beta is None:
        return theta - xp.mean(theta, axis=-1, keepdims=True) + 1.0 / n
    powers = xp.exp(theta - xp.max(theta, axis=-1, keepdims=True))
    return (1.0 + n * beta) * powers / xp.sum(powers, axis=-1, keepdims=True) - beta


def simplex_theta(alpha: Array, beta: float | None) -> Array:
    """Return free numbers of which `simplex_alpha` makes `alpha`; entries at the bound go just inside it.

    Args:
        alpha: (..., N) in A_beta.
    """
    xp, beta, n = array_namespace(alpha), bound(beta), alpha.shape[-1]
    if beta is None:
        return alpha
    share = xp.clip((alpha + beta) / (1.0 + n * beta), min=1e-4 / n)
    return xp.log(share * n)


def sum_penalty(alpha_plus: Array) -> Array:
    """Return how far the coefficients of the layers are from summing to 1, squared, averaged over layers.

    Args:
        alpha_plus: (..., num_ws, N).

    Returns:
        (...). Source: eq 6, "calculated per-layer and then averaged".
    """
    xp = array_namespace(alpha_plus)
    return xp.mean((xp.sum(alpha_plus, axis=-1) - 1.0) ** 2, axis=-1)


def offset_penalty(delta: Array) -> Array:
    """Return the summed lengths of the offsets of the first two thirds of the layers.

    Args:
        delta: (..., num_ws, N).

    Returns:
        (...). Source: eq 7; "only on the first 12 layers" of 18, B.3.
    """
    xp = array_namespace(delta)
    coarse = delta[..., : penalised_layers(delta.shape[-2]), :]
    return xp.sum(xp.linalg.vector_norm(coarse, axis=-1), axis=-1)


def penalised_layers(num_ws: int) -> int:
    """Return how many of the first layers eq 7 holds together: two thirds, 12 of the paper's 18 (B.3)."""
    return math.ceil(2 * num_ws / 3)


def combine(alpha: Array, anchors: Array) -> Array:
    """Return the codes that coefficients stand for: M alpha (eq 3).

    Args:
        alpha: (..., N), such as (B, num_ws, N).
        anchors: (N, w_dim).

    Returns:
        (..., w_dim).
    """
    return alpha @ anchors


def coordinates(w: Array, anchors: Array, rcond: float = 1e-6) -> Array:
    """Return the shortest coefficients whose combination is nearest to `w`; their sum is free.

    Dependent anchors are no obstacle: directions that the anchors span only by rounding are left out.

    Args:
        w: (..., w_dim), a code or a direction.
        anchors: (N, w_dim).
        rcond: singular values below this share of the largest count as zero.

    Returns:
        (..., N) gamma. Source: eq 9, (M^T M)^-1 M^T n.
    """
    xp = array_namespace(w, anchors)
    return w @ xp.linalg.pinv(anchors, rtol=rcond)


def edit_coordinates(direction: Array, anchors: Array, rcond: float = 1e-6) -> Array:
    """Return the shortest gamma with sum 0 whose step is nearest to `direction`.

    With eq 9 as printed the sum of gamma is free, so alpha + theta gamma would sum to something else than 1
    and lie in no A_beta. Steps between points of P_beta are combinations of the anchors' differences from
    their mean.

    Args:
        direction: (..., w_dim).
        anchors: (N, w_dim).

    Returns:
        (..., N).
    """
    xp = array_namespace(direction, anchors)
    gamma = coordinates(direction, anchors - xp.mean(anchors, axis=0, keepdims=True), rcond)
    return gamma - xp.mean(gamma, axis=-1, keepdims=True)


def project_on_span(direction: Array, anchors: Array, rcond: float = 1e-6) -> Array:
    """Return the part of `direction` (..., w_dim) that the anchors (N, w_dim) span: n hat of sec. 3.4."""
    return combine(coordinates(direction, anchors, rcond), anchors)


def largest_step(alpha: Array, gamma: Array, beta: float | None) -> Array:
    """Return the largest theta >= 0 for which alpha + theta gamma keeps every entry at -beta or more.

    Args:
        alpha: (..., N) in A_beta; a vector already outside gets 0, unless the step leads inwards.
        gamma: broadcastable to alpha, with sum 0.
        beta: dilation, 0 or more, or None.

    Returns:
        (...); infinity where nothing stops the step.
    """
    xp, beta = array_namespace(alpha, gamma), bound(beta)
    alpha, gamma = xp.broadcast_arrays(alpha, gamma)
    if beta is None:
        return xp.full(alpha.shape[:-1], math.inf, dtype=alpha.dtype, device=_device(alpha))
    falls = gamma < 0
    slopes = xp.where(falls, -gamma, xp.ones_like(gamma))
    room = xp.where(falls, (alpha + beta) / slopes, xp.full_like(alpha, math.inf))
    return xp.clip(xp.min(room, axis=-1), min=0.0)


def _device(array: Array) -> Any:
    from array_api_compat import device

    return device(array)
