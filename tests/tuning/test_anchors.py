"""Anchors: from the encoder, by optimisation where there is none, and how independent they are."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mystyle_cli.person.score import synthesise
from mystyle_cli.prior.registry import Prior, open_prior
from mystyle_cli.progress import Step
from mystyle_cli.tuning.anchors import AnchorSettings, check_rank, find_anchors, optimise_anchors


@pytest.fixture(scope="module")
def prior(tiny_prior: Path) -> Prior:
    """The tiny prior, open."""
    return open_prior(tiny_prior)


def without_encoder(prior: Prior) -> Prior:
    """Return the same prior without its encoder."""
    roles = {name: entry for name, entry in prior.metadata["roles"].items() if name != "encoder"}
    return dataclasses.replace(prior, metadata={**prior.metadata, "roles": roles})


def pictures(prior: Prior, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return codes from the mapping and the pictures that the generator makes of them."""
    import torch

    generator = prior.generator()
    z = np.random.default_rng(seed).standard_normal((count, generator.z_dim)).astype(np.float32)
    codes = generator.mapping(torch.from_numpy(z)).numpy()
    return codes, synthesise(generator, codes)


def test_the_encoder_is_used_where_there_is_one(prior: Prior) -> None:
    """Codes are the encoder's, whatever the batches, and progress ends at the number of photos."""
    _, images = pictures(prior, 5, 0)
    steps: list[Step] = []
    found = find_anchors(images, prior, AnchorSettings(batch=2), progress=steps.append)
    assert found.method == "encoder"
    np.testing.assert_allclose(found.codes, prior.encode(images), atol=1e-5)
    assert [(step.done, step.total) for step in steps] == [(2, 5), (4, 5), (5, 5)]
    assert found.rank.rank == 5


def test_without_an_encoder_codes_are_found_by_optimisation(prior: Prior) -> None:
    """Pictures that the generator made are given back better than by the mean code, each on its own."""
    _, images = pictures(prior, 3, 1)
    how = AnchorSettings(steps=40, batch=2)
    found = find_anchors(images, without_encoder(prior), how)
    generator = prior.generator()
    made = synthesise(generator, found.codes)
    mean = synthesise(generator, generator.w_avg.numpy()[None])
    assert found.method == "optimised"
    before, after = (np.square(part - images).mean(axis=(1, 2, 3)) for part in (mean, made))
    assert (after < 0.5 * before).all()
    alone = optimise_anchors(images[:1], generator, prior.perceptual(), how)
    np.testing.assert_allclose(alone[0], found.codes[0], atol=1e-3)


@settings(max_examples=50)
@given(st.integers(1, 12), st.integers(1, 8), st.integers(1, 8), st.integers(0, 10_000))
def test_rank_agrees_with_the_singular_values(count: int, dim: int, rank: int, seed: int) -> None:
    """The rank is numpy's, and the anchors that are not dependent span what all span."""
    rng = np.random.default_rng(seed)
    rank = min(rank, count, dim)
    codes = rng.standard_normal((count, rank)) @ rng.standard_normal((rank, dim))
    found = check_rank(codes)
    assert found.rank == np.linalg.matrix_rank(codes)
    chosen = np.delete(codes, found.dependent, axis=0)
    assert len(chosen) == found.rank
    assert np.linalg.matrix_rank(chosen) == found.rank


def test_repeated_and_zero_anchors_are_dependent() -> None:
    """The first of two equal anchors counts, the second does not; a zero never does."""
    codes = np.array([[1.0, 0, 0], [1, 0, 0], [0, 0, 0], [0, 2, 0], [1, 1, 0]])
    assert check_rank(codes).dependent == (1, 2, 4)
    assert check_rank(np.zeros((2, 3))).rank == 0


def test_more_anchors_than_dimensions_are_counted() -> None:
    """With N above w_dim the rank stops at w_dim (B.5)."""
    codes = np.random.default_rng(0).standard_normal((500, 64)).astype(np.float32)
    found = check_rank(codes)
    assert (found.count, found.rank, len(found.dependent)) == (500, 64, 436)
