"""What was tuned on photos lies in the person's profile: a few files, private, and gone with it."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from pathlib import Path

import pytest

from mystyle_cli.person.layout import GENERATOR, refined_name
from mystyle_cli.person.profile import Profile
from mystyle_cli.store import refined
from mystyle_cli.store.archive import pack
from mystyle_cli.store.refined import KeptRefinements
from mystyle_cli.store.store import Store
from tests.support.tiny_store import make_store


@pytest.fixture
def store(tiny_prior: Path, tmp_path: Path) -> Store:
    """A store of one person's own."""
    return make_store(tmp_path / "store", tiny_prior)


def name_of(profile: Profile, number: int) -> str:
    """Return a name under which something of the profile's is kept."""
    return refined_name(profile.manifest.digests()[GENERATOR], f"{number:064x}"[::-1])


def kept_in(profile: Profile) -> list[str]:
    """Return what is kept, by name."""
    return sorted(path.relative_to(profile.path).as_posix() for path in profile.path.glob("refined/*"))


def test_what_is_kept_is_found_again(store: Store) -> None:
    """By its owner only; it is no damage to the profile, is renamed with it, and goes with it."""
    profile = store.open("ada")
    kept, name = KeptRefinements(profile), name_of(profile, 1)
    assert kept.read(name) is None
    assert kept.write(name, b"tuned") == ""
    assert kept.read(name) == b"tuned"
    if os.name == "posix":
        path = profile.path / name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert store.verify("ada") == []
    store.rename("ada", "eva")
    assert KeptRefinements(store.open("eva")).read(name) == b"tuned"
    assert name in store.content("eva")
    assert store.delete("eva") == []
    assert not (store.root / "eva").exists()


def test_it_does_not_leave_the_machine(store: Store) -> None:
    """A profile that is exported holds nothing of it."""
    profile = store.open("ada")
    assert KeptRefinements(profile).write(name_of(profile, 1), b"tuned") == ""
    with zipfile.ZipFile(io.BytesIO(pack(store.open("ada")))) as archive:
        assert not [name for name in archive.namelist() if "refined" in name]


def test_there_is_room_for_a_few(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go first, whatever the clock says; those of another generator go at once."""
    monkeypatch.setattr(refined, "MOST", 3)
    profile = store.open("ada")
    kept = KeptRefinements(profile)
    foreign = profile.path / "refined" / f"{'0' * 12}-{'1' * 40}.safetensors"
    for number in range(5):
        assert kept.write(name_of(profile, number), b"x" * 10) == ""
        os.utime(profile.path / name_of(profile, number), ns=(number, number))
        if number == 1:
            foreign.write_bytes(b"of another generator")
    assert kept_in(profile) == sorted(name_of(profile, number) for number in (2, 3, 4))
    monkeypatch.setattr(refined, "MOST_BYTES", 25)
    assert kept.write(name_of(profile, 5), b"x" * 10) == ""
    assert kept_in(profile) == sorted(name_of(profile, number) for number in (4, 5))
    assert "more than" in kept.write(name_of(profile, 6), b"x" * 26)
    assert kept_in(profile) == sorted(name_of(profile, number) for number in (4, 5))


def test_it_is_not_kept_where_it_cannot_be(store: Store, tmp_path: Path) -> None:
    """In a profile that another command holds, that is gone, tuned anew or reached through a link."""
    profile = store.open("ada")
    kept, name = KeptRefinements(profile), name_of(profile, 1)
    with store.locked("ada"):
        assert "another command" in kept.write(name, b"tuned")
    (tmp_path / "links").mkdir()
    (tmp_path / "links/ada").symlink_to(profile.path)
    linked = KeptRefinements(Store(tmp_path / "links").open("ada"))
    assert "changed" in linked.write(name, b"tuned")
    manifest = profile.path / "profile.toml"
    whole = manifest.read_text()
    manifest.write_text(whole.replace(profile.manifest.digests()[GENERATOR], "0" * 64))
    assert "changed" in kept.write(name, b"tuned")
    manifest.write_text(whole)
    store.delete("ada")
    assert "changed" in kept.write(name, b"tuned")
    assert not profile.path.exists()


def test_only_what_the_program_made_goes(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A user's file beside what is kept stays, and a link in its place leads nowhere."""
    monkeypatch.setattr(refined, "MOST", 1)
    profile = store.open("ada")
    kept = KeptRefinements(profile)
    assert kept.write(name_of(profile, 1), b"tuned") == ""
    mine, outside = profile.path / "refined/mine.txt", tmp_path / "outside"
    mine.write_text("mine")
    outside.write_bytes(b"not yours")
    (profile.path / name_of(profile, 2)).symlink_to(outside)
    assert kept.read(name_of(profile, 2)) is None
    assert kept.write(name_of(profile, 3), b"tuned") == ""
    assert mine.read_text() == "mine"
    assert outside.read_bytes() == b"not yours"
    assert (profile.path / name_of(profile, 2)).is_symlink()
