"""Poses from geometry; detection, landmarks and descriptors on real portraits where there are any."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mystyle_cli.errors import ModelError
from mystyle_cli.faces import faces, models
from mystyle_cli.faces.align import FFHQ, Crop, align, to_crop, to_photo, warp
from mystyle_cli.faces.face import _HEAD, aligned_face, describe, landmark_pose
from mystyle_cli.faces.faces import (
    find_faces,
    find_hidden_faces,
    find_tiny_faces,
    find_turned_faces,
)
from mystyle_cli.faces.paste import paste
from mystyle_cli.photos.decode import decode
from mystyle_cli.photos.pixels import Pixels, resize
from tests.support.portraits import DEMONSTRATION, clear, expected, real
from tests.support.squares import square


def photo(person: str = "ada", number: int = 0) -> Pixels:
    """Return a photo of a demonstration person."""
    return decode(clear(person, number)).pixels


def turned(yaw: float, pitch: float, roll: float, distance: float = 1e6) -> np.ndarray:
    """Return landmarks of the average head after turning it, seen from a distance in millimetres."""
    a, b, c = (math.radians(angle) for angle in (yaw, pitch, roll))
    about_y = np.array([[math.cos(a), 0, -math.sin(a)], [0, 1, 0], [math.sin(a), 0, math.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, math.cos(b), math.sin(b)], [0, -math.sin(b), math.cos(b)]])
    about_z = np.array([[math.cos(c), -math.sin(c), 0], [math.sin(c), math.cos(c), 0], [0, 0, 1]])
    head = np.array(list(_HEAD.values())) @ (about_z @ about_y @ about_x).T
    points = np.full((68, 2), np.nan)
    points[list(_HEAD)] = 300 + 1.3 * head[:, :2] * (distance / (distance + head[:, 2:]))
    return points


@settings(max_examples=50)
@given(st.floats(-50, 50), st.floats(-35, 35), st.floats(-40, 40))
def test_pose_of_a_turned_head(yaw: float, pitch: float, roll: float) -> None:
    """A head that was turned by known angles is told to be turned by them, with the right signs."""
    pose = landmark_pose(turned(yaw, 0, 0))
    assert pose.yaw == pytest.approx(yaw, abs=0.1)
    pose = landmark_pose(turned(0, pitch, 0))
    assert pose.pitch == pytest.approx(pitch, abs=0.1)
    assert landmark_pose(turned(0, 0, roll)).roll == pytest.approx(roll, abs=0.1)


def test_pose_from_nearby() -> None:
    """The perspective of a photo taken from one metre costs only a few degrees."""
    pose = landmark_pose(turned(25, 10, 0, 1000))
    assert pose.yaw == pytest.approx(25, abs=4)
    assert pose.pitch == pytest.approx(10, abs=4)


def test_signs_of_the_pose() -> None:
    """Nose to the picture's right: yaw above 0; nose up: pitch above 0; clockwise: roll above 0."""
    straight = turned(0, 0, 0)
    right, up, clockwise = straight.copy(), straight.copy(), straight.copy()
    right[27:36, 0] += 15
    up[27:31, 1] -= 12
    c, s = math.cos(0.2), math.sin(0.2)
    clockwise = clockwise @ np.array([[c, s], [-s, c]])
    assert landmark_pose(right).yaw > 3
    assert landmark_pose(up).pitch > 3
    assert landmark_pose(clockwise).roll > 3


def test_no_faces_where_there_are_none() -> None:
    """A plain surface and noise show no face."""
    assert find_faces(np.full((120, 160, 3), 90, dtype=np.uint8)) == []
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    assert find_faces(noise) == []


def test_missing_models_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package that carries the models the error says what to install."""
    monkeypatch.setattr(models, "_PACKAGE", "no_such_package")
    with pytest.raises(ModelError) as caught:
        models.model_path("x.dat")
    assert "no_such_package" in caught.value.hint


def test_models_are_found_without_importing_their_package() -> None:
    """The models' package is only located, as importing it fails in new environments."""
    import sys

    assert models.model_path("mmod_human_face_detector.dat").is_file()
    assert "face_recognition_models" not in sys.modules


@pytest.mark.skipif(not real(), reason="the real portraits are not on this machine")
@pytest.mark.slow
@pytest.mark.parametrize("path", real(), ids=lambda path: path.stem)
def test_every_portrait_goes_there_and_back(path: Path) -> None:
    """On each portrait exactly the face is found, cut out upright, and pasted back where it was."""
    pixels = decode(path).pixels
    faces = find_faces(pixels)
    assert len(faces) == 1
    crop = align(pixels, faces[0].landmarks, 192, FFHQ)
    eyes = to_crop(
        np.stack([faces[0].landmarks[36:42].mean(0), faces[0].landmarks[42:48].mean(0)]), crop.quad, 192
    )
    assert 60 < eyes[0, 0] < eyes[1, 0] < 132
    assert abs(eyes[0, 1] - eyes[1, 1]) < 12
    back = paste(pixels, crop.pixels, crop.quad)
    assert np.abs(back.astype(int) - pixels).mean() < 2


@pytest.mark.parametrize("scale", [0.4, 0.7, 3.0, 8.0])
def test_the_size_of_the_photo_does_not_matter(scale: float) -> None:
    """From a thumbnail to many megapixels the same face is found in the same place."""
    pixels = photo()
    height, width = pixels.shape[:2]
    scaled = resize(pixels, (round(height * scale), round(width * scale)), "lanczos")
    original, found = find_faces(pixels)[0], find_faces(scaled)[0]
    ratio = np.array([scaled.shape[1] / width, scaled.shape[0] / height])
    eye = np.linalg.norm(original.landmarks[36] - original.landmarks[45])
    off = np.linalg.norm(found.landmarks / ratio - original.landmarks, axis=1).mean() / eye
    assert off < (0.08 if scale < 1 else 0.05)


@pytest.mark.parametrize("degrees", [-50, 90, 180])
def test_tilted_photos(degrees: float) -> None:
    """A head tilted far, or a photo that lies on its side, is still found, and cut out upright."""
    pixels = photo()
    height, width = pixels.shape[:2]
    side = 1.2 * max(height, width)
    frame = square(width / 2, height / 2, side, degrees)
    face, tilted = find_faces(pixels)[0], find_faces(warp(pixels, frame, 500))[0]
    moved = to_photo(tilted.landmarks, frame, 500)
    assert np.linalg.norm(moved - face.landmarks, axis=1).mean() < 0.12 * face.width


def test_largest_face_comes_first_and_all_are_found() -> None:
    """Two people side by side are both found, the larger first."""
    big, small = photo("ada"), photo("marco")
    small = resize(small, (small.shape[0] // 2, small.shape[1] // 2), "area")
    edge = big.shape[1]
    scene = np.full((big.shape[0], edge + small.shape[1], 3), 128, dtype=np.uint8)
    scene[:, :edge], scene[: small.shape[0], edge:] = big, small
    faces = find_faces(scene)
    assert len(faces) == 2
    assert faces[0].landmarks[30, 0] < edge < faces[1].landmarks[30, 0]


def test_descriptors_tell_people_apart() -> None:
    """The same face, resized or cut out, stays near; another person is farther than another photo is."""
    pixels = photo()
    face = find_faces(pixels)[0]
    own = describe(pixels, face)
    small = resize(pixels, (pixels.shape[0] * 2 // 3, pixels.shape[1] * 2 // 3))
    crop = align(pixels, face.landmarks, 128, FFHQ).pixels
    assert np.linalg.norm(own - describe(small, find_faces(small)[0])) < 0.3
    assert np.linalg.norm(own - describe(crop, aligned_face(crop, FFHQ))) < 0.2

    def apart(pixels: Pixels) -> float:
        return float(np.linalg.norm(own - describe(pixels, find_faces(pixels)[0])))

    assert apart(photo("ada", 3)) < apart(photo("marco"))


def test_a_face_cut_out_tightly_is_described_as_on_its_photo() -> None:
    """The face's place on a prior's own crop is known too."""
    pixels = photo()
    face, tight = find_faces(pixels)[0], Crop(0.58, 0.054)
    own, cut = describe(pixels, face), align(pixels, face.landmarks, 128, tight)
    found = aligned_face(cut.pixels, tight)
    apart = np.linalg.norm(to_photo(found.landmarks, cut.quad, 128) - face.landmarks, axis=1)
    assert apart[17:].mean() < 0.02 * cut.side  # brows, eyes, nose and mouth; the jaw is cut
    assert np.linalg.norm(own - describe(cut.pixels, found)) < 0.3


def test_profile_is_seen_by_the_slow_detector() -> None:
    """Where the detectors that give faces fail on a profile, the slow one still says that there is a face."""
    name = next(name for name, verdict in expected("ada").items() if verdict == "extreme-pose")
    pixels = decode(DEMONSTRATION / "ada" / name).pixels
    assert find_faces(pixels) == []
    assert find_hidden_faces(pixels)


@pytest.mark.skipif(os.cpu_count() == 1, reason="needs two cores")
def test_threads_agree() -> None:
    """Faces found from several threads at once are those found one after the other."""
    from concurrent.futures import ThreadPoolExecutor

    photos = [photo("ada", number) for number in range(4)]
    alone = [find_faces(item)[0].landmarks for item in photos]
    with ThreadPoolExecutor(4) as pool:
        together = [faces[0].landmarks for faces in pool.map(find_faces, photos)]
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_photo_on_its_head_is_searched_for_its_own_faces() -> None:
    """What `find_faces` may miss for a false upright face is found when the photo itself is turned."""
    pixels = photo()
    face, found = find_faces(pixels)[0], find_turned_faces(np.ascontiguousarray(pixels[::-1, ::-1]))[0]
    size = np.array([pixels.shape[1], pixels.shape[0]])
    assert np.linalg.norm(size - found.landmarks - face.landmarks, axis=1).mean() < 0.12 * face.width


def test_a_picture_of_dots_shows_the_face_that_they_stand_for() -> None:
    """A dithered photo's face is found as large as it is, not a fleck among the dots."""
    pixels = photo()
    small = resize(pixels, (pixels.shape[0] * 3 // 10, pixels.shape[1] * 3 // 10), "area")
    dots = np.array(Image.fromarray(small).convert("1").convert("RGB"))
    face, found = find_faces(small)[0], find_faces(dots)[0]
    assert found.width == pytest.approx(face.width, rel=0.4)
    middles = [(np.add(one.box[:2], one.box[2:]) / 2) for one in (face, found)]
    assert np.linalg.norm(middles[0] - middles[1]) < 0.3 * face.width


def scene(height: int, width: int, left: int, top: int, share: float) -> tuple[Pixels, np.ndarray]:
    """Return a plain photo with a face as large as a share of the demonstration's, and the face's middle."""
    small = resize(photo(), tuple(round(side * share) for side in photo().shape[:2]), "area")
    pixels = np.full((height, width, 3), 110, np.uint8)
    pixels[top : top + small.shape[0], left : left + small.shape[1]] = small
    box = find_faces(photo())[0].box
    return pixels, np.add(box[:2], box[2:]) / 2 * share + [left, top]


def test_a_tiny_face_in_a_large_photo_is_found_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """A face across the tiles' borders is found once; no picture that the detector sees exceeds a tile."""
    shown: list[int] = []
    see = faces._seen

    def note(picture: Pixels) -> object:
        shown.append(picture.shape[0] * picture.shape[1])
        return see(picture)

    monkeypatch.setattr(faces, "_seen", note)
    monkeypatch.setattr(faces, "LARGEST_LOOK", 500_000)
    monkeypatch.setattr(faces, "_SMALL_SCAN", 2_000_000)
    monkeypatch.setattr(faces, "_TILE", 700)
    for left in (300, 420):
        shown.clear()
        pixels, middle = scene(600, 1000, left, 250, 0.3)
        [face] = find_tiny_faces(pixels)
        assert np.linalg.norm(np.add(face.box[:2], face.box[2:]) / 2 - middle) < 0.3 * face.width
        assert len(shown) >= 4
        assert max(shown) <= 701**2


@pytest.mark.slow
def test_a_small_face_in_twelve_million_pixels() -> None:
    """What enlarging is for: a face of some 80 px in a photo of 4000 x 3000."""
    width = find_faces(photo())[0].width
    pixels, middle = scene(3000, 4000, 1700, 1300, 86 / width)
    [face] = find_tiny_faces(pixels)
    assert np.linalg.norm(np.add(face.box[:2], face.box[2:]) / 2 - middle) < 0.3 * face.width


@pytest.mark.parametrize("shape", [(40, 40), (60, 800), (600, 800)])
def test_every_look_is_bounded(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """However small a photo, what is shown to the detector, and all looks together, are bounded."""
    shown: list[int] = []

    def note(picture: Pixels) -> list[object]:
        shown.append(picture.shape[0] * picture.shape[1])
        return []

    monkeypatch.setattr(faces, "_seen", note)
    plain = np.broadcast_to(np.arange(shape[1], dtype=np.uint8)[None, :, None], (*shape, 3))
    looks = (find_faces, find_turned_faces, find_tiny_faces, lambda pixels: find_faces(pixels, upsample=40.0))
    for look in looks:
        shown.clear()
        assert look(plain) == []
        assert shown
        assert max(shown) <= 1.01 * faces.LARGEST_LOOK
        assert sum(shown) <= 2 * faces.LARGEST_SCAN


@pytest.mark.parametrize("shape", [(13_000, 13_000), (3000, 4000), (1500, 30_000), (1000, 900)])
def test_looks_at_large_photos_are_bounded(shape: tuple[int, int]) -> None:
    """The copies that are made of a large photo for all looks together have a bound."""
    for looks in (faces._looks(shape, "auto"), faces._tiny_looks(shape)):
        areas = [
            shape[0] * shape[1] * look.scale**2 if look.tilt == 0 else (1.2 * max(shape) * look.scale) ** 2
            for look in looks
        ]
        assert max(areas) <= 1.01 * faces.LARGEST_SCAN
        assert sum(areas) <= 2 * faces.LARGEST_SCAN
