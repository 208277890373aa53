"""Files as they are written: whole or not at all, never through a link, locked meanwhile."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from mystyle_cli.files.mounts import lock_fault
from mystyle_cli.files.places import FOLDER, GUARDED, NEW, NO_LINK, Place, descend

if TYPE_CHECKING:
    from filelock import BaseFileLock


OWNER_FILE: Final = 0o600
# what a private file and a private folder allow, and nobody but their owner; Windows has no such modes
OWNER_FOLDER: Final = 0o700

_KEPT: Final = 56  # characters of a name that a half-written file has in its own, so that it is not too long

# half-written files; those of earlier versions do not say whose they are
TEMPORARY: Final = re.compile(r"\.(?P<name>[^/]+)\.(?P<ours>mystyle-)?[0-9a-f]{8}\.tmp")


def make_private(folder: Path) -> None:
    """See to it that a folder of the program's is there, for its owner only; folders above it are made, too.

    Raises:
        OSError: a link or a file is in its place, or it cannot be made.
    """
    folder.mkdir(OWNER_FOLDER, parents=True, exist_ok=True)
    refuse_link(folder)
    if GUARDED:
        handle = os.open(folder, FOLDER | NO_LINK)
        try:
            shut(handle)
        finally:
            os.close(handle)


def shut(handle: int) -> None:
    """Take from others what they may do with an open file or folder of this user's."""
    status = os.fstat(handle)
    own = status.st_uid == os.geteuid() and (stat.S_ISDIR(status.st_mode) or status.st_nlink == 1)
    if own and stat.S_IMODE(status.st_mode) & 0o077:
        os.fchmod(handle, stat.S_IMODE(status.st_mode) & 0o700)


def write(place: Place, name: str, data: bytes, mode: int = 0o666) -> None:
    """Write a file of an open folder beside its place, and rename it."""
    with _written(place, name, mode) as stream:
        stream.write(data)


@contextmanager
def _written(place: Place, name: str, mode: int, fresh: bool = False) -> Iterator[IO[bytes]]:
    """Open a file beside its place; it is renamed when all went well, and goes when not."""
    with _half_written(place, name, mode) as half:
        with open(half.handle, "wb", closefd=False) as stream:
            yield stream
            stream.flush()
            os.fsync(half.handle)  # or a power cut could leave the name with nothing in it
        if sys.platform == "win32":  # which renames no file that is open
            half.close()
        if fresh and place.kind(name):
            raise FileExistsError(errno.EEXIST, "something has come to its place meanwhile", name)
        os.replace(place.of(half.name), place.of(name), src_dir_fd=place.handle, dst_dir_fd=place.handle)
    place.sync()


@dataclass
class _Half:
    """A half-written file, open."""

    name: str
    handle: int

    def close(self) -> None:
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1


@contextmanager
def _half_written(place: Place, name: str, mode: int) -> Iterator[_Half]:
    """Make a file beside the one that it may become; it goes at the end if it is still there.

    It is locked while it is open, so that it can be told from what a killed process left (`sweep`).
    """
    half = _Half("", -1)
    try:
        while not half.name or not _locked(half.handle) or not os.fstat(half.handle).st_nlink:
            half.close()  # somebody swept it in the instant before it was locked
            temporary = f".{name[:_KEPT]}.mystyle-{secrets.token_hex(4)}.tmp"
            half.handle = os.open(place.of(temporary), NEW, mode, dir_fd=place.handle)
            half.name = temporary  # from here on it is ours to remove
        yield half
    finally:
        half.close()
        if half.name and place.kind(half.name):
            os.unlink(place.of(half.name), dir_fd=place.handle)


def _locked(handle: int, sure: bool = False) -> bool:
    """Take the lock of an open file, which ends with its process.

    Args:
        sure: whether the answer is no where there are no locks.
    """
    if sys.platform == "win32":  # nothing is removed there that is open
        return True
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return not sure
    return True


def sweep(folder: Path) -> None:
    """Remove what killed commands left half-written in a folder of the user's.

    Files of other names stay, and so do those that a process is writing; all of them where locks of other
    machines are not seen. The folder may be reached through links, and need not exist.
    """
    if lock_fault(folder):
        return
    with suppress(OSError), descend(folder, ()) as place:
        for name in os.listdir(folder if place.handle is None else place.handle):
            half = TEMPORARY.fullmatch(name)
            if half and half["ours"]:
                with suppress(OSError):
                    _sweep_one(place, name)


def _sweep_one(place: Place, name: str) -> None:
    """Remove a half-written file that no process has locked."""
    if not stat.S_ISREG(place.kind(name)):
        return
    if sys.platform == "win32":  # which removes no file that is open
        os.unlink(place.of(name), dir_fd=place.handle)
        return
    handle = os.open(place.of(name), os.O_RDONLY | os.O_NONBLOCK | NO_LINK, dir_fd=place.handle)
    try:
        if _locked(handle, sure=True):
            os.unlink(place.of(name), dir_fd=place.handle)
    finally:
        os.close(handle)


def check_writable(folder: Path) -> None:
    """See that a folder, there or not, can be written to, by making a file for a moment; raises OSError."""
    while not os.path.lexists(folder) and folder != folder.parent:  # a link to nowhere is there, and refused
        folder = folder.parent
    with descend(folder, ()) as place, _half_written(place, "trial", OWNER_FILE):
        pass


def move_in_place(path: Path, target: Path) -> None:
    """Give a file, whole and synced, its name, so that it has it after a power cut too."""
    os.replace(path, target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder survive a power cut; where folders cannot be opened, do nothing."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows cannot open a folder; its renames are journaled by the file system
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_result(path: Path, data: bytes, *, private: bool = False) -> None:
    """Write a result into a folder of the user's, whole or not at all; raises OSError for a link, too."""
    refuse_link(path)
    with descend(path.parent, ()) as place:
        write(place, path.name, data, OWNER_FILE if private else 0o666)


@contextmanager
def whole_file(path: Path, *, fresh: bool = False) -> Iterator[IO[bytes]]:
    """Open a result in a folder of the user's for writing, piece by piece; it has its name only at the end.

    Args:
        fresh: replace nothing, not even what comes to its place while it is written.

    Raises:
        OSError: a link is in its place, or it cannot be written.
    """
    refuse_link(path)
    with descend(path.parent, ()) as place, _written(place, path.name, 0o666, fresh) as stream:
        yield stream


def refuse_link(path: Path) -> None:
    """Raise OSError when a link is where a file is to be written."""
    if path.is_symlink():
        raise OSError(errno.ELOOP, "it is a link, and nothing is written through links", str(path))


def open_own(path: Path, mode: str) -> IO[bytes]:
    """Open a file for writing that the program keeps at a place of its own; a link there raises OSError."""
    refuse_link(path)
    # NO_LINK: the first look may be too old
    return open(path, mode, opener=lambda name, flags: os.open(name, flags | NO_LINK, 0o666))


def lock_of(path: Path) -> BaseFileLock:
    """Return the lock that a file stands for.

    Taking a lock empties its file, so what is there must be a lock already.

    Where a file system has no locks, taking it raises OSError: a file that stands for one there would stay
    when its process is killed, and keep nobody out in the meantime.

    Raises:
        OSError: a link or a file with content is in its place.
    """
    with suppress(FileNotFoundError):
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size or status.st_nlink > 1:
            raise OSError(errno.EEXIST, "something that is not a lock is in its place", str(path))
    return _locks()(path, mode=OWNER_FILE, fallback_to_soft=False)


@cache
def _locks() -> type[BaseFileLock]:
    """Return the kind of lock that the system has, which says in words where a file system has none."""
    from filelock import FileLock

    class Lock(FileLock):
        def acquire(self, *words: Any, **named: Any) -> Any:
            try:
                return super().acquire(*words, **named)
            except OSError as error:
                if error.errno != errno.ENOSYS:
                    raise
                raise OSError(errno.ENOSYS, "its file system has no locks", self.lock_file) from error

    return Lock
