"""The FFHQ crop and the warp behind it, against geometry and analytic pictures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mystyle_cli.faces.align import (
    FFHQ,
    Crop,
    align,
    face_quad,
    quad_side,
    to_crop,
    to_photo,
    valid_mask,
    warp,
)
from tests.support.squares import centres, picture, square, wave


def landmarks() -> np.ndarray:
    """Return 68 points of which those that alignment reads form an upright symmetric face."""
    points = np.zeros((68, 2))
    angles = np.linspace(0, 2 * np.pi, 6, endpoint=False)
    ring = np.stack([6 * np.cos(angles), 3 * np.sin(angles)], axis=1)
    points[36:42], points[42:48] = ring + np.array([80, 100]), ring + np.array([120, 100])
    points[48], points[54] = (85, 145), (115, 145)
    return points


def test_quad_of_an_upright_face() -> None:
    """For a level face the square follows from the paper's formula by hand."""
    quad = face_quad(landmarks(), FFHQ)
    # eyes 40 apart, mouth 45 below: side = max(4.0 * 40, 3.6 * 45) = 162, centre = (100, 100 + 4.5)
    np.testing.assert_allclose(quad, square(100, 104.5, 162, 0), atol=1e-9)


@settings(max_examples=50)
@given(
    st.floats(-180, 180), st.floats(0.1, 20), st.floats(-500, 500), st.floats(-500, 500), st.integers(0, 99)
)
def test_quad_moves_with_the_face(degrees: float, scale: float, x: float, y: float, seed: int) -> None:
    """Turning, scaling and moving the landmarks does the same to the square, which stays a square."""
    points = landmarks() + np.random.default_rng(seed).normal(0, 3, (68, 2))
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = scale * np.array([[c, s], [-s, c]])
    quad, moved = face_quad(points, FFHQ), face_quad(points @ turn + [x, y], FFHQ)
    np.testing.assert_allclose(moved, quad @ turn + [x, y], atol=1e-6 * (1 + scale) * 500)
    sides = np.linalg.norm(quad - np.roll(quad, 1, axis=0), axis=1)
    np.testing.assert_allclose(sides, quad_side(quad), rtol=1e-9)


@settings(max_examples=50)
@given(st.floats(-180, 180), st.floats(0.2, 9), st.floats(0.05, 2), st.floats(-1, 1))
def test_a_crop_s_corners_from_first_principles(
    degrees: float, zoom: float, scale: float, down: float
) -> None:
    """A crop is as large as it says, and as much lower along the face's own axis, however the face is turned.

    The upright face's FFHQ square is known by hand: 162 wide about (100, 104.5).
    """
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = zoom * np.array([[c, s], [-s, c]])  # of rows x, y
    half, middle = 81 * scale, 104.5 + 162 * down
    upright = [
        [100 - half, middle - half],
        [100 - half, middle + half],
        [100 + half, middle + half],
        [100 + half, middle - half],
    ]
    found = face_quad(landmarks() @ turn + [7, -3], Crop(scale, down))
    np.testing.assert_allclose(found, np.array(upright) @ turn + [7, -3], atol=1e-6)


@settings(max_examples=30)
@given(st.floats(0.05, 2), st.floats(-1, 1), st.floats(-180, 180))
def test_places_on_a_crop_and_on_the_ffhq_square_are_the_same_places(
    scale: float, down: float, degrees: float
) -> None:
    """What is mapped from the one square to the other lies at the same point of the photo."""
    crop = Crop(scale, down)
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    points = landmarks() @ np.array([[c, s], [-s, c]])
    whole, part = face_quad(points, FFHQ), face_quad(points, crop)
    places = np.random.default_rng(0).uniform(-0.5, 1.5, (9, 2))
    np.testing.assert_allclose(
        to_photo(crop.from_ffhq(places), part, 1), to_photo(places, whole, 1), atol=1e-6
    )
    np.testing.assert_allclose(crop.to_ffhq(crop.from_ffhq(places)), places, atol=1e-9)


@pytest.mark.parametrize(
    ("scale", "down"),
    [
        (0, 0),
        (-1, 0),
        (2.01, 0),
        (math.nan, 0),
        (math.inf, 0),
        (1, 1.01),
        (1, -1.01),
        (1, math.nan),
        (1, -math.inf),
    ],
)
def test_what_is_no_crop_is_refused(scale: float, down: float) -> None:
    """No size, a huge one, a square far from the face, and what is no number."""
    with pytest.raises(ValueError, match=r"scale is|down is"):
        Crop(scale, down)


@settings(max_examples=30)
@given(st.floats(-180, 180), st.floats(5, 500), st.integers(2, 300))
def test_coordinates_are_inverse(degrees: float, side: float, size: int) -> None:
    """Crop and photo coordinates map onto each other, corners onto corners."""
    quad = square(30, -20, side, degrees)
    np.testing.assert_allclose(
        to_crop(quad, quad, size), [[0, 0], [0, size], [size, size], [size, 0]], atol=1e-8
    )
    points = np.random.default_rng(0).uniform(-50, 50, (7, 2))
    np.testing.assert_allclose(to_photo(to_crop(points, quad, size), quad, size), points, atol=1e-8)


@pytest.mark.parametrize("size", [32, 64, 128, 200, 311])
@pytest.mark.parametrize("degrees", [0, 17, -63, 90, 178])
def test_warp_samples_the_photo_where_it_should(size: int, degrees: float) -> None:
    """A crop of a known function is that function at the crop's pixel centres, for any size and tilt."""
    quad = square(150.3, 141.8, 160, degrees)
    expected = wave(to_photo(centres(size, size), quad, size), 60)
    got = warp(picture(290, 300, 60), quad, size).astype(float)
    assert np.abs(got - expected).mean() < 1.2
    assert np.abs(got - expected).max() < 8


def test_warp_of_whole_pixels_is_a_copy() -> None:
    """An untilted crop at the photo's own scale copies pixels."""
    photo = picture(100, 120)
    np.testing.assert_array_equal(warp(photo, square(60, 50, 64, 0), 64), photo[18:82, 28:92])


@pytest.mark.parametrize("degrees", [0, 30])
@pytest.mark.parametrize("size", [16, 40, 64, 100])
def test_shrinking_does_not_alias(size: int, degrees: float) -> None:
    """A pattern finer than the crop's pixels turns into its mean instead of into moire."""
    photo = np.zeros((400, 400, 3), dtype=np.uint8)
    photo[::2, ::2] = photo[1::2, 1::2] = 200
    inner = warp(photo, square(200, 200, 250, degrees), size)[2:-2, 2:-2].astype(float)
    assert abs(inner.mean() - 100) < 4
    assert inner.std() < 4


def test_enlarging_a_small_face_is_smooth() -> None:
    """A crop larger than its square interpolates; a step has no stairs and little overshoot."""
    photo = np.zeros((40, 40, 3), dtype=np.uint8)
    photo[:, 20:] = 200
    row = warp(photo, square(20, 20, 16, 0), 128)[64, :, 0].astype(int)
    assert np.abs(np.diff(row)).max() < 40
    assert row[10] == 0
    assert row[-10] == 200


@settings(max_examples=30)
@given(st.floats(-40, 140), st.floats(-40, 140), st.floats(20, 150), st.floats(-180, 180), st.integers(8, 64))
def test_valid_tells_how_much_is_photo(x: float, y: float, side: float, degrees: float, size: int) -> None:
    """The mask's total is the share of the square inside the photo, counted by points."""
    quad = square(x, y, side, degrees)
    grid = to_photo(centres(200, 200), quad, 200)
    share = ((grid >= 0) & (grid <= 100)).all(-1).mean()
    assert abs(float(valid_mask((100, 100), quad, size).mean()) - share) < 0.03 + 0.5 / size


@pytest.mark.parametrize("degrees", [0, 25, 200])
def test_filling_keeps_the_photo_and_invents_no_edge(degrees: float) -> None:
    """Outside the photo the crop is filled: inside nothing changes, and nothing jumps at the border."""
    quad = square(10, 60, 140, degrees)
    crop = warp(picture(120, 120, 90), quad, 128).astype(float)
    valid = valid_mask((120, 120), quad, 128) == 1
    expected = wave(to_photo(centres(128, 128), quad, 128), 90)
    assert np.abs(crop - expected)[valid].max() < 8
    assert not valid.all()
    assert np.abs(np.diff(crop, axis=0)).max() < 30
    assert np.abs(np.diff(crop, axis=1)).max() < 30


def test_square_far_outside_is_one_colour() -> None:
    """A crop that barely meets the photo still comes out, faded to the photo's colour."""
    photo = np.full((50, 60, 3), (10, 90, 200), dtype=np.uint8)
    crop = warp(photo, square(-80, -80, 100, 10), 32)
    np.testing.assert_allclose(crop.reshape(-1, 3).mean(0), (10, 90, 200), atol=2)


def test_align_puts_the_eyes_where_ffhq_has_them() -> None:
    """Whatever the tilt of the face, its eyes come out level and at FFHQ's height."""
    c, s = math.cos(0.4), math.sin(0.4)
    points = (landmarks() - [100, 100]) @ np.array([[c, s], [-s, c]]) * 1.7 + [210, 190]
    face = align(picture(400, 420), points, 96, FFHQ)
    assert face.pixels.shape == (96, 96, 3)
    assert face.valid.shape == (96, 96)
    eyes = to_crop(np.stack([points[36:42].mean(0), points[42:48].mean(0)]), face.quad, 96)
    assert eyes[0, 1] == pytest.approx(eyes[1, 1], abs=1e-6)
    assert eyes.mean(0) == pytest.approx([48, 96 * (0.5 - 4.5 / 162)], abs=1e-6)
    assert face.side == pytest.approx(1.7 * 162)
