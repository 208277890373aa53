"""How sure an answer is: variants that explain a photo as well, and the map of where they differ."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mystyle_cli.faces import face
from mystyle_cli.faces.align import FFHQ
from mystyle_cli.find.locate import Subject
from mystyle_cli.projection.settings import ProjectionSettings
from mystyle_cli.restore import variants
from mystyle_cli.restore.restore import restore
from mystyle_cli.restore.task import Openness, RestoreSettings
from tests.support.points import face_points
from tests.support.tiny_store import make_store, picture

MANY = RestoreSettings(
    projection=ProjectionSettings(steps=4, beta=0.03), aligned=True, variants=3, seed=1, start="centre"
)


@pytest.fixture(scope="module")
def profile(tmp_path_factory, tiny_prior):
    """A profile of a 32 px prior with random weights, which takes anybody for its person."""
    return make_store(tmp_path_factory.mktemp("store"), tiny_prior).open("ada")


@pytest.fixture(scope="module")
def hole():
    """A hole in a crop of 32 pixels."""
    mask = np.zeros((32, 32), np.uint8)
    mask[8:20, 6:26] = 255
    return mask


def test_the_map_says_by_how_much_answers_differ():
    """Two faces ten levels apart have a standard deviation of ten over the root of two; where alike, none."""
    one = np.full((64, 64, 3), 100, np.uint8)
    other = one.copy()
    other[16:48, 16:48] += 10
    level = variants.disagreement([one, other])
    assert level[32, 32] == pytest.approx(10 / np.sqrt(2), abs=0.01)
    assert level[2, 2] == 0
    assert not variants.disagreement([one]).any()


def test_a_part_is_open_where_answers_differ_in_it():
    """By the face's own points, and under the name that `--part` has."""
    level = np.zeros((96, 96), np.float32)
    level[30:42, 54:70] = 3
    assert variants.parts_where(level, face_points(), variants.OPEN) == ("left-eye",)
    assert variants.parts_where(level / 3, face_points(), variants.OPEN) == ()


def test_hidden_parts_are_told_apart_from_those_that_differ(monkeypatch):
    """By the hole, and by the answers."""
    monkeypatch.setattr(face, "aligned_face", lambda face, crop: SimpleNamespace(landmarks=face_points()))
    one, hole = np.full((96, 96, 3), 100, np.uint8), np.zeros((96, 96), np.float32)
    other = one.copy()
    other[60:72, 34:62] = 120
    hole[30:42, 54:70] = 1
    quad = np.array([[0, 0], [0, 96], [96, 96], [96, 0]])
    located = SimpleNamespace(quad=quad, photo=SimpleNamespace(pixels=one), hole=hole)
    answers = [SimpleNamespace(pixels=pixels, face=one, located=located) for pixels in (one, other)]
    found = variants.openness(answers, FFHQ, 4)
    assert (found.hidden, found.dropped) == (("left-eye",), 4)
    assert "mouth" in found.parts
    assert "left-eye" not in found.parts
    large = SimpleNamespace(pixels=np.zeros((288, 192, 3), np.uint8), located=located)
    np.testing.assert_allclose(variants.quad_on(large), quad * (2, 3))


def test_variants_start_at_photos_of_the_person_that_look_alike():
    """Nearly at one of the nearest each; only what the photo shows says which those are."""
    answer, off = np.full((2, 40), 1 / 40), np.random.default_rng(0).permutation(40).astype(float)
    starts = variants.other_starts(answer, off, 3, 0)
    assert starts.shape == (3, 2, 40)
    assert (off[starts[:, 0].argmax(axis=1)] < 10).all()
    np.testing.assert_allclose(starts.max(axis=2), variants.AWAY + (1 - variants.AWAY) / 40)
    np.testing.assert_allclose(starts.sum(axis=2), 1)
    pictures = np.zeros((2, 3, 8, 8), np.float32)
    pictures[1, :, :4] = 1
    known = np.zeros((8, 8), np.float32)
    known[4:] = 1
    photo = SimpleNamespace(down=np.eye(8), target=np.zeros((3, 8, 8)), known=known)
    np.testing.assert_allclose(variants.how_far(pictures, photo), 0)
    photo.known = 1 - known
    np.testing.assert_allclose(variants.how_far(pictures, photo), [0, 0.5], rtol=1e-6)


def test_two_that_nobody_can_tell_apart_explain_a_photo_as_well():
    """A quarter more of what it is off, or a difference that is not seen."""
    assert variants.as_well(1.0) == pytest.approx(1.25)
    assert variants.as_well(0.0) == pytest.approx(0.003)
    assert variants.as_well(1.0, 0.6) == pytest.approx(1.15)


def test_variants_differ_in_the_hole_alone(profile, hole):
    """The map is light in the hole, and the first answer is what there would be without the others."""
    photo = Subject(picture(2, 32), hole)
    (alone,) = restore(profile, [photo], "inpaint", replace(MANY, variants=1))
    (done,) = restore(profile, [photo], "inpaint", MANY)
    np.testing.assert_array_equal(done.pixels, alone.pixels)
    assert len(done.others) + done.openness.dropped == 2
    assert done.others
    for other in done.others:
        np.testing.assert_array_equal(other.pixels[hole == 0], picture(2, 32)[hole == 0])
        assert other.loss <= variants.as_well(done.loss)
        assert (other.pixels != done.pixels)[hole > 0].any()
    inside = done.openness.map[10:18, 8:24].mean()
    assert inside > 20 * done.openness.map[26:].mean()


def test_variants_of_a_whole_photo_agree(profile):
    """Nothing is open where nothing is hidden: far less than where a photo is small."""
    (whole,) = restore(profile, [Subject(picture(3, 32))], "restore", MANY)
    (small,) = restore(profile, [Subject(picture(3, 8))], "upscale", MANY)
    assert whole.openness.parts == ()
    assert small.openness.map.mean() > 4 * whole.openness.map.mean()


def test_what_is_hidden_is_told_first():
    """And what is open besides; a part is named once."""
    nothing = np.zeros((8, 8), np.float32)
    eyes = Openness(nothing, ("right-eye", "left-eye"), ("left-eye", "mouth"), 0)
    assert eyes.told == "the photo says nothing about: right eye, left eye and leaves open: mouth"
    assert Openness(nothing, (), ("nose",), 0).told == "the photo leaves open: nose"
    assert Openness(nothing, (), (), 0).told == "the photo leaves nothing of the face open"


def test_what_explains_the_photo_less_well_is_left_out(profile, hole, monkeypatch):
    """And told."""
    monkeypatch.setattr(variants, "as_well", lambda own, share=1.0: 0.0)
    (done,) = restore(profile, [Subject(picture(2, 32), hole)], "inpaint", MANY)
    assert done.others == ()
    assert done.openness.dropped == 2
    assert not done.openness.map.any()


def test_variants_are_drawn_with_the_seed(profile, hole, monkeypatch):
    """The same again, and others with another."""
    monkeypatch.setattr(variants, "as_well", lambda own, share=1.0: np.inf)
    photo, short = Subject(picture(2, 32), hole), replace(MANY.projection, steps=1)
    maps = [
        restore(profile, [photo], "inpaint", replace(MANY, projection=short, seed=seed))[0].openness.map
        for seed in (1, 1, 3)
    ]
    np.testing.assert_array_equal(maps[0], maps[1])
    assert (maps[0] != maps[2]).any()
