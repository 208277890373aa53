"""Threads by what is free, passive while they wait, and always as the user says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mystyle_cli.nets import processors
from mystyle_cli.nets.processors import (
    COUNTS,
    WAITING,
    free_processors,
    settle,
    threads,
    usable_processors,
)

ASLEEP = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test settles is forgotten, and the session's own environment does not count."""
    monkeypatch.setattr(processors, "_settled", [])
    for name in (*COUNTS, *WAITING):
        monkeypatch.delenv(name, raising=False)


def machine(
    monkeypatch: pytest.MonkeyPatch, folder: Path, *, cores: int, affinity: int, quota: str, busy: int
) -> None:
    """Stand in for a machine, in the words of Linux."""
    (folder / "cpu.max").write_text(quota)
    (folder / "loadavg").write_text(f"0.10 0.20 0.30 {busy + 1}/900 4711\n")
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(affinity)), raising=False)
    monkeypatch.setattr(processors, "QUOTAS", ((folder / "cpu.max", None),))
    monkeypatch.setattr(processors, "LOAD", folder / "loadavg")


@pytest.mark.parametrize(
    ("cores", "affinity", "quota", "busy", "usable", "free"),
    [
        (8, 8, "max 100000\n", 0, 8, 8),
        (8, 8, "max 100000\n", 3, 8, 5),
        (8, 8, "max 100000\n", 20, 8, 1),
        (8, 4, "max 100000\n", 3, 4, 4),
        (8, 4, "max 100000\n", 6, 4, 2),
        (64, 64, "250000 100000\n", 0, 3, 3),
        (64, 64, "50000 100000\n", 0, 1, 1),
        (2, 2, "nonsense", 1, 2, 1),
    ],
)
def test_free_is_what_nobody_else_works_on(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    cores: int,
    affinity: int,
    quota: str,
    busy: int,
    usable: int,
    free: int,
) -> None:
    """Affinity and quota bound it, what runs now is left alone, and one thread is always taken."""
    machine(monkeypatch, tmp_path, cores=cores, affinity=affinity, quota=quota, busy=busy)
    assert (usable_processors(), free_processors()) == (usable, free)
    assert threads() == free


def test_the_older_kind_of_quota(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two files, and -1 where there is no limit."""
    machine(monkeypatch, tmp_path, cores=8, affinity=8, quota="", busy=0)
    (tmp_path / "quota").write_text("150000\n")
    (tmp_path / "period").write_text("100000\n")
    monkeypatch.setattr(processors, "QUOTAS", ((tmp_path / "quota", tmp_path / "period"),))
    assert usable_processors() == 2
    (tmp_path / "quota").write_text("-1\n")
    assert usable_processors() == 8


def test_without_linux_the_load_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without it the last minute's load counts; where that is not told either, nothing does."""
    machine(monkeypatch, tmp_path, cores=8, affinity=8, quota="max 1", busy=0)
    (tmp_path / "loadavg").unlink()
    monkeypatch.setattr(os, "getloadavg", lambda: (2.6, 0.0, 0.0), raising=False)
    assert free_processors() == 5
    monkeypatch.delattr(os, "getloadavg")
    assert free_processors() == 8


@pytest.mark.parametrize(
    ("before", "wanted", "count", "after"),
    [
        ({}, None, 3, {**ASLEEP, "OMP_NUM_THREADS": "3"}),
        ({}, 2, 2, {**ASLEEP, **dict.fromkeys(COUNTS, "2")}),
        ({"OMP_NUM_THREADS": "5"}, None, 5, {**ASLEEP, "OMP_NUM_THREADS": "5"}),
        ({"OMP_NUM_THREADS": "5", "MKL_NUM_THREADS": "4"}, 1, 1, {**ASLEEP, **dict.fromkeys(COUNTS, "1")}),
        ({"OMP_NUM_THREADS": "4,2"}, None, 4, {**ASLEEP, "OMP_NUM_THREADS": "4,2"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, None, 3, {"OMP_WAIT_POLICY": "ACTIVE", "OMP_NUM_THREADS": "3"}),
        ({"KMP_BLOCKTIME": "200"}, None, 3, {"KMP_BLOCKTIME": "200", "OMP_NUM_THREADS": "3"}),
        ({"GOMP_SPINCOUNT": "9"}, None, 3, {"GOMP_SPINCOUNT": "9", "OMP_NUM_THREADS": "3"}),
    ],
)
def test_what_the_user_says_stands(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    before: dict[str, str],
    wanted: int | None,
    count: int,
    after: dict[str, str],
) -> None:
    """One word about waiting speaks for all of it; a number asked for comes before the environment's."""
    machine(monkeypatch, tmp_path, cores=4, affinity=4, quota="max 1", busy=1)
    monkeypatch.setitem(sys.modules, "torch", None)  # as in a fresh process
    environment = dict(before)
    assert settle(wanted, environment) == threads() == count
    assert environment == after


TOLD = """
import json, os, sys
from mystyle_cli.cli import cli
try:
    cli.main(sys.argv[1:])
except SystemExit:
    pass
assert not {"torch", "onnxruntime", "numpy"} & set(sys.modules)
from mystyle_cli.nets.processors import threads
print(json.dumps([os.environ["OMP_NUM_THREADS"], threads(), os.environ["OMP_WAIT_POLICY"]]))
"""


@pytest.mark.parametrize(
    ("words", "variable", "expected"),
    [
        (["--threads", "3", "profile", "list"], "", 3),
        (["--threads", "3", "profile", "list"], "5", 3),
        (["profile", "list"], "5", 5),
        (["profile", "list", "--threads", "2"], "5", 2),
    ],
)
def test_the_option_comes_in_time(tmp_path: Path, words: list[str], variable: str, expected: int) -> None:
    """Before or after the command, and before a library with threads is loaded."""
    environment = dict(os.environ) | ({"MYSTYLE_THREADS": variable} if variable else {})
    done = subprocess.run(
        [sys.executable, "-c", TOLD, "--store", str(tmp_path), *words],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    assert json.loads(done.stdout.splitlines()[-1]) == [str(expected), expected, "PASSIVE"]
