"""Sampling against the moments of the distributions it claims."""

from __future__ import annotations

import numpy as np
import pytest

from mystyle_cli.errors import UsageError
from mystyle_cli.hull import hull
from mystyle_cli.hull.sampling import sample_three_anchors, sample_uniform


@pytest.mark.parametrize("draw", [sample_three_anchors, lambda n, seeds: sample_uniform(n, 0.05, seeds)])
def test_a_seed_means_the_same_sample_in_any_company(draw):
    """Seed 7 alone equals seed 7 in a batch, whatever its place."""
    batch = draw(12, [3, 7, 11, 7])
    np.testing.assert_array_equal(draw(12, [7])[0], batch[1])
    np.testing.assert_array_equal(batch[1], batch[3])
    assert not np.array_equal(batch[0], batch[1])


def test_three_anchors_are_mixed():
    """Exactly three entries are above zero, they sum to 1, and every anchor gets its turn (B.1)."""
    alphas = sample_three_anchors(10, range(500))
    assert ((alphas > 0).sum(axis=1) == 3).all()
    assert hull.in_hull(alphas, 0.0, tol=1e-12).all()
    np.testing.assert_allclose((alphas > 0).mean(axis=0), 0.3, atol=0.08)


def test_three_anchor_weights_are_normalised_uniforms():
    """The largest weight is distributed as that of three uniform numbers over their sum, drawn here anew."""
    drawn = sample_three_anchors(5, range(4000)).max(axis=1)
    fresh = np.random.default_rng(99).random((200_000, 3))
    fresh = (fresh / fresh.sum(axis=1, keepdims=True)).max(axis=1)
    levels = [0.1, 0.5, 0.9]
    np.testing.assert_allclose(np.quantile(drawn, levels), np.quantile(fresh, levels), atol=0.02)


def test_fewer_than_three_anchors_are_all_used():
    """A profile of two anchors can still be sampled."""
    assert ((sample_three_anchors(2, range(20)) > 0).sum(axis=1) == 2).all()
    np.testing.assert_array_equal(sample_three_anchors(1, [0]), [[1.0]])


@pytest.mark.parametrize("beta", [0.0, 0.05])
def test_uniform_samples_have_the_moments_of_the_dilated_simplex(beta):
    """Mean 1/N, variances and covariances of (1 + N beta) Dirichlet(1), and every sample in A_beta."""
    n, count = 6, 20_000
    alphas = sample_uniform(n, beta, range(count))
    assert hull.in_hull(alphas, beta, tol=1e-12).all()
    factor = (1 + n * beta) ** 2
    variance, covariance = factor * (n - 1) / (n**2 * (n + 1)), -factor / (n**2 * (n + 1))
    expected = np.full((n, n), covariance) + np.eye(n) * (variance - covariance)
    np.testing.assert_allclose(alphas.mean(axis=0), 1 / n, atol=5 * np.sqrt(variance / count))
    np.testing.assert_allclose(np.cov(alphas.T), expected, atol=0.05 * variance)


def test_senseless_requests_are_refused():
    """No anchors, a negative seed, an unbounded hull: the user's mistake, told as such."""
    with pytest.raises(UsageError, match="anchors"):
        sample_three_anchors(0, [1])
    with pytest.raises(UsageError, match="seed"):
        sample_uniform(3, 0.0, [-1])
    with pytest.raises(UsageError, match="unbounded"):
        sample_uniform(3, float("inf"), [1])
