"""Locks that other machines see, and those that they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from mystyle_cli.engines.sharing import shared_logs
from mystyle_cli.errors import MystyleError
from mystyle_cli.files.mounts import lock_fault, mount_of


def mounted(folder: Path, *rows: str) -> Path:
    """Write down mounts as Linux does."""
    path = folder / "mountinfo"
    path.write_text("".join(f"{number} 1 0:4{number} / {row}\n" for number, row in enumerate(rows)))
    return path


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{} rw,relatime shared:1 - nfs4 server:/home rw,vers=4.2,local_lock=none", ""),
        ("{} rw - nfs server:/home rw,vers=3,nolock,local_lock=all", "nfs mounted with nolock"),
        ("{} rw - nfs4 server:/home rw,local_lock=flock", "nfs4 mounted with local_lock=flock"),
        ("{} rw - nfs server:/home rw,local_lock=posix", ""),
        ("{} rw - lustre mds:/work rw,flock,lazystatfs", ""),
        ("{} rw - lustre mds:/work rw,localflock", "lustre mounted with localflock"),
        ("{} rw - lustre mds:/work rw,lazystatfs", "lustre mounted without flock"),
        ("{} rw - cifs //nas/photos rw,vers=3.1.1", ""),
        ("{} rw - cifs //nas/photos rw,nobrl", "cifs mounted with nobrl"),
        ("{} rw - fuse.sshfs me@there: rw,user_id=0", "is fuse.sshfs"),
        ("{} rw - ext4 /dev/sda1 rw", ""),
        ("{} rw - beegfs beegfs_nodev rw", ""),
    ],
)
def test_locks_that_other_machines_see(row: str, said: str, tmp_path: Path) -> None:
    """By the file system's kind and options."""
    table = mounted(tmp_path, "/ rw - ext4 /dev/vda rw", row.format(tmp_path / "shared"), "damaged")
    found = lock_fault(tmp_path / "shared" / "store", table)
    assert found.endswith(said)
    assert bool(found) == bool(said)


def test_the_deepest_and_latest_mount_counts(tmp_path: Path) -> None:
    """A folder in a mount, a mount over another, and a name with a space in it."""
    spaced = str(tmp_path / "my photos").replace(" ", "\\040")
    table = mounted(
        tmp_path,
        f"{spaced} rw - nfs a:/ rw",
        f"{spaced} rw - xfs /dev/b rw",
        "/ rw - ext4 /dev/vda rw",
        f"{tmp_path / 'my'} rw - nfs c:/ rw",
    )
    found = mount_of(tmp_path / "my photos" / "x" / "y", table)
    assert found is not None
    assert (found.folder, found.kind) == (tmp_path / "my photos", "xfs")
    assert mount_of(tmp_path, tmp_path / "no such table") is None
    assert lock_fault(tmp_path, tmp_path / "no such table") == ""


def test_work_on_several_machines_needs_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line; and where the locks are good the folder of logs is made."""
    assert shared_logs(tmp_path / "run", "slurm") == tmp_path / "run" / "logs"
    assert (tmp_path / "run" / "logs").stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(
        "mystyle_cli.engines.sharing.lock_fault", lambda folder: "/home is nfs mounted with nolock"
    )
    with pytest.raises(MystyleError, match="by other machines: /home is nfs mounted with nolock"):
        shared_logs(tmp_path / "run", "slurm")
    with pytest.raises(MystyleError, match="meet in the folder of a run"):
        shared_logs(None, "slurm")
