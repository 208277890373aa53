"""How a worker tells whether it sees the files that the driver sees."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mystyle_cli.engines import sharing
from mystyle_cli.engines.sharing import Sight, sign_in


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A folder of logs, a photo and a folder of results, on one file system."""
    for name in ("logs", "in", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "in/a.png").write_text("photo")
    return tmp_path


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is only one file system here")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def seen(store: Path, *places: Path) -> bool:
    """Tell whether a worker here sees what the driver does."""
    with sign_in(store / "logs", places) as sign:
        return sign.missing() is None


def test_on_one_machine_it_is_the_very_file(store: Path) -> None:
    """Whatever file system it is on; a copy that looks like it is another."""
    photo, results = store / "in/a.png", store / "out"
    assert seen(store, photo, results)
    with sign_in(store / "logs", [photo, results]) as sign:
        shutil.copy2(photo, store / "copy")
        os.replace(store / "copy", photo)
        assert "does not see the photos" in str(sign.missing())
    with sign_in(store / "logs", [results]) as sign:
        results.rename(store / "other")
        assert sign.missing() is not None
        results.mkdir()
        assert sign.missing() is not None
    assert seen(store, results, store / "not there")


def test_on_another_machine_it_is_told_by_what_lies_beside(
    store: Path, other_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sign's file system is the driver's, and so is that of a photo of the same number, size and time."""
    photo, results = store / "in/a.png", store / "out"

    def there(*places: Path) -> bool:
        with sign_in(store / "logs", places) as sign, monkeypatch.context() as patch:
            patch.setattr(sharing, "_machine", lambda: "another")
            return sign.missing() is None

    assert there(photo, results)
    assert not there(photo, other_disk)  # which may be a disk of each machine's own
    (other_disk / "b.png").write_text("photo")
    assert there(photo, other_disk, other_disk / "b.png")
    with sign_in(store / "logs", [photo]) as sign, monkeypatch.context() as patch:
        patch.setattr(sharing, "_machine", lambda: "another")
        os.utime(photo, ns=(1, 1))
        assert sign.missing() is not None


def test_nothing_is_seen_where_the_sign_is_not(store: Path) -> None:
    """However much alike the rest is."""
    sight = Sight.of([store / "out"])
    assert not sight.is_shared(store / "logs" / "gone")
