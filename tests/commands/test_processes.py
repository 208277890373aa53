"""`torchrun -m mystyle_cli tune`: one process speaks, locks and writes; the others help it and are silent."""

from __future__ import annotations

import csv
import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from torch.distributed import TCPStore

from mystyle_cli import cli as program
from mystyle_cli.cli import cli
from mystyle_cli.errors import MystyleError
from mystyle_cli.learn.stages import Stages
from mystyle_cli.person.layout import NEXT
from mystyle_cli.store.store import Store
from mystyle_cli.tuning import tuning
from tests.support.journeys import Run, document
from tests.support.processes import child, ended

SHORT = ("--batch", 3, "--no-instant", "--no-export", "--precision", "float32")
TUNE = ("tune", "ada", *SHORT, "--device", "cpu")
HERE = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}


def be(rank: int, put: Callable[[str, str], object]) -> None:
    """Put into the environment what `torchrun` does for one of two processes."""
    for name, value in {**HERE, "RANK": str(rank), "LOCAL_RANK": str(rank)}.items():
        put(name, value)


@pytest.fixture
def two(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run the program as the first of two processes; what they leave for each other is with this one."""
    server = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    monkeypatch.setenv("MASTER_PORT", str(server.port))
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    be(0, monkeypatch.setenv)
    yield run
    del server


def other(run: Run, *words: object) -> Callable[[], None]:
    """Return what runs the program as the second process, and raises where it does not end well or speaks."""

    def work() -> None:
        be(1, os.environ.__setitem__)
        done = run(*words)
        if (done.exit_code, done.output) != (0, ""):
            raise RuntimeError(f"{done.exit_code} {done.output!r}")

    return work


def contents(folder: Path) -> dict[str, str]:
    """Return the digests of a profile's files, those of work under way left out."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and NEXT not in path.as_posix()
    }


def losses(folder: Path) -> list[float]:
    """Return the losses that a tuning wrote down, pass by pass."""
    [table] = folder.rglob("loss.csv")
    with table.open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def test_the_first_of_two_tunes_and_speaks(two: Run, tmp_path: Path) -> None:
    """Two processes learn what one does; the second says nothing, not even with --json."""
    words = (*TUNE, "--passes", 2, "--json")
    with child(tmp_path, other(two, *words)):
        done = two(*words)
    assert document(done)["stages_worked"] == ["anchors", "tune", "measure"]
    assert "in each of 2 processes" in done.stderr
    assert ended(tmp_path) == "nothing"
    found = losses(tmp_path / "store/ada")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TORCHELASTIC_RUN_ID")  # and stray names of others' environments count for nothing
        assert two(*TUNE, "--passes", 2, "--seed", 1).exit_code == 0
        assert two(*words).exit_code == 0
    assert found == pytest.approx(losses(tmp_path / "store/ada"), rel=1e-4)


def test_where_nothing_is_to_be_tuned_the_others_end(two: Run, tmp_path: Path) -> None:
    """Tuned so already, the first has nothing for them to do, and they end well."""
    words = (*TUNE, "--passes", 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TORCHELASTIC_RUN_ID")
        assert two(*words).exit_code == 0
    with child(tmp_path, other(two, *words)):
        assert two(*words).exit_code == 0
    assert ended(tmp_path) == "nothing"


def test_one_that_is_killed_leaves_the_profile_as_it_was(
    two: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first ends with one line and exit code 1, and what was the profile still is."""
    before, taken = contents(tmp_path / "store/ada"), tuning._Run._take_step

    def killed(*given: object) -> float:
        if os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        return taken(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(tuning._Run, "_take_step", killed)
    with child(tmp_path, other(two, *TUNE, "--passes", 1)):
        done = two(*TUNE, "--passes", 1)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[2:] == [
        "error: one of the 2 processes ended, or does not answer",
        "  Nothing finished is lost: the same command goes on from there.",
    ]
    assert contents(tmp_path / "store/ada") == before
    assert Store(tmp_path / "store").entry("ada").state == "ready"


def test_the_first_says_why_another_cannot_go_on(
    two: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails in another process is said once, by the first."""

    def fail(*given: object) -> None:
        raise MystyleError("its memory is full")

    monkeypatch.setattr(Stages, "assist", fail)
    with child(tmp_path, other(two, *TUNE, "--passes", 1)):
        done = two(*TUNE, "--passes", 1)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[2] == "error: process 1 of 2 failed: its memory is full"
    assert ended(tmp_path) == "RuntimeError: 1 ''"  # the exit code, and no word


def test_the_end_that_torchrun_makes_is_told_from_ctrl_c(two: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends all processes where one ends; and the line says so, with the exit code of what failed."""
    for name in ("_asked_to_end", "_terminated"):
        monkeypatch.setattr(program, name, threading.Event())

    def end(*given: object) -> None:
        program._note_interrupt(sent, None)

    monkeypatch.setattr("mystyle_cli.learn.learn.retune", end)
    for sent, code, said in (  # noqa: B007
        (signal.SIGINT, 130, "error: interrupted"),
        (
            signal.SIGTERM,
            1,
            "error: torchrun has ended this: one of its 2 processes ended, or it was told to",
        ),
    ):
        done = two(*TUNE)
        assert done.exit_code == code
        assert said in done.stderr.splitlines()


def test_the_others_end_where_the_first_is_refused(two: Run, tmp_path: Path) -> None:
    """A profile that somebody else changes: the first says so, and the others do not wait for it."""
    with child(tmp_path, other(two, *TUNE)), Store(tmp_path / "store").locked("ada"):
        done = two(*TUNE)
    assert done.exit_code == 5
    assert ended(tmp_path) == "nothing"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sample", "ada"), "is the work of one"),
        ((*TUNE, "--dry-run"), "what one process takes"),
        ((*TUNE[:-1], "cuda:1"), "is one device, and 2 processes"),
    ],
)
def test_what_several_cannot_do_is_refused(
    two: Run, words: tuple[object, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Usage errors before any work, said by the first alone."""
    done = two(*words)
    assert done.exit_code == 2
    assert said in done.stderr
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr("mystyle_cli.ranks.Ranks.answer", lambda ranks, kind: True)
    monkeypatch.setattr("mystyle_cli.ranks.Ranks.fail", lambda ranks, reason: None)
    silent = two(*words)
    assert (silent.exit_code, silent.output) == (2, "")


def test_a_line_that_cannot_be_parsed_is_said_once(two: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do click's own errors come from every process."""
    assert "No such option" in two("tune", "ada", "--nonsense").stderr
    monkeypatch.setenv("RANK", "1")
    done = two("tune", "ada", "--nonsense")
    assert (done.exit_code, done.output) == (2, "")


@pytest.mark.slow
def test_torchrun_starts_it(run: Run, tmp_path: Path) -> None:
    """Torch's own launcher, two processes: the profile is tuned, and stdout has the one result."""
    words = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m", "mystyle_cli"]
    told = map(str, ("--store", tmp_path / "store", *TUNE, "--passes", 1))
    done = subprocess.run([sys.executable, *words, *told], capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path / 'store/ada'}\n"
    assert len(losses(tmp_path / "store/ada")) == 1


def test_python_starts_it() -> None:
    """`python -m mystyle_cli` is the program."""
    done = subprocess.run(
        [sys.executable, "-m", "mystyle_cli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == CliRunner().invoke(cli, ["--version"]).stdout
