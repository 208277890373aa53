"""Thousands of mutated checkpoints: read or refused, nothing run, no hang, no memory taken."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.effort import HANGS


@pytest.mark.skipif(sys.platform != "linux", reason="bounds the address space as Linux does")
@pytest.mark.parametrize(
    ("count", "seed"), [(1500, 1), pytest.param(20_000, 2, marks=pytest.mark.long)], ids=["few", "many"]
)
def test_mutated_files(tmp_path: Path, count: int, seed: int) -> None:
    """Every mutated file is read cleanly or refused with an error that names it; most are refused.

    An audit hook sees anything run, imported or written; the address space is bounded by the worker.
    """
    command = [sys.executable, "-m", "tests.support.fuzz_checkpoints", str(count), str(seed), str(tmp_path)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=HANGS)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["errors"] == []
    assert told["deeds"] == []
    assert not told["canary"]
    assert told["read"] + told["refused"] == count
    assert min(told["read"], told["refused"]) > count // 20
    assert told["slowest"] < 30 * told["unmutated"]  # seconds of the processor
    assert told["growth"] < 256 << 20
