"""Questions about the hull that need a solver: nearest code in P_beta, anchors to leave out (B.4, B.5)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mystyle_cli.errors import MystyleError
from mystyle_cli.person import hull

Floats = npt.NDArray[np.float64]


def nearest_alpha(w: npt.ArrayLike, anchors: npt.ArrayLike, beta: float | None) -> Floats:
    """Return coefficients of the point of P_beta nearest to each code.

    Args:
        w: (..., w_dim) codes, numpy or a CPU tensor.
        anchors: (N, w_dim).
        beta: dilation, 0 or more; None allows every code of the anchors' affine span.

    Returns:
        (..., N) float64 in A_beta. Source: B.4, "a simple convex optimization problem".

    Raises:
        MystyleError: the solver gave no answer that holds.
    """
    codes, points = np.asarray(w, np.float64), np.asarray(anchors, np.float64)
    beta = hull.bound(beta)
    flat = codes.reshape(-1, codes.shape[-1])
    if beta is None:
        middle = points.mean(axis=0)
        alphas = hull.edit_coordinates(flat - middle, points) + 1.0 / len(points)
    else:
        alphas = np.stack([_nearest(code, points, beta) for code in flat])
    return np.reshape(alphas, (*codes.shape[:-1], len(points)))


def _nearest(code: Floats, anchors: Floats, beta: float) -> Floats:
    """Solve min |M s - target|^2 over the simplex, where alpha = -beta + (1 + N beta) s."""
    n = len(anchors)
    scale = 1.0 + n * beta
    middle = anchors.mean(axis=0)
    points = anchors - middle
    # sum alpha_i (w_i - m) = scale * sum s_i (w_i - m), because the differences from the mean cancel
    target = (code - middle) / scale
    share = hull.project_onto_hull(_quadratic_on_simplex(points @ points.T, points @ target), 0.0)
    _check_nearest(share, points, target)
    return np.asarray(hull.project_onto_hull(scale * share - beta, beta), np.float64)


def _quadratic_on_simplex(gram: Floats, pull: Floats) -> Floats:
    """Return s (N,) that minimises s.gram.s / 2 - pull.s over sum s = 1, s >= 0."""
    import clarabel
    from scipy import sparse

    n = len(pull)
    size = max(float(np.trace(gram)) / n, float(np.abs(pull).max(initial=0.0)), 1e-300)
    rows = sparse.vstack([np.ones((1, n)), -sparse.identity(n)], format="csc")
    limits = np.concatenate([[1.0], np.zeros(n)])
    cones = [clarabel.ZeroConeT(1), clarabel.NonnegativeConeT(n)]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-11
    problem = sparse.triu(sparse.csc_matrix(gram / size), format="csc")
    found = clarabel.DefaultSolver(problem, -pull / size, rows, limits, cones, settings).solve()
    if str(found.status) not in ("Solved", "AlmostSolved", "InsufficientProgress"):
        raise MystyleError(f"the nearest code was not found: the solver says {found.status}", _HINT)
    return np.asarray(found.x, np.float64)


_HINT = "Check the anchors with: mystyle profile verify NAME"


def _check_nearest(share: Floats, points: Floats, target: Floats) -> None:
    """Refuse an answer that a step towards any corner would still improve noticeably.

    The gap max_i (g.s - g_i) bounds how much |M s - target|^2 / 2 may still fall.
    """
    reached = share @ points
    gradient = points @ (reached - target)
    gap = float(share @ gradient - gradient.min())
    size = float(np.max(np.sum(points**2, axis=1), initial=0.0)) + float(np.sum((reached - target) ** 2))
    if not gap <= 1e-9 * size + 1e-300:
        raise MystyleError(f"the nearest code was not found: {gap:.2g} could still be gained", _HINT)


def independent_anchors(anchors: npt.ArrayLike, rcond: float = 1e-6) -> npt.NDArray[np.int64]:
    """Return the rows, in order, of a largest set of anchors that are linearly independent.

    Greedy: the anchor farthest from the span of those chosen comes next, which keeps it well conditioned.

    Args:
        anchors: (N, w_dim).
        rcond: an anchor nearer to the span than this share of the longest anchor adds nothing.

    Returns:
        (rank,) int64. The kept anchors span the same V; their hull is P_0 itself only if those left out lay
        inside it, which `inner_anchors` tells. Source: B.5.
    """
    rest = np.array(anchors, np.float64)
    lengths = np.linalg.norm(rest, axis=1)
    least = rcond * float(lengths.max(initial=0.0))
    chosen: list[int] = []
    for _ in range(min(rest.shape)):
        row = int(np.argmax(lengths))
        if lengths[row] <= least:
            break
        chosen.append(row)
        unit = rest[row] / lengths[row]
        rest -= np.outer(rest @ unit, unit)
        rest -= np.outer(rest @ unit, unit)  # again: once leaves a rounding error that grows with the rank
        lengths = np.linalg.norm(rest, axis=1)
        lengths[chosen] = 0.0
    return np.array(sorted(chosen), np.int64)


def inner_anchors(anchors: npt.ArrayLike, tol: float = 1e-5) -> npt.NDArray[np.int64]:
    """Return the rows of anchors that lie in the hull of the others, so that P_0 is the same without them.

    Of equal anchors the first stays. Looks one anchor at a time, leaving out what it has already dropped.

    Args:
        anchors: (N, w_dim).
        tol: how near to the hull counts as inside, as a share of the anchors' spread.

    Returns:
        (M,) int64, in order. Source: B.5.
    """
    points = np.asarray(anchors, np.float64)
    spread = float(np.linalg.norm(points - points.mean(axis=0), axis=1).max(initial=0.0))
    near = tol * spread + 1e-12 * float(np.abs(points).max(initial=0.0))
    kept = list(range(len(points)))
    for row in reversed(range(len(points))):
        others = [other for other in kept if other != row]
        if not others:
            break
        alpha = nearest_alpha(points[row], points[others], 0.0)
        if np.linalg.norm(alpha @ points[others] - points[row]) <= near:
            kept = others
    return np.array(sorted(set(range(len(points))) - set(kept)), np.int64)


def tightest_alpha(w: npt.ArrayLike, anchors: npt.ArrayLike) -> Floats:
    """Return the coefficients of each code that need the least dilation; dependent anchors leave a choice.

    Args:
        w: (..., w_dim), codes in the anchors' affine span (others: of their nearest code in it).
        anchors: (N, w_dim).

    Returns:
        (..., N) float64 with sum 1. With independent anchors there is one answer, and this is it.
    """
    codes, points = np.asarray(w, np.float64), np.asarray(anchors, np.float64)
    some = nearest_alpha(codes, points, None)
    spare = _spare_directions(points)
    if not len(spare):
        return some
    flat = some.reshape(-1, len(points))
    return np.stack([_lift_lowest(alpha, spare) for alpha in flat]).reshape(some.shape)


def _spare_directions(anchors: Floats, rcond: float = 1e-6) -> Floats:
    """Return an orthonormal basis (r, N) of changes of alpha that change neither the code nor the sum."""
    rows = np.vstack([(anchors - anchors.mean(axis=0)).T, np.ones((1, len(anchors)))])
    rows[:-1] /= max(float(np.linalg.norm(rows[:-1], 2)), 1e-300)
    _, sizes, basis = np.linalg.svd(rows, full_matrices=True)
    rank = int(np.sum(sizes > rcond))
    return np.asarray(basis[rank:], np.float64)


def _lift_lowest(alpha: Floats, spare: Floats) -> Floats:
    """Move `alpha` (N,) within the rows of `spare` so that its lowest entry is as high as it can be."""
    from scipy.optimize import linprog

    moves, n = spare.shape
    cost: Any = np.concatenate([np.zeros(moves), [-1.0]])
    rows = np.hstack([-spare.T, np.ones((n, 1))])  # height - (move) <= alpha
    limits = [(None, None)] * moves + [(None, 1.0)]
    found = linprog(cost, A_ub=rows, b_ub=alpha, bounds=limits, method="highs")
    if found.status != 0:
        raise MystyleError(f"the least dilation was not found: {found.message}", _HINT)
    return np.asarray(alpha + np.asarray(found.x[:-1]) @ spare, np.float64)
