"""Pasting back: what must not change does not, and what was cut out fits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mystyle_cli.faces.align import warp
from mystyle_cli.faces.paste import paste, worked_region
from tests.support.squares import centres, picture, square

SQUARES = st.builds(
    square, st.floats(-30, 130), st.floats(-30, 110), st.floats(12, 150), st.floats(-180, 180)
)


def inside(quad: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return bool (H, W): pixel centres inside the square, by the sign of cross products."""
    points = centres(height, width)
    turns = []
    for start, end in zip(quad, np.roll(quad, -1, axis=0), strict=True):
        edge, offset = end - start, points - start
        turns.append(edge[0] * offset[..., 1] - edge[1] * offset[..., 0] <= 0)
    return np.all(turns, axis=0)


@settings(max_examples=60)
@given(SQUARES, st.integers(4, 80), st.floats(0, 0.4), st.integers(0, 99))
def test_pixels_outside_keep_their_bits(quad: np.ndarray, size: int, feather: float, seed: int) -> None:
    """Wherever the square lies, nothing outside it changes by a bit, and the photo given is left alone."""
    rng = np.random.default_rng(seed)
    photo = rng.integers(0, 256, (80, 100, 3), dtype=np.uint8)
    before = photo.copy()
    result = paste(photo, rng.integers(0, 256, (size, size, 3), dtype=np.uint8), quad, feather=feather)
    outside = ~inside(quad, 80, 100)
    np.testing.assert_array_equal(result[outside], photo[outside])
    np.testing.assert_array_equal(photo, before)
    assert not (worked_region(photo.shape, quad) & outside).any()


@settings(max_examples=30)
@given(SQUARES, st.integers(0, 99))
def test_mask_restricts(quad: np.ndarray, seed: int) -> None:
    """With a mask only its region changes, and `worked_region` tells which pixels may."""
    rng = np.random.default_rng(seed)
    photo = rng.integers(0, 256, (80, 100, 3), dtype=np.uint8)
    mask = np.zeros((32, 32))
    mask[8:20, 10:26] = 1
    face = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    changed = (paste(photo, face, quad, mask) != photo).any(-1)
    assert not (changed & ~worked_region(photo.shape, quad, mask)).any()
    np.testing.assert_array_equal(paste(photo, face, quad, np.zeros((32, 32))), photo)


@pytest.mark.parametrize("degrees", [0, 12, -70, 180])
@pytest.mark.parametrize("side", [40, 97, 200])
@pytest.mark.parametrize("size", [64, 128])
def test_what_was_cut_out_fits_back(degrees: float, side: float, size: int) -> None:
    """Cutting out and pasting back changes a smooth photo hardly at all: no shift, no turn, no flip."""
    photo = picture(260, 280, 70)
    quad = square(141.2, 128.7, side, degrees)
    back = paste(photo, warp(photo, quad, size), quad)
    difference = np.abs(back.astype(int) - photo)
    assert difference.mean() < 0.7
    assert difference.max() <= 6


@pytest.mark.parametrize("degrees", [0, 33])
def test_pasted_face_is_cut_out_again(degrees: float) -> None:
    """Align, paste, align: the middle of the crop comes back."""
    quad = square(140, 130, 150, degrees)
    face = picture(128, 128, 50)
    again = warp(paste(np.zeros((260, 280, 3), dtype=np.uint8), face, quad), quad, 128)
    middle = np.s_[16:-16, 16:-16]
    difference = np.abs(again[middle].astype(int) - face[middle])
    assert difference.mean() < 1.5
    assert difference.max() < 10


def test_edge_is_feathered() -> None:
    """From the edge inwards the face fades in without a step and is whole after the feather's width."""
    photo = np.zeros((100, 100, 3), dtype=np.uint8)
    result = paste(photo, np.full((32, 32, 3), 200, dtype=np.uint8), square(50, 50, 80, 0), feather=0.1)
    row = result[50, 10:50, 0].astype(int)
    assert row[0] < 5
    assert (np.diff(row) >= 0).all()
    assert np.diff(row).max() < 45
    assert (row[9:] == 200).all()


def test_hard_edge() -> None:
    """A feather of nothing replaces the whole square."""
    photo = np.zeros((60, 60, 3), dtype=np.uint8)
    result = paste(photo, np.full((8, 8, 3), 90, dtype=np.uint8), square(30, 30, 20, 0), feather=0)
    assert (result[20:40, 20:40] == 90).all()


def test_shrunk_faces_do_not_alias() -> None:
    """A fine pattern pasted much smaller turns into its mean."""
    face = np.zeros((256, 256, 3), dtype=np.uint8)
    face[::2, ::2] = face[1::2, 1::2] = 200
    result = paste(np.zeros((60, 60, 3), dtype=np.uint8), face, square(30, 30, 40, 20), feather=0)
    middle = result[22:38, 22:38].astype(float)
    assert abs(middle.mean() - 100) < 4
    assert middle.std() < 6


def test_square_beside_the_photo_changes_nothing() -> None:
    """A square that does not meet the photo leaves a copy."""
    photo = picture(30, 30)
    result = paste(photo, np.zeros((8, 8, 3), dtype=np.uint8), square(-50, 10, 20, 0))
    np.testing.assert_array_equal(result, photo)
    assert result is not photo
