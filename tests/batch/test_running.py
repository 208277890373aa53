"""Runs that are kept: the same results in one process and in two, nothing lost, nothing twice."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mystyle_cli.batch import errands
from mystyle_cli.batch.asking import Ask
from mystyle_cli.batch.errands import Done, Errand, Job, Result
from mystyle_cli.batch.running import Asked, forecast
from mystyle_cli.engines.engine import Seat
from mystyle_cli.engines.local import Local
from mystyle_cli.engines.named import parse
from mystyle_cli.engines.runs import NOTES, RECORD, RUNS, Noting, RunRecord, Runs
from mystyle_cli.errors import MystyleError
from mystyle_cli.nets.processors import settle
from mystyle_cli.progress import Progress
from mystyle_cli.restore.task import FEW, default_settings
from mystyle_cli.terminal.app import App
from mystyle_cli.terminal.outputs import NONE, Originals, Place, Target
from tests.support.negatives import options, results, work
from tests.support.toil import Negating


def made(log: Path) -> list[str]:
    """Return the names of photos of which results were made, as often as they were."""
    return sorted(Path(line).name for line in log.read_text().splitlines()) if log.exists() else []


@pytest.mark.parametrize("as_json", [False, True])
def test_two_processes_do_as_one(
    album: Path, capfd: pytest.CaptureFixture[str], as_json: bool, tmp_path: Path
) -> None:
    """The same bytes, lines in the same order, exit codes, and the same document."""
    found = {}
    for on in (None, "local:1", "local:2"):
        how = options(album, on=on)
        batch = work(how, Negating(tmp_path / f"log-{on}"), Path("codes"), json=as_json)
        said = capfd.readouterr()
        out, err = said.out.replace(batch.run or "?", "?"), said.err.replace(f"run {batch.run} on {on}\n", "")
        out, err = out.replace(',\n  "run": "?"', ""), re.sub(r"\(\d+ s\)", "", err)
        found[on] = batch.exit_code, results(), results("codes"), out, err
        for path in (*Path("out").iterdir(), *Path("codes").iterdir()):
            path.unlink()
    assert found[None] == found["local:1"] == found["local:2"]
    code, pictures, codes, out, err = found["local:2"]
    assert code == 3
    assert [*pictures] == ["a.png", "b.png", "d.png", "e.png", "f.png", "g.png"]
    assert [*codes] == [f"{name}.safetensors" for name in "abdefg"]
    assert "8 photos: 6 done, 2 failed" in err
    names = [one["output"] for one in json.loads(out)["results"]] if as_json else out.splitlines()
    assert names == [f"out/{name}.png" for name in "abdefg"]


def test_a_second_run_does_what_is_missing(album: Path) -> None:
    """What is there as it was written stays; photos that changed, and results that went, are done again."""
    opening, how = Negating(Path("log")), options(album)
    first = work(how, opening, Path("codes"))
    assert (len(first.done), len(first.skipped), len(first.failed)) == (6, 0, 2)
    before = {path: path.stat().st_mtime_ns for path in Path("out").iterdir()}
    again = work(how, opening, Path("codes"))
    assert (len(again.done), len(again.skipped), len(again.failed)) == (0, 6, 2)
    assert {path: path.stat().st_mtime_ns for path in Path("out").iterdir()} == before
    Image.new("RGB", (8, 6), (50, 0, 0)).save("in/a.png")  # another photo of that name
    Path("out/b.png").unlink()
    Path("codes/d.safetensors").unlink()
    Path("out/e.png").write_bytes(b"mine")
    Path("log").unlink()
    third = work(how, opening, Path("codes"))
    assert made(Path("log")) == ["a.png", "b.png", "d.png"]
    assert (len(third.done), len(third.skipped)) == (3, 2)
    assert {Path(str(one.item.path)).name for one in third.failed} == {"c.png", "stranger.png", "e.png"}
    assert Path("out/e.png").read_bytes() == b"mine"
    assert np.asarray(Image.open("out/a.png"))[0, 0].tolist() == [205, 255, 255]
    other = work(how, opening, Path("codes"), what="other settings")  # what is there is not of this run
    assert other.run != third.run
    assert len(other.failed) == 8


def test_a_worker_that_dies_costs_time_only(album: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What it wrote is not made twice; a photo that it dies of twice, alone the second time, is told."""
    opening = Negating(Path("log").absolute(), deadly="b.png", times=9)
    batch = work(options(album, on="local:2"), opening)
    assert (len(batch.done), len(batch.skipped), len(batch.failed)) == (5, 0, 3)
    assert [one["output"] for one in batch.done] == [f"out/{name}.png" for name in "adefg"]
    assert batch.done[0]["mean"] == pytest.approx(255.0, abs=1)  # told though its worker did not live to
    assert made(Path("log")) == sorted(["a.png", "b.png", "b.png", "d.png", "e.png", "f.png", "g.png"])
    assert "in/b.png: the worker that had it ended twice (killed by signal 9)" in capsys.readouterr().err


def test_a_line_comes_before_its_result(album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So there is no instant at which a kill leaves one that nobody knows of; what is last is the result."""
    real, seen = errands.put, []

    class Beside(Negating):
        def finish(self, job: Job, answer: object) -> Result:
            made = super().finish(job, answer)
            return replace(made, beside=((Target(Path("out/beside.png"), "png"), made.picture),))

    def put(target: Target, data: bytes, originals: Originals) -> None:
        (run,) = Runs(Path("store")).all()
        noted = {Path("/", line["output"]): line["written"] for _, line in run.lines()}
        assert target.path is not None
        assert noted.get(target.path.absolute()) == hashlib.sha256(data).hexdigest()
        seen.append(target.path.name)
        real(target, data, originals)

    monkeypatch.setattr(errands, "put", put)
    assert len(work(options(album / "a.png"), Beside(Path("log")), Path("codes")).done) == 1
    assert seen == ["a.safetensors", "beside.png", "a.png"]


def test_what_cannot_be_looked_at_ends_no_dry_run(album: Path) -> None:
    """It counts as an item, and as no bytes; the others are counted."""
    photos = sum(path.stat().st_size for path in album.iterdir())
    (album / "i.png").symlink_to("x" * 300)  # a name that no file can have
    (album / "j.png").symlink_to("j.png")
    found = work(options(album, dry_run=True), Negating(Path("log"))).forecast
    assert found is not None
    assert (found.items, found.photos) == (10, photos)


def test_only_one_command_drives_a_run(album: Path) -> None:
    """The second is refused while the first is at it."""
    how = options(album)
    batch = work(how, Negating(Path("log")))
    run = Runs(Path("store")).find(batch.run)
    with run.driven(), pytest.raises(MystyleError, match="under way in another command"):
        work(how, Negating(Path("log")))


def test_cancelling_ends_it(album: Path) -> None:
    """What is under way is left; the next run does the rest."""

    class Cancelling(Negating):
        def answer(self, jobs: object, progress: object) -> list[object]:
            (run,) = Runs(Path("store")).all()
            if not made(self.log):
                run.stop()
            return super().answer(jobs, progress)  # type: ignore[arg-type]

    opening = Cancelling(Path("log"))
    with pytest.raises(KeyboardInterrupt):
        work(options(album), opening)
    assert [*results()] == ["a.png", "b.png"]
    (run,) = Runs(Path("store")).all()
    assert run.state(run.read()) == "interrupted"
    batch = work(options(album), opening)
    assert (len(batch.done), len(batch.skipped)) == (4, 2)
    assert run.state(run.read()) == "failed"
    assert not run.stopped()


def test_what_a_worker_of_a_killed_driver_ends_meanwhile_is_ours(album: Path) -> None:
    """A job may be at its photos still when the command is given again: what it writes counts."""
    how = options(album)

    class Overtaken(Negating):
        """Another worker of the run is faster; the user is, too, with a file of their own."""

        def answer(self, jobs: Sequence[Job], progress: Progress) -> list[object]:
            (run,) = Runs(Path("store")).all()
            others = [Errand(7, job.item, Place(job.target)) for job in jobs[:1]]
            desks = errands.Desks(how, Negating(Path("theirs")), NONE, noting=Noting.of(run))
            assert [type(became) for became in desks.open(Seat())(others)] == [Done]
            for job in jobs[1:]:
                assert job.target.path is not None
                job.target.path.write_bytes(b"mine")
            return super().answer(jobs, progress)

    batch = work(how, Overtaken(Path("log")))
    theirs = made(Path("theirs"))
    assert [item.name for item in batch.skipped] == [f"in/{name}" for name in theirs]
    assert "in/a.png" in {item.name for item in batch.skipped}
    assert batch.done == []
    found = results()
    assert {name for name, data in found.items() if data != b"mine"} == set(theirs)
    mine = {f"in/{name}" for name, data in found.items() if data == b"mine"}
    assert mine
    assert mine <= {failure.item.name for failure in batch.failed}
    again = work(how, Negating(Path("log")))
    assert {item.name for item in again.skipped} >= {f"in/{name}" for name in theirs}


@pytest.mark.parametrize("harm", ["lines", "record", "others", "links"])
def test_a_forged_run_does_no_harm(album: Path, harm: str, tmp_path: Path) -> None:
    """Whatever is in its folder: results are made or refused, and nothing of the user's is replaced."""
    how = options(album)
    batch = work(how, Negating(Path("log")))
    run = Runs(Path("store")).find(batch.run)
    (notes,) = (run.folder / NOTES).iterdir()
    for path in Path("out").iterdir():
        path.write_bytes(b"mine")
    if harm == "lines":
        lines = [json.loads(line) for line in notes.read_text().splitlines()]
        forged = [{**line, "written": "0" * 64} for line in lines] + [
            {"photo": 1},
            [],
            {"output": "out/a.png"},
        ]
        notes.write_text("\n".join(map(json.dumps, forged)) + '\n{"torn')
    elif harm == "record":
        (run.folder / RECORD).write_text('{"format": 9}')
    elif harm == "others":
        (run.folder / NOTES / "mine.jsonl").write_text("mine")
    else:
        mine = tmp_path / "mine"
        mine.write_text(notes.read_text())
        notes.unlink()
        notes.symlink_to(mine)
    again = work(how, Negating(Path("log")))
    assert set(results().values()) == {b"mine"}
    assert len(again.failed) == 8
    if harm == "others":
        assert (run.folder / NOTES / "mine.jsonl").read_text() == "mine"
        assert run.remove() == (f"{NOTES}/mine.jsonl",)


def test_what_is_kept_is_for_its_owner_only(album: Path) -> None:
    """Folders and files of runs say which photos somebody has."""
    work(options(album), Negating(Path("log")))
    kept = [path for path in (Path("store") / RUNS).rglob("*")]
    assert len(kept) >= 5
    assert {path.stat().st_mode & 0o077 for path in (Path("store") / RUNS, *kept)} == {0}


def test_a_forecast_is_of_what_was_measured(album: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything was measured that is said; nothing is done, and nothing is kept."""
    dry = options(album, on="local:3", dry_run=True)
    assert work(dry, Negating(Path("log")), json=True).exit_code == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["dry_run"], found["items"], found["there"], found["workers"]) == (True, 8, 0, 3)
    assert found["seconds"] is None
    assert found["memory"] is None
    assert not Path("out").exists()
    assert not Path("store").exists()
    work(options(album), Negating(Path("log"), slow=0.05))
    Path("out/a.png").unlink()
    capsys.readouterr()
    work(dry, Negating(Path("log")), json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["items"], found["there"], found["workers"]) == (3, 5, 3)
    assert 0.05 < found["seconds"] < 5
    assert found["memory"] > 3 << 20
    work(options(album, dry_run=True, on=None), Negating(Path("log")))
    assert "local:1, 1 at a time" in capsys.readouterr().out


def test_a_forecast_goes_by_people_of_as_few_photos() -> None:
    """Searches of few photos are longer, so what one took says nothing of the others."""
    settings = default_settings("upscale")
    search: Any = SimpleNamespace(landmarks=None)

    def kind(*counts: int) -> str:
        people: Any = [SimpleNamespace(prior="p", photos=count) for count in counts]
        batch: Any = SimpleNamespace(made=())
        return Ask("upscale").asked(App(store=Path("store")), batch, settings, people, search).kind

    assert kind(FEW - 1) == kind(1)
    assert kind(FEW) == kind(100)
    assert len({kind(1), kind(100), kind(1, 100)}) == 3


def test_a_forecast_goes_by_workers_of_as_many_threads(
    album: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What one with two threads took says nothing of one with another number; its memory does."""
    settle(2)
    work(options(album), Negating(Path("log")))
    (run,) = Runs(Path("store")).all()
    assert run.read().threads == 2
    known = {}
    for count, on in ((2, "local:1"), (3, "local:1"), (4, "local:2"), (1, "local:1")):
        settle(count)
        capsys.readouterr()
        work(options(album, on=on, dry_run=True), Negating(Path("log")), json=True)
        known[count] = json.loads(capsys.readouterr().out)["seconds"] is not None
    assert known == {2: True, 3: False, 4: True, 1: False}
    asked = Asked(App(store=Path("store")), "negative", ("",), ("a negative",))
    assert asked.demand(Local(1), 1).memory


def test_runs_of_earlier_versions_are_read(album: Path) -> None:
    """They did not note threads."""
    work(options(album), Negating(Path("log")))
    (run,) = Runs(Path("store")).all()
    text = json.loads((run.folder / RECORD).read_text())
    assert text.pop("threads")
    (run.folder / RECORD).write_text(json.dumps(text))
    assert run.read().threads == 0


def test_a_forecast_is_reckoned_by_what_an_item_took() -> None:
    """Shared out among no more workers than there are items; each opens once, and has memory of its own."""
    before = RunRecord("upscale", (), "", "local:2", "", measured=10, seconds=50.0, opening=3.0, memory=100)
    found = forecast(before, parse("local:4"), 4, 8, 1)
    assert (found.items, found.there, found.workers) == (8, 1, 4)
    assert (found.seconds, found.memory) == (3 + 5 * 8 / 4, 400)
    few = forecast(before, parse("local:4"), 4, 2, 0)
    assert (few.workers, few.seconds, few.memory) == (2, 3 + 5, 200)
    assert forecast(before, parse("local:4"), 4, 0, 9).seconds == 0
    assert found.photos is None
    assert not any("photos" in line for line in found.lines())
    near, far = (
        forecast(before, parse(where), 4, 8, 1, 2_500_000) for where in ("slurm", "ray:10.0.0.1:6379")
    )
    assert (near.lines()[-1], far.lines()[-1]) == (
        "photos   2.5 MB, read where they are",
        "photos   2.5 MB, sent to machines that do not see them",
    )
    assert (near.to_json()["sent"], far.to_json()["sent"]) == (False, True)
    unknown = forecast(replace(before, measured=0, memory=0), parse("ray"), 4, 8, 0)
    assert (unknown.seconds, unknown.memory) == (None, None)


DRIVER = """
import sys
from pathlib import Path
from tests.support.toil import Negating
from tests.support.negatives import options, work
if __name__ == "__main__":
    work(options("in", on="local:2"), Negating(Path("log").absolute(), slow=0.01))
"""


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="it kills")
def test_a_killed_driver_costs_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At ten instants: after another run all results are there, none was made twice, photos are as before."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for number in range(60):
        Image.new("RGB", (8, 6), (number, 0, 0)).save(f"in/{number:02}.png")
    before = results("in")
    Path("driver.py").write_text(DRIVER)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    random, written, kills = np.random.default_rng(0), {}, 0
    for _ in range(10):
        driver = subprocess.Popen([sys.executable, "driver.py"], env=environment, stderr=subprocess.DEVNULL)
        there = len(written)
        ends = time.monotonic() + 60
        wanted = there + int(random.integers(0, 9))
        while driver.poll() is None and time.monotonic() < ends:
            if len(list(Path().glob("out/*.png"))) >= wanted:
                break
        time.sleep(float(random.random()) * 0.05)
        driver.send_signal(signal.SIGKILL)
        kills += driver.wait() == -signal.SIGKILL
        now = {path: path.stat().st_mtime_ns for path in Path().glob("out/*.png")}
        assert {path: now.get(path) for path in written} == written
        written = now
    assert kills >= 5
    time.sleep(1)  # workers of the last one leave
    batch = work(options("in", on="local:2"), Negating(Path("log").absolute()))
    assert batch.exit_code == 0
    assert len(batch.done) + len(batch.skipped) == 60
    assert len(results()) == 60
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert results("in") == before


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="it looks for workers in /proc")
def test_killed_workers_cost_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten of them at random instants: the same run ends well, all results are there, none was made twice."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for number in range(60):
        Image.new("RGB", (8, 6), (number, 0, 0)).save(f"in/{number:02}.png")
    Path("driver.py").write_text(DRIVER.replace("slow=0.01", "slow=0.3"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    driver = subprocess.Popen([sys.executable, "driver.py"], env=environment, stderr=subprocess.DEVNULL)
    random, seen, kills, before = np.random.default_rng(0), {}, 0, 0
    while driver.poll() is None:
        time.sleep(float(random.random()))
        for path in Path().glob("out/*.png"):
            assert seen.setdefault(path, path.stat().st_mtime_ns) == path.stat().st_mtime_ns
        children = Path(f"/proc/{driver.pid}/task/{driver.pid}/children").read_text().split()
        if children and kills < 10 and len(seen) > before:
            before, worker = len(seen), int(random.choice(children))
            if b"spawn_main" in Path(f"/proc/{worker}/cmdline").read_bytes():
                os.kill(worker, signal.SIGKILL)
                kills += 1
    assert driver.returncode == 0
    assert kills >= 5
    failed = [name for name in (f"{number:02}.png" for number in range(60)) if name not in results()]
    again = work(options("in", on="local:1"), Negating(Path("log").absolute()))
    assert len(failed) <= kills // 2  # those whose worker was killed twice
    assert (len(again.done), len(again.skipped), len(again.failed)) == (len(failed), 60 - len(failed), 0)
    assert {path: path.stat().st_mtime_ns for path in seen} == seen
