"""What is left of a container's memory, read from trees like those that Linux shows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mystyle_cli.nets import memory

GIB = 1 << 30


def write(folder: Path, **files: object) -> None:
    """Write files of a cgroup; `_` in a name stands for a dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("_", ".", 1)).write_text(f"{content}\n")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty tree in the place of the system's, and a machine with memory for all."""
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(memory, "_machine", lambda: 1000 * GIB)
    monkeypatch.setattr(memory, "_process", lambda: None)
    (tmp_path / "cgroup").mkdir()
    return tmp_path


@pytest.mark.parametrize("place", ["/", "/user.slice/session-1.scope"])
def test_files_that_were_read_are_no_use_of_memory(tree: Path, place: str) -> None:
    """cgroup v2: of 8 GB, 7 are used, 5 of these by the pages of files: 6 are free."""
    (tree / "membership").write_text(f"0::{place}\n")
    group = tree / "cgroup" / place.lstrip("/")
    write(group, memory_max=8 * GIB, memory_current=7 * GIB)
    write(group, memory_stat=f"anon {2 * GIB}\nfile {5 * GIB}\nactive_file 0\ninactive_file {5 * GIB}")
    assert memory.free_memory() == 6 * GIB


def test_pages_in_use_are_use(tree: Path) -> None:
    """Of files only what is inactive is given back."""
    (tree / "membership").write_text("0::/\n")
    write(tree / "cgroup", memory_max=8 * GIB, memory_current=7 * GIB)
    write(tree / "cgroup", memory_stat=f"active_file {4 * GIB}\ninactive_file {GIB}")
    assert memory.free_memory() == 2 * GIB


def test_the_older_kind(tree: Path) -> None:
    """cgroup v1: as v2, with other names; what the host calls the container is not to be found in it."""
    (tree / "membership").write_text("12:cpu,cpuacct:/docker/1\n9:memory:/docker/1\n0::/docker/1\n")
    group = tree / "cgroup/memory"
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(f"{4 * GIB}\n")
    (group / "memory.usage_in_bytes").write_text(f"{3 * GIB}\n")
    (group / "memory.stat").write_text(f"inactive_file 1\ntotal_inactive_file {2 * GIB}\n")
    assert memory.free_memory() == 3 * GIB


def test_the_tightest_of_those_around_counts(tree: Path) -> None:
    """A group without a limit in one with a limit: that one's is the limit."""
    (tree / "membership").write_text("0::/outer/inner\n")
    write(tree / "cgroup/outer/inner", memory_max="max", memory_current=GIB)
    write(tree / "cgroup/outer", memory_max=3 * GIB, memory_current=GIB)
    assert memory.free_memory() == 2 * GIB


@pytest.mark.parametrize("membership", [None, "", "nonsense\n", "0::/../elsewhere\n", "0::/gone\n"])
def test_without_a_limit_the_machine_counts(tree: Path, membership: str | None) -> None:
    """No cgroups, none of ours, or what cannot be read: what the machine has."""
    if membership is not None:
        (tree / "membership").write_text(membership)
    write(tree / "elsewhere", memory_max=GIB, memory_current=0)
    write(tree / "cgroup", memory_max="max", memory_current=GIB)
    assert memory.free_memory() == 1000 * GIB


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is counted for a process by another")
def test_the_most_that_a_process_held_is_its_own() -> None:
    """What it has given back counts, what its parent held when it started does not."""
    script = (
        "import subprocess, sys\n"
        "from mystyle_cli.nets.memory import peak_memory\n"
        "large = b'x' * (1 << 28)\n"
        "del large\n"
        "print(peak_memory(), flush=True)\n"
        "large = b'x' * (1 << 28)\n"
        "ask = 'from mystyle_cli.nets.memory import peak_memory; print(peak_memory())'\n"
        "subprocess.run([sys.executable, '-c', ask], check=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    parent, child = map(int, done.stdout.split())
    assert parent >= 1 << 28
    assert 0 < child < 1 << 27
