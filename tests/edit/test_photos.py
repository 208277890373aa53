"""Photos edited end to end, on a profile with random weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mystyle_cli.edit.directions import find_direction
from mystyle_cli.edit.edit import edit
from mystyle_cli.edit.photos import EditSettings, edit_photos, settings_for, sweep_edits
from mystyle_cli.errors import DecodeError, UsageError
from mystyle_cli.find.locate import Subject
from mystyle_cli.projection.settings import ProjectionSettings
from mystyle_cli.restore.task import RestoreSettings
from tests.support.tiny_store import make_store, picture

FEW = RestoreSettings(projection=ProjectionSettings(steps=6), aligned=True)


@pytest.fixture(scope="module")
def profile(tmp_path_factory, tiny_prior):
    """A profile of a 32 px prior with random weights."""
    return make_store(tmp_path_factory.mktemp("store"), tiny_prior).open("ada")


def test_a_sweep_gives_a_frame_for_each_strength(profile):
    """Each frame is the edit of the inversion, rendered and pasted, with its figures."""
    yaw, smile = (find_direction(profile.prior, name) for name in ("yaw", "smile"))
    edits = sweep_edits(yaw, [-2.0, 0.0, 2.0], with_=[(smile, 1.0)])
    settings = settings_for(0.02, "stop", FEW)
    (done,) = edit_photos(profile, [Subject(picture(1, 48))], edits, settings)
    assert done.error is None
    assert [frame.strengths["yaw"] for frame in done.frames] == [-2, 0, 2]
    for frame, strengths in zip(done.frames, edits, strict=True):
        expected = edit(profile.anchors(), done.inversion.alpha_plus, strengths, 0.02)
        np.testing.assert_array_equal(frame.edited.alpha_plus, expected.alpha_plus)
        assert frame.pixels.shape == (48, 48, 3)
        assert frame.face.shape == (32, 32, 3)
        assert frame.edited.least_dilation <= 0.02 + 1e-9
        assert -1 <= frame.id_score <= 1


def test_an_edit_of_nothing_is_the_inversion(profile):
    """Strength 0 gives the inverted photo back."""
    yaw = find_direction(profile.prior, "yaw")
    (done,) = edit_photos(profile, [Subject(picture(1, 32))], [[(yaw, 0.0)]], settings_for(0.02, "stop", FEW))
    difference = done.frames[0].pixels.astype(int) - done.inversion.pixels.astype(int)
    assert np.abs(difference).max() <= 1


def test_a_bad_photo_stops_no_other(profile):
    """Its error is its own."""
    yaw = find_direction(profile.prior, "yaw")
    subjects = [Subject(b"no picture"), Subject(picture(1, 32))]
    bad, good = edit_photos(profile, subjects, [[(yaw, 1.0)]], EditSettings(restore=FEW))
    assert isinstance(bad.error, DecodeError)
    assert good.error is None


def test_senseless_requests_are_refused(profile):
    """No edit, or a space without a hull."""
    yaw = find_direction(profile.prior, "yaw")
    with pytest.raises(UsageError, match="nothing to edit"):
        edit_photos(profile, [Subject(picture(1, 32))], [])
    restoring = replace(FEW, projection=ProjectionSettings(space="w+", steps=2))
    with pytest.raises(UsageError, match="own space"):
        edit_photos(profile, [Subject(picture(1, 32))], [[(yaw, 1.0)]], EditSettings(restore=restoring))
