"""What a photo suffered at its own pixels: told, and undone, on pictures that other means damaged."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter

from mystyle_cli.projection.fine import NATURAL, STRONGEST, Fine, blur_of, mended
from mystyle_cli.projection.noise import denoised, noise_of
from tests.support.clips import read_clip, write_clip

SIDE = 112
LUMA = np.array([0.299, 0.587, 0.114])


@pytest.fixture(scope="module")
def clear() -> np.ndarray:
    """Return a picture (112, 112, 3) of shapes with edges, and a band of hair, as sharp as photos are."""
    down, across = np.mgrid[:SIDE, :SIDE] / SIDE
    random = np.random.default_rng(0)
    picture = np.full((SIDE, SIDE), 120.0) + 60 * np.sin(3 * down) * np.cos(2 * across)
    for _ in range(24):
        middle, size, level = random.uniform(0, 1, 2), random.uniform(0.02, 0.15), random.uniform(-60, 60)
        picture += level * (np.hypot(down - middle[0], across - middle[1]) < size)
    picture[:20] += random.normal(0, 25, (20, SIDE))
    picture = gaussian_filter(picture, 0.6)
    return np.stack([picture, 0.9 * picture, 0.8 * picture + 20], axis=-1).clip(20, 235)


def spoilt(picture: np.ndarray, blur: float = 0, noise: float = 0, quality: int | None = None) -> np.ndarray:
    """Blur with scipy, add noise, and compress with Pillow; uint8."""
    made = gaussian_filter(picture, (blur, blur, 0), mode="nearest")
    made = made + np.random.default_rng(1).normal(0, noise, made.shape)
    pixels = np.rint(made).clip(0, 255).astype(np.uint8)
    if quality is None:
        return pixels
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream).convert("RGB"))


def off(made: np.ndarray, truth: np.ndarray) -> float:
    """Return the root mean square difference."""
    return float(np.sqrt(np.square(made - truth).mean()))


@pytest.mark.parametrize(("noise", "quality"), [(5.0, None), (12.0, None), (8.0, 80), (12.0, 60)])
def test_noise_is_told_as_it_was_before_jpeg(clear: np.ndarray, noise: float, quality: int | None) -> None:
    """Within a quarter, though a band of the picture is all fine detail."""
    luma = spoilt(clear, 0, noise, quality) @ LUMA
    assert noise_of(luma[None], quality) == pytest.approx(noise * np.hypot(*LUMA[[0, 1]]), rel=0.25)


def test_a_clear_picture_has_neither_noise_nor_blur(clear: np.ndarray) -> None:
    """Its hair and its edges are none."""
    luma = spoilt(clear) @ LUMA
    assert noise_of(luma[None], None) < 1
    assert blur_of(luma, 0.0, None) == (0.0, True)


@pytest.mark.parametrize(("blur", "noise"), [(1.5, 0.0), (2.5, 0.0), (1.5, 8.0)])
def test_blur_is_told_in_the_pictures_own_pixels(clear: np.ndarray, blur: float, noise: float) -> None:
    """Together with that which it had."""
    luma = spoilt(clear, blur, noise) @ LUMA
    found, sharp = blur_of(luma, noise_of(luma[None], None), None)
    assert not sharp
    assert found == pytest.approx(np.hypot(blur, 0.6), rel=0.25)


@pytest.mark.parametrize("crf", [24, 28])
@pytest.mark.parametrize("blur", [0.0, 2.0, 3.0])
def test_what_a_clips_coder_left_is_no_detail(
    clear: np.ndarray, tmp_path: Path, blur: float, crf: int
) -> None:
    """A frame that is given as a photo says nothing of its coder."""
    frames, _ = read_clip(write_clip(tmp_path / "clip.mp4", np.stack([spoilt(clear, blur, 8)] * 3), crf=crf))
    luma = frames[1] @ LUMA
    told, sharp = blur_of(luma, noise_of(luma[None], None), None)
    assert sharp == (blur == 0)
    assert told == pytest.approx(math.hypot(blur, NATURAL) if blur else 0, rel=0.25)


@pytest.mark.parametrize(
    ("damage", "fine", "gain"),
    [
        ({"noise": 12.0}, Fine(noise=12), 2.5),
        ({"quality": 25}, Fine(quality=25), 1.04),
        ({"noise": 12.0, "quality": 50}, Fine(noise=12, quality=50), 1.3),
        ({"blur": 1.5}, Fine(blur=1.6), 1.4),
        ({"blur": 1.5, "noise": 8.0}, Fine(blur=1.6, noise=8), 1.3),
    ],
)
def test_what_is_mended_is_nearer_to_the_truth(
    clear: np.ndarray, damage: dict[str, float], fine: Fine, gain: float
) -> None:
    """By so many times; blurred and noisy edges are as much sharper as they can be."""
    photo = spoilt(clear, **damage)
    made = mended(photo.astype(float), fine, grain=False)
    assert off(photo, clear) > gain * off(made, clear)


def test_grain_that_is_kept_is_the_photos_own(clear: np.ndarray) -> None:
    """So noise alone changes nothing; where the face is sharpened, its noise is not."""
    photo = spoilt(clear, 0, 12.0).astype(float)
    np.testing.assert_allclose(mended(photo, Fine(noise=12), grain=True), photo, atol=1e-6)
    blurred = spoilt(clear, 1.5, 12.0).astype(float)
    bare, grained = (mended(blurred, Fine(blur=1.6, noise=12), grain=grain) for grain in (False, True))
    np.testing.assert_allclose(grained - bare, blurred - denoised(blurred, None), atol=1e-6)


def test_grain_that_went_through_jpeg_is_made_anew(clear: np.ndarray) -> None:
    """As coarse as JPEG leaves it, the same for the same photo."""
    photo = spoilt(clear, 0, 12.0, 40).astype(float)
    fine = Fine(noise=12, quality=40)
    bare = mended(photo, fine, grain=False)
    grain = mended(photo, fine, True, seed=3) - bare
    np.testing.assert_array_equal(grain, mended(photo, fine, True, seed=3) - bare)
    assert np.ptp(grain - (mended(photo, fine, True, seed=4) - bare)) > 1
    assert 3 < grain.std() < 12


def test_sharpening_has_its_limits(clear: np.ndarray) -> None:
    """No frequency becomes more than so many times stronger, none weaker, and the mean stays."""
    grey = np.repeat(clear[..., :1], 3, axis=2)
    before, after = (dctn(one[..., 0], norm="ortho") for one in (grey, mended(grey, Fine(blur=6), False)))
    shown = np.abs(before) > 1e-3
    gain = after[shown] / before[shown]
    assert gain.max() == pytest.approx(STRONGEST, rel=1e-6)
    assert gain.min() > 1 - 1e-6
    assert after[0, 0] == pytest.approx(before[0, 0], rel=1e-9)


def test_what_is_left_of_noise_is_not_sharpened(clear: np.ndarray) -> None:
    """The noisier the photo was, the less."""
    photo = spoilt(clear, 2.0, 12.0).astype(float)
    bare = denoised(photo, None)
    little, much = (off(mended(photo, Fine(blur=2, noise=noise), False), bare) for noise in (1, 30))
    assert much < 0.9 * little


def test_large_pictures_are_done_in_strips(clear: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which make no difference."""
    whole = denoised(clear, 60)
    monkeypatch.setattr("mystyle_cli.projection.noise.STRIP", 500)
    np.testing.assert_allclose(denoised(clear, 60), whole, atol=1e-3)
