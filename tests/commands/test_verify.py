"""Whether a photo that was worked on is what it says, by the code that is kept of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mystyle_cli.photos.encode import Beside, encode
from mystyle_cli.photos.marks import read_marks
from mystyle_cli.prior.registry import Prior
from mystyle_cli.restore.saved import parse_code
from mystyle_cli.store.store import Store
from tests.support.journeys import Run, document
from tests.support.tiny_store import picture

SHORT = ("--aligned", "--steps", 2)
COMMANDS = {
    "invert": ("invert", "ada", "crop.png", *SHORT),
    "inpaint": ("inpaint", "ada", "crop.png", "--mask", "hole.png", *SHORT),
    "upscale": ("upscale", "ada", "small.png", *SHORT),
    "edit": ("edit", "ada", "crop.png", "-d", "yaw", "-s", 0.1, *SHORT),
}


@pytest.fixture(autouse=True)
def photos(run: Run) -> None:
    """Photos and a mask in the folder that commands run in."""
    Image.fromarray(picture(0, 48)).save("crop.png")
    Image.fromarray(picture(0, 12)).save("small.png")
    hole = np.zeros((48, 48), np.uint8)
    hole[16:32, 12:40] = 255
    Image.fromarray(hole).save("hole.png")


def made(run: Run, command: str, *words: object, name: str = "out.png") -> Path:
    """Work on a photo, its code kept in the result."""
    done = run(*COMMANDS[command], "-o", name, *(words or ("--keep-code",)))
    assert done.exit_code == 0, done.stderr
    return Path(name)


def test_a_kept_code_means_nothing_without_the_profile(run: Run, tmp_path: Path) -> None:
    """It is a mixture of the photos alone, unless another space is asked for."""
    profile = Store(tmp_path / "store").open("ada")
    for space, beside in ((None, False), ("near", True)):
        words = ("--keep-code", *(("--space", space) if space else ()))
        path = made(run, "upscale", *words, name=f"{space}.png")
        marks = read_marks(path)
        assert marks is not None
        assert marks.code is not None
        assert (parse_code(path, marks.code, profile).slack is not None) == beside


def given(command: str) -> tuple[str, ...]:
    """Return the options that say what a result was made from."""
    photo = ("--photo", "small.png" if command == "upscale" else "crop.png")
    return (*photo, "--mask", "hole.png") if command == "inpaint" else photo


def retouched(path: Path) -> Path:
    """Return a result whose face was turned round inside, with the same record."""
    marks = read_marks(path)
    assert marks is not None
    with Image.open(path) as image:
        pixels = np.array(image)
    height, width = pixels.shape[:2]
    rows, columns = slice(height // 3, height * 2 // 3), slice(width // 4, width * 3 // 4)
    pixels[rows, columns] = pixels[rows, columns][:, ::-1]
    encode(pixels, path.with_stem("other"), Beside(marks=marks))
    return path.with_stem("other")


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_result_is_made_again_from_its_code_and_photo(run: Run, command: str, ending: str) -> None:
    """All of it, by either backend; a retouched one is found out, and so is one of another photo."""
    path = made(run, command, name=f"out.{ending}")
    for backend in ("auto", "torch"):
        found = document(run("--json", "verify", path, *given(command), "--backend", backend))
        assert (found["compared"], found["lossless"]) == ("whole", ending == "png")
    refused = run("verify", retouched(path), *given(command))
    assert refused.exit_code == 1
    assert "is not what it says" in refused.stdout
    photo = Path(given(command)[1])
    shutil.copy(photo, "copy.png")
    Image.open(photo).convert("RGB").point(lambda value: value // 2).save(photo)
    strange = run("verify", path, *given(command))
    assert strange.exit_code == 2
    assert "not the file" in strange.stderr
    assert run("verify", path, "--photo", "copy.png", *given(command)[2:]).exit_code == 0


@pytest.fixture
def clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny prior's net, which is random, tells a person everywhere."""
    monkeypatch.setattr(Prior, "matte", lambda self, images: np.ones(images[:, 0].shape, np.float32))


@pytest.mark.usefixtures("clear")
@pytest.mark.parametrize("mark", [(), ("--mark", "visible")])
@pytest.mark.parametrize("command", ["invert", "edit"])
def test_without_the_photo_the_face_is_drawn_again(run: Run, command: str, mark: tuple[str, ...]) -> None:
    """It says that the rest was not looked at; another face in its place is found out."""
    path = made(run, command, "--keep-code", *mark)
    found = document(run("--json", "verify", path))
    assert found["compared"] == "face"
    assert "--photo" in run("verify", path).stderr
    assert run("verify", retouched(path)).exit_code == 1


@pytest.mark.usefixtures("clear")
def test_a_saved_code_does_as_well(run: Run) -> None:
    """`--code` takes what `--save-codes` wrote; but not for an edit, which shows something else."""
    path = made(run, "invert", "--save-codes", "codes")
    assert run("verify", path).exit_code == 2
    assert run("verify", path, "--code", "codes/crop.safetensors").exit_code == 0
    edited = made(run, "edit", "--keep-code", name="edited.png")
    done = run("verify", edited, "--code", "codes/crop.safetensors")
    assert done.exit_code == 2
    assert "before it was edited" in done.stderr


def test_nothing_of_the_code_is_in_a_result_unasked(run: Run) -> None:
    """A result without it says what to do; one with it says so to `inspect`, and nothing else changes."""
    plain, kept = made(run, "invert", "--beta", 0.03), made(run, "invert", "--keep-code", name="kept.png")
    for path, there in ((plain, False), (kept, True)):
        assert document(run("--json", "inspect", path))["results"][0]["mystyle"]["code"] is there
        assert (b'mystyle:code="' in path.read_bytes()) is there
    assert "code" in run("inspect", kept).stdout
    np.testing.assert_array_equal(np.asarray(Image.open(plain)), np.asarray(Image.open(kept)))
    done = run("verify", plain)
    assert done.exit_code == 2
    assert "--keep-code" in done.stderr
    assert "--code FILE" in done.stderr
    assert "--keep-code" in run("verify", made(run, "edit", "--beta", 0.02, name="edit.png")).stderr


def test_what_does_nothing_or_is_missing_is_named(run: Run) -> None:
    """A filled photo needs its photo and mask; a sample and other commands take none of it."""
    filled = made(run, "inpaint")
    for words in ((), given("inpaint")[:2]):
        done = run("verify", filled, *words)
        assert done.exit_code == 2
        assert "--mask MASK" in done.stderr
    done = run("verify", made(run, "upscale", name="up.png"))
    assert done.exit_code == 2
    assert "--photo PHOTO" in done.stderr
    assert run("sample", "ada", "--seed", 1, "-o", "s.png").exit_code == 0
    for path, words in (
        ("s.png", ("--photo", "crop.png")),
        (made(run, "invert", name="inverted.png"), (*given("invert"), "--mask", "hole.png")),
        (filled, ("--mask", "hole.png")),
    ):
        done = run("verify", path, *words)
        assert done.exit_code == 2
        assert "--" in done.stderr


@pytest.mark.parametrize(
    "change",
    [lambda code: code[:-3], lambda code: code[:100], lambda code: code.replace(b"factor", b"fac\\u0000")],
    ids=["cut off", "header alone", "other notes"],
)
def test_a_code_that_is_damaged_is_refused(run: Run, change: object) -> None:
    """What stands in anybody's picture is looked at before it is used."""
    from dataclasses import replace

    path = made(run, "invert")
    marks = read_marks(path)
    assert marks is not None
    assert callable(change)
    with Image.open(path) as image:
        encode(np.array(image), Path("evil.png"), Beside(marks=replace(marks, code=change(marks.code))))
    done = run("verify", "evil.png")
    assert done.exit_code == 2, done.output
    assert "saved code" in done.stderr


def test_no_jpeg_is_begun_that_has_no_room_for_its_code(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A JPEG's record has 64 KB: that is said before any work."""
    from mystyle_cli.commands import restore

    monkeypatch.setattr(restore, "LONGEST", 10)
    done = run(*COMMANDS["invert"], "-o", "out.jpg", "--keep-code")
    assert done.exit_code == 2
    assert "no room" in done.stderr
    assert run(*COMMANDS["invert"], "-o", "out.png", "--keep-code").exit_code == 0
