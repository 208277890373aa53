"""Locks and half-written files where a file system lacks what others have."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mystyle_cli.files import writing
from mystyle_cli.files.writing import lock_of, sweep

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has locks of its own")


def test_a_file_stands_for_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are none, taking one is refused, and nothing is left that looks like one."""
    import fcntl

    def refuse(handle: int, how: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)
    for _ in range(2):
        with pytest.raises(OSError, match="its file system has no locks"):
            lock_of(tmp_path / "a.lock").acquire(timeout=0)
    assert all(path.stat().st_size == 0 for path in tmp_path.iterdir())
    monkeypatch.undo()
    with lock_of(tmp_path / "a.lock"):
        pass


HALF = """
import os, signal, sys
from pathlib import Path
from mystyle_cli.files.writing import whole_file
with whole_file(Path(sys.argv[1])) as stream:
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nothing_is_swept_where_locks_of_others_are_not_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A half-written file that is not locked here may be one that another machine is writing."""
    subprocess.run([sys.executable, "-c", HALF, tmp_path / "a.png"], check=False)
    (half,) = tmp_path.iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(writing, "lock_fault", lambda folder: f"{folder} is nfs mounted with nolock")
        sweep(tmp_path)
        assert half.exists()
    sweep(tmp_path)
    assert not half.exists()
