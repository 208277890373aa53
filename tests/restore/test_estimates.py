"""What is estimated of damage that other means made, on random pictures with the spectrum of photos."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import distance_transform_edt, gaussian_filter

from mystyle_cli.errors import UsageError
from mystyle_cli.find.locate import as_photo, place, whole_quad
from mystyle_cli.photos.decode import decode
from mystyle_cli.photos.pixels import resize, to_unit
from mystyle_cli.projection.damage import Damage
from mystyle_cli.projection.fine import NATURAL, Fine
from mystyle_cli.restore import estimates
from mystyle_cli.restore.estimates import Estimator, Known, _agreed, tone_of, worsened
from mystyle_cli.restore.given import Given
from mystyle_cli.restore.kept import kept
from tests.support.clips import PERSON, read_clip, write_clip

R = 96


def picture(seed: int, grain: float = 0.0) -> np.ndarray:
    """Return random colours uint8 (R, R, 3) whose power falls as in photos, with the square of frequency."""
    random = np.random.default_rng(seed)
    down, across = np.fft.fftfreq(R)[:, None], np.fft.fftfreq(R)[None]
    radius = np.maximum(np.hypot(down, across), 1 / R)
    white = random.normal(size=(3, R, R))
    white = 0.8 * white[:1] + 0.4 * white  # colours go with light
    smooth = np.fft.ifft2(np.fft.fft2(white) / radius**1.2).real
    values = 128 + 45 * smooth / smooth.std() + grain * random.normal(size=smooth.shape)
    return values.round().clip(0, 255).astype(np.uint8).transpose(1, 2, 0)


@lru_cache
def face(number: int) -> np.ndarray:
    """Return a rendered face uint8 (R, R, 3), as sharp as photos are; from 5 on they say what clear is."""
    return resize(_heads()[number], (R, R), "area")


def soft(number: int) -> np.ndarray:
    """Return it in grey."""
    return np.repeat(
        np.rint(face(number) @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)[..., None], 3, 2
    )


@lru_cache
def _heads() -> tuple[np.ndarray, ...]:
    """Return the middle (220, 220, 3) of photos of a person, in which their head is."""
    found = []
    for path in sorted(PERSON.parent.glob("[0-9][0-9].jpg")):
        pixels = decode(path).pixels
        down, across = ((side - 220) // 2 for side in pixels.shape[:2])
        found.append(pixels[down : down + 220, across : across + 220])
    return tuple(found)


@pytest.fixture(scope="module")
def clear() -> Estimator:
    """What knows clear pictures of the same person."""
    return Estimator(to_unit(np.stack([face(number) for number in range(5, 12)])))


def located(pixels: np.ndarray):
    """Return a picture as an aligned crop."""
    photo = as_photo(pixels)
    return place("photo", photo, whole_quad(photo, "photo"), R)


def spoilt(pixels, sigma=0.0, side=R, noise=0.0, quality=None, kernel="bicubic"):
    """Blur with scipy, shrink, add noise, compress with Pillow, and enlarge again."""
    spread = sigma if isinstance(sigma, tuple) else (sigma, sigma)
    blurred = gaussian_filter(pixels.astype(float), (*spread, 0), mode="nearest")
    small = resize(blurred.round().astype(np.uint8), (side, side), "area").astype(float)
    small += np.random.default_rng(0).normal(0, noise, small.shape) if noise else 0
    small = small.round().clip(0, 255).astype(np.uint8)
    if quality is not None:
        stream = io.BytesIO()
        Image.fromarray(small).save(stream, "JPEG", quality=quality)
        small = np.array(Image.open(stream).convert("RGB"))
    return resize(small, (R, R), kernel)


def test_a_clear_picture_has_suffered_nothing(clear):
    """Neither for its own spectrum nor for its rounding."""
    assert clear.of_photo(located(face(1))) == Damage(R)


@pytest.mark.parametrize("kernel", ["bicubic", "bilinear", "lanczos"])
def test_how_small_it_was_is_found_exactly(clear, kernel):
    """However it was enlarged, with noise and JPEG before that."""
    found = clear.of_photo(located(spoilt(face(1), 1.5, 37, 6.0, 60, kernel)))
    assert (found.side, found.kernel) == (37, kernel)
    assert found.quality is not None
    assert abs(found.quality - 60) <= 1


@pytest.mark.parametrize(("sigma", "noise"), [(2.0, 0.0), (2.0, 8.0), (3.5, 5.0)])
def test_blur_and_noise_are_found_together(clear, sigma, noise):
    """Within a quarter, and what there is not is not found."""
    found = clear.of_photo(located(spoilt(face(2), sigma, 64, noise)))
    assert found.sigma == pytest.approx(sigma, rel=0.25)
    assert found.noise == pytest.approx(noise, rel=0.25)
    assert not found.fixed


def test_noise_alone_is_no_blur(clear):
    """Nor smallness."""
    found = clear.of_photo(located(spoilt(face(3), noise=12.0)))
    assert (found.side, found.sigma) == (R, 0.0)
    assert found.noise == pytest.approx(12, rel=0.25)


def test_a_long_blur_has_a_direction(clear):
    """One from a hand that moved: longer across than down."""
    found = clear.of_photo(located(spoilt(face(4), (1.0, 4.0), noise=2.0)))
    longer, shorter = found.widths
    assert longer == pytest.approx(4, rel=0.25)
    assert shorter < 2
    assert found.blur[0] > 4 * found.blur[2]


def test_clear_faces_are_worsened_as_the_photo_was(clear):
    """Means of blocks, scipy's blur at that side, noise of that level, and no colours of a grey photo."""
    faces, side = clear.clear[:3], R // 3
    small = faces.reshape(3, 3, side, 3, side, 3).mean(axis=(3, 5)).astype(float)
    blurred = gaussian_filter(small, (0, 0, 2.0, 2.0), mode="reflect")
    found = Damage(side, (36.0, 0.0, 36.0)).done_to(faces.astype(float))  # 6 px of the crop, 2 of these
    np.testing.assert_allclose(found, blurred, atol=2e-3)
    same = worsened(faces, Damage(R))
    np.testing.assert_allclose(same, faces, atol=1e-6)
    noisy = worsened(faces, Damage(R, noise=20.0)) - faces
    assert noisy.std() * 127.5 == pytest.approx(20, rel=0.02)
    grey = worsened(faces, Damage(R, tone=((1.0, 0.0),) * 3))
    luma = np.tensordot((0.299, 0.587, 0.114), faces, (0, 1))
    np.testing.assert_allclose(grey, np.repeat(luma[:, None], 3, axis=1), atol=1e-5)


def test_a_search_that_reaches_far_stays_finite():
    """The simplex may ask for any width; what comes of it is a number."""
    for far in (1e6, -1e6):
        assert np.isfinite(estimates._round(far)).all()
        assert np.isfinite(estimates._long(far, -far, 1.0)).all()


def test_large_pictures_are_not_searched_for_what_they_were_made_of(monkeypatch):
    """Which of a thousand sides a large crop was made of would take minutes and gigabytes."""
    side = 2 * R
    assert side > estimates.LARGEST
    monkeypatch.setattr(estimates, "_excess", lambda *_: pytest.fail("searched"))
    random = np.random.default_rng(0)
    faces = random.uniform(-1, 1, (2, 3, side, side)).astype(np.float32)
    pixels = random.integers(0, 256, (side, side, 3), np.uint8)
    photo = as_photo(pixels)
    large = place("photo", photo, whole_quad(photo, "photo"), side)
    assert Estimator(faces).of_photo(large).kernel is None
    assert Estimator(faces, Known(scale=2)).of_photo(large).kernel is None
    assert estimates._basis.cache_info().maxsize is not None


def test_what_is_known_is_not_estimated(clear):
    """Lengths are the photo's pixels: of a crop at half its size the blur is half as wide in it."""
    known = Known(blur=3.0, noise=9.0, quality=0, scale=2.0)
    spoilt_ = spoilt(face(5), 1.0, 40, 4.0, 50)
    found = replace(clear, known=known).of_photo(located(spoilt_))
    assert found == Damage(R // 2, (9.0, 0.0, 9.0), 9.0)
    large = np.kron(spoilt_, np.ones((2, 2, 1), np.uint8))
    found = replace(clear, known=known).of_photo(located(large))
    assert found.side == R
    assert found.blur == pytest.approx((2.25, 0.0, 2.25))


@pytest.mark.parametrize("known", [{"blur": -1}, {"noise": float("nan")}, {"quality": 101}, {"scale": 0.5}])
def test_what_cannot_be_known_is_refused(known):
    """Each number by itself."""
    with pytest.raises(UsageError):
        Known(**known)


def test_tones_are_told_from_colours():
    """Grey, sepia with its slopes and offsets, and colours."""
    assert tone_of(picture(6)) is None
    grey = np.repeat(picture(6)[..., :1], 3, axis=2)
    assert tone_of(grey) == ((1.0, 0.0),) * 3
    slopes, offsets = np.array([0.9, 0.7, 0.5]), np.array([20, 10, 5])
    sepia = (grey * slopes + offsets).round().astype(np.uint8)
    found = np.array(tone_of(sepia))
    luma = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(found[:, 0], slopes / (luma @ slopes), atol=0.01)


def _kept(photo, image, damage, mask=None):
    """Return a picture moved towards a photo, uint8."""
    given = Given(replace(located(photo), mask=mask, hole=_hole(mask)), "restore", R, damage)
    made = kept(to_unit(image), given.degraded, damage)
    return ((made + 1) * 127.5).round().clip(0, 255).transpose(1, 2, 0)


def _hole(mask):
    return np.zeros((R, R), np.float32) if mask is None else mask.astype(np.float32) / 255


def test_a_photo_without_damage_comes_out_as_it_was():
    """Whatever was generated."""
    np.testing.assert_array_equal(_kept(picture(1), picture(2), Damage(R)), picture(1))


def test_a_damaged_photo_keeps_what_shows():
    """Nearer to the truth than the photo and than what was generated, each by far."""
    truth = picture(1)
    photo = spoilt(truth, 2.0, 48, 6.0)
    rough = (0.7 * truth + 0.3 * picture(2)).astype(np.uint8)
    damage = Damage(48, (4.0, 0.0, 4.0), 6.0, kernel="bicubic")

    def error(made):
        return float(np.square(made - truth.astype(float)).mean())

    assert error(_kept(photo, rough, damage)) < 0.7 * min(error(photo), error(rough))


def test_of_a_photo_of_nothing_but_noise_nothing_is_kept():
    """A difference that its noise explains moves no face."""
    image = picture(2)
    photo = (image + np.random.default_rng(0).normal(0, 20, image.shape)).clip(0, 255).astype(np.uint8)
    made = _kept(photo, image, Damage(R, noise=20.0))
    assert np.square(made - image).mean() < 0.1 * np.square(photo.astype(float) - image).mean()


def test_what_is_kept_at_one_place_brings_no_noise_to_the_others():
    """Where the face is right it stays clean, and where it is wrong the photo counts."""
    truth = picture(1)
    image = truth.copy()
    wrong = np.zeros((R, R), bool)
    wrong[20:44, 20:44] = True
    image[wrong] = picture(2)[wrong]
    photo = (truth + np.random.default_rng(0).normal(0, 5, truth.shape)).clip(0, 255).astype(np.uint8)
    off = np.square(_kept(photo, image, Damage(R, noise=5.0)) - truth.astype(float)).mean(axis=2)
    far = distance_transform_edt(~wrong) > 8
    assert off[far].mean() < 0.1 * 5**2
    assert off[wrong].mean() < 0.05 * np.square(image - truth.astype(float)).mean(axis=2)[wrong].mean()


def test_nothing_of_a_hole_is_kept():
    """What the mask hides does not matter, and around it the photo stays."""
    mask = np.zeros((R, R), np.uint8)
    mask[30:50, 20:60] = 255
    photo = picture(1)
    white = np.where(mask[..., None] > 0, np.uint8(255), photo)
    one, other = (_kept(some, picture(2), Damage(R), mask) for some in (photo, white))
    np.testing.assert_allclose(one[5:20], photo[5:20], atol=1)
    np.testing.assert_array_equal(one, other)


def large(damage, known=None):
    """Return an estimator of clear pictures of 32 pixels, and a face three times as large."""
    faces = np.stack([resize(soft(number), (32, 32), "area") for number in range(5, 12)])
    photo = as_photo(damage(soft(1)))
    return Estimator(to_unit(faces), known or Known()), place("photo", photo, whole_quad(photo, "photo"), 32)


@pytest.mark.parametrize(
    ("damage", "blur", "noise", "quality"),
    [
        ({}, 0, 0, None),
        ({"noise": 12.0}, 0, 12, None),
        ({"sigma": 1.5}, 1.6, 0, None),
        ({"quality": 40}, 0, 0, 40),
    ],
)
def test_a_photo_larger_than_it_is_drawn_tells_of_its_own_pixels(damage, blur, noise, quality):
    """What is averaged away where it is looked at small is found all the same; a clear one stays clear."""
    estimator, face = large(lambda photo: spoilt(photo, **damage))
    found = estimator.of_photo(face)
    if not damage:
        assert found == Damage(32, tone=((1.0, 0.0),) * 3)
        return
    assert found.fine.blur == pytest.approx(blur, rel=0.25)
    assert found.fine.noise == pytest.approx(noise, rel=0.35)
    assert found.fine.quality == (None if quality is None else pytest.approx(quality, abs=2))
    assert (found.sigma > 0) == (blur > 0)
    assert (found.noise > 0) == (noise > 0)


def test_coarse_noise_is_still_there_where_a_large_photo_is_made_small():
    """The fine noise by which it is told there is gone, but what is coarse must not pass for the face."""
    fine = Fine(noise=9.0, quality=55)
    assert _agreed(Damage(R, noise=1.0), fine, False, 1 / 3, R).noise == 3  # each pixel is the mean of nine
    assert _agreed(Damage(R, noise=4.0), fine, False, 1 / 3, R).noise == 4


@pytest.mark.parametrize(("sigma", "told"), [(0.0, 0.0), (2.2, 2.2)])
def test_the_blur_of_a_photo_that_was_a_mild_jpeg_is_told(sigma, told):
    """What such a JPEG rounded is no fine detail; and it blurs nothing itself."""
    estimator, face = large(lambda photo: spoilt(photo, sigma=sigma, noise=3.0, quality=85))
    fine, _ = estimator._fine_of(face)
    assert fine.blur == pytest.approx(told, rel=0.3)
    # by itself it is too mild to be damage
    assert fine.quality == (pytest.approx(85, abs=2) if sigma else None)


def test_what_is_said_of_a_large_photo_is_said_of_its_own_pixels():
    """Numbers that are given need no estimate; made small, there is less noise and no blocks."""
    estimator, face = large(lambda photo: spoilt(photo, noise=12.0), Known(blur=3.0, noise=9.0, quality=50))
    found = estimator.of_photo(face)
    assert found.fine == Fine(3.0, 9.0, 50)
    assert found.sigma == pytest.approx(1.0)
    assert 1 < found.noise < 9
    assert found.quality is None


def test_what_is_seen_small_agrees_with_the_photos_own_pixels():
    """Blur that would show there is none where they are sharp; theirs counts where none is seen small."""
    unit = 1 / 3  # crop pixels for each of the photo
    clear, blurred = Damage(R // 2), Damage(R // 2, blur=(1.0, 0.0, 1.0), fixed=False)
    for seen in (clear, blurred):
        assert _agreed(seen, Fine(), True, unit, R) == Damage(R)
        assert _agreed(seen, Fine(), False, unit, R) == seen
    long = replace(blurred, blur=(4.0, 0.0, 0.04))
    assert _agreed(long, Fine(), True, unit, R) == long
    fine = Fine(blur=3.0)
    found = _agreed(clear, fine, False, unit, R)
    assert (found.side, found.fixed, found.fine) == (R, True, fine)
    assert found.sigma == pytest.approx(math.sqrt(3.0**2 - NATURAL**2) * unit)
    assert _agreed(blurred, fine, False, unit, R) == replace(blurred, side=R, fine=fine)


@pytest.mark.parametrize("crf", [4, 23])
@pytest.mark.parametrize(("sigma", "noise"), [(0.0, 0.0), (1.8, 0.0), (0.0, 12.0)])
def test_frames_larger_than_they_are_drawn_tell_of_their_own_pixels(crf, sigma, noise, tmp_path):
    """What H.264 takes of fine detail is no blur; noise is told as far as it is left."""
    random = np.random.default_rng(0)
    blurred = gaussian_filter(soft(1).astype(float), (sigma, sigma, 0), mode="nearest")
    moved = np.stack([np.roll(blurred, number % 3, 1) for number in range(9)])
    given = (moved + random.normal(0, noise, (*moved.shape[:3], 1))).round().clip(0, 255).astype(np.uint8)
    frames, _ = read_clip(write_clip(tmp_path / "clip.mp4", given, crf=crf))
    estimator, _ = large(lambda photo: photo)
    faces = [place("frame", photo, whole_quad(photo, "frame"), 32) for photo in map(as_photo, frames[2::3])]
    found = estimator.of_frames(faces)
    fine = found.fine or Fine()
    assert fine.blur == pytest.approx(sigma, abs=0.3)
    assert fine.quality is None
    assert fine.noise == (pytest.approx(noise, rel=0.35) if crf == 4 else pytest.approx(0, abs=noise))
    means = ((32 / found.side) ** 2 - 1) / 12  # of pixels, where it is seen as small
    assert math.sqrt(found.blur[0] + means) * 3 == pytest.approx(sigma, abs=0.5)


def test_noise_that_jpeg_left_in_some_frequencies_is_all_reckoned_with():
    """Told by the finest alone it would be taken for the photo's own detail, and made stronger with it."""
    clear = to_unit(np.stack([resize(face(number), (88, 88), "area") for number in range(5, 12)]))
    photo = as_photo(spoilt(face(1), 1.2, noise=9.0, quality=72))
    found = Estimator(clear).of_photo(place("photo", photo, whole_quad(photo, "photo"), 88))
    assert found.fine.noise == pytest.approx(9, rel=0.35)
    assert found.fine.quality == pytest.approx(72, abs=2)
    assert found.noise == pytest.approx(9 * 88 / R, rel=0.35)


def test_noise_that_jpeg_rounded_away_is_not_told():
    """What is left of it in the photo's own pixels cannot be told from what rounding left."""
    estimator, face = large(lambda photo: spoilt(photo, noise=6.0, quality=40))
    fine, _ = estimator._fine_of(face)
    assert (fine.noise, fine.quality) == (0, 39)


@pytest.mark.parametrize(
    ("blur", "noise", "quality"), [(0.0, 0.0, None), (0.0, 10.0, 60), (0.0, 12.0, None), (1.6, 0.0, None)]
)
def test_a_face_that_is_turned_on_its_photo_tells_by_the_photo_s_own_pixels(blur, noise, quality):
    """Cutting it out wipes noise out and moves what JPEG rounded: nothing of it would be found there."""
    estimator = Estimator(to_unit(np.stack([soft(number) for number in range(5, 12)])))
    whole = np.pad(soft(1), ((32, 32), (32, 32), (0, 0)), mode="reflect").astype(float)
    given = gaussian_filter(whole, (blur, blur, 0)) + np.random.default_rng(0).normal(0, noise, (160, 160, 1))
    given = given.round().clip(0, 255).astype(np.uint8)
    if quality is not None:
        stream = io.BytesIO()
        Image.fromarray(given).save(stream, "JPEG", quality=quality)
        given = np.array(Image.open(stream).convert("RGB"))
    side, turn = 88, np.radians(9)
    corners = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]) * side / 2
    quad = 80 + corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    found = estimator.of_photo(place("photo", as_photo(given), quad, R))
    assert found.sigma * side / R == pytest.approx(blur, rel=0.3)
    assert found.noise == pytest.approx(noise, rel=0.3)
    assert found.quality == (None if quality is None else pytest.approx(quality, abs=2))


@pytest.mark.parametrize("noise", [None, 0.0])
def test_a_mild_jpeg_alone_is_no_damage(noise):
    """Whether or not it is said that there is no noise."""
    clear = to_unit(np.stack([face(number) for number in range(5, 12)]))
    stream = io.BytesIO()
    Image.fromarray(np.pad(face(1), ((32, 32), (32, 32), (0, 0)), mode="reflect")).save(
        stream, "JPEG", quality=84
    )
    corners = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]) * 44
    one = place("photo", as_photo(np.array(Image.open(stream).convert("RGB"))), 80.0 + corners, R)
    assert Estimator(clear, Known(noise=noise)).of_photo(one).clean


@pytest.mark.parametrize("sigma", [7.0, 9.0])
def test_a_blur_wider_than_the_net_has_seen_is_told(clear, sigma):
    """By its spectrum, as far as that tells."""
    found = clear.of_photo(located(spoilt(face(1), sigma, noise=4.0)))
    assert found.sigma == pytest.approx(sigma, rel=0.25)


@pytest.mark.parametrize("side", [4, 7])
def test_a_few_pixels_tell_of_no_damage(clear, side):
    """Whatever colour they are."""
    photo = as_photo(face(1)[40 : 40 + side, 40 : 40 + side])
    found = clear.of_photo(place("photo", photo, whole_quad(photo, "photo"), R))
    assert (found.side, found.sigma, found.noise, found.quality) == (side, 0, 0, None)


def test_a_black_picture_ends_nothing(clear):
    """There is no detail to compare; what is estimated is some number."""
    assert np.isfinite(clear.of_photo(located(np.zeros((R, R, 3), np.uint8))).sigma)
