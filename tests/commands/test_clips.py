"""`restore` and `upscale` with clips: where results go, what is said, and what is refused."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import av
import pytest

from mystyle_cli.video.writing import KINDS, ClipWriter
from mystyle_cli.work.clips import CLIPS, WRITTEN
from tests.support.clips import moving, read_clip, write_clip
from tests.support.journeys import Run, document

ONE = ("--steps", 1)


@pytest.fixture
def clip(run: Run) -> Path:
    """A clip of three frames in the folder in which the program runs."""
    return write_clip(Path("in.mp4"), moving(frames=3))


def test_a_clip_is_restored(run: Run, clip: Path) -> None:
    """Beside the clip, or where -o says; with figures, and with a comment unless that is left out."""
    before = clip.read_bytes()
    done = document(run("restore", "ada", clip, *ONE, "--json"))
    [result] = done["results"]
    assert (result["input"], result["output"]) == ("in.mp4", "in.restore.mp4")
    assert (result["frames"], result["frames_with_person"]) == (3, 3)
    assert len(read_clip(Path("in.restore.mp4"))[0]) == 3
    with av.open("in.restore.mp4") as container:
        assert "profile ada" in container.metadata["comment"]
        assert "compositeWithTrainedAlgorithmicMedia" in container.metadata["comment"]
    told = run("upscale", "ada", clip, *ONE, "--no-mark", "-o", "out.mov")
    assert told.exit_code == 0
    assert told.stdout == "out.mov\n"
    assert "3 of 3 frames" in told.stderr
    with av.open("out.mov") as container:
        assert "comment" not in container.metadata
    assert clip.read_bytes() == before


def test_several_clips_go_to_a_folder(run: Run, clip: Path) -> None:
    """One that is none stops no other; what is there stays unless it may be replaced."""
    Path("bad.avi").write_bytes(b"no clip")
    done = run("restore", "ada", clip, "bad.avi", "-o", "made", *ONE, "--json")
    assert done.exit_code == 3
    told = json.loads(done.stdout)
    assert [one["output"] for one in told["results"]] == ["made/in.mp4"]
    assert "is no video" in told["failures"][0]["error"]
    assert os.listdir("made") == ["in.mp4"]
    assert run("restore", "ada", clip, "-o", "made", *ONE).exit_code == 2
    again = document(run("restore", "ada", clip, "-o", "made", "--skip-existing", *ONE, "--json"))
    assert again["skipped"] == ["in.mp4"]


def test_what_comes_to_its_place_meanwhile_stays(
    run: Run, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clip takes hours, in which a file of the user's may have got the name; --overwrite is asked for."""
    finish = ClipWriter.finish

    def finished(self: ClipWriter) -> None:
        Path("out.mp4").write_bytes(b"mine")
        finish(self)

    monkeypatch.setattr(ClipWriter, "finish", finished)
    done = run("restore", "ada", clip, "-o", "out.mp4", *ONE)
    assert done.exit_code == 1
    assert "out.mp4: something has come to its place meanwhile" in done.stderr
    assert Path("out.mp4").read_bytes() == b"mine"
    assert sorted(os.listdir()) == ["in.mp4", "out.mp4"]
    assert run("restore", "ada", clip, "-o", "out.mp4", "--overwrite", *ONE).exit_code == 0
    assert len(read_clip(Path("out.mp4"))[0]) == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("in.mp4", "in.png"), "in.mp4 is a clip and in.png is not"),
        (("in.mp4", "-o", "in.mp4"), "would replace an input"),
        (("in.mp4", "-o", "out.png"), "cannot write a clip so"),
        (("in.mp4", "b.mp4", "-o", "out.mp4"), "names a file"),
        (("in.mp4", "b/in.mp4", "-o", "out"), "two clips would become one file"),
        (("in.mp4", "--format", "jpg"), "--format does nothing"),
        (("in.mp4", "-o", "out", "--watch"), "--watch does nothing"),
        (("in.mp4", "--recursive"), "--recursive does nothing"),
        (("in.mp4", "--keep-metadata"), "--keep-metadata does nothing"),
        (("in.mp4", "--mark", "visible"), "--mark visible does nothing"),
        (("in.mp4", "--aligned"), "--aligned does nothing"),
        (("in.mp4", "--jpeg", "40"), "--jpeg does nothing"),
        (("in.mp4", "--scratches", "find"), "--scratches does nothing"),
        (("in.mp4", "--save-codes", "codes"), "--save-codes and --keep-code does nothing"),
        (("in.mp4", "--overwrite", "--skip-existing"), "contradict each other"),
    ],
)
def test_what_does_not_fit_clips_is_refused(run: Run, words: tuple[str, ...], said: str) -> None:
    """As usage, before any work, and nothing is written."""
    Path("in.mp4").write_bytes(b"never looked at")
    done = run("restore", "ada", *words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert os.listdir() == ["in.mp4"]


def test_without_av_it_is_said_what_to_install(run: Run, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line."""
    monkeypatch.setitem(sys.modules, "av", None)
    done = run("restore", "ada", clip, *ONE)
    assert done.exit_code == 1
    assert "clips need the optional av" in done.stderr
    assert "pip install av" in done.stderr


def test_what_is_written_is_called_alike_everywhere() -> None:
    """The command line, which loads nothing for it, knows the same endings; what is written can be read."""
    assert set(KINDS) == WRITTEN
    assert WRITTEN <= CLIPS
