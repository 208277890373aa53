"""Folders that the program made: the one place where it writes, moves and removes what lies in them.

A folder is opened piece by piece beneath a base that the user chose, and no link is followed on the way; what
is not of the names that the program gives is a stranger, which is left alone and can be named to the user.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mystyle_cli.files.places import GUARDED, LOOK, Place, descend
from mystyle_cli.files.writing import OWNER_FILE, OWNER_FOLDER, TEMPORARY, shut, sync_folder, write

LONGEST: Final = 255  # bytes in a part of a name, as file systems have it
DEEPEST: Final = 8  # folders in a name; the program's own have at most four
PASSING: Final = ".new-"  # begins the name of a folder while it is not there yet or no longer


class UnsafeNameError(ValueError):
    """A name that was read from a file does not lie inside the folder that it belongs to."""


def inside(name: object) -> str:
    """Return a file's relative name, divided by `/`, after seeing that it lies inside its folder.

    Raises:
        UnsafeNameError: it is no name, or one that could lead elsewhere on any system.
    """
    if not isinstance(name, str):
        raise UnsafeNameError(f"a {type(name).__name__} stands where a file's name should")
    parts = name.split("/")
    problem = ""
    if not name.isprintable() or set(name) & set('\\:*?"<>|'):
        problem = "has characters that no file's name should have"
    elif {"", ".", ".."} & set(parts):
        problem = "is outside"
    elif len(parts) > DEEPEST or max(len(part.encode()) for part in parts) > LONGEST:
        problem = "is too long"
    if problem:
        raise UnsafeNameError(f"the name {name[:LONGEST]!r} {problem}")
    return name


@dataclass(frozen=True)
class Layout:
    """The names that the program gives in a kind of folder."""

    files: re.Pattern[str]  # matches the relative names of its files
    folders: frozenset[str]
    private: bool = False  # what is in it is for its owner only

    def owns(self, name: str) -> bool:
        """Tell whether a relative name is one that the program gives, half-written files included."""
        folder, _, last = name.rpartition("/")
        half = TEMPORARY.fullmatch(last)
        whole = f"{folder}/{half['name']}" if half and folder else half["name"] if half else name
        return self.files.fullmatch(whole) is not None


@dataclass(frozen=True)
class Content:
    """What lies in a folder of the program's."""

    files: tuple[str, ...]  # the program's, by relative name
    folders: tuple[str, ...]  # the program's, those within others first
    strangers: tuple[str, ...]  # everything else, folders and links by their own name, not by what is in them


class Owned:
    """A folder of the program's. Every call names what it means, and raises OSError for what lies elsewhere.

    Args:
        base: the folder that holds it, which the user chose; it may be reached through links.
    """

    def __init__(self, base: Path, name: str, layout: Layout) -> None:
        self.base, self.name, self.layout = base, name, layout
        self.path = base / name

    @contextmanager
    def _at(self, folder: str = "", make: bool = False) -> Iterator[Place]:
        """Open a folder in this one, or itself, beneath its base."""
        parts = [self.name, *(folder.split("/") if folder else [])]
        mode = OWNER_FOLDER if self.layout.private else 0o777
        with descend(self.base, parts, mode if make else None) as place:
            yield place

    def exists(self) -> bool:
        """Tell whether it is there as a folder, not as a link to one."""
        try:
            with self._at():
                return True
        except OSError:
            return False

    def has(self, name: str) -> bool:
        """Tell whether a regular file of a name is there, reached through no link."""
        folder, _, last = name.rpartition("/")
        try:
            with self._at(folder) as place:
                return stat.S_ISREG(place.kind(last))
        except OSError:
            return False

    @property
    def _passing(self) -> Owned:
        """The folder while it is not there yet or no longer; a kill may leave it, with nothing in it."""
        return Owned(self.base, f"{PASSING}{self.name}", self.layout)

    def make(self, name: str, data: bytes) -> None:
        """Make the folder with a first file in it, at one instant; raises OSError where it is there."""
        self.base.mkdir(parents=True, exist_ok=True)
        for path in (self.path, self._passing.path):  # a rename would replace an empty folder
            if os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, f"{path} is in the way", str(path))
        self._passing.write(name, data)
        os.rename(self._passing.path, self.path)
        sync_folder(self.base)

    def sweep(self) -> None:
        """Remove what a killed `make` or `clear` left beside the folder."""
        passing = self._passing
        if passing.exists() and not passing.content().strangers:
            passing._remove(passing.content(), ())

    def write(self, name: str, data: bytes) -> None:
        """Write a file, folders on the way too; a reader or a kill meets the old content or the new."""
        if not self.layout.owns(inside(name)):
            raise ValueError(f"{name} is no name that is given in {self.path}")
        folder, _, last = name.rpartition("/")
        with self._at(folder, make=True) as place:
            write(place, last, data, OWNER_FILE if self.layout.private else 0o666)

    def shut(self) -> None:
        """Take from others what they may do with the program's files and folders, if these are private.

        What is not this user's to change, and files that have another name elsewhere, stay as they are.
        """
        if not self.layout.private or not GUARDED or not self.exists():
            return
        content = self.content()
        for folder in ("", *content.folders):
            with self._at(folder) as place:
                if place.handle is not None:
                    shut(place.handle)
        for name in content.files:
            folder, _, last = name.rpartition("/")
            with self._at(folder) as place, suppress(PermissionError):
                handle = os.open(place.of(last), LOOK, dir_fd=place.handle)
                try:
                    shut(handle)
                finally:
                    os.close(handle)

    def remove(self, name: str) -> bool:
        """Remove a file of the program's; tells whether it was there.

        A folder, a link or a file of any other name stays.
        """
        if not self.layout.owns(inside(name)):
            return False
        folder, _, last = name.rpartition("/")
        try:
            with self._at(folder) as place:
                if not stat.S_ISREG(place.kind(last)):
                    return False
                os.unlink(place.of(last), dir_fd=place.handle)
        except FileNotFoundError:
            return False
        return True

    def move(self, name: str, new: str) -> None:
        """Give a file or folder of the program's another name in it; a file or link there is replaced."""
        (folder, _, last), (target, _, final) = name.rpartition("/"), new.rpartition("/")
        with self._at(folder) as source, self._at(target, make=True) as place:
            os.replace(source.of(last), place.of(final), src_dir_fd=source.handle, dst_dir_fd=place.handle)

    def sync(self, folder: str = "") -> None:
        """Make renames in it, or in a folder of it, survive a power cut."""
        with self._at(folder) as place:
            place.sync()

    def content(self, folder: str = "") -> Content:
        """Return what is in it, or in a folder of it; nothing where that is not there.

        Raises:
            OSError: it is a link, or cannot be read.
        """
        files: list[str] = []
        folders: list[str] = []
        strangers: list[str] = []
        try:
            with self._at(folder) as place:
                names = sorted(os.listdir(place.path if place.handle is None else place.handle))
                kinds = {name: place.kind(name) for name in names}
        except FileNotFoundError:
            return Content((), (), ())
        for last, kind in kinds.items():
            name = f"{folder}/{last}" if folder else last
            if stat.S_ISDIR(kind) and name in self.layout.folders:
                within = self.content(name)
                files += within.files
                folders += [*within.folders, name]
                strangers += within.strangers
            elif stat.S_ISREG(kind) and self.layout.owns(name):
                files.append(name)
            elif kind:  # 0: gone meanwhile
                strangers.append(name)
        return Content(tuple(files), tuple(folders), tuple(strangers))

    def clear(self, folder: str = "") -> tuple[str, ...]:
        """Remove the program's files in a folder of it, and folders then empty; returns the strangers."""
        content = self.content(folder)
        self._remove(content, ())
        self.remove_empty(folder)
        return content.strangers

    def vanish(self, last: tuple[str, ...]) -> tuple[str, ...]:
        """Remove the program's files, `last` at the end and in that order, and the folder; returns strangers.

        With strangers in it the folder stays.
        """
        content = self.content()
        self._remove(content, last)
        gone = self
        if not content.strangers and not os.path.lexists(self._passing.path):
            gone = self._passing
            os.rename(self.path, gone.path)  # nothing has its name from here on
        for name in last:
            gone.remove(name)
        if not content.strangers:
            os.rmdir(gone.path)
        return content.strangers

    def _remove(self, content: Content, last: tuple[str, ...]) -> None:
        """Remove files and the folders that are empty then, and keep the last ones."""
        for name in content.files:
            if name not in last:
                self.remove(name)
        for folder in content.folders:
            self.remove_empty(folder)
        if not last:
            self.remove_empty("")

    def remove_empty(self, folder: str) -> None:
        """Remove a folder in it, or itself for "", if nothing is in it."""
        try:
            if not folder:
                os.rmdir(self.path)
                return
            outer, _, last = folder.rpartition("/")
            with self._at(outer) as place:
                os.rmdir(place.of(last), dir_fd=place.handle)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.ENOTDIR):
                raise
