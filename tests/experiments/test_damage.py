"""The field's degradations, against what they are said to be."""

from __future__ import annotations

import numpy as np
import pytest

from mystyle_cli.experiments.damage import LEVELS, SIDE, Ranges, cut_face, degrade
from mystyle_cli.faces.align import FFHQ
from mystyle_cli.photos.pixels import resize
from tests.support.tiny_store import picture


def test_without_damage_a_photo_stays() -> None:
    """But for JPEG at its best."""
    photo = picture(1, SIDE)
    kept = degrade(photo, Ranges("none", (0, 0), (1, 1), (0, 0), (100, 100)), "a")
    assert np.abs(kept.astype(int) - photo).max() <= 8


def test_shrinking_scales_with_the_crop() -> None:
    """As much of the face is lost at 128 pixels as at 512; what would be enlarged keeps its size."""
    ranges = Ranges("small", (0, 0), (8, 8), (0, 0), (100, 100))
    assert degrade(picture(1, 512), ranges, "a").shape == (64, 64, 3)
    small = degrade(picture(1, 128), ranges, "a")
    assert small.shape == (64, 64, 3)
    assert np.abs(small.astype(int) - resize(picture(1, 128), (64, 64), "area")).mean() < 2
    assert degrade(picture(1, 128), Ranges("less", (0, 0), (2, 2), (0, 0), (100, 100)), "a").shape == (
        128,
        128,
        3,
    )


def test_noise_has_its_deviation() -> None:
    """On a grey photo, JPEG at its best."""
    grey = np.full((256, 256, 3), 128, np.uint8)
    noisy = degrade(grey, Ranges("noisy", (0, 0), (1, 1), (15, 15), (100, 100)), "a").astype(float)
    assert 0.2126 * noisy[..., 0].std() > 0
    luma = noisy @ [0.299, 0.587, 0.114]
    assert luma.std() == pytest.approx(15 * np.sqrt(0.299**2 + 0.587**2 + 0.114**2), rel=0.1)


def test_a_photo_suffers_the_same_each_time() -> None:
    """By its key, and another key something else."""
    photo = picture(1, 128)
    first, again, other = (degrade(photo, LEVELS[1], key) for key in ("a", "a", "b"))
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or (first != other).any()


def test_the_face_is_cut_from_the_crop() -> None:
    """A square inside the FFHQ crop that holds eyes and mouth."""
    images = np.zeros((1, 3, 100, 100), np.float32)
    images[0, :, 47, 38] = images[0, :, 47, 62] = 1  # about where the eyes are
    images[0, :, 72, 50] = 1
    face = cut_face(images, FFHQ)
    assert face.shape[2] == face.shape[3] < 100
    assert face.sum() == 9
