"""The question about the hull that needs a solver: the nearest code in P_beta (B.4)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mystyle_cli.errors import MystyleError
from mystyle_cli.hull import hull

Floats = npt.NDArray[np.float64]


def nearest_alpha(w: npt.ArrayLike, anchors: npt.ArrayLike, beta: float | None) -> Floats:
    """Return the alpha (..., N) float64 in A_beta whose code is nearest to each w (..., w_dim).

    Args:
        w: codes, numpy or a CPU tensor.
        anchors: (N, w_dim).
        beta: dilation, 0 or more; None allows every code of the anchors' affine span.

    Raises:
        MystyleError: the solver gave no answer that holds.

    Source: B.4, "a simple convex optimization problem".
    """
    codes, points = np.asarray(w, np.float64), np.asarray(anchors, np.float64)
    beta = hull.bound(beta)
    flat = codes.reshape(-1, codes.shape[-1])  # (n, w_dim)
    if beta is None:  # least squares: only the sum is asked for
        middle = points.mean(axis=0)
        alphas = hull.edit_coordinates(flat - middle, points) + 1.0 / len(points)
    else:
        alphas = np.stack([_nearest(code, points, beta) for code in flat])
    return np.reshape(alphas, (*codes.shape[:-1], len(points)))


def _nearest(code: Floats, anchors: Floats, beta: float) -> Floats:
    """Solve min |M s - target|^2 over the simplex, where alpha = -beta + (1 + N beta) s: (N,)."""
    n = len(anchors)
    scale = 1.0 + n * beta
    middle = anchors.mean(axis=0)  # m, (w_dim,)
    points = anchors - middle  # (N, w_dim)
    # sum alpha_i (w_i - m) = scale * sum s_i (w_i - m), because the differences from the mean cancel
    target = (code - middle) / scale
    # the solver meets its conditions to some 1e-11; what is handed out meets them exactly
    share = hull.project_onto_hull(_quadratic_on_simplex(points @ points.T, points @ target), 0.0)
    _check_nearest(share, points, target)
    return np.asarray(hull.project_onto_hull(scale * share - beta, beta), np.float64)


def _quadratic_on_simplex(gram: Floats, pull: Floats) -> Floats:
    """Return s (N,) that minimises s.gram.s / 2 - pull.s over sum s = 1, s >= 0."""
    import clarabel
    from scipy import sparse

    n = len(pull)
    # Clarabel's tolerances are absolute: numbers of about 1 make them mean the same for every prior
    size = max(float(np.trace(gram)) / n, float(np.abs(pull).max(initial=0.0)), 1e-300)
    # its form is A s + slack = b: the first row asks for slack 0, the others for slack >= 0
    rows = sparse.vstack([np.ones((1, n)), -sparse.identity(n)], format="csc")  # A, (1 + N, N)
    limits = np.concatenate([[1.0], np.zeros(n)])  # b
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
