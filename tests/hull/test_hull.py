"""The hull against brute force, scipy and hypothesis."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import optimize

from mystyle_cli.errors import UsageError
from mystyle_cli.hull import hull, solve

betas = st.floats(0, 2) | st.just(0.0) | st.just(0.02)
entries = st.floats(-1e3, 1e3) | st.floats(-1, 1) | st.floats(-1e12, 1e12)
vectors = hnp.arrays(np.float64, st.integers(1, 40).map(lambda n: (n,)), elements=entries)


def in_hull_by_definition(alpha, beta, tol=1e-6):
    """Eq 2 in exact-sum arithmetic, written without the module under test."""
    total = math.fsum(float(a) for a in alpha)
    return abs(total - 1) <= tol and (beta is None or min(alpha) >= -beta - tol)


def projection_by_bisection(v, beta):
    """The shift tau found by halving an interval: an independent way to the same projection."""
    v = np.asarray(v, np.float64)
    total = 1 + len(v) * beta
    low, high = v.max() - total - 1, v.max() + beta + 1
    for _ in range(200):
        tau = (low + high) / 2
        low, high = (tau, high) if np.maximum(v + beta - tau, 0).sum() > total else (low, tau)
    return np.maximum(v + beta - (low + high) / 2, 0) - beta


@given(vectors, betas)
def test_projection_lies_in_the_hull(v, beta):
    """Whatever comes in, what comes out is in A_beta to 1e-6, recomputed from eq 2."""
    assert in_hull_by_definition(hull.project_onto_hull(v, beta), beta)


@given(hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(-5, 5)), betas)
def test_projection_agrees_with_bisection(v, beta):
    """The sorted solution equals the shift found by bisection."""
    np.testing.assert_allclose(hull.project_onto_hull(v, beta), projection_by_bisection(v, beta), atol=1e-9)


@given(hnp.arrays(np.float64, st.integers(2, 20), elements=st.floats(-5, 5)), betas, st.integers(0, 2**16))
def test_projection_is_the_nearest_point(v, beta, seed):
    """No other member of A_beta is nearer: the angle to every member is at least a right one."""
    nearest = hull.project_onto_hull(v, beta)
    others = (1 + len(v) * beta) * np.random.default_rng(seed).dirichlet(np.full(len(v), 0.3), 50) - beta
    assert np.max((others - nearest) @ (v - nearest)) <= 1e-8


@given(vectors, betas)
def test_projection_leaves_members_alone(v, beta):
    """Projecting twice changes nothing."""
    once = hull.project_onto_hull(v, beta)
    np.testing.assert_allclose(hull.project_onto_hull(once, beta), once, atol=1e-9)


def test_projection_against_a_general_solver():
    """scipy's SLSQP, told only eq 2 and the distance, finds the same point."""
    random = np.random.default_rng(3)
    for beta in (0.0, 0.05):
        v = random.normal(size=6)
        found = optimize.minimize(
            lambda a, v=v: ((a - v) ** 2).sum(),
            np.full(6, 1 / 6),
            bounds=[(-beta, None)] * 6,
            constraints={"type": "eq", "fun": lambda a: a.sum() - 1},
            options={"ftol": 1e-14, "maxiter": 500},
        )
        np.testing.assert_allclose(hull.project_onto_hull(v, beta), found.x, atol=1e-5)


def test_projection_works_along_the_last_axis_of_both_kinds():
    """(B, num_ws, N) is projected vector by vector; torch gives numpy's answer, in its own dtype."""
    v = np.random.default_rng(0).normal(size=(3, 4, 7))
    whole = hull.project_onto_hull(v, 0.03)
    alone = np.array([[hull.project_onto_hull(row, 0.03) for row in layer] for layer in v])
    np.testing.assert_array_equal(whole, alone)
    np.testing.assert_allclose(hull.project_onto_hull(torch.tensor(v), 0.03).numpy(), whole, atol=1e-12)
    assert hull.project_onto_hull(torch.tensor(v, dtype=torch.float32), 0.03).dtype == torch.float32


def test_unbounded_projection_only_corrects_the_sum():
    """beta=None shifts every entry by the same amount."""
    v = np.array([3.0, -2.0, 1.0])
    np.testing.assert_allclose(hull.project_onto_hull(v, None), v - 1 / 3)
    np.testing.assert_allclose(hull.project_onto_hull(v, math.inf), v - 1 / 3)


@pytest.mark.parametrize("beta", [-0.1, math.nan, -math.inf])
def test_a_senseless_beta_is_refused(beta):
    """A dilation below zero, or no number, is the user's mistake and told as such."""
    with pytest.raises(UsageError, match="beta"):
        hull.project_onto_hull(np.ones(3), beta)


@given(hnp.arrays(np.float64, (5,), elements=st.floats(-100, 100)), betas, st.floats(0.5, 200))
def test_softplus_is_eq_5(raw, beta, sharpness):
    """Equals the printed formula where that does not overflow, and never falls below -beta."""
    bounded = hull.softplus_alpha(raw, beta, sharpness)
    exponent = sharpness * (raw + beta)
    small = exponent < 500
    expected = np.log(1 + np.exp(exponent[small])) / sharpness - beta
    np.testing.assert_allclose(bounded[small], expected, atol=1e-12, rtol=1e-9)
    np.testing.assert_allclose(bounded[~small], raw[~small], atol=1e-9)
    assert bounded.min() >= -beta - 1e-15


@given(hnp.arrays(np.float64, (6,), elements=st.floats(-0.5, 0.5)), st.floats(0, 0.2))
def test_the_parametrisations_can_be_started_anywhere(v, beta):
    """The free numbers computed for a member of A_beta lead back to it, up to the margin at the bound."""
    alpha = hull.project_onto_hull(v, beta)
    np.testing.assert_allclose(hull.softplus_alpha(hull.softplus_raw(alpha, beta), beta), alpha, atol=2e-5)
    np.testing.assert_allclose(hull.simplex_alpha(hull.simplex_theta(alpha, beta), beta), alpha, atol=5e-4)
    assert in_hull_by_definition(hull.simplex_alpha(hull.simplex_theta(alpha, beta), beta), beta)


@given(hnp.arrays(np.float64, (9,), elements=st.floats(-300, 300)), st.none() | betas)
def test_simplex_parametrisation_satisfies_both_constraints(theta, beta):
    """Any free numbers give a member of A_beta, before any projection."""
    assert in_hull_by_definition(hull.simplex_alpha(theta, beta), beta)


def test_unbounded_parametrisations_are_free():
    """Without a bound, softplus is the identity and simplex a shift of the sum."""
    raw = np.array([-3.0, 0.5, 1.0])
    np.testing.assert_array_equal(hull.softplus_alpha(raw, None), raw)
    assert hull.simplex_alpha(raw, None).sum() == pytest.approx(1)
    np.testing.assert_allclose(np.diff(hull.simplex_alpha(raw, None)), np.diff(raw))


def test_gradients_pass_through_the_parametrisations():
    """Both are differentiable in torch, also at the start, where the offsets are all zero."""
    for make in (hull.softplus_alpha, hull.simplex_alpha):
        raw = torch.zeros(2, 4, 5, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda r, make=make: make(r, 0.05), raw)
    delta = torch.zeros(1, 6, 5, requires_grad=True)
    hull.offset_penalty(delta).sum().backward()
    assert torch.isfinite(delta.grad).all()


def test_penalties_are_eq_6_and_7():
    """Loops that spell out the sums agree, for several inputs at once."""
    alpha_plus = np.random.default_rng(1).normal(size=(2, 12, 5))
    by_hand = [sum((sum(layer) - 1) ** 2 for layer in one) / 12 for one in alpha_plus]
    np.testing.assert_allclose(hull.sum_penalty(alpha_plus), by_hand)
    by_hand = [sum(math.sqrt(sum(d * d for d in layer)) for layer in one[:8]) for one in alpha_plus]
    np.testing.assert_allclose(hull.offset_penalty(alpha_plus), by_hand)


def test_the_paper_penalises_12_of_18_layers():
    """Two thirds of num_ws is B.3's twelve at 1024, eight at 128."""
    assert [hull.penalised_layers(n) for n in (18, 12)] == [12, 8]


@given(vectors)
def test_least_dilation_is_the_smallest_beta_that_holds(v):
    """In the hull at that dilation, outside at anything noticeably smaller."""
    assume(np.abs(v).max() < 1e3)
    alpha = hull.project_onto_hull(v, None)
    needed = hull.least_dilation(alpha)
    assert needed >= 0
    assert hull.in_hull(alpha, float(needed))
    if needed > 1e-3:
        assert not hull.in_hull(alpha, float(needed) - 1e-4)


def test_in_hull_refuses_wrong_sums_and_numbers_that_are_none():
    """The sum counts as much as the bound, and NaN is nowhere."""
    alpha = np.array([[0.5, 0.5], [0.5, 0.6], [1.1, -0.1], [np.nan, 1.0]])
    assert hull.in_hull(alpha, 0.05).tolist() == [True, False, False, False]
    assert hull.in_hull(alpha, 0.1).tolist() == [True, False, True, False]
    assert hull.in_hull(alpha, None).tolist() == [True, False, True, False]


def test_the_dilated_hull_is_the_hull_enlarged_about_the_mean():
    """P_beta is P_0 scaled by 1 + N beta about the anchors' mean, as the module says."""
    random = np.random.default_rng(5)
    anchors = random.normal(size=(6, 4))
    share = random.dirichlet(np.ones(6))
    middle, factor = anchors.mean(axis=0), 1 + 6 * 0.05
    enlarged = middle + factor * (share @ anchors - middle)
    np.testing.assert_allclose(hull.combine(factor * share - 0.05, anchors), enlarged)


def test_coordinates_solve_eq_9():
    """With independent anchors the printed normal equations give the same gamma."""
    random = np.random.default_rng(2)
    anchors, direction = random.normal(size=(5, 12)), random.normal(size=12)
    matrix = anchors.T
    printed = np.linalg.inv(matrix.T @ matrix) @ matrix.T @ direction
    np.testing.assert_allclose(hull.coordinates(direction, anchors), printed, atol=1e-10)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_coordinates_survive_dependent_anchors(kind):
    """More anchors than dimensions, some of them copies: still the nearest point of the span (B.5)."""
    random = np.random.default_rng(4)
    anchors = random.normal(size=(30, 3)) @ random.normal(size=(3, 10))
    anchors[7] = anchors[3]
    direction = random.normal(size=10)
    given_as = torch.tensor if kind == "torch" else np.asarray
    gamma = np.asarray(hull.coordinates(given_as(direction), given_as(anchors)))
    assert np.abs(gamma).max() < 10
    residual = gamma @ anchors - direction
    assert np.abs(anchors @ residual).max() < 1e-9


def test_edit_coordinates_keep_the_sum():
    """gamma sums to 0, so an edit stays in the affine hull, and no other such gamma is nearer."""
    random = np.random.default_rng(6)
    anchors, direction = random.normal(size=(7, 12)) + 3, random.normal(size=12)
    gamma = hull.edit_coordinates(direction, anchors)
    assert gamma.sum() == pytest.approx(0, abs=1e-12)
    residual = gamma @ anchors - direction
    np.testing.assert_allclose((anchors - anchors.mean(axis=0)) @ residual, 0, atol=1e-9)


@given(
    hnp.arrays(np.float64, (6,), elements=st.floats(-1, 1)),
    hnp.arrays(np.float64, (6,), elements=st.floats(-1, 1)),
    st.floats(0, 0.3),
)
def test_largest_step_touches_the_bound(v, slope, beta):
    """At the step the code is in A_beta, a little farther it is not."""
    slope = slope - slope.mean()
    assume(slope.min() < -1e-3)
    alpha = hull.project_onto_hull(v, beta)
    step = float(hull.largest_step(alpha, slope, beta))
    assert (alpha + step * slope).min() == pytest.approx(-beta, abs=1e-9)
    assert (alpha + (step + 1e-3) * slope).min() < -beta


def test_nothing_stops_an_unbounded_step():
    """No bound, or a direction of no length: the largest step is infinite."""
    assert np.isinf(hull.largest_step(hull.centre(3), np.array([1.0, -1, 0]), None))
    assert np.isinf(hull.largest_step(hull.centre(3), np.zeros(3), 0.1))


def nearest_by_active_set(w, anchors, beta):
    """Try every set of entries held at -beta and solve for the rest: exact, for few anchors."""
    n, best = len(anchors), (math.inf, None)
    for code in range(2**n - 1):
        held = [i for i in range(n) if code >> i & 1]
        free = [i for i in range(n) if i not in held]
        rest = 1 + beta * len(held)
        base = -beta * anchors[held].sum(axis=0) + rest * anchors[free[0]]
        steps = (anchors[free[1:]] - anchors[free[0]]).T
        moves = np.linalg.lstsq(steps, w - base, rcond=None)[0] if steps.size else np.zeros(0)
        alpha = np.full(n, -beta)
        alpha[free] = np.concatenate([[rest - moves.sum()], moves])
        if alpha.min() >= -beta - 1e-12:
            best = min(best, (float(((alpha @ anchors - w) ** 2).sum()), alpha.tolist()))
    return np.array(best[1])


@pytest.mark.parametrize("beta", [0.0, 0.02, 0.3])
def test_nearest_code_against_all_active_sets(beta):
    """The solver's answer is the best of all combinations of held entries."""
    random = np.random.default_rng(8)
    anchors = random.normal(size=(6, 8))
    codes = 2 * random.normal(size=(2, 3, 8))
    found = solve.nearest_alpha(codes, anchors, beta)
    assert found.shape == (2, 3, 6)
    for alpha, w in zip(found.reshape(-1, 6), codes.reshape(-1, 8), strict=True):
        assert in_hull_by_definition(alpha, beta)
        np.testing.assert_allclose(alpha, nearest_by_active_set(w, anchors, beta), atol=1e-6)


def test_nearest_code_is_exact_inside_and_at_any_scale():
    """A code of P_beta is its own nearest code, whatever the size of the numbers in W."""
    random = np.random.default_rng(9)
    for size in (1e-4, 1.0, 1e4):
        anchors = size * (random.normal(size=(20, 32)) + 1)
        alpha = 1.4 * random.dirichlet(np.ones(20)) - 0.02
        found = solve.nearest_alpha(alpha @ anchors, anchors, 0.02)
        np.testing.assert_allclose(found @ anchors, alpha @ anchors, atol=1e-5 * size)


def test_nearest_code_with_many_dependent_anchors():
    """500 anchors in 64 dimensions, some twice: answered, in A_beta, and no corner of P_beta is nearer."""
    random = np.random.default_rng(10)
    anchors = random.normal(size=(500, 64))
    anchors[100:150] = anchors[:50]
    w = 3 * random.normal(size=64)
    alpha = solve.nearest_alpha(w, anchors, 0.02)
    assert in_hull_by_definition(alpha, 0.02)
    reached = alpha @ anchors
    corners = 11 * anchors - 0.02 * anchors.sum(axis=0)
    assert np.max((corners - reached) @ (w - reached)) <= 1e-4 * np.sum(w**2)


def test_unbounded_nearest_code_is_a_least_squares_fit():
    """beta=None projects on the affine span."""
    random = np.random.default_rng(11)
    anchors, w = random.normal(size=(4, 9)), random.normal(size=9)
    alpha = solve.nearest_alpha(w, anchors, None)
    assert alpha.sum() == pytest.approx(1)
    np.testing.assert_allclose((anchors - anchors.mean(axis=0)) @ (alpha @ anchors - w), 0, atol=1e-9)
