"""The year that a photo says it was taken in."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from mystyle_cli.photos.decode import decode
from mystyle_cli.photos.taken import year_of


def saved(format: str = "JPEG", **days: str) -> bytes:
    """Return a photo with days in its EXIF data, by their tags' names."""
    exif, stream = Image.Exif(), io.BytesIO()
    for name, day in days.items():
        block = exif if name == "DateTime" else exif.get_ifd(ExifTags.IFD.Exif)
        block[ExifTags.Base[name]] = day
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(stream, format, exif=exif.tobytes())
    return stream.getvalue()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_year_is_when_it_was_taken(format: str) -> None:
    """Not when a copy was made or changed, nor when it was scanned."""
    days = {"DateTime": "2020:01:01 00:00:00", "DateTimeDigitized": "2015:01:01 00:00:00"}
    assert year_of(decode(saved(format, **days)).exif) is None
    assert year_of(decode(saved(format, **days, DateTimeOriginal="1998:07:12 10:11:12")).exif) == 1998


@pytest.mark.parametrize(
    "day",
    ["0000:00:00 00:00:00", "    :  :     :  :  ", "", "9999:01:01", "1700:01:01", "yesterday", "19980712"],
)
def test_a_day_that_cannot_be_is_none(day: str) -> None:
    """As clocks that were never set write it."""
    assert year_of(decode(saved(DateTimeOriginal=day)).exif) is None


def test_damaged_data_says_nothing(tmp_path: Path) -> None:
    """Nor does a photo without any; the file's own time has no say."""
    block = decode(saved(DateTimeOriginal="1998:07:12 10:11:12")).exif
    assert block is not None
    for data in (None, b"", b"Exif\0\0", block[:20], block[:-30], b"\xff" * 99):
        assert year_of(data) in (None, 1998)
    assert year_of(None) is None
