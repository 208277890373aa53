"""Edits against brute force over strengths, and the limits they must keep."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import optimize

from mystyle_cli.edit.directions import find_direction, gamma_of
from mystyle_cli.edit.edit import edit
from mystyle_cli.errors import ModelError, UsageError
from mystyle_cli.hull import hull
from mystyle_cli.prior.directions import Direction, save_direction

LAYERS, N, W = 4, 6, 10


def direction(vector, name="smile", step=1.0):
    """A direction of a given, not necessarily unit, vector."""
    vector = np.asarray(vector, np.float64)
    return Direction(name, vector / np.linalg.norm(vector), step, "unit", "test")


def scene(seed=0, beta=0.02):
    """Anchors, coefficients in A_beta, and a direction."""
    random = np.random.default_rng(seed)
    alpha = (1 + N * beta) * random.dirichlet(np.ones(N), LAYERS) - beta
    return random.normal(size=(N, W)) + 2, alpha, direction(random.normal(size=W))


def in_a_beta(alpha_plus, beta):
    """Eq 2 for every layer, to 1e-6."""
    return all(abs(math.fsum(a) - 1) <= 1e-6 and a.min() >= -beta - 1e-6 for a in alpha_plus)


def test_an_edit_is_eq_9():
    """Well inside P_beta the codes move by theta times the projected direction, the same in every layer."""
    anchors, alpha, smile = scene()
    edited = edit(anchors, alpha, [(smile, 0.01)], 0.02)
    moved = (edited.alpha_plus - alpha) @ anchors
    differences = (anchors - anchors.mean(axis=0)).T
    projector = differences @ np.linalg.pinv(differences)
    np.testing.assert_allclose(moved, np.tile(0.01 * projector @ smile.vector, (LAYERS, 1)), atol=1e-12)
    assert edited.reached == pytest.approx((0.01,))
    assert not edited.projected


@given(st.integers(0, 500), st.floats(-50, 50), st.floats(0, 0.2))
def test_stopping_stays_in_a_beta_and_goes_as_far_as_it_can(seed, strength, beta):
    """The stopped code is in A_beta; the largest strength found by bisection is the same."""
    assume(abs(strength) > 1e-3)
    anchors, alpha, smile = scene(seed, beta)
    edited = edit(anchors, alpha, [(smile, strength)], beta)
    assert in_a_beta(edited.alpha_plus, beta)
    assert edited.least_dilation <= beta + 1e-9
    gamma = gamma_of(smile, anchors)
    low, high = 0.0, 1.0
    if in_a_beta(alpha + strength * gamma, beta):
        assert edited.reached == pytest.approx((strength,))
        return
    for _ in range(60):
        middle = (low + high) / 2
        fits = (alpha + middle * strength * gamma).min() >= -beta
        low, high = (middle, high) if fits else (low, middle)
    assert edited.reached == pytest.approx((low * strength,), abs=1e-5)
    assert edited.largest == pytest.approx(low, abs=1e-6)


@given(st.integers(0, 100))
def test_the_largest_strength_is_where_the_way_ends(seed):
    """At the largest multiple of a strength the least dilation is beta; beyond, more; either way."""
    anchors, alpha, smile = scene(seed)
    for strength in (-1.0, 1.0):
        end = strength * edit(anchors, alpha, [(smile, strength)], 0.02).largest
        there = edit(anchors, alpha, [(smile, end)], 0.02, "continue")
        beyond = edit(anchors, alpha, [(smile, end * 1.01 + math.copysign(1e-3, end))], 0.02, "continue")
        assert there.least_dilation == pytest.approx(0.02, abs=1e-9)
        assert beyond.least_dilation > 0.02


def test_continuing_ignores_the_limit_and_says_what_it_needs():
    """The whole strength is applied, and the dilation told is that of eq 2."""
    anchors, alpha, smile = scene()
    edited = edit(anchors, alpha, [(smile, 40.0)], 0.02, "continue")
    assert edited.least_dilation == pytest.approx(-edited.alpha_plus.min())
    assert edited.least_dilation > 0.02
    assert edited.reached == pytest.approx((40.0,))
    assert edited.largest < 1


def test_projecting_gives_the_nearest_code_of_p_beta():
    """A general solver over the same set comes no nearer, and the code is in A_beta."""
    anchors, alpha, smile = scene(3)
    edited = edit(anchors, alpha, [(smile, 30.0)], 0.02, "project")
    assert edited.projected
    assert in_a_beta(edited.alpha_plus, 0.02)
    wanted = (alpha + 30 * gamma_of(smile, anchors)) @ anchors
    for got, target in zip(edited.alpha_plus, wanted, strict=True):
        best = optimize.minimize(
            lambda a, target=target: ((a @ anchors - target) ** 2).sum(),
            hull.centre(N),
            bounds=[(-0.02, None)] * N,
            constraints={"type": "eq", "fun": lambda a: a.sum() - 1},
            options={"ftol": 1e-12, "maxiter": 1000},
        )
        assert ((got @ anchors - target) ** 2).sum() <= best.fun * (1 + 1e-6) + 1e-9


def test_projecting_goes_on_where_stopping_ends():
    """Both agree inside; outside, projecting moves farther along the direction."""
    anchors, alpha, smile = scene(4)
    end = edit(anchors, alpha, [(smile, 1.0)], 0.02).largest
    inside = [edit(anchors, alpha, [(smile, 0.5 * end)], 0.02, how).alpha_plus for how in ("stop", "project")]
    np.testing.assert_array_equal(*inside)
    stopped, projected = (edit(anchors, alpha, [(smile, 5 * end)], 0.02, how) for how in ("stop", "project"))
    along = [((result.alpha_plus - alpha) @ anchors @ smile.vector).sum() for result in (stopped, projected)]
    assert along[1] > along[0]


@settings(max_examples=25)
@given(st.integers(0, 300), st.floats(1, 60), st.floats(-60, -1))
def test_the_strengths_reached_are_those_of_the_code_that_is_returned(seed, strength, turn):
    """What a code moved, less the reported strengths' steps, is at right angles to both directions' steps."""
    anchors, alpha, smile = scene(seed)
    yaw = direction(np.random.default_rng(seed + 1000).normal(size=W), "yaw", 0.5)
    differences = (anchors - anchors.mean(axis=0)).T
    projector = differences @ np.linalg.pinv(differences)
    steps = np.stack([projector @ smile.vector, 0.5 * projector @ yaw.vector])
    for how in ("stop", "project", "continue"):
        edited = edit(anchors, alpha, [(smile, strength), (yaw, turn)], 0.02, how)
        moved = ((edited.alpha_plus - alpha) @ anchors).mean(axis=0)
        left = moved - np.array(edited.reached) @ steps
        np.testing.assert_allclose(steps @ left, 0, atol=1e-8)
    alone = edit(anchors, alpha, [(smile, strength)], 0.02, "project")
    moved = ((alone.alpha_plus - alpha) @ anchors).mean(axis=0)
    assert alone.reached[0] == pytest.approx(moved @ steps[0] / (steps[0] @ steps[0]), abs=1e-8)
    if alone.projected:
        assert 0 <= alone.reached[0] <= strength + 1e-9


@pytest.mark.parametrize("strength", [math.nan, math.inf, -math.inf])
def test_a_strength_that_is_no_number_is_refused(strength):
    """It would be a code of nans, or the limit itself."""
    anchors, alpha, smile = scene()
    with pytest.raises(UsageError, match="smile"):
        edit(anchors, alpha, [(smile, strength)], 0.02)


def test_directions_stack():
    """Strengths of several directions add up, counted in each one's own steps."""
    anchors, alpha, smile = scene()
    turn = direction(np.random.default_rng(9).normal(size=W), "yaw", step=0.5)
    together = edit(anchors, alpha, [(smile, 0.01), (turn, 0.02)], 0.02)
    one = edit(anchors, alpha, [(smile, 0.01)], 0.02)
    both = edit(anchors, one.alpha_plus, [(turn, 0.02)], 0.02)
    np.testing.assert_allclose(together.alpha_plus, both.alpha_plus, atol=1e-12)
    assert np.linalg.norm(gamma_of(turn, anchors) @ anchors) <= 0.5 + 1e-12


def test_nothing_left_does_not_crash():
    """A code at the limit, or beyond it, stays as it is; opposite strengths cancel; no bound, no stop."""
    anchors, alpha, smile = scene()
    gamma = gamma_of(smile, anchors)
    at_limit = alpha + float(hull.largest_step(alpha, gamma, 0.02).min()) * gamma
    stopped = edit(anchors, at_limit, [(smile, 1.0)], 0.02)
    np.testing.assert_allclose(stopped.alpha_plus, at_limit, atol=1e-9)
    outside = edit(anchors, alpha, [(smile, 40.0)], 0.02, "continue")
    again = edit(anchors, outside.alpha_plus, [(smile, 1.0)], 0.02)
    np.testing.assert_allclose(again.alpha_plus, outside.alpha_plus, atol=1e-9)
    assert again.limit == pytest.approx(outside.least_dilation)
    cancelled = edit(anchors, alpha, [(smile, 9.0), (smile, -9.0)], 0.02)
    np.testing.assert_allclose(cancelled.alpha_plus, alpha, atol=1e-12)
    unbounded = edit(anchors, alpha, [(smile, 40.0)], None)
    assert (unbounded.largest, unbounded.limit) == (math.inf, None)
    assert unbounded.reached == pytest.approx((40.0,))


def test_all_coefficients_positive_needs_no_dilation():
    """The least dilation of a code inside P_0 is 0, not the size of its smallest coefficient."""
    anchors, _, smile = scene()
    alpha = np.tile(hull.centre(N), (LAYERS, 1))
    assert edit(anchors, alpha, [(smile, 1e-3)], 0.02).least_dilation == 0


def test_dependent_anchors_can_be_edited():
    """500 anchors in 10 dimensions, some twice: every policy answers within A_beta."""
    random = np.random.default_rng(5)
    anchors = random.normal(size=(500, W))
    anchors[400:] = anchors[:100]
    alpha = np.tile(random.dirichlet(np.ones(500)), (LAYERS, 1))
    for how in ("stop", "project"):
        edited = edit(anchors, alpha, [(direction(random.normal(size=W)), 3.0)], 0.02, how)
        assert in_a_beta(edited.alpha_plus, 0.02)


class FakePrior:
    """A prior with two directions."""

    name, w_dim = "tiny", W

    def directions(self):
        """Return them by name."""
        return {name: direction(np.ones(W), name) for name in ("smile", "yaw")}


def test_directions_come_by_name_or_from_files(tmp_path):
    """Names of the prior, .safetensors, and .npy whose length is its step."""
    assert find_direction(FakePrior(), "yaw").name == "yaw"
    save_direction(direction(np.arange(1, W + 1), "mine", 2.0), tmp_path / "a.safetensors")
    assert find_direction(FakePrior(), str(tmp_path / "a.safetensors")).step == 2
    np.save(tmp_path / "b.npy", np.full((1, W), 3.0))
    found = find_direction(FakePrior(), str(tmp_path / "b.npy"))
    assert found.name == "b"
    np.testing.assert_allclose(found.step * found.vector, 3.0)


def test_published_directions_are_taken_as_they_are(tmp_path):
    """A .pt with one direction is read; one with several says how to choose among them."""
    torch.save(torch.full((1, W), 3.0), tmp_path / "pose.pt")
    found = find_direction(FakePrior(), str(tmp_path / "pose.pt"))
    assert found.name == "pose"
    np.testing.assert_allclose(found.step * found.vector, 3.0)
    torch.save({"31_Smiling": torch.ones(1, W), "39_Young": torch.ones(1, W)}, tmp_path / "all.pt")
    with pytest.raises(ModelError, match="2 directions: smiling, young"):
        find_direction(FakePrior(), str(tmp_path / "all.pt"))


@pytest.mark.parametrize("content", [np.zeros(W), np.full(W, np.nan), b"not numpy"])
def test_bad_direction_files_are_told(tmp_path, content):
    """No length, not finite, not a file of its kind: an error that names the file."""
    path = tmp_path / "bad.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    with pytest.raises(ModelError, match=r"bad\.npy"):
        find_direction(FakePrior(), str(path))


def test_unknown_and_foreign_directions_are_told(tmp_path):
    """An unknown name lists those there are; a wrong length is refused; a missing file is named."""
    with pytest.raises(ModelError, match="smile, yaw"):
        find_direction(FakePrior(), "frown")
    with pytest.raises(ModelError, match=r"gone\.npy"):
        find_direction(FakePrior(), str(tmp_path / "gone.npy"))
    np.save(tmp_path / "long.npy", np.ones(W + 1))
    with pytest.raises(UsageError, match="11"):
        find_direction(FakePrior(), str(tmp_path / "long.npy"))
