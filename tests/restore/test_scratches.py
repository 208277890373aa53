"""Scratches are told from what a face has, and from what is no line."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from mystyle_cli.faces.align import FFHQ, face_quad, to_crop, warp
from mystyle_cli.faces.faces import find_faces
from mystyle_cli.find.locate import Located, as_photo, whole_quad
from mystyle_cli.photos.pixels import resize, to_unit
from mystyle_cli.projection.damage import LUMA, Damage
from mystyle_cli.restore import restore as room
from mystyle_cli.restore.given import Given
from mystyle_cli.restore.scratches import Parts, find_scratches, scratches_of
from tests.support.portraits import aligned, clear

S = 128
SIDE = 220.0  # of the FFHQ square, of which a tight crop shows the middle
EVERYWHERE = Parts(np.ones((S, S), bool), np.ones((S, S), bool))
Lines = list[list[tuple[int, int]]]
CROSSING: Lines = [[(10, 20), (110, 100)], [(100, 10), (30, 120)], [(20, 70), (60, 64), (120, 76)]]


def face() -> np.ndarray:
    """Return soft shapes as a face has, (S, S), luma of 255."""
    small = np.random.default_rng(3).integers(70, 170, (7, 7, 1), np.uint8)
    return resize(np.repeat(small, 3, axis=2), (S, S), "bicubic")[..., 0].astype(float)


def drawn(picture: np.ndarray, lines: Lines, level: int, width: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture with lines of a level, and where they are."""
    mask = Image.new("L", (S, S))
    for line in lines:
        ImageDraw.Draw(mask).line(line, fill=255, width=width)
    there = np.asarray(mask) > 0
    return np.where(there, float(level), picture), there


@pytest.mark.parametrize("level", [245, 8])
@pytest.mark.parametrize("width", [1, 2, 3])
def test_lines_that_cross_are_found_whole(level: int, width: int) -> None:
    """White and black ones, bent ones too, and nothing farther than a soft edge from them."""
    photo, there = drawn(face(), CROSSING, level, width)
    found = find_scratches(photo, face(), EVERYWHERE, 0.0, SIDE)
    assert (found & there).sum() > 0.8 * there.sum()
    assert not (found & ~ndimage.binary_dilation(there, iterations=3)).any()


def test_noise_is_no_scratch_but_lines_above_it_are() -> None:
    """The noise that is known of a photo decides how much a line must stand out."""
    noise = np.random.default_rng(4).normal(0, 9, (S, S))
    photo, there = drawn(face(), CROSSING, 250, 3)
    assert not find_scratches(face() + noise, face(), EVERYWHERE, 9.0, SIDE).any()
    found = find_scratches(photo + noise, face(), EVERYWHERE, 9.0, SIDE)
    assert (found & there).sum() > 0.7 * there.sum()
    faint = face() + 35.0 * there
    assert find_scratches(faint, face(), EVERYWHERE, 0.0, SIDE).any()
    assert not find_scratches(faint, face(), EVERYWHERE, 9.0, SIDE).any()


def test_of_many_lines_none_is_a_scratch() -> None:
    """Strands of hair that the drawn face lacks are beside each other; a line alone is none of them."""
    strands = ndimage.gaussian_filter(np.random.default_rng(5).normal(size=(60, S)), (0.6, 12))
    photo = face()
    photo[:60] += 22 * strands / strands.std()
    photo, alone = drawn(photo, [[(10, 100), (110, 108)]], 230, 2)
    found = find_scratches(photo, face(), EVERYWHERE, 0.0, SIDE)
    assert (found & alone).sum() > 0.8 * alone.sum()
    assert found[:56].mean() < 0.05


def test_what_is_no_scratch_stays() -> None:
    """A line that the generated face has, too; a broad stripe; a dot; a dash; a wrinkle."""
    clean = face()
    marked, _ = drawn(clean, CROSSING, 250)
    assert not find_scratches(marked, marked, EVERYWHERE, 0.0, SIDE).any()
    assert not find_scratches(clean, clean, EVERYWHERE, 0.0, SIDE).any()
    for lines, width in (
        ([[(0, 64), (127, 64)]], 12),
        ([[(60, 60), (63, 60)]], 4),
        ([[(50, 50), (60, 50)]], 2),
    ):
        photo, _ = drawn(clean, lines, 250, width)
        assert not find_scratches(photo, clean, EVERYWHERE, 0.0, SIDE).any(), lines
    _, there = drawn(clean, CROSSING, 255)
    assert not find_scratches(clean + 15.0 * there, clean, EVERYWHERE, 0.0, SIDE).any()


def test_a_line_counts_where_it_runs_over_skin() -> None:
    """Hair and glasses have lines of their own; a scratch that leaves the skin is followed."""
    left = np.zeros((S, S), bool)
    left[:, :50] = True
    photo, there = drawn(face(), [[(10, 64), (120, 64)]], 250)
    found = find_scratches(photo, face(), Parts(np.ones((S, S), bool), left), 0.0, SIDE)
    assert (found & there)[:, 100:].any()
    right = Parts(np.ones((S, S), bool), ~left & (np.arange(S) > 122)[None])
    assert not find_scratches(photo, face(), right, 0.0, SIDE).any()
    assert not find_scratches(photo, face(), Parts(left & (np.arange(S) > 30), left), 0.0, SIDE).any()


def test_of_hair_that_reaches_the_skin_nothing_is_taken() -> None:
    """Neither one that a scratch meets beyond the skin, nor one that ends on it in a spot."""
    skin = np.zeros((S, S), bool)
    skin[:, :50] = True
    parts = Parts(np.ones((S, S), bool), skin)
    photo, _ = drawn(face(), [[(10, 64), (70, 64)], [(70, 8), (70, 120)]], 250)
    found = find_scratches(photo, face(), parts, 0.0, SIDE)
    assert found[62:67, 10:70].any()
    assert not found[:50].any()
    spot = face()
    spot[61:67, 40:50] = spot[63:65, 50:120] = 250
    assert not find_scratches(spot, face(), parts, 0.0, SIDE).any()


def given(pixels: np.ndarray, damage: Damage) -> Given:
    """Return an aligned crop that is to be restored."""
    photo = as_photo(pixels)
    hole = np.zeros((S, S), np.float32)
    located = Located("a photo", photo, whole_quad(photo, ""), pixels, hole, None, 1.0)
    return Given(located, "restore", S, damage)


def test_scratches_are_told_from_the_drawn_face_in_the_photo_s_own_tone() -> None:
    """Lines that the face has are none, however pale the photo is; of the others their place is told."""
    face = aligned(0, S).copy()
    face[74:76, 30:98], face[88:90, 30:98] = 10, 250
    slope, offset = 0.7, 0.25
    unit = to_unit(face)
    luma = slope * np.tensordot(LUMA, unit, 1) + offset
    light = np.repeat(np.rint((luma + 1) * 127.5).astype(np.uint8)[..., None], 3, axis=2)
    damage = Damage(S, tone=((slope, offset),) * 3)
    assert scratches_of(given(light, damage), unit, FFHQ) is None
    light[80:82, 30:98] = 20
    mask = scratches_of(given(light, damage), unit, FFHQ)
    assert mask is not None
    assert mask.shape == (S, S)
    assert mask[80:82, 40:88].mean() > 200
    assert not mask[:76].any()
    assert not mask[87:].any()


def test_lines_beside_edges_that_jpeg_makes_are_none() -> None:
    """The more it rounded, the more a line must stand out."""
    face = aligned(0, S)
    light = np.repeat(np.rint(face @ LUMA).astype(np.uint8)[..., None], 3, axis=2)
    unit = to_unit(light.copy())
    light[80:82, 30:98] = light[80:82, 30:98] // 2
    found = [scratches_of(given(light, Damage(S, quality=quality)), unit, FFHQ) for quality in (None, 95, 40)]
    assert [mask is None for mask in found] == [False, False, True]


def test_a_scratched_photo_is_judged_anew_with_its_scratches_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it has a mask already, or nobody asks for that."""
    line = np.zeros((S, S), np.uint8)
    line[60:63] = 255
    monkeypatch.setattr(room, "scratches_of", lambda given, image, crop: line)
    estimator = SimpleNamespace(of_photo=lambda located: Damage(S if located.mask is None else S // 2))
    engine = SimpleNamespace(
        settings=SimpleNamespace(scratches=True),
        profile=SimpleNamespace(prior=SimpleNamespace(crop=FFHQ)),
        resolution=S,
        estimator=estimator,
    )
    found = SimpleNamespace(motions=np.zeros((1, 4)), refined=None, images=np.zeros((1, 3, S, S)))
    photo = given(aligned(0, S), Damage(S))
    masked = room._masked(engine, photo, found, 0)
    assert masked is not None
    assert masked.located.mask is line
    assert masked.located.hole[60:63].min() == 1
    assert masked.damage == Damage(S // 2)
    assert "are filled" in masked.located.warnings[0]
    assert room._masked(engine, masked, found, 0) is None
    assert room._masked(engine, replace(photo, damage=None), found, 0) is None
    engine.settings.scratches = False
    assert room._masked(engine, photo, found, 0) is None


def test_skin_is_beside_eyes_and_mouth() -> None:
    """Of a face, aligned by its landmarks; those are found anew on the crop."""
    pixels = np.asarray(Image.open(clear("ada")).convert("RGB"))
    [found, *_] = find_faces(pixels)
    quad = face_quad(found.landmarks, FFHQ)
    parts = Parts.of(warp(pixels, quad, S), FFHQ)
    points = to_crop(found.landmarks, quad, S).round().astype(int)  # (68, 2), across and down
    inner = points[[37, 38, 40, 41, 43, 44, 46, 47, 51, 62, 66]]  # lids and lips
    assert parts.face[inner[:, 1], inner[:, 0]].all()
    assert not parts.skin[inner[:, 1], inner[:, 0]].any()
    between = (points[33] + points[[3, 13]]) // 2  # of nose and jaw: cheeks
    assert parts.skin[between[:, 1], between[:, 0]].all()
    assert not parts.face[:4].any()
