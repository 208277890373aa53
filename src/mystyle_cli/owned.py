"""Folders that the program made: the one place where it writes, moves and removes what lies in them.

A folder is opened piece by piece beneath a base that the user chose, and no link is followed on the way; what
is not of the names that the program gives is a stranger, which is left alone and can be named to the user.
Files are read here, too, whoever made them: regular ones alone, and no more of them than was said beforehand.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from filelock import BaseFileLock

LONGEST: Final = 255
"""Bytes in a part of a name, as file systems have it."""

DEEPEST: Final = 8
"""Folders in a name; the program's own have at most four."""

OWNER_FILE: Final = 0o600
OWNER_FOLDER: Final = 0o700
"""What a private file and a private folder allow, and nobody but their owner; Windows has no such modes."""

_GUARDED: Final = (
    hasattr(os, "O_NOFOLLOW")
    and {os.open, os.stat, os.mkdir, os.rename, os.unlink, os.rmdir} <= os.supports_dir_fd
    and os.listdir in os.supports_fd
)
"""Whether the system opens files beneath a folder that is open already; otherwise each part is looked at."""

_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)
_LOOK: Final = os.O_RDONLY | _NO_LINK | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_FOLDER: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK | getattr(os, "O_BINARY", 0)
_NAME_SURROGATE: Final = 0x20000000
"""Marks the several kinds of links that Windows has."""

_KEPT: Final = 56
"""Characters of a name that a half-written file has in its own, so that it is not too long."""

_TEMPORARY: Final = re.compile(r"\.(?P<name>[^/]+)\.(?P<ours>mystyle-)?[0-9a-f]{8}\.tmp")
"""Half-written files; those of earlier versions do not say whose they are."""


PASSING: Final = ".new-"
"""Begins the name of a folder while it is not there yet or no longer."""


class UnsafeNameError(ValueError):
    """A name that was read from a file does not lie inside the folder that it belongs to."""


def inside(name: object) -> str:
    """Return a file's name as it was read from somewhere, after seeing that it lies inside its folder.

    Args:
        name: relative, its parts divided by `/`.

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
    """The names that the program gives in a kind of folder.

    Args:
        files: matches the relative names of its files.
        folders: relative names of the folders in it.
        private: what is in it is for its owner only.
    """

    files: re.Pattern[str]
    folders: frozenset[str]
    private: bool = False

    def owns(self, name: str) -> bool:
        """Tell whether a relative name is one that the program gives, half-written files included."""
        folder, _, last = name.rpartition("/")
        half = _TEMPORARY.fullmatch(last)
        whole = f"{folder}/{half['name']}" if half and folder else half["name"] if half else name
        return self.files.fullmatch(whole) is not None


@dataclass(frozen=True)
class Content:
    """What lies in a folder of the program's.

    Args:
        files: the program's, by relative name.
        folders: the program's, those within others first.
        strangers: everything else, folders and links by their own name, not by what is in them.
    """

    files: tuple[str, ...]
    folders: tuple[str, ...]
    strangers: tuple[str, ...]


@dataclass(frozen=True)
class _Place:
    """An open folder."""

    path: Path
    handle: int | None

    def of(self, name: str) -> str | Path:
        """Return how the system's calls name something in it."""
        return self.path / name if self.handle is None else name

    def kind(self, name: str) -> int:
        """Return what something in it is, as `stat` has it, links not followed; 0 when nothing is there."""
        try:
            found = os.stat(self.of(name), dir_fd=self.handle, follow_symlinks=False)
        except FileNotFoundError:
            return 0
        if getattr(found, "st_reparse_tag", 0) & _NAME_SURROGATE:
            return stat.S_IFLNK
        return stat.S_IFMT(found.st_mode)

    def open(self, name: str) -> int:
        """Open a folder in it."""
        return os.open(name, _FOLDER | _NO_LINK, dir_fd=self.handle)

    def sync(self) -> None:
        """Make renames in it survive a power cut, where folders can be opened."""
        if self.handle is not None:
            os.fsync(self.handle)


class Owned:
    """A folder of the program's. Every call names what it means, and raises OSError for what lies elsewhere.

    Args:
        base: the folder that holds it, which the user chose; it may be reached through links.
        name: its own name there.
        layout: the names that the program gives in it.
    """

    def __init__(self, base: Path, name: str, layout: Layout) -> None:
        self.base, self.name, self.layout = base, name, layout
        self.path = base / name

    @contextmanager
    def _at(self, folder: str = "", make: bool = False) -> Iterator[_Place]:
        """Open a folder in this one, or itself, beneath its base.

        Args:
            folder: relative name, "" for itself.
            make: make what is missing on the way.
        """
        parts = [self.name, *(folder.split("/") if folder else [])]
        mode = OWNER_FOLDER if self.layout.private else 0o777
        with _descend(self.base, parts, mode if make else None) as place:
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

    def has_folder(self, name: str) -> bool:
        """Tell whether a folder of a name is there, reached through no link."""
        try:
            with self._at(name):
                return True
        except OSError:
            return False

    @property
    def _passing(self) -> Owned:
        """The folder while it is not there yet or no longer; a kill may leave it, with nothing in it."""
        return Owned(self.base, f"{PASSING}{self.name}", self.layout)

    def make(self, name: str, data: bytes) -> None:
        """Make the folder with a first file in it, at one instant.

        Args:
            name: of the first file.
            data: its content.

        Raises:
            OSError: something of the folder's name is there.
        """
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
        """Write a file so that a reader, or a kill at any instant, meets the old content or the new.

        Args:
            name: relative; folders on the way are made.
            data: the content.
        """
        if not self.layout.owns(inside(name)):
            raise ValueError(f"{name} is no name that is given in {self.path}")
        folder, _, last = name.rpartition("/")
        with self._at(folder, make=True) as place:
            _write(place, last, data, OWNER_FILE if self.layout.private else 0o666)

    def shut(self) -> None:
        """Take from others what they may do with the program's files and folders, if these are private.

        What is not this user's to change, and files that have another name elsewhere, stay as they are.
        """
        if not self.layout.private or not _GUARDED or not self.exists():
            return
        found = self.content()
        for folder in ("", *found.folders):
            with self._at(folder) as place:
                if place.handle is not None:
                    _shut(place.handle)
        for name in found.files:
            folder, _, last = name.rpartition("/")
            with self._at(folder) as place, suppress(PermissionError):
                handle = os.open(place.of(last), _LOOK, dir_fd=place.handle)
                try:
                    _shut(handle)
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
                found = sorted(os.listdir(place.path if place.handle is None else place.handle))
                kinds = {name: place.kind(name) for name in found}
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
            elif kind:
                strangers.append(name)
        return Content(tuple(files), tuple(folders), tuple(strangers))

    def clear(self, folder: str = "") -> tuple[str, ...]:
        """Remove the program's files in a folder of it, and the folders that are empty then.

        Returns:
            The names of strangers, which stay, and with them the folders that they are in.
        """
        found = self.content(folder)
        self._remove(found, ())
        self.remove_empty(folder)
        return found.strangers

    def vanish(self, last: tuple[str, ...]) -> tuple[str, ...]:
        """Remove the program's files, and the folder with the last of them unless strangers are in it.

        Args:
            last: files that stay until all others are gone, and are removed in this order.

        Returns:
            The names of strangers, which stay.
        """
        found = self.content()
        self._remove(found, last)
        gone = self
        if not found.strangers and not os.path.lexists(self._passing.path):
            gone = self._passing
            os.rename(self.path, gone.path)
        for name in last:
            gone.remove(name)
        if not found.strangers:
            os.rmdir(gone.path)
        return found.strangers

    def _remove(self, found: Content, last: tuple[str, ...]) -> None:
        """Remove files and the folders that are empty then, and keep the last ones."""
        for name in found.files:
            if name not in last:
                self.remove(name)
        for folder in found.folders:
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


@contextmanager
def _descend(base: Path, parts: Sequence[str], make: int | None = None) -> Iterator[_Place]:
    """Open a folder beneath a base, through no link.

    Args:
        base: it may be reached through links.
        parts: names of the folders on the way, and its own; none for the base itself.
        make: make what is missing on the way, with this mode; None makes nothing.
    """
    place = _Place(base, os.open(base, _FOLDER) if _GUARDED else None)
    try:
        for part in parts:
            kind = place.kind(part)
            if not kind and make is not None:
                os.mkdir(place.of(part), make, dir_fd=place.handle)
            elif not kind:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(place.path / part))
            elif not stat.S_ISDIR(kind):
                raise _linked(place.path / part)
            inner = _Place(place.path / part, place.open(part) if place.handle is not None else None)
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


def make_private(folder: Path) -> None:
    """See to it that a folder of the program's is there, for its owner only; folders above it are made, too.

    Raises:
        OSError: a link or a file is in its place, or it cannot be made.
    """
    folder.mkdir(OWNER_FOLDER, parents=True, exist_ok=True)
    refuse_link(folder)
    if _GUARDED:
        handle = os.open(folder, _FOLDER | _NO_LINK)
        try:
            _shut(handle)
        finally:
            os.close(handle)


def _shut(handle: int) -> None:
    """Take from others what they may do with an open file or folder of this user's."""
    found = os.fstat(handle)
    own = found.st_uid == os.geteuid() and (stat.S_ISDIR(found.st_mode) or found.st_nlink == 1)
    if own and stat.S_IMODE(found.st_mode) & 0o077:
        os.fchmod(handle, stat.S_IMODE(found.st_mode) & 0o700)


def _write(place: _Place, name: str, data: bytes, mode: int = 0o666) -> None:
    """Write a file of an open folder beside its place, and rename it."""
    with _half_written(place, name, mode) as half:
        with open(half.handle, "wb", closefd=False) as stream:
            stream.write(data)
            stream.flush()
            os.fsync(half.handle)
        if sys.platform == "win32":  # which renames no file that is open
            half.close()
        os.replace(place.of(half.name), place.of(name), src_dir_fd=place.handle, dst_dir_fd=place.handle)
    place.sync()


@dataclass
class _Half:
    """A half-written file, open."""

    name: str
    handle: int

    def close(self) -> None:
        """Close it, once."""
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1


@contextmanager
def _half_written(place: _Place, name: str, mode: int) -> Iterator[_Half]:
    """Make a file beside the one that it may become; it goes at the end if it is still there.

    It is locked while it is open, so that it can be told from what a killed process left (`sweep`).

    Args:
        place: an open folder.
        name: of the file that is to be.
        mode: its.
    """
    half = _Half("", -1)
    try:
        while not half.name or not _locked(half.handle) or not os.fstat(half.handle).st_nlink:
            half.close()  # somebody swept it in the instant before it was locked
            temporary = f".{name[:_KEPT]}.mystyle-{secrets.token_hex(4)}.tmp"
            half.handle = os.open(place.of(temporary), _NEW, mode, dir_fd=place.handle)
            half.name = temporary  # from here on it is ours to remove
        yield half
    finally:
        half.close()
        if half.name and place.kind(half.name):
            os.unlink(place.of(half.name), dir_fd=place.handle)


def _locked(handle: int, sure: bool = False) -> bool:
    """Take the lock of an open file, which ends with its process.

    Args:
        handle: the file's.
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

    Files of other names stay, and so do those that a process is writing.

    Args:
        folder: it may be reached through links, and need not exist.
    """
    with suppress(OSError), _descend(folder, ()) as place:
        for name in os.listdir(folder if place.handle is None else place.handle):
            half = _TEMPORARY.fullmatch(name)
            if half and half["ours"]:
                with suppress(OSError):
                    _sweep_one(place, name)


def _sweep_one(place: _Place, name: str) -> None:
    """Remove a half-written file that no process has locked."""
    if not stat.S_ISREG(place.kind(name)):
        return
    if sys.platform == "win32":  # which removes no file that is open
        os.unlink(place.of(name), dir_fd=place.handle)
        return
    handle = os.open(place.of(name), os.O_RDONLY | os.O_NONBLOCK | _NO_LINK, dir_fd=place.handle)
    try:
        if _locked(handle, sure=True):
            os.unlink(place.of(name), dir_fd=place.handle)
    finally:
        os.close(handle)


def check_writable(folder: Path) -> None:
    """See that a file can be written in a folder, by making one there, or where the folder would be made.

    Args:
        folder: nothing is left of the trial.

    Raises:
        OSError: it cannot.
    """
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    with _descend(folder, ()) as place, _half_written(place, "trial", OWNER_FILE):
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
    """Write a result where the user wants it, whole or not at all, and never through a link.

    Args:
        path: the file; its folder exists, and may be reached through links.
        data: the content.
        private: it is for its owner only.

    Raises:
        OSError: a link or a folder is in its place, or it cannot be written.
    """
    refuse_link(path)
    with _descend(path.parent, ()) as place:
        _write(place, path.name, data, OWNER_FILE if private else 0o666)


def refuse_link(path: Path) -> None:
    """Raise OSError when a link is where a file is to be written."""
    if path.is_symlink():
        raise OSError(errno.ELOOP, "it is a link, and nothing is written through links", str(path))


def open_own(path: Path, mode: str) -> IO[bytes]:
    """Open a file for writing that the program keeps at a place of its own; a link there raises OSError."""
    refuse_link(path)
    return open(path, mode, opener=lambda name, flags: os.open(name, flags | _NO_LINK, 0o666))


def lock_of(path: Path) -> BaseFileLock:
    """Return the lock that a file stands for.

    Taking a lock empties its file, so what is there must be a lock already.

    Raises:
        OSError: a link or a file with content is in its place.
    """
    from filelock import FileLock

    try:
        found = path.lstat()
    except FileNotFoundError:
        return FileLock(path, mode=OWNER_FILE)
    if not stat.S_ISREG(found.st_mode) or found.st_size or found.st_nlink > 1:
        raise OSError(errno.EEXIST, "something that is not a lock is in its place", str(path))
    return FileLock(path, mode=OWNER_FILE)


class StrangeFileError(OSError):
    """Something is where a file should be that is read, and is none: a link, a pipe, far too large."""


def open_file(path: Path, most: int, beneath: Path | None = None) -> BufferedReader:
    """Open a file for reading, if it is a regular one of bounded size; nothing else is ever opened.

    Args:
        path: the file.
        most: bytes that it may have.
        beneath: a folder above it, below which no link is followed; None follows links.

    Raises:
        StrangeFileError: it is a folder, pipe, device or, below the folder, reached through a link; or it is
            larger.
        OSError: it is not there, or cannot be read.
    """
    if "\0" in str(path):
        raise StrangeFileError(errno.EINVAL, "no file can be called that", str(path).replace("\0", "?"))
    if beneath is None:
        return _opened(_Place(path.parent, None), path.name, most, links=True)
    *folders, last = path.relative_to(beneath).parts
    try:
        with _descend(beneath, folders) as place:
            return _opened(place, last, most, links=False)
    except NotADirectoryError as error:
        raise StrangeFileError(error.errno, error.strerror, error.filename) from error


def _opened(place: _Place, name: str, most: int, links: bool) -> BufferedReader:
    """Open a regular file of an open folder."""
    path = place.path / name
    # a pipe put there after the first look would wait for its writer
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        _refuse_strange(os.stat(place.of(name), dir_fd=place.handle, follow_symlinks=links), path, most)
        handle = os.open(place.of(name), flags | (0 if links else _NO_LINK), dir_fd=place.handle)
    except OSError as error:
        error.filename = str(path)  # the system knows its last part only
        raise
    try:
        _refuse_strange(os.fstat(handle), path, most)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _refuse_strange(found: os.stat_result, path: Path, most: int) -> None:
    """Refuse what is not a regular file of bounded size."""
    if stat.S_ISLNK(found.st_mode) or getattr(found, "st_reparse_tag", 0) & _NAME_SURROGATE:
        raise StrangeFileError(errno.ELOOP, "it is a link, and none is followed there", str(path))
    if stat.S_ISDIR(found.st_mode):
        raise StrangeFileError(errno.EISDIR, "it is a folder, not a file", str(path))
    if not stat.S_ISREG(found.st_mode):
        raise StrangeFileError(errno.EINVAL, "it is no file but a pipe or device", str(path))
    if found.st_size > most:
        what = f"it has {found.st_size:,} bytes, more than the {most:,} that such a file may have"
        raise StrangeFileError(errno.EFBIG, what, str(path))


def read_file(path: Path, most: int, beneath: Path | None = None) -> bytes:
    """Return the content of a file; see `open_file`."""
    with open_file(path, most, beneath) as stream:
        data = stream.read(most + 1)
    if len(data) > most:  # it grew meanwhile
        raise StrangeFileError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return data


def digest_of(path: Path, most: int, beneath: Path | None = None) -> str:
    """Return the sha256 of a file as hexadecimal digits; see `open_file`."""
    with open_file(path, most, beneath) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
