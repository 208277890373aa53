"""From what was typed to inputs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mystyle_cli.errors import UsageError
from mystyle_cli.terminal.inputs import Input, expand, expand_paths, left_out


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A folder of photos with a folder below, a hidden file and a text file."""
    for name in ("b.jpg", "a.png", "notes.txt", ".hidden.jpg", "year/c.HEIC"):
        path = tmp_path / "album" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "album"


def names(inputs: list[Input]) -> list[str]:
    """Return the inputs' places."""
    return [item.relative.as_posix() for item in inputs]


def test_folder_is_sorted_and_shallow(album: Path) -> None:
    """A folder gives its pictures in a stable order, without hidden files and other kinds."""
    assert names(expand([str(album)], recursive=False)) == ["a.png", "b.jpg"]


def test_folder_keeps_its_tree(album: Path) -> None:
    """With --recursive the folders below are searched and their names kept."""
    assert names(expand([str(album)], recursive=True)) == ["a.png", "b.jpg", "year/c.HEIC"]


def test_own_patterns(album: Path) -> None:
    """Patterns that the shell left alone are expanded, `**` included, and keep the tree below."""
    assert names(expand([f"{album}/**/*.*"], recursive=False)) == ["a.png", "b.jpg", "year/c.HEIC"]
    assert names(expand([f"{album}/?.jpg"], recursive=False)) == ["b.jpg"]


def test_a_pattern_below_a_folder_with_wildcards_in_its_name(tmp_path: Path) -> None:
    """Folders that exist are taken by their names, whatever letters these have; the rest is the pattern."""
    for place in ("al [x]/a.png", "al [x]/b?*/c.png"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(b"x")
    assert names(expand([f"{tmp_path}/al [x]/*.png"], recursive=False)) == ["a.png"]
    assert names(expand([f"{tmp_path}/al [x]/b?*/*.png"], recursive=False)) == ["c.png"]
    assert names(expand([f"{tmp_path}/al*/*/*.png"], recursive=False)) == ["al [x]/b?*/c.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_linked_folders_are_searched_once(album: Path) -> None:
    """A link to a folder is a folder like others; one that leads back above is not followed for ever."""
    elsewhere = album.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "d.png").write_bytes(b"x")
    (album / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(album)
    found = ["a.png", "b.jpg", "linked/d.png", "year/c.HEIC"]
    assert names(expand([str(album)], recursive=True)) == found
    (album.parent / "album2").symlink_to(album)
    assert names(expand([str(album.parent / "album2")], recursive=True)) == found


def test_what_a_folder_holds_besides_pictures_is_told(album: Path) -> None:
    """Files that are passed over are counted by kind, also where no picture is among them."""
    assert left_out([str(album)], recursive=False).startswith(
        "1 file is left out as not called a picture: 1 .txt"
    )
    for name in ("d.dng", "e.dng", "scan", "year/f.jxl"):
        (album / name).write_bytes(b"x")
    told = left_out([str(album)], recursive=True)
    assert told.startswith("5 files are left out")
    for part in ("2 .dng", "1 .jxl", "1 without an ending", "1 .txt"):
        assert part in told
    assert ".jxl" not in left_out([str(album)], recursive=False)
    assert left_out([str(album / "d.dng"), f"{album}/*.jpg", "-"], recursive=True) == ""
    (album.parent / "raw").mkdir()
    (album.parent / "raw" / "g.dng").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"no pictures there; 1 file is left out .* 1 \.dng"):
        expand([str(album.parent / "raw")], recursive=False)


def test_each_input_once(album: Path) -> None:
    """A file that is named and found is worked on once, at its first place."""
    found = expand([str(album / "b.jpg"), str(album)], recursive=False)
    assert names(found) == ["b.jpg", "a.png"]


def test_empty_folder_and_pattern_are_errors(tmp_path: Path) -> None:
    """A folder or pattern without pictures is a mistake to be told of, not silence."""
    for argument in (str(tmp_path), f"{tmp_path}/*.jpg"):
        with pytest.raises(UsageError, match="no pictures"):
            expand([argument], recursive=True)


def test_a_file_with_wildcard_characters_in_its_name(tmp_path: Path) -> None:
    """A name such as `a[1].jpg` means the file of that name when there is one."""
    path = tmp_path / "a[1].jpg"
    path.write_bytes(b"x")
    assert expand([str(path)], recursive=False) == [Input(path, Path("a[1].jpg"))]


def test_a_missing_file_stays_in_the_list(tmp_path: Path) -> None:
    """One name that is wrong fails alone later and does not stop the others here."""
    assert len(expand([str(tmp_path / "no.jpg"), "-"], recursive=False)) == 2


def test_paths_refuse_standard_input() -> None:
    """Where a folder of photos is learned from, `-` makes no sense."""
    with pytest.raises(UsageError, match="standard input"):
        expand_paths(["-"], recursive=False)
