"""What is uploaded: bounded, called by checked names, and gone at the end, after a kill too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mystyle_cli.errors import MystyleError, UsageError
from mystyle_cli.files.writing import lock_of
from mystyle_cli.serve import uploads
from mystyle_cli.serve.uploads import open_uploads, safe_name


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own."""
    monkeypatch.setenv("MYSTYLE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def everything(folder: Path) -> set[str]:
    """Return all that is in a folder, but for the lock of all servers."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")} - {"page", "page/.page.lock"}


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("adele.jpg", "adele.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\a.jpg", "a.jpg"),
        ("..", "photo"),
        ("", "photo"),
        (".hidden", "hidden"),
        ("a\x00b\n.jpg", "a_b_.jpg"),
        ("a:b|c?.jpg", "a_b_c_.jpg"),
        ("Ünä 年 (1).jpeg", "Ünä 年 (1).jpeg"),
        ("con\u202egpj.exe", "con_gpj.exe"),
    ],
)
def test_names_are_not_trusted(name: str, safe: str, home: Path) -> None:
    """Whatever a photo is called, it lies in this server's folder, by a name that leads nowhere else."""
    assert safe_name(name) == safe
    with open_uploads() as album:
        album.add(name, b"x")
        (path,) = album.paths()
        assert path.name == safe
        assert path.read_bytes() == b"x"
        assert path.parent.parent.parent == home / "page"
        assert path.stat().st_mode & 0o077 == 0
    assert everything(home) == set()


def test_long_names_and_names_given_twice(home: Path) -> None:
    """Each photo has a name of its own, that every disk takes; so do photos that differ in case only."""
    with open_uploads() as album:
        names = [
            album.add(name, b"x")
            for name in ("a.jpg", "A.jpg", "a.jpg", "年" * 200 + ".jpg", "a" * 300, "a", "a")
        ]
        assert len({name.casefold() for name in names}) == len(names)
        assert max(len(name.encode()) for name in names) <= 100
        assert [path.name for path in album.paths()] == names
        album.clear()
        assert album.paths() == []
        assert not [name for name in everything(home) if "/album" in name]


def test_an_album_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """In photos, in bytes, and by what is left of the disk."""
    monkeypatch.setattr(uploads, "MOST_PHOTOS", 2)
    monkeypatch.setattr(uploads, "MOST_ALBUM", 10)
    with open_uploads() as album:
        with pytest.raises(UsageError, match="GB at most"):
            album.add("a.jpg", bytes(11))
        album.add("a.jpg", b"x")
        album.add("b.jpg", b"x")
        with pytest.raises(UsageError, match="2 photos at most"):
            album.add("c.jpg", b"x")
        album.clear()
        monkeypatch.setattr(uploads, "SPARE", 1 << 60)
        with pytest.raises(MystyleError, match="nearly full"):
            album.add("a.jpg", b"x")


KILLED = """
import os, signal
from mystyle_cli.serve.uploads import open_uploads
with open_uploads() as album:
    album.add("a.jpg", b"x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_cannot_be_removed_is_said_and_nothing_else_goes(home: Path) -> None:
    """Whoever minds the server goes on then; what a link in the album's place leads to is not ours."""
    theirs = home / "theirs"
    with open_uploads() as album:
        album.add("a.jpg", b"x")
        folder = album.paths()[0].parent
        theirs.mkdir()
        (theirs / "a.jpg").write_bytes(b"mine")
        (folder / "a.jpg").unlink()
        folder.rmdir()
        folder.symlink_to(theirs)
        with pytest.raises(MystyleError, match="may be left in"):
            album.clear()
    assert (theirs / "a.jpg").read_bytes() == b"mine"


def test_what_a_killed_server_left_goes_at_the_next_start(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing else: what another server has, and what is not the program's, stays."""
    killed = subprocess.run([sys.executable, "-c", KILLED], env=os.environ, check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = [path for path in (home / "page").iterdir() if path.is_dir()]
    assert (left / "album/a.jpg").exists()
    with monkeypatch.context() as patch:  # another machine may have it, whose locks are not seen here
        patch.setattr(uploads, "lock_fault", lambda folder: f"{folder} is nfs mounted with nolock")
        with open_uploads():
            assert (left / "album/a.jpg").exists()
    mine = home / "page" / "serving-mine"
    mine.mkdir()
    (mine / "lock").touch()
    held = home / "page" / f"serving-{'0' * 16}"
    held.mkdir()
    with lock_of(held / "lock"), open_uploads():
        assert not left.exists()
        assert mine.exists()
        assert held.exists()
    stranger = home / "page" / f"serving-{'1' * 16}"
    stranger.mkdir()
    (stranger / "lock").touch()
    (stranger / "my thesis").write_text("x")
    elsewhere = home / "precious"
    elsewhere.mkdir()
    (elsewhere / "lock").touch()
    (home / "page" / f"serving-{'2' * 16}").symlink_to(elsewhere)
    with open_uploads():
        assert (stranger / "my thesis").exists()
        assert (elsewhere / "lock").exists()
