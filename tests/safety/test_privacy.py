"""What a photo says besides its pixels, and who may read what is kept of a person."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from mystyle_cli.prior.registry import open_prior
from tests.support.curation import judge
from tests.support.journeys import Run, document
from tests.support.tiny_store import make_store, picture

SECRETS = (
    b"Ada Artist",
    b"SERIAL-4711",
    b"MAKERNOTE",
    b"a private remark",
    b"camera comment",
    b"<dc:place>",
    b"gps",
)
"""What the photo below says of its place, camera and people, in EXIF, XMP, its comment and its name."""

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no such modes")


@pytest.fixture
def telling() -> Path:
    """An aligned crop that is full of secrets, turned by its EXIF data, in colours of its own."""
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "Ada Artist"
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.ImageWidth] = 32
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.BodySerialNumber] = "SERIAL-4711"
    details[ExifTags.Base.MakerNote] = b"MAKERNOTE"
    details[ExifTags.Base.UserComment] = b"ASCII\0\0\0a private remark"
    details[ExifTags.Base.ExifImageWidth] = 32
    place = exif.get_ifd(ExifTags.IFD.GPSInfo)
    place[ExifTags.GPS.GPSLatitudeRef], place[ExifTags.GPS.GPSLatitude] = "N", (48.0, 51.0, 29.6)
    place[ExifTags.GPS.GPSProcessingMethod] = b"gps"
    stored = Image.fromarray(np.rot90(picture(0, 32)))
    path = Path("gps-of-ada.jpg").absolute()
    stored.save(path, exif=exif, comment=b"camera comment", xmp=b"<dc:place>home</dc:place>", quality=95)
    return path


TASKS = {
    "invert": (),
    "upscale": (),
    "inpaint": ("--mask", "mask.png"),
    "edit": ("--direction", "yaw", "--strength", 0.1),
    "sweep": ("--direction", "yaw", "--sweep=-1:1:2"),
}


@pytest.mark.parametrize(
    ("task", "ending"), [*((task, "png") for task in TASKS), ("invert", "jpg"), ("invert", "webp")]
)
def test_nothing_that_a_photo_says_reaches_a_result(run: Run, telling: Path, task: str, ending: str) -> None:
    """Place, camera, people, remarks and the photo's name are in no result, unless EXIF data is asked for.

    Kept, it holds for the result: nothing is turned twice, and no size stands in it.
    """
    if task == "upscale":
        with Image.open(telling) as photo:
            photo.resize((8, 8)).save(telling, exif=photo.getexif(), comment=b"camera comment")
    mask = np.zeros((32, 32), np.uint8)
    mask[8:16, 8:16] = 255
    Image.fromarray(mask).save("mask.png")
    command = "edit" if task == "sweep" else task
    words = (command, "ada", telling, *TASKS[task], "--aligned", "--steps", 1)
    assert run(*words, "-o", f"plain.{ending}").exit_code == 0
    plain = Path(f"plain.{ending}").read_bytes()
    assert [secret for secret in SECRETS if secret in plain] == []
    with Image.open(f"plain.{ending}") as result:
        assert not result.getexif()
    assert run(*words, "-o", f"kept.{ending}", "--keep-metadata").exit_code == 0
    kept = Path(f"kept.{ending}").read_bytes()
    assert [
        secret for secret in (b"Ada Artist", b"SERIAL-4711", b"MAKERNOTE", b"gps") if secret not in kept
    ] == []
    with Image.open(f"kept.{ending}") as result, Image.open(f"plain.{ending}") as other:
        exif = result.getexif()
        assert ExifTags.Base.Orientation not in exif
        assert ExifTags.Base.ImageWidth not in exif
        assert result.size == other.size
        np.testing.assert_array_equal(np.asarray(result), np.asarray(other))


def test_colours_and_turn_count_although_their_tags_go(run: Run, telling: Path) -> None:
    """Where nothing is filled, a result is the photo as viewers show it."""
    Image.fromarray(np.pad(np.full((1, 1), 255, np.uint8), (0, 31))).save("mask.png")
    done = run("inpaint", "ada", telling, "--mask", "mask.png", "-o", "x.png", "--aligned", "--steps", 1)
    assert done.exit_code == 0, done.stderr
    shown, upright = np.asarray(Image.open("x.png"), np.int16), np.asarray(picture(0, 32), np.int16)
    assert np.abs(shown - upright)[4:, 4:].mean() < 3  # a JPEG's loss


def modes(folder: Path) -> set[str]:
    """Return the modes of a folder and of all in it."""
    return {f"{stat.S_IMODE(path.lstat().st_mode):o}" for path in (folder, *folder.rglob("*"))}


@posix
def test_a_profile_is_for_its_owner_only(tiny_prior: Path, tmp_path: Path) -> None:
    """Whatever the umask, others may read nothing of a store that mystyle made, locks included."""
    before = os.umask(0)
    try:
        store = make_store(tmp_path / "store", tiny_prior)
        with store.locked("ada"):
            assert modes(tmp_path / "store") == {"700", "600"}
    finally:
        os.umask(before)
    assert modes(tmp_path / "store") == {"700", "600"}


@posix
def test_a_profile_of_before_is_shut_by_the_next_change(run: Run, tmp_path: Path) -> None:
    """A store that everybody may read is its owner's after a change; what is not mystyle's stays as it is."""
    ada = tmp_path / "store/ada"
    for path in (ada, *ada.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (tmp_path / "store").chmod(0o755)
    notes = ada / "notes.txt"
    notes.write_text("mine")
    elsewhere = tmp_path / "elsewhere.txt"
    elsewhere.write_text("mine")
    for path in (notes, elsewhere):
        path.chmod(0o644)
    loss = ada / "runs/loss.csv"
    loss.parent.mkdir()
    loss.hardlink_to(elsewhere)
    assert run("export", "ada").exit_code == 0
    others = {path for path in (ada, *ada.rglob("*")) if stat.S_IMODE(path.lstat().st_mode) & 0o077}
    assert others == {notes, loss}
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o755  # a folder that the user chose


def test_no_file_of_a_profile_says_who_uses_the_machine(
    tiny_prior: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prior in the home folder is found again, and the folder's path stands nowhere."""
    monkeypatch.setenv("HOME", str(tiny_prior.parent))
    monkeypatch.setenv("USERPROFILE", str(tiny_prior.parent))
    store = make_store(tmp_path / "store", tiny_prior)
    assert store.open("ada").prior.digest == open_prior(tiny_prior).digest
    for path in (tmp_path / "store").rglob("*"):
        assert path.is_dir() or os.fsencode(tiny_prior.parent) not in path.read_bytes(), path


def test_records_of_photos_from_far_apart_name_their_last_folder_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Photos of the home folder and of another disk: no record has the way to them in it."""
    home, disk = tmp_path / "home/ada", tmp_path / "media/ada/disk"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    for place in (home / "pictures", disk):
        place.mkdir(parents=True)
        (place / "1.jpg").write_text(f"no picture, but {place.name}")
    found = judge([home / "pictures/1.jpg", disk / "1.jpg"])
    assert [record.file for record in found.records] == ["disk/1.jpg", "pictures/1.jpg"]
    assert not [record for record in found.records if "home/ada" in str(record)]


def test_reports_name_only_what_was_named(run: Run, telling: Path, tmp_path: Path) -> None:
    """The JSON of commands that make pictures has the paths that were typed, and no other."""
    for words in (
        ["invert", "ada", "gps-of-ada.jpg", "-o", "x.png", "--aligned", "--steps", 1],
        ["sample", "ada"],
    ):
        done = run("--json", *words)
        document(done)
        assert str(tmp_path) not in done.stdout
