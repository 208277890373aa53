"""Whether a lock in a folder keeps other machines out, too, as Linux tells of its file systems."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MOUNTS: Final = Path("/proc/self/mountinfo")

# options with which a file system of several machines keeps its locks to each of them
ALONE: Final = {
    "nfs": r"nolock|local_lock=(flock|all)",
    "nfs4": r"nolock|local_lock=(flock|all)",
    "cifs": r"nobrl",
    "smb3": r"nobrl",
    "lustre": r"localflock",
    "ceph": r"noflock",
}
NEEDED: Final = {"lustre": "flock"}  # without which there are none
NONE_AT_ALL: Final = {"fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.goofys", "fuse.rclone"}


@dataclass(frozen=True)
class Mount:
    """A file system where it is mounted."""

    folder: Path
    kind: str
    options: tuple[str, ...]


def mount_of(path: Path, mounts: Path = MOUNTS) -> Mount | None:
    """Return what a path, there or not, lies on; None where the system does not say."""
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return None
    real, found = path.resolve(), None
    for mount in map(_read, lines):
        deeper = mount is not None and (found is None or len(mount.folder.parts) >= len(found.folder.parts))
        if mount is not None and deeper and real.is_relative_to(mount.folder):  # a later one lies over it
            found = mount
    return found


def _read(line: str) -> Mount | None:
    before, _, after = line.partition(" - ")
    words, rest = before.split(" "), after.split(" ")
    if len(words) < 6 or len(rest) < 3:
        return None
    folder = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), words[4])
    return Mount(Path(folder), rest[0], (*words[5].split(","), *rest[2].split(",")))


def lock_fault(path: Path, mounts: Path = MOUNTS) -> str:
    """Return why locks in a folder keep no other machine out; "" where nothing is known against them."""
    mount = mount_of(path, mounts)
    if mount is None:
        return ""
    if mount.kind in NONE_AT_ALL:
        return f"{mount.folder} is {mount.kind}"
    pattern, needed = ALONE.get(mount.kind), NEEDED.get(mount.kind)
    if pattern and (given := _first(mount.options, pattern)):
        return f"{mount.folder} is {mount.kind} mounted with {given}"
    if needed and needed not in mount.options:
        return f"{mount.folder} is {mount.kind} mounted without {needed}"
    return ""


def _first(options: Sequence[str], pattern: str) -> str:
    return next((option for option in options if re.fullmatch(pattern, option)), "")
