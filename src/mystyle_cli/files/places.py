"""Open folders: entered piece by piece beneath a base that the user chose, through no link."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# whether the system opens files beneath a folder that is open already; otherwise each part is looked at
GUARDED: Final = (
    hasattr(os, "O_NOFOLLOW")
    and {os.open, os.stat, os.mkdir, os.rename, os.unlink, os.rmdir} <= os.supports_dir_fd
    and os.listdir in os.supports_fd
)

NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)
# without waiting for whoever writes into a pipe that stands in a file's place
LOOK: Final = os.O_RDONLY | NO_LINK | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
FOLDER: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK | getattr(os, "O_BINARY", 0)
NAME_SURROGATE: Final = 0x20000000  # marks the several kinds of links that Windows has


@dataclass(frozen=True)
class Place:
    """An open folder."""

    path: Path
    handle: int | None

    def of(self, name: str) -> str | Path:
        """Return how the system's calls name something in it."""
        return self.path / name if self.handle is None else name

    def kind(self, name: str) -> int:
        """Return what something in it is, as `stat` has it, links not followed; 0 when nothing is there."""
        try:
            status = os.stat(self.of(name), dir_fd=self.handle, follow_symlinks=False)
        except FileNotFoundError:
            return 0
        if getattr(status, "st_reparse_tag", 0) & NAME_SURROGATE:
            return stat.S_IFLNK
        return stat.S_IFMT(status.st_mode)

    def open(self, name: str) -> int:
        """Open a folder in it."""
        return os.open(name, FOLDER | NO_LINK, dir_fd=self.handle)

    def sync(self) -> None:
        """Make renames in it survive a power cut, where folders can be opened."""
        if self.handle is not None:
            os.fsync(self.handle)


@contextmanager
def descend(base: Path, parts: Sequence[str], make: int | None = None) -> Iterator[Place]:
    """Open a folder beneath a base, through no link.

    Args:
        base: it may be reached through links.
        parts: names of the folders on the way, and its own; none for the base itself.
        make: make what is missing on the way, with this mode; None makes nothing.
    """
    place = Place(base, os.open(base, FOLDER) if GUARDED else None)
    try:
        for part in parts:
            kind = place.kind(part)
            if not kind and make is not None:
                os.mkdir(place.of(part), make, dir_fd=place.handle)
            elif not kind:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(place.path / part))
            elif not stat.S_ISDIR(kind):
                raise _linked(place.path / part)
            # by the open folder, not by a path, which somebody may turn into a link meanwhile
            inner = Place(place.path / part, place.open(part) if place.handle is not None else None)
            if place.handle is not None:
                os.close(place.handle)
            place = inner
        yield place
    finally:
        if place.handle is not None:
            os.close(place.handle)


def _linked(path: Path) -> OSError:
    """Return what is said where a folder of the program's should be and something else is."""
    reason = "it is a link or a file where a folder of its own should be"
    return NotADirectoryError(errno.ENOTDIR, reason, str(path))
