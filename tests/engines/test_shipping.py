"""What is sent to machines that do not see the driver's files: known by its digest, private, and gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mystyle_cli.engines import shipping
from mystyle_cli.engines.shipping import LOCK, NAMES, Hold, Label, Parcel, remove, sweep
from mystyle_cli.errors import MystyleError
from mystyle_cli.files.owned import PASSING, UnsafeNameError
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no Ray cluster there has other systems")


@pytest.fixture(autouse=True)
def _holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Holds lie in this test's folder."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return


def hold() -> Hold:
    """Return a hold to which content is sent as it is."""
    return Hold.made(lambda place: place)


def sent(**files: bytes) -> list[Parcel]:
    """Return parcels; in their names `__` stands for `/`."""
    return [Parcel.sent(name.replace("__", "/"), data, lambda data: data) for name, data in files.items()]


@pytest.mark.parametrize("arrived", [b"abd", b"ab", b"abcd", b"", None, "abc"])
def test_what_is_not_what_was_sent_is_refused(arrived: object) -> None:
    """A byte that was swapped, or content that was cut off or grew."""
    label = Label.of("a.png", b"abc")
    assert label.checked(b"abc") == b"abc"
    with pytest.raises(MystyleError, match=r"a\.png has not arrived as it was sent"):
        label.checked(arrived)


def test_a_hold_is_private_and_goes_with_its_process(tmp_path: Path) -> None:
    """Files lie at their names, for this user only; when the process is killed, nothing is left."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    worker = subprocess.Popen(
        [sys.executable, script, tmp_path], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert worker.stdout is not None
    folder = Path(worker.stdout.readline().strip())
    assert folder.parent == tmp_path
    there = [path for path in (folder, *folder.rglob("*"))]
    assert {path.stat().st_mode & 0o077 for path in there} == {0}
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in there if path.is_file()}
    assert {name: files[name] for name in ("store/ada/faces/1.png", "b")} == {
        "store/ada/faces/1.png": b"face",
        "b": b"",
    }
    sweep(tmp_path)
    assert folder.exists()  # its worker lives
    os.killpg(worker.pid, signal.SIGKILL)  # as some end what a worker has started, too
    worker.wait()
    wait_until(lambda: [path.name for path in tmp_path.iterdir()] == ["worker.py"])


WORKER = """
import sys, tempfile, time
from mystyle_cli.engines.shipping import Hold, Parcel
tempfile.tempdir = sys.argv[1]
hold = Hold.made(lambda place: place)
files = {"store/ada/faces/1.png": b"face", "b": b""}
print(hold.keep([Parcel.sent(name, data, lambda data: data) for name, data in files.items()]), flush=True)
time.sleep(600)
"""


def test_what_has_no_room_or_is_torn_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is said, before anything is written or instead of it."""
    there = hold()
    torn = [replace(parcel, place=b"x") for parcel in sent(a=b"abc")]
    with pytest.raises(MystyleError, match="a has not arrived as it was sent"):
        there.keep(torn)
    assert not (there.folder / "a").exists()
    large = [replace(parcel, label=replace(parcel.label, size=1 << 60)) for parcel in sent(a=b"abc")]
    with pytest.raises(MystyleError, match="GB would lie there"):
        there.keep(large)


@pytest.mark.parametrize("name", ["../a", "/etc/a", "a/../../b", "a\0b", "", "a\\b", "x" * 300])
def test_hostile_names_are_kept_nowhere(tmp_path: Path, name: str) -> None:
    """Nothing is written for any, not even for those before it."""
    there = hold()
    before = {path for path in tmp_path.rglob("*")}
    with pytest.raises(UnsafeNameError):
        there.keep([*sent(good=b"abc"), Parcel.sent(name, b"abc", lambda data: data)])
    assert {path for path in tmp_path.rglob("*")} == before


def left_by_a_killed_worker(tmp_path: Path, names: object) -> Path:
    """Make what a worker leaves that was killed together with what watches it."""
    folder = tmp_path / f"mystyle-hold-{0:016x}"
    (folder / "store/ada").mkdir(parents=True)
    (folder / "store/ada/profile.toml").write_text("profile")
    (folder / LOCK).touch()
    (folder / NAMES).write_text(names if isinstance(names, str) else json.dumps(names))
    return folder


def test_what_killed_workers_left_goes_when_the_next_comes(tmp_path: Path) -> None:
    """By the names that are written there; also what the removal left that was killed."""
    folder = left_by_a_killed_worker(tmp_path, ["store/ada/profile.toml"])
    passing = tmp_path / f"{PASSING}mystyle-hold-{1:016x}"
    passing.mkdir()
    (passing / LOCK).touch()
    there = hold()
    assert not folder.exists()
    assert not passing.exists()
    assert there.folder.exists()


def test_what_is_another_user_s_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where this user is root, who could remove it."""
    folder = left_by_a_killed_worker(tmp_path, ["store/ada/profile.toml"])
    passing = tmp_path / f"{PASSING}mystyle-hold-{1:016x}"
    passing.mkdir()
    (passing / LOCK).touch()
    before = {*tmp_path.rglob("*")}
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        sweep(tmp_path)
    assert {*tmp_path.rglob("*")} == before
    sweep(tmp_path)
    assert not folder.exists()


def test_a_hold_that_another_worker_makes_now_stays(tmp_path: Path) -> None:
    """Its folder is there an instant before its lock is."""
    folder = tmp_path / f"mystyle-hold-{0:016x}"
    folder.mkdir(0o700)
    sweep(tmp_path)
    assert folder.exists()
    assert not [*folder.iterdir()]  # no lock of this process's either


def test_the_names_are_there_before_the_files(tmp_path: Path) -> None:
    """So that what a worker has kept until it is killed can be removed by them."""
    there, seen = hold(), []

    def fetch(place: object) -> bytes:
        seen.append(json.loads((there.folder / NAMES).read_text()))
        return bytes(place)  # type: ignore[call-overload, no-any-return]

    there.fetch = fetch
    there.keep(sent(a=b"1", b__c=b"2"))
    assert seen == [["a", "b/c"]] * 2


def test_nothing_is_swept_where_locks_of_others_are_not_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hold that is not held here may be one of another machine's."""
    folder = left_by_a_killed_worker(tmp_path, ["store/ada/profile.toml"])
    monkeypatch.setattr(shipping, "lock_fault", lambda folder: f"{folder} is nfs mounted with nolock")
    sweep(tmp_path)
    assert (folder / "store/ada/profile.toml").exists()


@pytest.mark.parametrize("names", [["../mine"], ["store/ada/other"], "torn [", {"a": 1}, [3], []])
def test_sweeping_does_no_harm(tmp_path: Path, names: object) -> None:
    """Whatever lies in a folder of that name: what is not listed, or outside, stays."""
    (tmp_path / "mine").write_text("mine")
    folder = left_by_a_killed_worker(tmp_path, names)
    sweep(tmp_path)
    assert (tmp_path / "mine").read_text() == "mine"
    assert (folder / "store/ada/profile.toml").read_text() == "profile"


def test_sweeping_follows_no_link(tmp_path: Path) -> None:
    """Neither one that is called as a hold is, nor one in a hold."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / LOCK).touch()
    (mine / NAMES).write_text('["a"]')
    (mine / "a").write_text("mine")
    (tmp_path / f"mystyle-hold-{2:016x}").symlink_to(mine)
    folder = left_by_a_killed_worker(tmp_path, ["store/ada/profile.toml", "store/away/a"])
    (folder / "store/away").symlink_to(mine)
    remove(tmp_path / f"mystyle-hold-{2:016x}")
    sweep(tmp_path)
    assert (mine / "a").read_text() == "mine"
    assert (folder / "store/away").is_symlink()


def test_no_code_of_others_runs_that_lies_beside_a_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody may write to a temporary directory, and an empty place in PYTHONPATH is the current one."""
    for name in ("mystyle_cli", "filelock"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep + os.pathsep.join(sys.path))
    there = hold()
    there._watch.close()
    there._lock.release()
    wait_until(lambda: not there.folder.exists())
    assert not (tmp_path / "ran").exists()


def test_a_hold_that_is_swept_as_it_is_made_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody may take its lock in the instant before its worker does."""
    real, swept = shipping.lock_of, []

    def lock_of(path: Path) -> Any:
        lock = real(path)
        if not swept:
            acquire = lock.acquire
            monkeypatch.setattr(lock, "acquire", lambda **named: (acquire(**named), sweep_it(path)))
        return lock

    def sweep_it(path: Path) -> None:
        path.unlink()
        path.parent.rmdir()
        swept.append(path.parent)

    monkeypatch.setattr(shipping, "lock_of", lock_of)
    there = hold()
    assert there.folder.is_dir()
    assert swept not in ([], [there.folder])


def test_nobody_to_remove_a_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what would do so does not start, nothing is sent there."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(MystyleError, match="nobody would remove"):
        hold()
