"""Figures against formulas written out another way, and on pictures whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mystyle_cli.analysis.metrics import (
    GAP,
    RING,
    nearest_distance,
    psnr,
    skin_ring,
    trait_contrast,
    trait_share,
)
from mystyle_cli.person.score import peak_signal_to_noise


def faces(seed: int, count: int = 3, size: int = 24) -> np.ndarray:
    """Return random pictures (count, 3, size, size)."""
    return np.random.default_rng(seed).uniform(-1, 1, (count, 3, size, size)).astype(np.float32)


def face_with_mark(strength: float, size: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Return plain skin with light falling off across it and a mark (1, 3, R, R), and the mark's place."""
    light = np.linspace(-0.2, 0.2, size)
    image = np.array([0.5, 0.2, 0.1])[:, None, None] + light[None, None, :] + np.zeros((3, size, size))
    mark = np.zeros((size, size), bool)
    mark[20:27, 18:25] = True
    image[:, mark] += strength * np.array([-0.4, -0.5, -0.3])[:, None]
    return image[None].astype(np.float32), mark[None]


def test_psnr_of_a_known_error() -> None:
    """An error of d everywhere gives 20 log10(2 / d), as the range of a picture is 2."""
    truth = np.zeros((2, 3, 8, 8), np.float32)
    made = truth + np.array([0.1, 0.5], np.float32)[:, None, None, None]
    expected = [20 * math.log10(2 / 0.1), 20 * math.log10(2 / 0.5)]
    np.testing.assert_allclose(psnr(made, truth), expected, rtol=1e-5)


def test_psnr_agrees_with_the_one_profiles_report() -> None:
    """Without weights it is the figure that profiles state."""
    made, truth = faces(0) * 1.2, faces(1)
    np.testing.assert_allclose(psnr(made, truth), peak_signal_to_noise(made, truth), rtol=1e-4)


def test_psnr_counts_only_weighted_pixels() -> None:
    """What lies outside the weights changes nothing; weights of any scale are alike."""
    made, truth = faces(0), faces(1)
    weight = np.zeros((3, 24, 24), np.float32)
    weight[:, 4:12, 6:20] = 1.0
    inside = psnr(made[:, :, 4:12, 6:20], truth[:, :, 4:12, 6:20])
    np.testing.assert_allclose(psnr(made, truth, weight), inside, rtol=1e-6)
    np.testing.assert_allclose(psnr(made, truth, weight * 7), inside, rtol=1e-6)


def test_nearest_distance_is_the_smallest_norm() -> None:
    """It is the least of all Euclidean distances, taken one by one."""
    rng = np.random.default_rng(0)
    rows, references = rng.normal(size=(4, 6)), rng.normal(size=(5, 6))
    expected = [min(math.dist(row, reference) for reference in references) for row in rows]
    np.testing.assert_allclose(nearest_distance(rows, references), expected)


def test_excluded_references_do_not_count() -> None:
    """A picture that is itself a reference is not compared with itself when that one is left out."""
    references = np.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
    assert nearest_distance(references, references).tolist() == [0, 0, 0]
    left_out = [[0], [1], [2]]
    assert nearest_distance(references, references, left_out).tolist() == [5, 5, 5]
    assert nearest_distance(references[:1], references, [[0, 1]]).tolist() == [10]


def test_nothing_left_to_compare_with_is_an_error() -> None:
    """A score without any reference would be a lie."""
    with pytest.raises(ValueError, match="no reference"):
        nearest_distance(np.zeros((1, 2)), np.zeros((2, 2)), [[0, 1]])


def test_ring_leaves_a_gap_and_has_its_width() -> None:
    """The ring lies between the gap and its outer edge, by distance to the nearest marked pixel."""
    mark = np.zeros((40, 40), bool)
    mark[15:20, 18:21] = True
    ring = skin_ring(mark)
    places = np.argwhere(mark)
    distance = np.array(
        [[min(math.dist((y, x), place) for place in places) for x in range(40)] for y in range(40)]
    )
    np.testing.assert_array_equal(ring, (distance > GAP) & (distance <= GAP + RING))


def test_ring_stops_at_the_border() -> None:
    """A mark at the picture's edge has the part of its ring that is on the picture."""
    mark = np.zeros((20, 20), bool)
    mark[0:2, 0:2] = True
    ring = skin_ring(mark)
    assert ring[0, 4]
    assert not ring[19].any()


def test_contrast_is_the_marks_own_colour() -> None:
    """Light that falls off evenly across the skin cancels: what is left is the mark."""
    image, mark = face_with_mark(1.0)
    np.testing.assert_allclose(trait_contrast(image, mark)[0], [-0.4, -0.5, -0.3], atol=1e-5)


def test_contrast_ignores_brightness() -> None:
    """A picture that is lighter as a whole has the same contrast."""
    image, mark = face_with_mark(1.0)
    np.testing.assert_allclose(trait_contrast(image + 0.1, mark), trait_contrast(image, mark), atol=1e-5)


@given(strength=st.floats(-0.5, 1.0))
def test_share_is_linear_in_the_strength(strength: float) -> None:
    """Half the contrast is a share of a half, none of it 0, the opposite colour a negative share."""
    truth, mark = face_with_mark(1.0)
    made, _ = face_with_mark(strength)
    np.testing.assert_allclose(trait_share(made, truth, mark), [strength], atol=1e-4)


def test_another_colour_is_not_the_trait() -> None:
    """A contrast at right angles to the true one counts as nothing."""
    truth, mark = face_with_mark(1.0)
    made, _ = face_with_mark(0.0)
    across = np.cross([-0.4, -0.5, -0.3], [0, 0, 1.0])
    made[0, :, mark[0]] += (0.3 * across / np.linalg.norm(across)).astype(np.float32)
    np.testing.assert_allclose(trait_share(made, truth, mark), [0.0], atol=1e-5)


def test_a_hidden_trait_has_no_share() -> None:
    """A photo on which the mark is turned away says nothing, rather than 0."""
    image, mark = face_with_mark(1.0)
    assert np.isnan(trait_share(image, image, np.zeros_like(mark))).all()
