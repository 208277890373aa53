"""Years that photos say themselves, where a profile has not asked them yet."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import ExifTags, Image

from mystyle_cli.curate.dates import Dates
from mystyle_cli.curate.records import PhotoRecord, Reason
from mystyle_cli.errors import ProfileError
from mystyle_cli.learn.dating import write_dates, years_in
from mystyle_cli.photos.decode import digests_of


def test_only_photos_without_a_year_are_asked(tmp_path: Path) -> None:
    """What a list has said of the others stays."""
    photos = []
    for number in range(2):
        photos.append(tmp_path / f"{number}.jpg")
        exif = Image.Exif()
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = f"{1990 + number}:05:01 12:00:00"
        Image.new("RGB", (8, 8), (number, 0, 0)).save(photos[-1], exif=exif)
    first, second = digests_of(photos).values()
    records = [SimpleNamespace(sha256=first, year=1980), SimpleNamespace(sha256=second, year=None)]
    found = years_in(photos, SimpleNamespace(records=records))  # type: ignore[arg-type]
    assert found is not None
    assert found.years == {second: 1991}
    assert years_in(photos, SimpleNamespace(records=records[:1])) is None  # type: ignore[arg-type]


def test_a_profile_whose_learning_was_interrupted_is_not_dated() -> None:
    """What is half done would be put in place with it."""
    record = PhotoRecord("0" * 64, "a.jpg", Reason.KEPT, "kept")
    profile: Any = SimpleNamespace(name="ada", records=(record,))
    store: Any = SimpleNamespace(draft=lambda name: SimpleNamespace(learning=True))
    assert write_dates(store, profile, Dates({"b.jpg": 1990}, "years.csv")) != []  # nothing to write
    with pytest.raises(ProfileError, match="learning of profile 'ada' was interrupted"):
        write_dates(store, profile, Dates({"a.jpg": 1990}, "years.csv"))
