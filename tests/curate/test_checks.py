"""Single measurements on pictures whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from mystyle_cli.curate.checks import brightness, colour, cover, eyes, fault, lab, sharpness
from mystyle_cli.curate.records import Reason
from mystyle_cli.curate.settings import CurateSettings
from tests.support.curation import GOOD, SIZE


def landmarks() -> np.ndarray:
    """Return 68 points of a level face on an aligned crop, drawn by hand on the FFHQ layout."""
    points = np.zeros((68, 2))
    angles = np.linspace(np.pi, 0, 17)
    points[:17] = np.stack([64 + 38 * np.cos(angles), 62 + 50 * np.sin(angles)], axis=1)
    points[17:22] = np.stack([np.linspace(34, 56, 5), np.full(5, 48.0)], axis=1)
    points[22:27] = np.stack([np.linspace(72, 94, 5), np.full(5, 48.0)], axis=1)
    points[27:31] = np.stack([np.full(4, 64.0), np.linspace(56, 78, 4)], axis=1)
    points[31:36] = np.stack([np.linspace(56, 72, 5), np.full(5, 83.0)], axis=1)
    eye = np.array([[-8, 0], [-3, -3], [3, -3], [8, 0], [3, 3], [-3, 3]])
    points[36:42], points[42:48] = eye + np.array([47, 57]), eye + np.array([81, 57])
    angles = np.linspace(-np.pi, np.pi, 20, endpoint=False)
    points[48:68] = np.stack([64 + 14 * np.cos(angles), 97 + 5 * np.sin(angles)], axis=1)
    return points


def face(skin: tuple[int, int, int] = (205, 160, 135), seed: int = 0) -> Image.Image:
    """Draw a simple face that fits the landmarks, with side light and a little texture."""
    picture = Image.new("RGB", (SIZE, SIZE), (90, 110, 140))
    draw, points = ImageDraw.Draw(picture), landmarks()
    draw.ellipse((24, 10, 104, 114), fill=skin)
    draw.ellipse((20, 4, 108, 40), fill=(60, 40, 25))
    for centre in (points[36:42].mean(0), points[42:48].mean(0)):
        x, y = centre
        draw.ellipse((x - 9, y - 4, x + 9, y + 4), fill=(240, 240, 238))
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=(50, 60, 70))
    draw.ellipse((50, 92, 78, 102), fill=(170, 80, 80))
    pixels = np.asarray(picture).astype(float) * np.linspace(0.75, 1.05, SIZE)[None, :, None]
    noise = np.random.default_rng(seed).normal(0, 2.0, pixels.shape[:2])[..., None]
    return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))


def drawn(*, polygon: list[tuple[float, float]], fill: tuple[int, int, int]) -> np.ndarray:
    """Return the face with something in front of it."""
    picture = face()
    ImageDraw.Draw(picture).polygon(polygon, fill=fill)
    return np.array(picture)


def octaves(seed: int) -> np.ndarray:
    """Return a grey picture with equal energy in every octave, as photographs have it."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.fftfreq(SIZE)[None, :])
    frequency[0, 0] = np.inf
    plane = np.fft.ifft2(np.fft.fft2(rng.normal(size=(SIZE, SIZE))) / frequency).real
    plane = np.clip(128 + 40 * plane / plane.std(), 0, 255).astype(np.uint8)
    return np.repeat(plane[..., None], 3, axis=2)


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [
        ((255, 255, 255), (100.0, 0.0, 0.0)),
        ((0, 0, 0), (0.0, 0.0, 0.0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((119, 119, 119), (50.03, 0.0, 0.0)),
    ],
)
def test_lab_values(rgb: tuple[int, ...], expected: tuple[float, ...]) -> None:
    """Published L*a*b* values of the primaries come out."""
    np.testing.assert_allclose(lab(np.array(rgb, dtype=np.uint8)), expected, atol=0.1)


def test_colour_of_grey_toned_and_coloured() -> None:
    """Grey has none, any toning of a grey picture has hardly any, a coloured picture has much."""
    limit = CurateSettings().least_colour
    grey = brightness(np.array(face()))[..., None] / 255
    assert colour(np.rint(np.repeat(grey, 3, 2) * 255).astype(np.uint8)) < 0.1
    for tint in ((0.95, 0.82, 0.62), (1.0, 0.95, 0.7), (0.8, 0.85, 1.0)):
        toned = np.clip(grey ** np.array([0.85, 1.0, 1.2]) * tint * 255, 0, 255).astype(np.uint8)
        assert colour(toned) < limit
    assert colour(np.array(face())) > 2 * limit


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.floats(0.3, 1.0))
def test_sharpness_is_blind_to_contrast_and_falls_with_blur(seed: int, contrast: float) -> None:
    """Less contrast changes little, blur lowers the score, and three pixels of it fall below the limit."""
    picture = octaves(seed)
    flat = np.rint(128 + contrast * (picture.astype(float) - 128)).astype(np.uint8)
    assert sharpness(flat) == pytest.approx(sharpness(picture), rel=0.15)
    blurred = [
        sharpness(np.array(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(sigma))))
        for sigma in (0, 1, 2, 3)
    ]
    assert blurred == sorted(blurred, reverse=True)
    assert blurred[0] > CurateSettings().least_sharpness > blurred[3]


def test_upsampled_small_faces_are_blurred() -> None:
    """A face of 20 pixels enlarged to the crop is told from a sharp one."""
    picture = Image.fromarray(octaves(1))
    small = picture.resize((20, 20), Image.Resampling.BOX)
    enlarged = small.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    assert sharpness(np.array(enlarged)) < CurateSettings().least_sharpness < sharpness(np.array(picture))


@pytest.mark.parametrize("skin", [(205, 160, 135), (120, 80, 60), (235, 200, 180), (75, 50, 40)])
def test_clear_faces_of_any_skin_are_not_covered(skin: tuple[int, int, int]) -> None:
    """Light and dark skin, side light and a birthmark do not count as cover."""
    picture = face(skin)
    mark = tuple(int(v * 0.55) for v in skin)
    ImageDraw.Draw(picture).ellipse((78, 72, 86, 80), fill=mark)
    assert cover(np.array(picture), landmarks()) < CurateSettings().largest_cover
    assert eyes(np.array(picture), landmarks()) > CurateSettings().least_eyes


@pytest.mark.parametrize("fill", [(150, 190, 220), (245, 245, 245), (25, 25, 30), (60, 120, 70)])
@pytest.mark.parametrize("where", ["mask", "cheek"])
def test_covered_faces_are_told(fill: tuple[int, int, int], where: str) -> None:
    """A mask over mouth and nose, or something before one cheek, is told whatever its colour."""
    shapes = {
        "mask": [(27.0, 74.0), (64.0, 68.0), (101.0, 74.0), (90.0, 116.0), (38.0, 116.0)],
        "cheek": [(20.0, 60.0), (60.0, 64.0), (60.0, 116.0), (20.0, 116.0)],
    }
    assert cover(drawn(polygon=shapes[where], fill=fill), landmarks()) > CurateSettings().largest_cover


def test_dark_glasses_are_told_and_closed_eyes_are_not() -> None:
    """Dark and even where the eyes should be: glasses. Even and bright: closed lids."""
    limit = CurateSettings().least_eyes
    box = [(32.0, 49.0), (96.0, 49.0), (96.0, 66.0), (32.0, 66.0)]
    assert eyes(drawn(polygon=box, fill=(22, 22, 25)), landmarks()) < limit
    closed = face()
    draw = ImageDraw.Draw(closed)
    for x in (47, 81):
        draw.ellipse((x - 10, 51, x + 10, 63), fill=(185, 140, 118))
        draw.line((x - 9, 58, x + 9, 58), fill=(60, 40, 35), width=2)
    assert eyes(np.array(closed), landmarks()) > limit


def test_a_good_face_has_no_fault() -> None:
    """Measurements in the usual range pass."""
    assert fault(GOOD, SIZE, CurateSettings()) is None


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("side", 95.0, Reason.SMALL_FACE),
        ("colour", 1.0, Reason.GREY),
        ("sharpness", 0.1, Reason.LOW_QUALITY),
        ("brightness", 10.0, Reason.LOW_QUALITY),
        ("brightness", 250.0, Reason.LOW_QUALITY),
        ("contrast", 2.0, Reason.LOW_QUALITY),
        ("yaw", -60.0, Reason.EXTREME_POSE),
        ("pitch", 40.0, Reason.EXTREME_POSE),
        ("cut", 0.4, Reason.OCCLUDED),
        ("cover", 0.8, Reason.OCCLUDED),
        ("eyes", 0.1, Reason.OCCLUDED),
    ],
)
def test_each_fault_has_its_reason(name: str, value: float, reason: Reason) -> None:
    """One bad measurement refuses the face for the reason that belongs to it, with a sentence."""
    found = fault(GOOD | {name: value}, SIZE, CurateSettings())
    assert found is not None
    assert found[0] is reason
    assert found[1]


def test_small_faces_are_small_before_they_are_blurred() -> None:
    """A tiny face is also blurred when enlarged; what is said is that it is too small."""
    found = fault(GOOD | {"side": 30.0, "sharpness": 0.05}, SIZE, CurateSettings())
    assert found is not None
    assert found[0] is Reason.SMALL_FACE
