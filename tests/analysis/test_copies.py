"""Nearest photos and diversity, against LPIPS itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mystyle_cli.analysis.copies import KEPT, Clusters, nearest_photos
from mystyle_cli.analysis.metrics import lpips
from mystyle_cli.nets.perceptual import Perceptual
from mystyle_cli.photos.pixels import to_unit
from mystyle_cli.prior.registry import open_prior
from tests.support.tiny_store import picture


@pytest.fixture(scope="module")
def perceptual(tiny_prior: Path) -> Perceptual:
    """A perceptual net of random weights."""
    return open_prior(tiny_prior).perceptual()


def pictures(*seeds: int) -> np.ndarray:
    """Return pictures (B, 3, 32, 32) in [-1, 1]."""
    return to_unit(np.stack([picture(seed, 32) for seed in seeds]))


def test_the_nearest_photo_is_lpips_own(perceptual: Perceptual) -> None:
    """One product of matrices finds what pair after pair would."""
    images, photos = pictures(*range(5)), pictures(*range(20, 27))
    pairs = np.stack(
        [lpips(perceptual, np.repeat(image[None], len(photos), axis=0), photos) for image in images]
    )
    found = nearest_photos(perceptual, images, photos)
    np.testing.assert_array_equal(found.rows, pairs.argmin(axis=1))
    np.testing.assert_allclose(found.distances, pairs.min(axis=1), rtol=1e-3, atol=1e-6)


def test_a_copy_is_found_at_no_distance(perceptual: Perceptual) -> None:
    """The photo itself."""
    photos = pictures(1, 2, 3)
    found = nearest_photos(perceptual, photos[[2, 0]], photos)
    assert found.rows.tolist() == [2, 0]
    assert found.distances.max() < 1e-5


def test_diversity_is_the_mean_distance_within_clusters(perceptual: Perceptual) -> None:
    """Of all pairs, where there are few; nothing where there is no pair."""
    photos = pictures(1, 2, 3)
    images = np.concatenate([photos, photos[:2] * 0.9, photos[:1] * 0.8])
    clusters = Clusters(perceptual, photos, seed=0)
    for start in range(0, len(images), 2):  # however they come
        clusters.add(images[start : start + 2])
    own = nearest_photos(perceptual, images, photos).rows
    rounded = to_unit(np.rint((images + 1) * 127.5).astype(np.uint8).transpose(0, 2, 3, 1))
    for row, found in enumerate(clusters.diversity()):
        members = rounded[own == row]
        first, second = np.triu_indices(len(members), 1)
        if not len(first):
            assert np.isnan(found)
            continue
        assert found == pytest.approx(lpips(perceptual, members[first], members[second]).mean(), rel=1e-4)


def test_memory_does_not_grow_with_the_number_of_pictures(perceptual: Perceptual) -> None:
    """Of one cluster so many are kept, and late ones among them."""
    photos = pictures(1)
    clusters = Clusters(perceptual, photos, seed=0)
    for number in range(4 * KEPT // 10):
        clusters.add(pictures(*range(100 + 10 * number, 110 + 10 * number)))
    assert clusters.seen.tolist() == [4 * KEPT]
    assert len(clusters.kept[0]) == KEPT
    late = {picture(seed, 32).tobytes() for seed in range(100 + 2 * KEPT, 100 + 4 * KEPT)}
    share = np.mean([kept.tobytes() in late for kept in clusters.kept[0]])
    assert 0.25 < share < 0.75
