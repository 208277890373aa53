"""The store: names, locks, and that a kill at any instant leaves the old profile or the new one."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mystyle_cli.errors import ProfileError, UsageError
from mystyle_cli.files.owned import Owned
from mystyle_cli.files.paths import check_name
from mystyle_cli.files.reading import open_file
from mystyle_cli.files.writing import lock_of
from mystyle_cli.person.files import write_whole
from mystyle_cli.person.layout import MARKER, place_of
from mystyle_cli.person.manifest import NAME, Manifest, read_manifest
from mystyle_cli.person.migrations import FORMAT, Migration, migrate
from mystyle_cli.store import locks as store_locks
from mystyle_cli.store.locks import LOCKS
from mystyle_cli.store.store import Store
from tests.support.effort import HANGS
from tests.support.versions import MARK, NEW, OLD, manifest_of, put


def content_of(folder: Path) -> dict[str, str]:
    """Return the texts of a profile's data files by name, as a reader would find them."""
    listed = read_manifest(folder).digests()
    for name, digest in listed.items():
        assert hashlib.sha256(place_of(folder, name).read_bytes()).hexdigest() == digest, name
    return {name: place_of(folder, name).read_text() for name in listed}


@pytest.mark.parametrize("name", ["adele", "Zoë", "a", "2024", "jean-luc_p.2", "x" * 64, "李雷"])
def test_good_names_are_kept(name: str) -> None:
    """Ordinary names of any script are taken as they are."""
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "a\\b", ".hidden", "-x", "a ", "a:b", "nul", "COM1.txt", "x" * 65, "a.", "a\0"],
)
def test_bad_names_are_refused(name: str) -> None:
    """Names that would leave the store, hide or break on another system are refused with the reason."""
    with pytest.raises(UsageError, match="cannot be a profile's name"):
        check_name(name)


@given(st.text(max_size=80))
def test_an_accepted_name_is_one_folder_inside_the_store(name: str) -> None:
    """Whatever is accepted names a direct child of the store's folder."""
    try:
        path = Path("/store") / check_name(name)
    except UsageError:
        return
    assert path.resolve().parent == Path("/store")
    assert check_name(path.name) == path.name


def test_a_new_version_replaces_the_old_one_and_its_leftovers(tmp_path: Path) -> None:
    """After a change the folder holds the new files and none that only the old version had."""
    store = Store(tmp_path)
    put(store, "adele", OLD)
    assert content_of(tmp_path / "adele") == OLD
    put(store, "adele", NEW)
    assert content_of(tmp_path / "adele") == NEW
    folder = tmp_path / "adele"
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert there == {*NEW, NAME, MARKER}


def test_listing_tells_states_apart(tmp_path: Path) -> None:
    """Ready, untuned, unfinished and damaged profiles are told apart, and other folders are not listed."""
    store = Store(tmp_path)
    assert store.entries() == []
    put(store, "ready", NEW)
    put(store, "untuned", OLD)
    put(store, "damaged", OLD)
    (tmp_path / "damaged" / NAME).write_text("format = [")
    with store.locked("unfinished"):
        store.draft("unfinished").finish("curate", "x", {}, {})
    (tmp_path / "photos").mkdir()
    assert store.names() == ["damaged", "ready", "unfinished", "untuned"]
    assert all(entry.state == entry.name for entry in store.entries())


def test_missing_profile_is_an_error_that_names_those_there_are(tmp_path: Path) -> None:
    """Opening a name that is not there says which names are."""
    store = Store(tmp_path)
    put(store, "adele", OLD)
    with pytest.raises(ProfileError, match=r"no profile 'adela'.*there: adele"):
        store.open("adela")


def test_rename_and_delete(tmp_path: Path) -> None:
    """A renamed profile keeps its content; a deleted one leaves nothing of the person behind."""
    store = Store(tmp_path)
    put(store, "adele", OLD)
    put(store, "other", NEW)
    with pytest.raises(ProfileError, match="already"):
        store.rename("adele", "other")
    store.rename("adele", "Adele")
    assert store.names() == ["Adele", "other"]
    assert content_of(store.path("Adele")) == OLD
    store.delete("Adele")
    assert store.names() == ["other"]
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".locks")] == ["other"]


def test_names_that_differ_only_in_case_are_refused(tmp_path: Path) -> None:
    """`Adele` beside `adele` would be one folder on many systems."""
    store = Store(tmp_path)
    put(store, "adele", OLD)
    with store.locked("Adele"), pytest.raises(ProfileError, match="only in case"):
        store.draft("Adele")


def test_verify_names_every_damaged_file(tmp_path: Path) -> None:
    """Changed and missing files are each reported."""
    store = Store(tmp_path)
    put(store, "adele", OLD)
    (tmp_path / "adele/faces/0001.png").write_text("x")
    (tmp_path / "adele/anchors.safetensors").unlink()
    problems = [problem.message for problem in store.verify("adele")]
    assert len(problems) == 2
    assert any("0001.png has changed" in problem for problem in problems)
    assert any("anchors.safetensors is missing" in problem for problem in problems)


def test_verify_refuses_a_file_outside_the_profile(tmp_path: Path) -> None:
    """A manifest from elsewhere cannot make us read files outside its folder."""
    store = Store(tmp_path)
    put(store, "adele", OLD)
    path = tmp_path / "adele" / NAME
    path.write_text(path.read_text().replace('"faces/0001.png"', '"../../secret"'))
    assert any("outside the profile" in problem.message for problem in store.verify("adele"))


@pytest.mark.parametrize(
    ("file", "remedy"),
    [("faces/0001.png", "mystyle profile create adele"), ("onnx/synthesis.onnx", "mystyle tune adele")],
)
def test_verify_says_what_makes_a_file_whole_again(tmp_path: Path, file: str, remedy: str) -> None:
    """What curation kept comes from the photos; what learning made of it, tuning makes anew."""
    store = Store(tmp_path)
    with store.locked("adele"):
        draft = store.draft("adele")
        draft.finish("curate", "c", draft.write("faces/0001.png", b"p"), {})
        draft.finish("export", "e", draft.write("onnx/synthesis.onnx", b"e"), {})
        draft.commit(manifest_of(draft))
    (tmp_path / "adele" / file).unlink()
    [problem] = store.verify("adele")
    assert remedy in problem.hint
    entry = store.entry("adele")
    assert (entry.state, entry.detail) == ("damaged", f"missing: {file}")
    assert "mystyle profile verify adele" in entry.hint


def refuse_to_read(monkeypatch: pytest.MonkeyPatch, closed: Path) -> None:
    """Let the system refuse to open a file, or anything in a folder, as it does to others than root."""

    def checked(call: Callable[..., Any]) -> Callable[..., Any]:
        def run(path: Path, *args: Any, **kwargs: Any) -> Any:
            if path == closed or closed in path.parents:
                raise PermissionError(13, "Permission denied", str(path))
            return call(path, *args, **kwargs)

        return run

    monkeypatch.setattr("mystyle_cli.files.reading.open_file", checked(open_file))
    if closed.is_dir():
        monkeypatch.setattr(os, "lstat", checked(os.lstat))


@pytest.mark.parametrize("closed", ["profile.toml", "photos.jsonl", "."])
def test_what_may_not_be_read_is_one_profiles_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    """A file or folder without permission is named with what to do; the other profiles are not hidden."""
    store = Store(tmp_path)
    put(store, "adele", OLD)
    put(store, "other", OLD)
    refuse_to_read(monkeypatch, tmp_path / "adele" / closed)
    states = {entry.name: entry.state for entry in store.entries()}
    assert states == {"adele": "untuned" if closed == "photos.jsonl" else "damaged", "other": "untuned"}
    [problem] = store.verify("adele")
    assert isinstance(problem, ProfileError)
    assert str(tmp_path / "adele") in problem.message
    assert "cannot be read: Permission denied" in problem.message
    assert "permissions" in problem.hint
    with pytest.raises(ProfileError, match="Permission denied"):
        store.open("adele").file("photos.jsonl")


def test_a_store_that_may_not_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of profiles itself without permission is named."""
    monkeypatch.setattr(Path, "iterdir", lambda path: os.scandir(path / "file"))
    (tmp_path / "file").write_text("")
    with pytest.raises(ProfileError, match="cannot be read"):
        Store(tmp_path).names()


def test_what_delete_leaves_behind_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that cannot be removed: the folder that they are left in and the next step are told."""
    store = Store(tmp_path)
    put(store, "adele", OLD)

    def refuse(here: Owned, name: str) -> bool:
        raise PermissionError(13, "Permission denied", name)

    with monkeypatch.context() as patch:
        patch.setattr(Owned, "remove", refuse)
        with pytest.raises(ProfileError, match=r"counts as deleted.*Permission denied") as caught:
            store.delete("adele")
    assert str(tmp_path / "adele") in caught.value.message
    assert "mystyle profile delete adele" in caught.value.hint
    [entry] = store.entries()
    assert (entry.name, entry.state) == ("adele", "deleting")
    assert "mystyle profile delete adele" in entry.hint
    with pytest.raises(ProfileError, match="is being deleted"):
        store.open("adele")
    assert store.delete("adele") == []
    assert store.names() == []


def test_a_profile_that_cannot_be_deleted_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where not even the deletion can be noted, nothing is removed, and that is said."""
    store = Store(tmp_path)
    put(store, "adele", OLD)

    def refuse(here: Owned, name: str, data: bytes) -> None:
        raise PermissionError(13, "Permission denied", name)

    monkeypatch.setattr(Owned, "write", refuse)
    with pytest.raises(ProfileError, match="is as it was: Permission denied"):
        store.delete("adele")
    assert content_of(tmp_path / "adele") == OLD


def test_newer_format_is_refused(tmp_path: Path) -> None:
    """A profile written by a later version is refused, not guessed at."""
    store = Store(tmp_path)
    put(store, "adele", OLD)
    path = tmp_path / "adele" / NAME
    path.write_text(path.read_text().replace(f"format = {FORMAT}", f"format = {FORMAT + 1}"))
    with pytest.raises(ProfileError, match="newer mystyle") as caught:
        store.open("adele")
    entry, [problem] = store.entry("adele"), store.verify("adele")
    assert entry.state == "newer"
    assert entry.hint == problem.hint == caught.value.hint
    assert "Update mystyle" in entry.hint


def test_older_formats_are_migrated_by_named_steps() -> None:
    """Each step is applied once, in order, and its name is recorded."""
    steps = (
        Migration(1, "call-it-b", lambda d: {**d, "b": d["a"]}),
        Migration(2, "double-b", lambda d: {**d, "b": 2 * d["b"]}),
    )
    found = migrate({"format": 1, "a": 3}, Path("profile.toml"), steps, target=3)
    assert (found["b"], found["format"], found["migrated"]) == (6, 3, ["call-it-b", "double-b"])
    assert migrate({"format": 2, "b": 1}, Path("p"), steps, target=3)["b"] == 2
    with pytest.raises(ProfileError, match="nothing reads format 0"):
        migrate({"format": 0}, Path("p"), steps, target=3)


@pytest.mark.parametrize(
    "text", ["", "format = 1", "format = true", "format = -1", 'format = "1"', "\0", "x=["]
)
def test_damaged_manifest_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    """Nonsense in profile.toml is a ProfileError that names it, never another exception."""
    (tmp_path / NAME).write_text(text)
    with pytest.raises(ProfileError, match=r"profile\.toml"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[identity]", "[identit]", "it has no `identity`"),
        ("w_dim = 16", 'w_dim = "x"', "`prior.w_dim` is 'x', not a whole number"),
    ],
)
def test_a_damaged_entry_is_told_without_python_names(tmp_path: Path, old: str, new: str, said: str) -> None:
    """A missing entry is named; one that is not a number is an error too."""
    put(Store(tmp_path), "adele", OLD)
    path = tmp_path / "adele" / NAME
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ProfileError) as caught:
        read_manifest(tmp_path / "adele")
    assert said in caught.value.message
    assert "Error" not in caught.value.message


def test_manifest_survives_a_round_trip(tmp_path: Path) -> None:
    """What is written is what is read."""
    manifest = Manifest(
        MARK, "2026-01-01", "2026-01-02", "0.1.0", 'she said "yes"\n\\o/', {"photos": 3},
        {"tune": {"passes": 2}}, {"before": {"id": 0.5}}, {"threshold": 0.25},
        {"curate": {"faces/1.png": "ff" * 32}}, ("one",),
    )  # fmt: skip
    (tmp_path / NAME).write_bytes(manifest.to_toml().encode())
    assert read_manifest(tmp_path) == manifest


def _hold(root: str, ready: object, release: object) -> None:
    with Store(Path(root)).locked("adele"):
        ready.set()  # type: ignore[attr-defined]
        release.wait(HANGS)  # type: ignore[attr-defined]


def test_a_profile_that_another_command_changes_is_locked(tmp_path: Path) -> None:
    """A second command that would change the profile is refused; readers and other profiles are not."""
    store = Store(tmp_path)
    put(store, "adele", OLD)
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(str(tmp_path), ready, release))
    holder.start()
    try:
        assert ready.wait(HANGS)
        with pytest.raises(ProfileError, match="being changed by another command"):
            store.delete("adele")
        assert store.entry("adele").state == "untuned"
        put(store, "other", OLD)
    finally:
        release.set()
        holder.join()
    store.delete("adele")
    assert store.names() == ["other"]


def test_finished_stages_are_found_again_and_changed_inputs_drop_them(tmp_path: Path) -> None:
    """A draft remembers what was done with the same inputs, and forgets what was done with others."""
    store = Store(tmp_path)
    with store.locked("adele"):
        draft = store.draft("adele")
        draft.finish("curate", "inputs-1", draft.write("photos.jsonl", b"{}"), {"kept": 3})
    with store.locked("adele"):
        again = store.draft("adele")
        assert again.done("curate", "inputs-1")
        assert again.stages()["curate"]["kept"] == 3
        assert not again.done("curate", "inputs-2")
        assert not store.draft("adele").done("curate", "inputs-1")


def test_a_stage_with_a_damaged_file_is_not_done(tmp_path: Path) -> None:
    """A finished stage counts only while its files are as written."""
    store = Store(tmp_path)
    with store.locked("adele"):
        draft = store.draft("adele")
        draft.finish("curate", "i", draft.write("photos.jsonl", b"{}"), {})
        draft.find("photos.jsonl").write_text("{")
        assert not store.draft("adele").done("curate", "i")


def test_a_full_disk_is_an_error_that_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the disk is full the file is named, its old content stays, and no temporary is left."""
    write_whole(tmp_path / "a", b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ProfileError, match="a cannot be written: No space left"):
        write_whole(tmp_path / "a", b"new")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_a_store_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """A store below a file says so."""
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ProfileError, match="cannot be written to"),
        Store(tmp_path / "file" / "s").locked("a"),
    ):
        pass


def test_deletions_that_earlier_versions_left_are_listed_and_finished(tmp_path: Path) -> None:
    """A half-removed profile under a hidden name is listed; the next command to change the store ends it."""
    store = Store(tmp_path)
    put(store, "adele", OLD)
    os.rename(tmp_path / "adele", tmp_path / ".deleted-01234567")  # as far as a killed `delete` got
    (tmp_path / ".deleted-01234567" / MARKER).unlink()
    (tmp_path / ".deleted-89abcdef").mkdir()
    (tmp_path / ".deleted-89abcdef" / "mine.png").write_text("a user's")
    assert store.names() == []
    assert [(entry.name, entry.state) for entry in store.entries()] == [(".deleted-01234567", "deleting")]
    put(store, "other", OLD)
    assert not (tmp_path / ".deleted-01234567").exists()
    assert (tmp_path / ".deleted-89abcdef" / "mine.png").read_text() == "a user's"


def test_what_killed_commands_left_beside_profiles_goes(tmp_path: Path) -> None:
    """Locks and passing folders of names without a profile go; held locks and the user's files stay."""
    store = Store(tmp_path)
    put(store, "adele", OLD)
    locks = tmp_path / ".locks"
    for name in ("gone", "passing", "held"):
        (locks / f"{name}.lock").write_text("")
    (locks / "notes.lock").write_text("a user's")
    for name in ("Passing", "other"):  # as a killed `delete` leaves it; one without a lock is nobody's
        (tmp_path / f".new-{name}").mkdir()
        (tmp_path / f".new-{name}" / MARKER).write_text("")
    with lock_of(locks / "held.lock"):
        with pytest.raises(ProfileError, match="no profile 'gone'"):
            store.delete("gone")
        assert {path.name for path in locks.iterdir()} == {
            *("adele.lock", "held.lock", "notes.lock", ".store.lock")
        }
        assert {path.name for path in tmp_path.iterdir()} == {"adele", ".locks", ".new-other"}
    put(store, "adele", NEW)
    assert not (locks / "held.lock").exists()


@pytest.mark.parametrize("reader", ["verify", "entry"])
def test_a_reader_beside_a_commit_calls_nothing_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: str
) -> None:
    """A version that is put in place while the last one is looked at is no damage; real damage is told."""
    store = Store(tmp_path)
    put(store, "adele", OLD)
    versions = [{**NEW, "photos.jsonl": str(number)} for number in range(2)]
    monkeypatch.setattr("mystyle_cli.store.check.check_profile", lambda profile: [])
    real = place_of

    def meanwhile(folder: Path, name: str) -> Path:
        found = real(folder, name)
        if (name, len(versions)) in (("faces/0001.png", 2), ("faces/0003.png", 1)):
            put(store, "adele", versions.pop(0))
        return found

    monkeypatch.setattr("mystyle_cli.person.layout.place_of", meanwhile)
    monkeypatch.setattr("mystyle_cli.store.draft.place_of", meanwhile)
    found = store.verify("adele") if reader == "verify" else store.entry("adele").detail
    assert not found
    assert len(versions) < 2
    (tmp_path / "adele/faces/0003.png").unlink()
    found = store.verify("adele") if reader == "verify" else store.entry("adele").detail
    assert "0003.png" in str(found)


def test_no_lock_is_removed_where_those_of_others_are_not_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is free here may be held by a command on another machine, whose profile is not there yet."""
    store = Store(tmp_path)
    left = tmp_path / LOCKS / "ben.lock"
    left.parent.mkdir()
    left.touch()
    with monkeypatch.context() as patch:
        patch.setattr(store_locks, "lock_fault", lambda folder: f"{folder} is nfs mounted with nolock")
        with store.locked("ada"):
            assert left.exists()
    with store.locked("ada"):
        assert not left.exists()
