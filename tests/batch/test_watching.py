"""Photos are worked on as they come, each once; time passes when the test lets it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mystyle_cli.batch import watching
from mystyle_cli.batch.watching import NOTES
from tests.support.journeys import Run, document, journey
from tests.support.tiny_store import picture

WORDS = "upscale ada in --watch -o out --aligned --steps 1"
Days = Callable[[], Iterator[None]]


def photo(name: str, seed: int = 1, side: int = 8) -> Path:
    """Write a photo of the person; folders on the way are made."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(seed, side)).save(path)
    return path


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Days], None]:
    """Let a generator of the test's run on between two looks; when it ends, Ctrl-C is pressed."""

    def arrange(days: Days) -> None:
        going = days()

        def wait() -> None:
            if next(going, "over") == "over":
                raise KeyboardInterrupt

        monkeypatch.setattr(watching, "wait", wait)

    return arrange


def outputs() -> set[str]:
    """Return the results that are there."""
    return {path.name for path in Path("out").glob("*.png")} if Path("out").exists() else set()


@journey("upscale", "--watch")
def test_photos_are_worked_on_as_they_come(run: Run, passing: Callable[[Days], None]) -> None:
    """Those that are there, and those that come; a half-written one is waited for, a bad one told once."""
    photo("in/first.png", 1)
    Path("in/notes.txt").write_text("not a photo")

    def days() -> Iterator[None]:
        assert outputs() == set()  # one look does not tell whether a file is whole
        yield
        assert outputs() == {"first.png"}
        whole = photo("whole.png", 2).read_bytes()
        Path("in/second.png").write_bytes(whole[:40])
        yield
        Path("in/second.png").write_bytes(whole[:80])
        yield
        assert outputs() == {"first.png"}
        Path("in/second.png").write_bytes(whole)
        yield
        assert outputs() == {"first.png"}
        yield
        assert outputs() == {"first.png", "second.png"}
        shutil.copy("in/first.png", "in/copy.png")  # the same photo once more
        yield
        yield
        yield
        assert outputs() == {"first.png", "second.png"}

    passing(days)
    done = run("--json", *WORDS.split())
    assert {Path(one["input"]).name for one in document(done)["results"]} == {"first.png", "second.png"}
    assert "watching in; Ctrl-C ends" in done.stderr
    assert "2 photos came: 2 done" in done.stderr


@journey("restore", "--watch")
def test_after_a_restart_nothing_is_done_twice(run: Run, passing: Callable[[Days], None]) -> None:
    """Not even where a result was moved away, nor a bad photo; other options are another matter."""
    photo("in/a.png", 1, 32)
    Path("in/bad.jpg").write_bytes(b"no picture")

    def three() -> Iterator[None]:
        for _ in range(3):
            yield

    words = "restore ada in --watch -o out --aligned --steps 1 --blur 1 --noise 2 --jpeg 0 --scale 1"
    passing(three)
    done = run(*words.split())
    assert done.exit_code == 3
    assert done.stderr.count("bad.jpg") == 1
    before = Path("out/a.png").read_bytes()
    passing(three)
    done = run("--json", *words.split())
    assert document(done)["results"] == []
    assert "bad.jpg" not in done.stderr
    passing(three)
    other = json.loads(run("--json", *words.split(), "--beta", 0.3, "--name", "{stem}-free{ext}").stdout)
    assert [one["output"] for one in other["results"]] == ["out/a-free.png"]
    Path("out/a.png").rename("mine.png")
    photo("in/a.png", 2, 32)  # another photo of that name: its result is made
    shutil.copy("in/a.png", "in/b.png")
    passing(three)
    assert len(document(run("--json", *words.split()))["results"]) == 1
    assert Path("mine.png").read_bytes() == before
    assert Path("out/a.png").read_bytes() != before
    photo("in/a.png", 3, 32)  # and once more: that which was made of the photo of before gives way
    made = Path("out/a.png").read_bytes()
    passing(three)
    assert len(document(run("--json", *words.split()))["results"]) == 1
    assert Path("out/a.png").read_bytes() != made
    Path("out/a.png").write_bytes(b"mine now")  # what somebody else put there stays
    photo("in/a.png", 4, 32)
    passing(three)
    assert document(run("--json", *words.split()))["skipped"] == ["in/a.png"]
    assert Path("out/a.png").read_bytes() == b"mine now"


def test_a_photo_called_as_another_has_a_result_of_its_own(run: Run, passing: Callable[[Days], None]) -> None:
    """a.png and a.bmp would both become a.png; whichever comes later keeps its whole name."""
    photo("in/a.png", 1)

    def days() -> Iterator[None]:
        yield
        yield
        photo("in/a.bmp", 2)
        yield
        yield

    passing(days)
    assert run(*WORDS.split()).exit_code == 0
    assert outputs() == {"a.png", "a.bmp.png"}


def test_a_folder_may_go_for_a_moment(run: Run, passing: Callable[[Days], None]) -> None:
    """It is said once each time, and when it is back what came is worked on."""
    photo("in/a.png", 1)

    def days() -> Iterator[None]:
        yield
        yield
        Path("in").rename("away")
        yield
        yield
        Path("away").rename("in")
        photo("in/b.png", 2)
        yield
        yield
        Path("in").rename("away")
        yield

    passing(days)
    done = run(*WORDS.split())
    assert done.exit_code == 0
    assert done.stderr.count("in is not there; it is waited for") == 2
    assert outputs() == {"a.png", "b.png"}


def test_an_interruption_while_a_photo_is_worked_on_ends_well(
    run: Run, passing: Callable[[Days], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was done is counted, what was not is done the next time."""
    from mystyle_cli.work import restoring

    photo("in/a.png", 1)
    photo("in/b.png", 2)

    def forever() -> Iterator[None]:
        while True:
            yield

    passing(forever)
    real = restoring.Restoring.restore

    def interrupted(self: object, subjects: list[object], progress: object) -> object:
        if outputs():
            raise KeyboardInterrupt
        return real(self, subjects, progress)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(restoring.Restoring, "restore", interrupted)
        done = run(*WORDS.split(), "--batch", "1")
    assert done.exit_code == 0
    assert "2 photos came: 1 done" in done.stderr
    assert outputs() == {"a.png"}

    def three() -> Iterator[None]:
        for _ in range(3):
            yield

    passing(three)
    assert len(document(run("--json", *WORDS.split()))["results"]) == 1
    assert outputs() == {"a.png", "b.png"}


def test_damaged_notes_are_gone_on_with_and_others_files_stay(
    run: Run, passing: Callable[[Days], None]
) -> None:
    """A torn line is passed over; a file that is nobody's notes is not written over, nor through a link."""
    photo("in/a.png", 1)

    def three() -> Iterator[None]:
        for _ in range(3):
            yield

    passing(three)
    assert run(*WORDS.split()).exit_code == 0
    notes = Path("out") / NOTES
    line = json.loads(notes.read_text())
    assert set(line) == {"photo", "asked", "input", "output", "written"}
    notes.write_text(notes.read_text() + '{"photo": "torn')
    passing(three)
    assert document(run("--json", *WORDS.split()))["results"] == []
    notes.write_text("my own words\n")
    done = run(*WORDS.split())
    assert done.exit_code == 2
    assert "no file of mystyle's" in done.stderr
    assert notes.read_text() == "my own words\n"
    notes.unlink()
    Path("elsewhere").write_text(before := json.dumps(line) + "\n")
    notes.symlink_to(Path("elsewhere").resolve())
    assert run(*WORDS.split()).exit_code == 2
    assert Path("elsewhere").read_text() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("upscale ada in/a.png --watch -o out", "needs a folder"),
        ("upscale ada - --watch -o out", "needs a folder"),
        ("upscale ada in --watch", "-o FOLDER"),
        ("upscale ada in --watch -o out.png", "-o FOLDER"),
        ("upscale ada in --watch -o in", "taken for photos"),
        ("upscale ada in -r --watch -o in/out", "taken for photos"),
        ("upscale ada in --watch -o out --jpeg-quality 5", "--jpeg-quality"),
    ],
)
def test_what_cannot_be_watched_is_refused(run: Run, words: str, said: str) -> None:
    """Before anything is waited for."""
    photo("in/a.png")
    done = run(*words.split())
    assert done.exit_code == 2
    assert said in done.stderr
    assert not Path("out").exists()


def test_who_all_watches_too(
    run: Run, passing: Callable[[Days], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody of the store, with nets that are opened once; folders below are no photos without -r."""
    from mystyle_cli.group import group
    from tests.support.groups import place

    monkeypatch.setattr(group, "find_places", lambda pixels, tiny: [place(1, (10, 10), 20)])
    photo("in/a.png", 1, 20)

    def days() -> Iterator[None]:
        yield
        yield
        photo("in/b.png", 2, 20)
        yield
        yield

    passing(days)
    done = document(
        run("--json", *["upscale", "--who", "all", "in", "--watch", "-o", "in/out", "--steps", "1"])
    )
    assert [one["faces"][0]["person"] for one in done["results"]] == ["ada", "ada"]
    assert np.asarray(Image.open("in/out/b.png")).shape[0] == 32


def test_results_are_no_photos_by_whatever_link(run: Run, passing: Callable[[Days], None]) -> None:
    """Else each would have a result, and that one, too, until the disk is full."""
    photo("in/a.png", 1)
    photo("out/older.png", 2)
    Path("in/linked").symlink_to("../out")
    Path("in/b.png").symlink_to("../out/older.png")

    def days() -> Iterator[None]:
        for _ in range(4):
            yield

    passing(days)
    done = document(run("--json", *WORDS.split(), "-r"))
    assert [one["input"] for one in done["results"]] == ["in/a.png"]
    assert outputs() == {"a.png", "older.png"}


@pytest.mark.skipif(os.name == "nt", reason="names there are of characters")
def test_names_that_are_no_text_are_known_again(run: Run, passing: Callable[[Days], None]) -> None:
    """What was made of the photo that was called so gives way to what is made of the next one."""
    name = os.fsdecode(b"in/\xff.png")

    def three() -> Iterator[None]:
        for _ in range(3):
            yield

    for seed in (1, 2, 3):
        photo(name, seed)
        passing(three)
        assert len(document(run("--json", *WORDS.split()))["results"]) == 1
    assert [one for one in os.listdir(b"out") if not one.startswith(b".")] == [b"\xff.png"]
