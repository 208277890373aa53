"""By what a generator tuned on a photo is found again, and what is believed of a kept one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mystyle_cli.edit.refined import Refiner, _figure, saved, searched
from mystyle_cli.errors import ProfileError
from mystyle_cli.find.locate import Subject
from mystyle_cli.person.profile import Profile
from mystyle_cli.projection.settings import ProjectionSettings
from mystyle_cli.restore.restore import restore
from mystyle_cli.restore.task import Restoration, RestoreSettings
from mystyle_cli.tuning.refining import RefineSettings
from tests.support.tiny_store import make_store, picture

SEARCH = RestoreSettings(ProjectionSettings(steps=1), start="centre", aligned=True, force=True)


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory, tiny_prior: Path) -> Profile:
    """A tuned profile."""
    return make_store(tmp_path_factory.mktemp("store"), tiny_prior).open("ada")


@pytest.fixture(scope="module")
def photos(profile: Profile) -> list[Restoration]:
    """Two photos as they were inverted."""
    return restore(profile, [Subject(picture(number, 32)) for number in (40, 41)], "invert", SEARCH)


def test_another_photo_code_or_way_has_its_own(profile: Profile, photos: list[Restoration]) -> None:
    """Each has a name of its own, and the same has the same."""
    plain = Refiner(profile)
    names = [plain._name(photo, code) for photo in photos for code in ("one", "other")]
    names += [
        Refiner(profile, settings=settings)._name(photos[0], "one")
        for settings in (RefineSettings(steps=3), RefineSettings(locality=0.5), RefineSettings(seed=1))
    ]
    assert len(set(names)) == len(names)
    assert Refiner(profile)._name(photos[0], "one") == names[0]


def test_a_code_is_told_by_all_that_it_was_searched_with(profile: Profile, photos: list[Restoration]) -> None:
    """By steps, dilation, start, seed of a random one, and quality; a saved one by itself."""
    ways = [
        SEARCH,
        replace(SEARCH, projection=ProjectionSettings(steps=2)),
        replace(SEARCH, projection=ProjectionSettings(steps=1, beta=0.1)),
        replace(SEARCH, start="encoder"),
        replace(SEARCH, start="random"),
        replace(SEARCH, start="random", seed=1),
        replace(SEARCH, start="auto"),
        replace(SEARCH, start="auto", quality="fast"),
    ]
    assert len({searched(profile, way) for way in ways}) == len(ways)
    assert searched(profile, replace(SEARCH, seed=1)) == searched(profile, SEARCH)  # nothing is drawn
    assert saved(photos[0]) != saved(photos[1])
    again = replace(photos[0], alpha_plus=np.array(photos[0].alpha_plus))
    assert saved(again) == saved(photos[0])


@pytest.mark.parametrize("value", ["-1", "inf", "nan", "many", None])
def test_figures_of_a_kept_one_are_believed_in_bounds(value: str | None) -> None:
    """What is no number from 0 on is damage."""
    with pytest.raises(ProfileError, match="damaged"):
        _figure({} if value is None else {"steps": value}, "steps")
    assert _figure({"steps": "12"}, "steps") == 12
