"""Lists of photos' years: what is understood, whose photos are meant, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mystyle_cli.config import EARLIEST_YEAR, LATEST_YEAR
from mystyle_cli.curate import dates
from mystyle_cli.curate.dates import LARGEST, Dates, read_dates
from mystyle_cli.curate.records import PhotoRecord, Reason
from mystyle_cli.errors import UsageError


@pytest.mark.parametrize(
    "day",
    [
        *("1998", "1998-07-12", "1998:07:12 10:11:12", "12.07.1998", "7/12/1998", "1998-07"),
        *("1998-07-12T10:11:12+02:00", "07/1998", " 1998 ", '"1998"', "1998.07.12 10:11"),
    ],
)
@pytest.mark.parametrize("between", [",", "\t", ";"])
def test_days_are_understood(tmp_path: Path, day: str, between: str) -> None:
    """As cameras, programs and people write them, with or without a heading and a mark of the encoding."""
    for head in ("", "\ufeff", f"name{between}taken\n", "\n"):
        path = tmp_path / "years.csv"
        path.write_text(f"{head}a, b.jpg{between}{day}\n" if between != "," else f"{head}a.jpg,{day}\r\n")
        assert read_dates(path).years == {"a, b.jpg" if between != "," else "a.jpg": 1998}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a.jpg,1998\nb.jpg,19988\n", "line 2"),
        ("a.jpg,1998\nb.jpg,0998\n", "line 2"),
        ("a.jpg,1998\nb.jpg,2999\n", str(LATEST_YEAR)),
        ("a.jpg,1998\nb.jpg,1825\n", str(EARLIEST_YEAR)),
        ("a.jpg,1998\nb.jpg,-1998\n", "line 2"),
        ("a.jpg,1998\nb.jpg,last summer\n", "last summer"),
        ("a.jpg,1998\nb.jpg,１９９８\n", "line 2"),
        ("a.jpg,1998\nb.jpg\n", "line 2"),
        ("a.jpg,1998\n,1998\n", "line 2"),
        ("a.jpg,1998\nb.jpg,1998,2\n", "line 2"),
        ("a.jpg,1998\na.jpg,2001\n", "line 1"),
        ('a.jpg,1998\n"b.jpg,1998\n', "end of data"),
        ("", "no photo"),
        ("name,year\n", "no photo"),
        ("\n\n", "no photo"),
        ("a.jpg," + "1" * 70_000, "characters"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, text: str, named: str) -> None:
    """In one line, which names the line and the value."""
    path = tmp_path / "years.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(UsageError) as refused:
        read_dates(path)
    assert named in refused.value.message
    assert "\n" not in refused.value.message
    assert len(refused.value.message) < 300 + len(str(path))


def test_too_many_photos_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two are no more than two, whatever is said of each again."""
    monkeypatch.setattr(dates, "MOST", 2)
    path = tmp_path / "years.csv"
    path.write_text("a.jpg,1990\nb.jpg,1991\n")
    assert len(read_dates(path).years) == 2
    path.write_text("a.jpg,1990\nb.jpg,1991\nc.jpg,1992\n")
    with pytest.raises(UsageError, match="more than 2 photos"):
        read_dates(path)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    """A folder, what is not there, what is too large, and what is no text."""
    (tmp_path / "large").write_bytes(b"")
    with (tmp_path / "large").open("r+b") as stream:
        stream.truncate(LARGEST + 1)
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    for name in (".", "nothing", "large", "binary"):
        with pytest.raises(UsageError, match=re.escape(str(tmp_path / name))):
            read_dates(tmp_path / name)


@settings(max_examples=80)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_nothing_else_comes_of_any_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """A list of years that can be, or a refusal in one line."""
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(data)
    found, refused = None, ""
    try:
        found = read_dates(path)
    except UsageError as error:
        refused = error.message
    assert refused.isprintable()
    if found is None:
        return
    assert all(year is None or EARLIEST_YEAR <= year <= LATEST_YEAR for year in found.years.values())
    _, said = found.applied([])
    assert all(sentence.isprintable() for sentence in said)


def photo(number: int, file: str, year: int | None = None) -> PhotoRecord:
    """Return a record of a kept photo."""
    return PhotoRecord(f"{number:064x}", file, Reason.KEPT, "kept", year=year)


def test_photos_are_found_by_name_or_digest() -> None:
    """With as many folders as both say, however they are spelled; and a year can be taken away."""
    records = [
        photo(1, "1990/a.jpg"),
        photo(2, "2010/a.jpg", 2011),
        photo(3, "b\u00e4r.jpg"),
        photo(4, "c.jpg", 2015),
        photo(5, "d.jpg"),
        photo(5, "copy of d.jpg"),
    ]
    told = {
        "/home/ada/1990/a.jpg": 1990,
        "2010\\a.jpg": 2010,
        "ba\u0308r.jpg": 1998,
        "c.jpg": None,
        f"{5:064X}": 2005,
    }
    dated, said = Dates(told, "years.csv").applied(records)
    assert [record.year for record in dated] == [1990, 2010, 1998, None, 2005, 2005]
    assert said == []


def test_names_of_no_photo_or_of_several_are_told() -> None:
    """Both change nothing; few of many are named."""
    records = [photo(1, "1990/a.jpg"), photo(2, "2010/a.jpg"), photo(3, "b.jpg")]
    told = {"a.jpg": 1990, **{f"{number}.jpg": 1990 for number in range(9)}, "b.jpg": 1991}
    dated, said = Dates(told, "years.csv").applied(records)
    assert [record.year for record in dated] == [None, None, 1991]
    assert said == [
        "years.csv: no photo of the profile is called: '0.jpg', '1.jpg', '2.jpg' and 6 more",
        "years.csv: more than one photo is called so, write their folders, too: 'a.jpg'",
    ]


def test_a_name_that_is_exactly_one_photos_is_that_ones() -> None:
    """Though others are called so in folders."""
    dated, said = Dates({"a.jpg": 1990}, "years.csv").applied([photo(1, "1990/a.jpg"), photo(2, "a.jpg")])
    assert [record.year for record in dated] == [None, 1990]
    assert said == []


def test_two_names_of_a_photo_agree() -> None:
    """Or neither can be believed."""
    with pytest.raises(UsageError, match="another year"):
        Dates({"b.jpg": 1990, "x/b.jpg": 1991}, "years.csv").applied([photo(3, "b.jpg")])
