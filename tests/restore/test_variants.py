"""How sure an answer is: variants that explain a photo as well, and the map of where they differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mystyle_cli.find.locate import Subject
from mystyle_cli.projection.settings import ProjectionSettings
from mystyle_cli.restore import variants
from mystyle_cli.restore.restore import restore
from mystyle_cli.restore.task import Openness, RestoreSettings
from tests.support.points import face_points
from tests.support.tiny_store import make_store, picture

MANY = RestoreSettings(
    projection=ProjectionSettings(steps=10, beta=0.03), aligned=True, variants=3, seed=1, start="centre"
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
