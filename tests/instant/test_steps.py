"""The steps of an instant answer: down the loss, in A_beta, along the axes of the gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mystyle_cli.hull import hull
from mystyle_cli.instant.steps import PULL, RATE, improve
from mystyle_cli.projection.adam import DAMPING, RowAdam, SoapMoments

STEPS = 8


class Bowl:
    """A loss with its least at `goal`, in the place of eq 1."""

    def __init__(self, goal, steep):
        self.goal, self.steep, self.seen = goal, steep, []

    def place(self, photo):
        """Nothing travels."""
        return photo

    def at(self, alpha_plus, photo):
        """Return the loss and its gradient."""
        self.seen.append(alpha_plus)
        off = alpha_plus - self.goal
        return float(self.steep * np.square(off).sum()), 2 * self.steep * off


@settings(max_examples=50)
@given(seed=st.integers(0, 10**6), steep=st.sampled_from([0.0, 1e-6, 1.0, 1e6]), beta=st.floats(0, 0.2))
def test_every_step_is_in_a_beta(seed, steep, beta):
    """Whatever the gradients, and wherever the least of the loss is."""
    random = np.random.default_rng(seed)
    start = hull.project_onto_hull(random.normal(size=(4, 7)), beta)
    bowl = Bowl(random.normal(size=(4, 7)), steep)
    found, losses = improve(bowl, None, start, beta, STEPS)
    assert losses.shape == (STEPS,)
    assert hull.in_hull(np.stack([*bowl.seen, found]), beta, tol=1e-9).all()
    np.testing.assert_allclose(bowl.seen[0], start, atol=1e-9)


@pytest.mark.parametrize("beta", [0.05, None])
def test_the_loss_falls(beta):
    """Towards a point of A_beta that is a few steps away."""
    random = np.random.default_rng(0)
    start, goal = (hull.project_onto_hull(1 / 7 + 0.05 * random.normal(size=(4, 7)), 0.05) for _ in range(2))
    bowl = Bowl(goal, 1.0)
    found, losses = improve(bowl, None, start, beta, STEPS)
    assert bowl.at(found, None)[0] < 0.5 * losses[0]


def test_common_and_own_parts_move_apart():
    """Along one slope of all layers: a common walk, and an own one that is pulled back.

    A slope that stays the same has one axis in every step, and there a length of 1 after the damping.
    The last step is half.
    """
    random = np.random.default_rng(0)
    start = random.dirichlet(np.ones(7), 4)
    slope = 1 + random.normal(size=7)

    class Slope(Bowl):
        """A loss that falls alike everywhere."""

        def at(self, alpha_plus, photo):
            return 0.0, np.tile(slope, (4, 1))

    found, _ = improve(Slope(None, None), None, start, None, STEPS)
    way = slope - slope.mean()  # the sum of coefficients stays
    way *= RATE / (1 + DAMPING) / np.linalg.norm(way)
    before = (1 - PULL) ** (STEPS - 1)  # what the whole steps leave of an own part
    walked = (1 - PULL / 2) * (1 - before) / PULL + 0.5
    mean = start.mean(axis=0)
    own = (1 - PULL / 2) * before * (start - mean) - walked * way / np.sqrt(4)
    np.testing.assert_allclose(found, mean - (STEPS - 0.5) * way + own, atol=1e-9)


def test_the_first_move_is_as_long_along_every_axis():
    """The gradient's singular values go, up to the damping: what is left is its orthogonal factor."""
    gradient = np.random.default_rng(0).normal(size=(4, 9))
    u, s, vt = np.linalg.svd(gradient, full_matrices=False)
    expected = u @ np.diag(s / (s + DAMPING * s[0])) @ vt
    np.testing.assert_allclose(SoapMoments().move(gradient), expected, atol=1e-9)


def test_moves_do_not_depend_on_the_axes_of_the_numbers():
    """Turned gradients give turned moves, step after step."""
    random = np.random.default_rng(1)
    rows, columns = (np.linalg.qr(random.normal(size=(n, n)))[0] for n in (4, 4))
    plain, turned = SoapMoments(), SoapMoments()
    for _ in range(4):
        gradient = random.normal(size=(4, 4))
        expected = rows @ plain.move(gradient) @ columns
        np.testing.assert_allclose(turned.move(rows @ gradient @ columns), expected, atol=1e-7)


def test_moves_are_those_of_a_search():
    """A matrix in numpy moves as each of a batch of codes does in a search with torch."""
    random = np.random.default_rng(0)
    codes = torch.zeros((2, 4, 7), dtype=torch.float64, requires_grad=True)
    search, alone = RowAdam([codes], soap=True), [SoapMoments(), SoapMoments()]
    expected = np.zeros((2, 4, 7))
    for _ in range(9):
        gradient = random.normal(size=(2, 4, 7))
        codes.grad = torch.from_numpy(gradient)
        search.step(torch.ones(2))
        expected -= [one.move(part) for one, part in zip(alone, gradient, strict=True)]
        np.testing.assert_allclose(codes.detach(), expected, atol=1e-9)


def test_no_gradient_no_move():
    """A loss that is flat leaves the answer where it is."""
    assert not np.abs(SoapMoments().move(np.zeros((3, 5)))).max() > 0
