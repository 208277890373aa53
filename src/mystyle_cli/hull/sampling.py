"""Drawing coefficients from A_beta, one random stream per sample (B.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mystyle_cli.errors import UsageError
from mystyle_cli.hull import hull

Floats = npt.NDArray[np.float64]


def sample_three_anchors(n_anchors: int, seeds: Sequence[int], k: int = 3) -> Floats:
    """Mix k of N anchors drawn at random, by uniform numbers, normalised: (len(seeds), N) in A_0 (B.1).

    A seed gives the same sample in any company; where there are fewer than k anchors, all are mixed.
    """
    _check(n_anchors, seeds)
    if k < 1:
        raise UsageError(f"a mix of {k} anchors does not exist", "Mix at least one anchor.")
    alphas = np.zeros((len(seeds), n_anchors))
    for alpha, seed in zip(alphas, seeds, strict=True):
        random = np.random.default_rng(seed)  # its own stream, so that no sample depends on the others
        chosen = random.choice(n_anchors, size=min(k, n_anchors), replace=False)
        weights = 1.0 - random.random(len(chosen))  # in (0, 1]: never all zero
        alpha[chosen] = weights / weights.sum()
    return alphas


def sample_uniform(n_anchors: int, beta: float, seeds: Sequence[int]) -> Floats:
    """Draw uniformly from all of A_beta: -beta + (1 + N beta) Dirichlet(1), (len(seeds), N).

    Args:
        beta: dilation, 0 or more and finite: an unbounded set has no uniform distribution.
        seeds: one per sample, each 0 or more; a seed gives the same sample in any company.
    """
    _check(n_anchors, seeds)
    limit = hull.bound(beta)
    if limit is None:
        raise UsageError("an unbounded hull cannot be sampled uniformly", "Give a finite beta such as 0.02.")
    # on a simplex, Dirichlet's distribution with ones is the uniform one; A_beta is a simplex, moved
    shares = [np.random.default_rng(seed).dirichlet(np.ones(n_anchors)) for seed in seeds]
    drawn = np.array(shares).reshape(len(seeds), n_anchors)  # (0, N) for no seeds, too
    return (1.0 + n_anchors * limit) * drawn - limit


def _check(n_anchors: int, seeds: Sequence[int]) -> None:
    if n_anchors < 1:
        raise UsageError(f"a hull of {n_anchors} anchors does not exist", "Give at least one anchor.")
    for seed in seeds:
        if seed < 0:
            raise UsageError(f"seed {seed} is negative", "Give seeds of 0 or more.")
