"""One bad photo is one refusal or one failure, and changes nothing for the others."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from mystyle_cli.curate import examine
from mystyle_cli.errors import NoFaceError
from mystyle_cli.faces import faces
from mystyle_cli.faces.align import FFHQ
from mystyle_cli.find import likeness
from mystyle_cli.find.likeness import Guess, quad_of
from mystyle_cli.find.search import find_quads
from mystyle_cli.person.reference import read_records
from mystyle_cli.photos import encode
from mystyle_cli.photos.pixels import Pixels
from mystyle_cli.restore import composite, engine
from tests.support.bad_files import ODD_SHAPES, noise, write_bad_files
from tests.support.effort import HANGS
from tests.support.journeys import Run
from tests.support.portraits import clear
from tests.support.tiny_store import picture

GOOD = 5
SHORT = ("--steps", 3, "--aligned")


def create(run: Run, prior: Path, name: str, photos: str) -> dict[str, str]:
    """Create a profile; returns what is said of each photo's file."""
    done = run("profile", "create", name, photos, "--prior", prior, "--no-tune", "--no-instant")
    assert done.exit_code == 0, done.stderr
    assert "Traceback" not in done.stderr
    folder = Path(done.stdout.strip())
    return {record.file: str(record.reason) for record in read_records(folder / "photos.jsonl")}


def test_create_keeps_what_it_keeps_without_the_bad_files(run: Run, tiny_prior: Path) -> None:
    """A folder of good photos and one bad file of every kind gives the reference set of the good ones."""
    for folder in ("good", "all"):
        Path(folder).mkdir()
        for number in range(GOOD):
            shutil.copy(clear("ada", number), Path(folder, f"{number}.jpg"))
    bad = write_bad_files(Path("all"))[GOOD:]
    alone = create(run, tiny_prior, "alone", "good")
    among = create(run, tiny_prior, "among", "all")
    assert list(alone.values()).count("kept") >= 3
    assert {file: reason for file, reason in among.items() if file in alone} == alone
    refused = {file: reason for file, reason in among.items() if file not in alone}
    assert len(refused) == len(bad)
    assert {refused[f"{name}.png"] for name in ODD_SHAPES} == {"no-face"}
    assert set(refused.values()) <= {"unreadable", "no-face"}
    assert list(refused.values()).count("unreadable") >= 5


def test_a_fault_inside_one_examination_refuses_that_photo(
    run: Run, tiny_prior: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception that nobody foresaw, on one photo, is that photo's refusal, with what was raised."""
    Path("good").mkdir()
    for number in range(GOOD):
        shutil.copy(clear("ada", number), Path("good", f"{number}.jpg"))
    looked, find = [], examine.find_faces

    def fail_once(pixels: Pixels) -> Any:
        looked.append(pixels)
        if len(looked) == 2:
            raise RuntimeError("an assertion of dlib\nover two lines")
        return find(pixels)

    monkeypatch.setattr(examine, "find_faces", fail_once)
    found = create(run, tiny_prior, "ben", "good")
    assert list(found.values()).count("unreadable") == 1
    assert list(found.values()).count("kept") >= 3


def batch_of(count: int) -> None:
    """Write `in` with aligned crops of 8 pixels."""
    Path("in").mkdir()
    for number in range(count):
        Image.fromarray(picture(number, 8)).save(f"in/good{number}.png")


def said(done: Result) -> list[str]:
    """Return the lines that tell of failures."""
    assert "Traceback" not in done.stderr
    assert "fault in mystyle" not in done.stderr
    return [line for line in done.stderr.splitlines() if line.startswith("error:")]


def test_a_batch_gives_all_good_results(run: Run) -> None:
    """Bad files among good crops: every good result, one line for each bad file, exit code 3."""
    batch_of(3)
    before = set(Path("in").iterdir())
    write_bad_files(Path("in"))
    Path("in/folder.jpg").mkdir()
    bad = {path.name for path in set(Path("in").iterdir()) - before} - {"icon.png"}
    done = run("upscale", "ada", *sorted(map(str, Path("in").iterdir())), "-o", "out", *SHORT)
    assert done.exit_code == 3, done.stderr
    results = {path.name for path in Path("out").iterdir()}
    assert {"good0.png", "good1.png", "good2.png", "icon.png"} == results - {"damaged.png", "damaged.tiff"}
    lines = said(done)
    assert len(lines) == len(bad)
    assert all(any(f"in/{name}" in line for line in lines) for name in bad if name.isprintable())


@pytest.mark.parametrize("command", ["invert", "upscale"])
def test_icons_and_strips_are_refused_before_a_face_is_looked_for(
    run: Run, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture of no size or shape for a face is an error of that photo that tells its size."""
    for name, size in ODD_SHAPES.items():
        noise(size).save(f"{name}.png")
    monkeypatch.setattr(faces, "_detect", lambda *_: pytest.fail("a detector was shown it"))
    done = run(command, "ada", *(f"{name}.png" for name in ODD_SHAPES), "-o", "out")
    assert done.exit_code == NoFaceError.exit_code
    for line, (name, (width, height)) in zip(said(done), ODD_SHAPES.items(), strict=True):
        assert f"{name}.png: {width} x {height} pixels are too" in line


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipes in folders")
@pytest.mark.parametrize(
    "words",
    [
        ("invert", "ada", "pipe.png"),
        ("inpaint", "ada", "a.png", "--mask", "pipe.png"),
        ("invert", "ada", "a.png", "--landmarks", "pipe.png"),
    ],
    ids=" ".join,
)
def test_a_pipe_is_refused_at_once(run: Run, words: Sequence[str]) -> None:
    """Nothing waits for the writer of a pipe, be it a photo, a mask or face points."""
    noise((64, 64)).save("a.png")
    os.mkfifo("pipe.png")
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it waits for somebody who writes"))
    signal.alarm(int(HANGS))
    try:
        done = run(*words, "-o", "out.png")
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert done.exit_code == 1, done.stderr
    assert "pipe.png: is no file" in done.stderr


def test_a_number_that_is_none_fails_its_row_alone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A NaN in one photo's search is that photo's failure; the others' results are those without it."""
    batch_of(3)
    alone = run("upscale", "ada", "in", "-o", "alone", *SHORT)
    assert alone.exit_code == 0, alone.stderr
    targets_of = engine.targets_of

    def spoil(given: Sequence[Any]) -> Any:
        targets, degradation = targets_of(given)
        for row, item in enumerate(given):
            if "good1" in item.located.name:
                targets[row, 0, 3, 3] = np.nan
        return targets, degradation

    monkeypatch.setattr(engine, "targets_of", spoil)
    done = run("upscale", "ada", "in", "-o", "out", *SHORT)
    assert done.exit_code == 3, done.stderr
    [line] = said(done)
    assert "good1.png" in line
    assert "not finite" in line
    for name in ("good0.png", "good2.png"):
        pixels = [np.asarray(Image.open(Path(folder, name))).astype(int) for folder in ("alone", "out")]
        assert np.abs(pixels[0] - pixels[1]).max() <= 1


@pytest.mark.parametrize("place", ["paste", "search"])
def test_a_fault_in_the_work_on_one_photo_fails_that_photo(
    run: Run, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is raised while one photo is searched or pasted, the others are finished and written."""
    batch_of(3)
    if place == "paste":
        paste = composite.enlarge_and_paste

        def fail(located: Any, *rest: Any) -> Any:
            if "good1" in located.name:
                raise RuntimeError("an assertion of a library")
            return paste(located, *rest)

        monkeypatch.setattr(composite, "enlarge_and_paste", fail)
    else:
        answer = engine.Engine.answer

        def fail_together(self: Any, given: Sequence[Any], *rest: Any) -> Any:
            if any("good1" in item.located.name for item in given):
                raise ArithmeticError("an assertion of a library")
            return answer(self, given, *rest)

        monkeypatch.setattr(engine.Engine, "answer", fail_together)
    done = run("--json", "upscale", "ada", "in", "-o", "out", *SHORT)
    assert done.exit_code == 3, done.stderr
    assert sorted(path.name for path in Path("out").iterdir()) == ["good0.png", "good2.png"]
    [failure] = json.loads(done.stdout)["failures"]
    assert failure["input"].endswith("good1.png")
    assert "an assertion of a library" in failure["error"]


def test_a_side_that_webp_cannot_hold_stops_no_other(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result too wide for its format is that photo's failure, with the format that holds it."""
    Image.fromarray(picture(0, 32)).save("a.png")
    Image.fromarray(picture(1, 40)).save("wide.png")
    monkeypatch.setitem(encode._LARGEST_SIDE, "webp", 39)
    done = run("invert", "ada", "wide.png", "a.png", "-o", "out", "--format", "webp", *SHORT)
    assert done.exit_code == 3, done.stderr
    [line] = said(done)
    assert "webp holds 39 pixels a side at most, not 40 x 40" in line
    assert Path("out/a.webp").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="its limit is that of the whole path")
def test_a_name_that_leaves_no_room_for_the_result_stops_no_other(run: Run) -> None:
    """A result whose name the disk cannot hold, and an input of such a name, are failures of those photos."""
    names = ["a" * 250 + ".png", "b.png"]
    for name in names:
        Image.fromarray(picture(0, 32)).save(name)
    done = run("invert", "ada", "c" * 300, *names, *SHORT)
    assert done.exit_code == 3, done.stderr
    lines = said(done)
    assert "c" * 300 in lines[0]
    assert "a" * 250 in lines[1]
    assert all("name too long" in line for line in lines)
    assert Path("b.invert.png").exists()


def test_no_copy_of_a_photo_is_enlarged_beyond_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hole of a few pixels in a large photo: the detector is shown enlarged surroundings, not the whole."""
    photo = np.zeros((3000, 4000, 3), np.uint8)
    mask = np.zeros((3000, 4000), np.uint8)
    mask[1500:1512, 2000:2012] = 255
    guess = Guess(quad_of(np.array([2006.0, 1506.0, 14.4, 0.0]), FFHQ), 1.0, photo)
    monkeypatch.setattr(likeness, "find_by_likeness", lambda *_: [guess])
    looked = []

    def look(pixels: Pixels, how: Any) -> list[Any]:
        looked.append(pixels.shape[0] * pixels.shape[1] * how.scale**2)
        return []

    monkeypatch.setattr(faces, "_detect", look)
    assert find_quads(photo, mask, lambda: np.zeros((1, 3, 8, 8), np.float32), FFHQ, tiny=False) == []
    faces.find_faces(photo, upsample=40.0)
    assert max(looked) <= 1.01 * faces.LARGEST_LOOK


def test_nothing_is_enlarged_beyond_what_a_picture_holds(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny face in a large photo is refused before the search, with the size that the result would have."""
    monkeypatch.setattr("mystyle_cli.photos.pixels.LARGEST_PICTURE", 31 * 32)
    monkeypatch.setattr("mystyle_cli.photos.decode.LARGEST_PICTURE", 31 * 32)
    batch_of(1)
    done = run("upscale", "ada", "in/good0.png", "-o", "out.png", *SHORT)
    assert done.exit_code == 2
    assert "32 x 32 pixels" in said(done)[0]
