"""`--on` and `mystyle jobs`, as people type them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from mystyle_cli.engines.runs import RECORD, RUNS, Runs
from tests.support.journeys import Run, document, journey
from tests.support.tiny_store import picture

WORDS = ["upscale", "ada", "in", "-o", "out", "--aligned", "--steps", "1"]


def photos(count: int) -> None:
    """Put photos into a folder."""
    Path("in").mkdir(exist_ok=True)
    for number in range(count):
        Image.fromarray(picture(number, 8)).save(f"in/{number}.png")


@journey("upscale", "--on", "--dry-run")
@journey("jobs list")
@journey("jobs show")
@journey("jobs retry")
@journey("jobs remove", "--yes")
def test_a_run_from_beginning_to_end(run: Run, tmp_path: Path) -> None:
    """Forecast, done, listed, shown, gone on with after a result went, removed; photos and results stay."""
    photos(3)
    assert "not measured yet" in run(*WORDS, "--dry-run").stdout
    done = document(run("--json", *WORDS, "--on", "local:1"))
    assert len(done["results"]) == 3
    assert document(run("--json", *WORDS, "--on", "local:1"))["skipped"] == [f"in/{n}.png" for n in range(3)]
    forecast = document(run("--json", *WORDS, "--on", "local:2", "--dry-run"))
    assert (forecast["there"], forecast["photos"]) == (3, 0)
    Path("out/1.png").unlink()
    name = done["run"]
    assert f"{name}  upscale  local:1  done   3 of 3" in run("jobs", "list").stdout
    shown = document(run("--json", "jobs", "show", name[:5]))
    assert shown["state"] == "done"
    assert [Path(path).name for path in shown["results"]] == ["0.png", "2.png"]
    assert shown["seconds_each"] > 0
    os.chdir(tmp_path)
    again = document(run("--json", "jobs", "retry", name))
    assert [one["output"] for one in again["results"]] == ["out/1.png"]
    before = {path: path.read_bytes() for path in Path("out").iterdir()}
    assert run("jobs", "remove", name).exit_code == 2
    assert document(run("--json", "jobs", "remove", name, "--yes"))["left"] == []
    assert document(run("--json", "jobs", "list"))["runs"] == []
    assert {path: path.read_bytes() for path in Path("out").iterdir()} == before
    assert run(*WORDS, "--on", "local:1").exit_code == 2  # nothing says any more whose they are


@pytest.mark.parametrize("on", ["ray", "ray:head:6379", "slurm"])
def test_threads_are_refused_where_a_worker_has_one_core(
    run: Run, on: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before or after the command; what is set for all commands of this machine is no wish for others."""
    photos(1)
    for words in (["--threads", "2", *WORDS, "--on", on], [*WORDS, "--on", on, "--threads", "2"]):
        done = run(*words)
        assert done.exit_code == 2
        assert f"--threads does nothing here: with --on {on} each worker has one core" in done.stderr
    for name in ("ray", "submitit"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setenv("MYSTYLE_THREADS", "2")
    assert "needs the optional" in run(*WORDS, "--on", on).stderr
    assert run(*WORDS, "--on", "local:1", "--threads", "1").exit_code == 0


@journey("inpaint", "--on", "--dry-run")
@journey("restore", "--on", "--dry-run")
@journey("invert", "--on", "--dry-run")
@journey("edit", "--on", "--dry-run")
def test_other_commands_keep_runs_too(run: Run) -> None:
    """Each of another one, found again by what was asked, a mask's content among it."""
    photos(1)
    Image.new("L", (32, 32), 255).save("mask.png")
    Image.fromarray(picture(1, 32)).save("in/0.png")
    rest = ["--aligned", "--force", "--steps", "1", "--on", "local:1"]
    names = set()
    for words in (
        "inpaint ada in -o filled --mask mask.png",
        "restore ada in -o restored --blur 1",
        "invert ada in -o inverted",
        "edit ada in -o edited -d smile -s 1",
    ):
        forecast = document(run("--json", *words.split(), *rest, "--dry-run"))
        (photo,) = Path("in").iterdir()
        assert (forecast["items"], forecast["photos"], forecast["sent"]) == (1, photo.stat().st_size, False)
        found = document(run("--json", *words.split(), *rest))
        assert len(found["results"]) == 1
        names.add(found["run"])
        assert document(run("--json", *words.split(), *rest))["skipped"] == ["in/0.png"]
    assert len(names) == 4
    Image.new("L", (32, 32), 255).crop((0, 0, 32, 31)).resize((32, 32)).save("mask.png", optimize=True)
    os.utime("mask.png", (1, 1))
    assert run("inpaint", "ada", "in", "-o", "filled", "--mask", "mask.png", *rest).exit_code == 2


@journey("jobs cancel")
def test_a_run_is_ended_by_its_name(run: Run, tmp_path: Path) -> None:
    """Only one that is under way."""
    photos(1)
    name = document(run("--json", *WORDS, "--on", "local:1"))["run"]
    assert run("jobs", "cancel", name).exit_code == 2
    found = Runs(tmp_path / "store").find(name)
    with found.driven():
        assert "under way" in run("jobs", "list").stdout
        assert run("jobs", "remove", name, "--yes").exit_code == 2
        assert document(run("--json", "jobs", "cancel", name))["run"] == name
        assert found.stopped()
    assert run("jobs", "show", "ffff").exit_code == 2


def test_a_forged_record_runs_nothing_else(run: Run, tmp_path: Path) -> None:
    """Its words go on with a run, or do nothing; and they never overwrite."""
    photos(1)
    name = document(run("--json", *WORDS, "--on", "local:1", "--overwrite"))["run"]
    record = tmp_path / "store" / RUNS / name / RECORD
    good = json.loads(record.read_text())
    for words in (
        ["profile", "delete", "ada", "--yes"],
        ["jobs", "remove", name, "--yes"],
        [*WORDS, "--overwrite"],
        ["serve", "--on", "local"],
        ["tune", "ada", "--on", "local"],
        ["evaluate", "ada", "--quick", "--on", "local", "-o", "e"],
        ["upscale", "ada", "in", "-o", "elsewhere", "--aligned", "--steps", "1", "--on", "local:1"],
    ):
        record.write_text(json.dumps({**good, "words": words}))
        done = run("jobs", "retry", name)
        assert done.exit_code == 2, done.output
    assert (tmp_path / "store/ada/profile.toml").exists()
    assert not Path("elsewhere").exists()
    Path("out/0.png").write_bytes(b"mine")
    record.write_text(json.dumps(good))
    assert run("jobs", "retry", name).exit_code == 2
    assert Path("out/0.png").read_bytes() == b"mine"
    record.write_text("{")
    assert f"{name} cannot be read" in run("jobs", "list").stderr
    assert run("jobs", "remove", name, "--yes").exit_code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("upscale ada in -o out --on nowhere", "no place where work can run"),
        ("upscale ada - -o out.png --on local:2", "standard input and output"),
        ("upscale ada in --watch -o out --on local:2", "--watch"),
        ("upscale ada in --watch -o out --dry-run", "--watch"),
        ("upscale ada a.mp4 --on local:2", "does nothing for a clip"),
    ],
)
def test_what_runs_here_alone_is_refused(run: Run, words: str, said: str) -> None:
    """In one line, before anything is done."""
    photos(1)
    done = run(*words.split())
    assert done.exit_code == 2
    assert said in done.stderr


@pytest.mark.slow
def test_two_processes_make_the_same_photos(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With real nets, to the byte; the profile is opened anew in each."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    photos(5)
    few = [*WORDS, "--batch", "2"]
    one = run(*few)
    assert one.exit_code == 0, one.stderr
    before = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    two = run(*few, "-o", "two", "--on", "local:2")
    assert two.exit_code == 0, two.stderr
    assert {path.name: path.read_bytes() for path in Path("two").iterdir()} == before
    assert two.stdout.replace("two/", "out/") == one.stdout
