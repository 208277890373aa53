"""Runs struck amid their results: a node of Ray's killed, a job of Slurm's requeued, the driver killed.

Each time the same command is given again. Then all results are there once, none was made twice, photos are as
they were, and nothing is left over. `pytest -s -m long tests/kills/test_runs.py` prints a table.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Final

import pytest

from mystyle_cli.engines.runs import LOCK, LOGS, NOTES, RECORD, Run, Runs
from tests.engines.ray_nodes import Nodes, ray_nodes
from tests.engines.slurm import missing, slurm
from tests.support.studio import CLIENTS, Studio, digests, make_studio, names
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(sys.platform != "linux", reason="it looks for processes in /proc"),
]

SEED: Final = 16
STRIKES: Final = 10
"""Of each kind."""

COUNT: Final = 40
"""Photos of a run."""

TOGETHER: Final = 2
"""Photos of a chunk, so that a strike finds many of them done and many to do."""

MARK: Final = "MYSTYLE_TRIAL"
"""In the environment of a driver, and of what it starts on this machine."""

PATIENCE_S: Final = 300


@dataclass
class Trial:
    """A run that is struck, and what was found.

    Args:
        engine: what `--on` is told.
        added: to the environment.
    """

    studio: Studio
    output: Path
    engine: str
    added: dict[str, str]
    client: str
    mark: str = field(default_factory=lambda: f"{time.time_ns()}")
    there: int = 0  # results that were there when it was struck

    def start(self) -> subprocess.Popen[str]:
        """Give the command."""
        words = self.studio.words(self.client, self.output, TOGETHER, self.engine)
        return subprocess.Popen(
            [sys.executable, "-m", "mystyle_cli", *words],
            env=os.environ | self.added | {MARK: self.mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def results(self) -> dict[str, tuple[int, int]]:
        """Return the results that are there, each with its file's number and time."""
        found = {}
        for path in self.output.glob("[!.]*"):
            about = path.lstat()
            found[path.name] = (about.st_ino, about.st_mtime_ns)
        return found

    def wait(self, driver: subprocess.Popen[str], count: int) -> None:
        """Wait until so many results are there, or the command has ended."""
        ends = time.monotonic() + PATIENCE_S
        while driver.poll() is None and time.monotonic() < ends and len(self.results()) < count:
            time.sleep(0.01)

    def run_of_it(self) -> Run:
        """Return the run that is kept."""
        return Runs(self.studio.root / "store").all()[0]

    def living(self) -> list[int]:
        """Return the processes that the command has started on this machine, itself among them."""
        wanted, found = f"{MARK}={self.mark}".encode(), []
        for entry in Path("/proc").glob("[0-9]*/environ"):
            try:
                if wanted in entry.read_bytes().split(b"\0"):
                    found.append(int(entry.parent.name))
            except OSError:  # it has ended
                continue
        return found


Strike = Callable[[Trial, "subprocess.Popen[str]"], None]
Struck = tuple[str, dict[str, str], Strike]
"""What `--on` is told, what is added to the environment, and what strikes a run there."""


def kill_driver(trial: Trial, driver: subprocess.Popen[str]) -> None:
    """As whoever runs out of memory is."""
    driver.kill()


def requeue(trial: Trial, driver: subprocess.Popen[str]) -> None:
    """Take its nodes from all jobs that run, as an owner of the partition does."""
    asked = ["squeue", "-h", "-r", "-t", "RUNNING", "-o", "%i"]
    environment = os.environ | trial.added
    for job in subprocess.run(asked, env=environment, capture_output=True, text=True).stdout.split():
        subprocess.run(["scontrol", "requeue", job], env=environment, check=False)


@dataclass
class KillNode:
    """A power cut of one node; another comes."""

    nodes: Nodes

    def __call__(self, trial: Trial, driver: subprocess.Popen[str]) -> None:
        """Cut it."""
        self.nodes.kill()
        self.nodes.add()


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """Two people with photos."""
    return make_studio(tmp_path_factory.mktemp("studio"), COUNT)


@pytest.fixture(scope="module")
def whole(studio: Studio) -> dict[str, dict[str, str]]:
    """The digests of each client's results, made by one process that nothing strikes."""
    found = {}
    for client in CLIENTS:
        trial = Trial(studio, studio.root / "whole" / client, "local:1", {}, client)
        driver = trial.start()
        _, said = driver.communicate()
        assert driver.returncode == 0, said
        found[client] = digests(trial.output)
        assert list(found[client]) == list(names(COUNT))
    return found


@contextmanager
def on_ray() -> Iterator[Struck]:
    """A Ray with two nodes, and what kills one."""
    if find_spec("ray") is None:
        pytest.skip("ray is not installed (extra ray)")
    with ray_nodes(2) as nodes:
        secrets = {key: value for key, value in os.environ.items() if key.startswith("RAY_")}
        yield f"ray:{nodes.address}", secrets, KillNode(nodes)


@contextmanager
def on_slurm() -> Iterator[Struck]:
    """A Slurm with two cores, and what requeues its jobs."""
    if find_spec("submitit") is None or missing():
        pytest.skip(
            "no submitit (extra slurm), or no Slurm (apt install slurmctld slurmd slurm-client munge)"
        )
    with slurm(2) as added:
        yield "slurm", added, requeue


@contextmanager
def on_local() -> Iterator[Struck]:
    """Two processes."""
    yield "local:2", {}, kill_driver


@pytest.mark.parametrize(
    ("cluster", "driver"),
    [(on_local, True), (on_ray, False), (on_ray, True), (on_slurm, False), (on_slurm, True)],
    ids=["driver of local", "node of Ray", "driver of Ray", "job of Slurm", "driver of Slurm"],
)
def test_what_is_struck_costs_time_only(
    studio: Studio,
    whole: dict[str, dict[str, str]],
    cluster: Callable[[], AbstractContextManager[Struck]],
    driver: bool,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    """At ten instants amid the results, drawn once and for all."""
    random, wrong, amid = Random(SEED), [], 0
    print()
    with cluster() as (engine, added, strike):
        for number in range(STRIKES):
            client, count = random.choice(CLIENTS), random.randrange(1, COUNT - 10)
            trial = Trial(studio, tmp_path / f"{number}", engine, added, client)
            began = time.monotonic()
            faults = struck(trial, kill_driver if driver else strike, count, random.uniform(0, 0.1), whole)
            amid += 0 < trial.there < COUNT
            wrong += [f"{number}: {fault}" for fault in faults]
            print(
                f"{request.node.callspec.id}, {number}: struck at {trial.there:>3} of {COUNT} results,"
                f" {time.monotonic() - began:.0f} s: {'; '.join(faults) or 'right'}",
                flush=True,
            )
            shutil.rmtree(trial.output, ignore_errors=True)
    assert wrong == []
    assert amid >= STRIKES - 2  # else it was no test of what it says


def struck(
    trial: Trial, strike: Strike, count: int, after: float, whole: dict[str, dict[str, str]]
) -> list[str]:
    """Strike a run, give the command again, and look.

    Args:
        count: results after which it is struck.
        after: seconds after that.

    Returns:
        What is wrong then.
    """
    wrong = []
    originals = trial.studio.originals()
    driver = trial.start()
    trial.wait(driver, count)
    time.sleep(after)
    if driver.poll() is not None:
        return [f"it has ended too early: {driver.communicate()[1]}"]
    before = trial.results()
    strike(trial, driver)
    trial.there = len(before)
    told, said = driver.communicate(timeout=PATIENCE_S)
    first = trial.results()
    if strike is not kill_driver:
        if driver.returncode or len(told.splitlines()) != COUNT:
            wrong.append(f"{len(told.splitlines())} told, exit code {driver.returncode}: {said[-300:]}")
        if len(first) != COUNT:
            wrong.append(f"{COUNT - len(first)} results are missing")
    again = trial.start()
    told, said = again.communicate(timeout=PATIENCE_S)
    made = len(told.splitlines())
    last = trial.results()
    if again.returncode or (made != COUNT - len(first) and strike is not kill_driver):
        wrong.append(f"again: {made} told, exit code {again.returncode}: {said[-300:]}")
    if rewritten := [name for name, stamp in (before | first).items() if last.get(name) != stamp]:
        wrong.append(f"made twice: {rewritten}")
    if digests(trial.output) != whole[trial.client]:  # names that begin with a dot among them
        wrong.append("results are not those of one process")
    if twice := noted_in_vain(trial.run_of_it()):
        wrong.append(f"noted and not written more often than workers ended: {twice}")
    if trial.studio.originals() != originals:
        wrong.append("a photo has changed")
    if left := left_over(trial):
        wrong.append(f"left over: {left}")
    return wrong


def noted_in_vain(run: Run) -> list[str]:
    """Return the results that were noted again, where there are more than two workers can have left."""
    counts = Counter(line["output"] for _, line in run.lines())
    again = [name for name, count in counts.items() if count > 1]
    return again if len(again) > 2 else []


def left_over(trial: Trial) -> list[str]:
    """Return what is there of a run that has ended besides its record, its lines and logs."""
    folder = trial.run_of_it().folder
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    left = [
        str(path)
        for path in files
        if str(path) not in {RECORD, LOCK}
        and not (path.parts[0] == NOTES and path.suffix == ".jsonl")
        and not (path.parts[0] == LOGS and path.suffix in {".out", ".err", ".sh"})
    ]
    try:
        wait_until(lambda: trial.living() == [])
    except AssertionError:
        left += [f"process {process}" for process in trial.living()]
    return left
