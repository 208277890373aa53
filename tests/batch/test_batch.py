"""The loop over many inputs: order, failures, exit codes, existing results, standard streams."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mystyle_cli.batch.batch import open_batch
from mystyle_cli.batch.errands import Job, Picture, Result
from mystyle_cli.batch.subjects import SubjectReader, answer_each
from mystyle_cli.engines.engine import Seat
from mystyle_cli.errors import MystyleError, NotThisPersonError, UsageError
from mystyle_cli.find.locate import Subject, as_photo
from mystyle_cli.photos.marks import Provenance, source_type
from mystyle_cli.progress import Progress
from mystyle_cli.terminal.console import Console
from mystyle_cli.terminal.options import BatchOptions


def marks() -> Provenance:
    """Return some provenance."""
    kind = source_type("upscale")
    return Provenance("upscale", "adele", "tiny", 0.1, 1, "0.1.0", kind, "2026-01-01T00:00:00+00:00")


class Negative:
    """A command whose answer is the negative, and which knows nobody called *stranger*."""

    name = "negative"

    def __init__(self) -> None:
        self.chunks: list[int] = []

    def open(self, seat: Seat) -> Negative:
        """Be ready."""
        return self

    def answer(self, jobs: Sequence[Job], progress: Progress) -> list[np.ndarray | MystyleError]:
        """Return the negatives."""
        self.chunks.append(len(jobs))
        return [
            NotThisPersonError(f"{job.item.name}: nobody we know")
            if "stranger" in job.item.name
            else 255 - job.photo.pixels
            for job in jobs
        ]

    def finish(self, job: Job, answer: np.ndarray) -> Result:
        """Return what is written and said."""
        report = {"mean": float(answer.mean())}
        return Result(lambda: Picture(answer, marks()), f"{job.item.name} turned", [], report)


def run_batch(console: Console, options: BatchOptions, work: Negative, codes: Path | None = None) -> int:
    """Work through all inputs as a command does."""
    with open_batch(console, options, work.name, codes=codes) as batch:
        batch.work(work)
    return batch.exit_code


def options(*inputs: Path | str, output: Path | str | None = None, **changes: object) -> BatchOptions:
    """Return batch options with defaults."""
    values: dict[str, object] = {
        "inputs": tuple(map(str, inputs)),
        "output": None if output is None else str(output),
        "format_name": None,
        "jpeg_quality": None,
        "overwrite": False,
        "skip_existing": False,
        "recursive": False,
        "batch": 2,
        "keep_metadata": False,
        "mark": None,
        "no_mark": False,
        "naming": None,
        "on": None,
        "dry_run": False,
    }
    return BatchOptions(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Three photos and one file that is none."""
    folder = tmp_path / "album"
    folder.mkdir()
    for index, name in enumerate(("a.png", "b.png", "d.png")):
        Image.new("RGB", (8, 6), (index, 0, 0)).save(folder / name)
    (folder / "c.png").write_text("not a picture")
    return folder


def test_one_bad_file_does_not_stop_the_rest(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All good inputs are done in order, the bad one is named at the end, and the exit code is 3."""
    work = Negative()
    assert run_batch(Console(), options(album, output=tmp_path / "out"), work) == 3
    captured = capsys.readouterr()
    assert [Path(line).name for line in captured.out.splitlines()] == ["a.png", "b.png", "d.png"]
    assert "c.png" in captured.err.splitlines()[-3]
    assert "4 photos: 3 done, 1 failed" in captured.err
    assert work.chunks == [2, 1]
    assert np.asarray(Image.open(tmp_path / "out/d.png"))[0, 0].tolist() == [253, 255, 255]


@dataclass(frozen=True)
class Turned:
    """An answer of a core."""

    pixels: np.ndarray
    error: MystyleError | None = None


def test_a_fault_in_the_work_on_some_at_once_is_one_photo_s(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the work on several raises, each is tried alone: one fails, named, and the others are written."""

    class Failing(Negative):
        def answer(self, jobs: Sequence[Job], progress: Progress) -> list[np.ndarray | MystyleError]:
            answers = answer_each(jobs, SubjectReader(), self.turn)
            return [answer.pixels if isinstance(answer, Turned) else answer for answer in answers]

        def turn(self, subjects: Sequence[Subject]) -> list[Turned]:
            if any("b.png" in subject.name for subject in subjects):
                raise ArithmeticError("an assertion of a library")
            return [Turned(255 - as_photo(subject.photo).pixels) for subject in subjects]

    out = tmp_path / "out"
    assert run_batch(Console(), options(album, output=out, batch=8), Failing()) == 3
    assert {path.name for path in out.iterdir()} == {"a.png", "d.png"}
    assert "b.png: unexpected ArithmeticError: an assertion of a library" in capsys.readouterr().err


def test_json_tells_everything(album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json stdout is one document with a schema version, results and failures."""
    run_batch(Console(json=True), options(album, output=tmp_path / "out"), Negative())
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 2
    assert document["command"] == "negative"
    assert document["ok"] is False
    assert [Path(result["output"]).name for result in document["results"]] == ["a.png", "b.png", "d.png"]
    assert document["results"][0]["mean"] == pytest.approx(255.0)
    [failure] = document["failures"]
    assert Path(failure["input"]).name == "c.png"
    assert failure["exit_code"] == 1
    assert failure["hint"]


def test_failing_alike_keeps_the_code(album: Path, tmp_path: Path) -> None:
    """When every input fails for one reason its own exit code tells scripts which: 4 for a stranger."""
    stranger = tmp_path / "stranger.png"
    Image.new("RGB", (8, 8)).save(stranger)
    assert run_batch(Console(), options(stranger, output=tmp_path / "x.png"), Negative()) == 4
    mixed = options(stranger, album / "a.png", output=tmp_path / "out")
    assert run_batch(Console(), mixed, Negative()) == 3
    assert not (tmp_path / "x.png").exists()


def test_one_photo_that_is_left_out_is_said(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --skip-existing one photo whose result is there is not passed over in silence."""
    (tmp_path / "out.png").write_bytes(b"done before")
    how = options(album / "a.png", output=tmp_path / "out.png", skip_existing=True)
    assert run_batch(Console(), how, Negative()) == 0
    assert "a.png: left out, its result is already there" in capsys.readouterr().err


def test_what_comes_to_its_place_meanwhile_stays(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Work may take minutes, in which a file of the user's may have got the result's name."""
    place = tmp_path / "out.png"
    code = tmp_path / "codes" / "a.safetensors"
    code.parent.mkdir()

    class Slow(Negative):
        def answer(self, jobs: Sequence[Job], progress: Progress) -> list[np.ndarray | MystyleError]:
            (jobs[0].code or place).write_bytes(b"mine")
            return super().answer(jobs, progress)

    assert run_batch(Console(), options(album / "a.png", output=place), Slow(), code.parent) == 2
    assert f"{code} is already there" in capsys.readouterr().err
    assert code.read_bytes() == b"mine"
    assert not place.exists()
    assert run_batch(Console(), options(album / "a.png", output=place), Slow()) == 2
    assert f"{place} is already there" in capsys.readouterr().err
    assert place.read_bytes() == b"mine"
    place.unlink()
    assert run_batch(Console(), options(album / "a.png", output=place, overwrite=True), Slow()) == 0
    assert place.read_bytes() != b"mine"


def test_results_are_never_replaced_silently(album: Path, tmp_path: Path) -> None:
    """A result that is there is an error, skipped, or replaced, as the user says."""
    place = tmp_path / "out.png"
    place.write_bytes(b"precious")
    assert run_batch(Console(), options(album / "a.png", output=place), Negative()) == UsageError.exit_code
    assert run_batch(Console(), options(album / "a.png", output=place, skip_existing=True), Negative()) == 0
    assert place.read_bytes() == b"precious"
    assert run_batch(Console(), options(album / "a.png", output=place, overwrite=True), Negative()) == 0
    assert Image.open(place).size == (8, 6)


def test_originals_and_nothing_else_remain(album: Path, tmp_path: Path) -> None:
    """Inputs keep their bytes, and no temporary file is left beside a result."""
    before = {path.name: path.read_bytes() for path in album.iterdir()}
    run_batch(Console(), options(album, output=tmp_path / "out"), Negative())
    assert {path.name: path.read_bytes() for path in album.iterdir()} == before
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png", "d.png"]


def test_picture_and_json_cannot_share_a_stream(album: Path) -> None:
    """--json with -o - is refused before any work."""
    work = Negative()
    with pytest.raises(UsageError, match="standard output"):
        run_batch(Console(json=True), options(album / "a.png", output="-"), work)
    assert work.chunks == []


def test_terminal_is_refused(album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture is not poured into a terminal, and no work is wasted finding that out."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    work = Negative()
    with pytest.raises(UsageError, match="terminal"):
        run_batch(Console(), options(album / "a.png", output="-"), work)
    assert work.chunks == []


def test_filter(
    album: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """`-` reads a picture from stdin and writes the result to stdout, alone."""
    source = io.TextIOWrapper(io.BytesIO((album / "b.png").read_bytes()))
    monkeypatch.setattr("sys.stdin", source)
    assert run_batch(Console(), options("-"), Negative()) == 0
    written = Image.open(io.BytesIO(capsysbinary.readouterr().out))
    assert np.asarray(written)[0, 0].tolist() == [254, 255, 255]


def test_unwritable_place_is_that_inputs_failure(album: Path, tmp_path: Path) -> None:
    """A folder that cannot be made fails its input with a message, before any work, and no other input."""
    (tmp_path / "file").write_text("in the way")
    work = Negative()
    assert run_batch(Console(), options(album / "a.png", output=tmp_path / "file/out.png"), work) == 1
    assert work.chunks == []
    (album / "sub").mkdir()
    (album / "sub/e.png").write_bytes((album / "a.png").read_bytes())
    (tmp_path / "out").mkdir()
    (tmp_path / "out/sub").write_text("in the way")
    (album / "c.png").unlink()
    assert run_batch(Console(), options(album, output=tmp_path / "out", recursive=True), work) == 3
    assert work.chunks == [2, 1]
    assert (tmp_path / "out/d.png").exists()


class Keeping(Negative):
    """The same, with a file of its own for each answer, as codes are."""

    def finish(self, job: Job, answer: np.ndarray) -> Result:
        """Return the code, too."""
        return replace(super().finish(job, answer), code=job.item.name.encode())


def test_a_code_that_is_there_is_told_before_any_work(album: Path, tmp_path: Path) -> None:
    """Neither it nor the work on its picture is lost; with --skip-existing what is missing is made."""
    codes = tmp_path / "codes"
    codes.mkdir()
    (codes / "a.safetensors").write_text("precious")
    how = {"output": tmp_path / "out", "batch": 1}
    work = Keeping()
    assert run_batch(Console(), options(album / "a.png", album / "b.png", **how), work, codes=codes) == 3
    assert work.chunks == [1]
    assert not (tmp_path / "out/a.png").exists()
    how["skip_existing"] = True
    (codes / "b.safetensors").unlink()
    before = (tmp_path / "out/b.png").read_bytes()
    (album / "c.png").unlink()
    assert run_batch(Console(), options(album, **how), work, codes=codes) == 0
    assert work.chunks == [1, 1, 1, 1]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.png", "b.png", "d.png"}
    assert (tmp_path / "out/b.png").read_bytes() == before
    assert {path.stem: path.read_text() for path in codes.iterdir()} == {
        "a": "precious",
        "b": str(album / "b.png"),
        "d": str(album / "d.png"),
    }
    assert run_batch(Console(), options(album, **how), work, codes=codes) == 0
    assert len(work.chunks) == 4
