"""Folders of the program's: whatever is asked of one, only what the program made in it is touched."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from mystyle_cli.files import owned as module
from mystyle_cli.files import places, reading, writing
from mystyle_cli.files.owned import Owned
from mystyle_cli.files.reading import StrangeFileError, read_file
from mystyle_cli.files.writing import lock_of
from mystyle_cli.person.layout import owned
from tests.support.belongings import HOSTILE, INSIDE, Belongings, mine

FILE = "faces/0001.png"

ACTS: dict[str, Callable[[Owned], object]] = {
    "write": lambda here: here.write(FILE, b"new"),
    "remove": lambda here: here.remove(FILE),
    "move in": lambda here: here.move("photos.jsonl", FILE),
    "move out": lambda here: here.move(FILE, "photos.jsonl"),
    "clear": lambda here: here.clear("faces"),
    "clear all": lambda here: here.clear(),
    "vanish": lambda here: here.vanish((".mystyle",)),
    "remove the folder": lambda here: here.remove_empty("faces"),
}


@pytest.fixture(params=["descriptors", "paths"])
def here(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Owned:
    """A profile's folder with two files of the program's, on systems of both kinds."""
    if request.param == "paths":
        monkeypatch.setattr(places, "GUARDED", False)
        monkeypatch.setattr(module, "GUARDED", False)
        monkeypatch.setattr(writing, "GUARDED", False)
    made = owned(tmp_path / "ada")
    made.make(".mystyle", b"")
    made.write("photos.jsonl", b"old")
    return made


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("linked", ["faces", "."])
def test_a_link_in_a_folder_s_place_is_never_followed(
    here: Owned, tmp_path: Path, linked: str, act: str
) -> None:
    """However late it was put there: nothing looks beforehand in this test."""
    target = tmp_path / "elsewhere"
    kept = Belongings(*(mine(target / name) for name in ("0001.png", FILE, "photos.jsonl", ".mystyle")))
    (target / "empty").mkdir()
    place = here.path / "faces"
    if linked == ".":
        os.rename(here.path, tmp_path / "moved")
        place = here.path
    place.symlink_to(target)
    before = sorted(target.rglob("*"))
    with suppress(OSError):
        ACTS[act](here)
    kept.check(act)
    assert sorted(target.rglob("*")) == before


@pytest.mark.parametrize("name", [*HOSTILE, *INSIDE])
def test_files_of_other_names_are_neither_written_nor_removed(here: Owned, tmp_path: Path, name: str) -> None:
    """Names that lead elsewhere and names that the program does not give are refused, or nothing's."""
    place = tmp_path / "mine" if name == "/nowhere/mine" else here.path / name
    name = str(place) if name == "/nowhere/mine" else name
    with suppress(OSError, ValueError):  # most of these can be no file's name
        mine(place)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match="name"):
        here.write(name, b"x")
    with suppress(ValueError):
        assert not here.remove(name)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("kind", ["content", "another name", "link", "folder"])
def test_what_is_no_lock_is_taken_for_none(tmp_path: Path, kind: str) -> None:
    """Taking a lock empties its file: one with content, of several names or behind a link is the user's."""
    path, other = tmp_path / "ada.lock", mine(tmp_path / "mine.txt")
    if kind == "content":
        mine(path)
    elif kind == "another name":
        (tmp_path / "empty").touch()
        os.link(tmp_path / "empty", path)
    elif kind == "link":
        path.symlink_to(other)
    else:
        path.mkdir()
    kept = Belongings(*(file for file in tmp_path.iterdir() if file.is_file()))
    with pytest.raises(OSError, match="not a lock"):
        lock_of(path)
    kept.check(kind)


def test_a_file_that_grows_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its size is looked at once more when it has been read, and no more than that is."""
    path = mine(tmp_path / "growing")
    monkeypatch.setattr(reading, "_refuse_strange", lambda *_: None)  # as though it had been small then
    assert read_file(path, 10_000) == path.read_bytes()
    with pytest.raises(StrangeFileError, match="more than 10 bytes"):
        read_file(path, 10)


def test_a_link_in_a_file_s_place_stays(here: Owned, tmp_path: Path) -> None:
    """It is the user's, whatever it leads to; a file of the program's goes."""
    (here.path / "faces").mkdir()
    (here.path / FILE).symlink_to(mine(tmp_path / "mine.png"))
    assert not here.remove(FILE)
    assert (here.path / FILE).is_symlink()
    assert here.remove("photos.jsonl")
    assert not here.remove("photos.jsonl")
