"""A mean that coefficients keep: exact, inside A_beta, and nothing in it is nearer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mystyle_cli.hull import hull
from mystyle_cli.hull.held import Held


def some(count: int, seed: int) -> tuple[Held, np.random.Generator]:
    """Return a mean of random years that lies between them, and what draws more."""
    random = np.random.default_rng(seed)
    years = random.integers(1950, 2021, count).astype(float)
    years[:2] = 1950, 2020
    return Held(years, float(years.mean() + random.uniform(-10, 10))), random


@settings(max_examples=60)
@given(st.integers(2, 40), st.sampled_from([0.0, 0.02, 0.1, None]), st.integers(0, 999), st.floats(0.01, 30))
def test_projection_keeps_all_three_conditions(n: int, beta: float | None, seed: int, size: float) -> None:
    """Sum 1, every entry at -beta or more, and the mean year as it is held; what is there already stays."""
    held, random = some(n, seed)
    found = held.project(random.normal(0, size, (3, 2, n)), beta)
    assert hull.in_hull(found, beta, tol=1e-9).all()
    np.testing.assert_allclose(found @ held.values, held.at, atol=1e-6)
    np.testing.assert_allclose(held.project(found, beta), found, atol=1e-9)


@settings(max_examples=30)
@given(st.integers(2, 12), st.sampled_from([0.0, 0.05, None]), st.integers(0, 999))
def test_nothing_there_is_nearer(n: int, beta: float | None, seed: int) -> None:
    """Seen from the nearest point of a convex set, every other point of it lies away from where one was."""
    held, random = some(n, seed)
    given = random.normal(0, 0.5, n)
    found, others = held.project(given, beta), held.project(random.normal(0, 1, (50, n)), beta)
    assert ((others - found) @ (given - found)).max() < 1e-6


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_moving_keeps_the_sum_whatever_it_is(kind: object) -> None:
    """Also where it is not 1, as on the way of a search: a sum of 1.01 is no 20 years."""
    held, random = some(20, 1)
    alpha = random.normal(0, 0.3, (4, 20))
    alpha *= np.array([1.0, 1.01, 0.97, 1.0])[:, None] / alpha.sum(axis=1, keepdims=True)
    found = np.asarray(held.moved(kind(alpha)))  # type: ignore[operator]
    np.testing.assert_allclose(found.sum(axis=1), alpha.sum(axis=1))
    np.testing.assert_allclose(found @ (held.values - held.at), 0, atol=1e-9)


def test_gradients_pass() -> None:
    """A search that moves along them does not change the mean."""
    held, random = some(20, 2)
    alpha = torch.tensor(random.normal(0, 0.3, (2, 20)), requires_grad=True)
    (held.moved(alpha) ** 2).sum().backward()
    assert alpha.grad is not None
    assert alpha.grad.abs().max() > 0
    np.testing.assert_allclose(alpha.grad @ (held.values - held.values.mean()), 0, atol=1e-9)


def test_a_mean_beside_the_least_number_is_reached() -> None:
    """However near two numbers are, beside others that are far."""
    held = Held(np.array([1950.0, 1951.0, 2020.0]), 1950.2)
    found = held.project([0.0, 0.0, 1.0], 0.0)
    np.testing.assert_allclose(found, [0.8, 0.2, 0.0], atol=1e-6)
