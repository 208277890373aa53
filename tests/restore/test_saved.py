"""Codes kept in files: an edit with one is the edit after the search, and no other photo's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mystyle_cli.edit.directions import find_direction
from mystyle_cli.edit.photos import EditTask, edit_photos, edit_saved, settings_for
from mystyle_cli.errors import UsageError
from mystyle_cli.find.locate import Subject
from mystyle_cli.hull import hull
from mystyle_cli.person.layout import ANCHORS, GENERATOR
from mystyle_cli.person.profile import Profile
from mystyle_cli.projection.settings import ProjectionSettings
from mystyle_cli.restore.restore import restore
from mystyle_cli.restore.saved import load_code, save_code
from mystyle_cli.restore.task import RestoreSettings
from mystyle_cli.sample.rendering import open_renderer
from tests.support.tiny_store import make_store, picture

FEW = RestoreSettings(projection=ProjectionSettings(beta=0.02, steps=4), aligned=True)


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory, tiny_prior: Path) -> Profile:
    """A profile of a 32 px prior with random weights."""
    return make_store(tmp_path_factory.mktemp("store"), tiny_prior).open("ada")


@pytest.fixture(scope="module")
def saved(profile: Profile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The saved code of a photo."""
    path = tmp_path_factory.mktemp("codes") / "photo.safetensors"
    (found,) = restore(profile, [Subject(picture(1, 48))], "invert", FEW)
    save_code(path, profile, found, aligned=True)
    return path


def with_digest(profile: Profile, stage: str, name: str) -> Profile:
    """Return the profile as it is after one of its files changed."""
    files = {**profile.manifest.files, stage: {name: "0" * 64}}
    return Profile(profile.path, replace(profile.manifest, files=files))


@pytest.mark.parametrize("threads", [1, 2], indirect=True)
@pytest.mark.usefixtures("threads")
def test_an_edit_of_a_saved_code_is_the_edit_after_the_search(profile: Profile, saved: Path) -> None:
    """Every pixel of the whole photo is the same as when the photo is inverted and edited at once."""
    edits = [[(find_direction(profile.prior, "yaw"), 1.5)]]
    settings = settings_for(0.02, "stop", FEW)
    (expected,) = edit_photos(profile, [Subject(picture(1, 48))], edits, settings)
    code, renderer = load_code(saved, profile), open_renderer(profile, "torch")
    done = edit_saved(profile, renderer, Subject(picture(1, 48)), code, EditTask(edits, settings))
    np.testing.assert_array_equal(done.frames[0].pixels, expected.frames[0].pixels)
    assert done.inversion is not None
    assert expected.inversion is not None
    assert done.inversion.id_score == expected.inversion.id_score


def test_a_code_near_the_space_is_kept_whole(profile: Profile, tmp_path: Path) -> None:
    """What lies beside the coefficients comes back, is drawn by an edit, and is checked."""
    near = replace(FEW, projection=replace(FEW.projection, space="near", steps=10))
    (found,) = restore(profile, [Subject(picture(1, 48))], "invert", near)
    path = tmp_path / "near.safetensors"
    save_code(path, profile, found, aligned=True)
    code = load_code(path, profile)
    assert found.slack is not None
    assert found.slack.any()
    drawn = hull.combine(code.alpha_plus, profile.anchors().astype(np.float64), code.slack)
    np.testing.assert_allclose(drawn, found.w_plus, atol=1e-5)
    edits = [[(find_direction(profile.prior, "yaw"), 1.5)]]
    settings = settings_for(0.02, "stop", near)
    (expected,) = edit_photos(profile, [Subject(picture(1, 48))], edits, settings)
    renderer, task = open_renderer(profile, "torch"), EditTask(edits, settings)
    done = edit_saved(profile, renderer, Subject(picture(1, 48)), code, task)
    np.testing.assert_array_equal(done.frames[0].pixels, expected.frames[0].pixels)
    within = edit_saved(profile, renderer, Subject(picture(1, 48)), replace(code, slack=None), task)
    assert (within.frames[0].pixels != done.frames[0].pixels).mean() > 0.1
    for forged in (found.slack[:-1], np.full_like(found.slack, 1e9), found.slack.astype(np.int64)):
        save_code(path, profile, replace(found, slack=forged), aligned=True)
        with pytest.raises(UsageError, match="cannot be read as a saved code"):
            load_code(path, profile)


def test_an_edit_of_an_upscaled_photo_is_as_large_as_the_result(profile: Profile, tmp_path: Path) -> None:
    """The small photo's code edits the enlarged photo."""
    (found,) = restore(profile, [Subject(picture(2, 8))], "upscale", FEW)
    save_code(tmp_path / "small.safetensors", profile, found, aligned=True)
    code = load_code(tmp_path / "small.safetensors", profile)
    edits = [[(find_direction(profile.prior, "smile"), 1.0)]]
    renderer, task = open_renderer(profile, "torch"), EditTask(edits, settings_for(0.02, "stop", FEW))
    done = edit_saved(profile, renderer, Subject(picture(2, 8)), code, task)
    assert done.frames[0].pixels.shape == (32, 32, 3)


def test_another_photo_is_refused(profile: Profile, saved: Path) -> None:
    """A code is laid over no photo but its own."""
    with pytest.raises(UsageError, match="another photo"):
        load_code(saved, profile).inversion(profile, Subject(picture(3, 48)))


def test_other_anchors_are_refused_and_another_tuning_is_said(profile: Profile, saved: Path) -> None:
    """Coefficients mean nothing over other anchors; after another tuning they still do, nearly."""
    with pytest.raises(UsageError, match="other anchors"):
        load_code(saved, with_digest(profile, "anchors", ANCHORS))
    code = load_code(saved, with_digest(profile, "tune", GENERATOR))
    assert not code.current
    assert "last tuned" in code.inversion(profile, Subject(picture(1, 48))).warnings[0]


def test_what_is_no_code_is_named(profile: Profile, tmp_path: Path) -> None:
    """Other files are refused by name: none, no tensors, other tensors."""
    (tmp_path / "text.safetensors").write_bytes(b"nothing")
    for path in (tmp_path / "none.safetensors", tmp_path / "text.safetensors", profile.path / ANCHORS):
        with pytest.raises(UsageError, match=path.name):
            load_code(path, profile)


def test_codes_outside_the_space_are_not_saved(profile: Profile, tmp_path: Path) -> None:
    """W+ has no coefficients to keep."""
    settings = replace(FEW, projection=ProjectionSettings(space="w+", steps=2))
    (found,) = restore(profile, [Subject(picture(1, 32))], "invert", settings)
    with pytest.raises(UsageError, match="own space"):
        save_code(tmp_path / "x.safetensors", profile, found, aligned=True)
