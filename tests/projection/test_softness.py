"""How blurred a small face is, of faces that the net has not learned from, spoilt by other means."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from mystyle_cli.photos.decode import decode
from mystyle_cli.projection.softness import SMALLEST, softness_of
from tests.support.clips import PERSON, STRANGER

LUMA = np.array([0.299, 0.587, 0.114])
FACE = (95, 85, 315, 305)  # the head of the people above


def small(path, side: int, blur: float = 0, noise: float = 0, quality: int | None = None) -> np.ndarray:
    """Return the luma (side, side) of a head, blurred by so many of its pixels."""
    left, top, right, bottom = FACE
    luma = decode(path).pixels[top:bottom, left:right] @ LUMA
    soft = Image.fromarray(gaussian_filter(luma, blur * (right - left) / side).astype(np.float32))
    made = np.asarray(soft.resize((side, side), Image.Resampling.BOX), np.float64)
    made = made + np.random.default_rng(0).normal(0, noise, made.shape)
    pixels = Image.fromarray(np.rint(made).clip(0, 255).astype(np.uint8))
    if quality is not None:
        stream = io.BytesIO()
        pixels.save(stream, "JPEG", quality=quality)
        pixels = Image.open(stream)
    return np.asarray(pixels, np.float64)


@pytest.mark.parametrize("path", [PERSON, STRANGER], ids=["ada", "marco"])
@pytest.mark.parametrize(("noise", "quality"), [(0, None), (10, None), (0, 60), (8, 75)])
@pytest.mark.parametrize("side", [48, 100])
def test_blur_is_told_through_noise_and_jpeg(path, noise: float, quality: int | None, side: int) -> None:
    """Within half a pixel at most, a third of it where it is large, and in the right order."""
    blurs = (0.0, 1.0, 1.8, 3.0)
    told = [softness_of(small(path, side, blur, noise, quality)[None])[0] for blur in blurs]
    assert told == sorted(told)
    assert told[0] < 0.7
    for blur, found in zip(blurs[1:], told[1:], strict=True):
        assert found == pytest.approx(blur, abs=max(0.5, blur / 3))


def test_pictures_are_told_one_by_one() -> None:
    """Of any size, and whatever lies beside them."""
    pictures = np.stack([small(PERSON, SMALLEST, blur) for blur in (0.0, 1.0)])
    together = softness_of(pictures)
    np.testing.assert_allclose(
        together, [softness_of(one[None])[0] for one in pictures], rtol=1e-4, atol=1e-4
    )
    assert together[0] < together[1]
