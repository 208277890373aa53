"""Files as they are read, whoever made them: regular ones alone, of bounded size."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path

from mystyle_cli.files.places import NAME_SURROGATE, NO_LINK, Place, descend


@dataclass(frozen=True)
class Handed:
    """A file's content, read where the file is and handed on to where it is not."""

    path: Path  # what messages call it
    data: bytes = field(repr=False)

    def __str__(self) -> str:
        return str(self.path)

    @property
    def suffix(self) -> str:
        """The file's ending."""
        return self.path.suffix


class StrangeFileError(OSError):
    """Something is where a file should be that is read, and is none: a link, a pipe, far too large."""


def open_file(path: Path, most: int, beneath: Path | None = None) -> BufferedReader:
    """Open a file for reading, if it is a regular one of bounded size; nothing else is ever opened.

    Args:
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
        return _opened(Place(path.parent, None), path.name, most, links=True)
    *folders, last = path.relative_to(beneath).parts
    try:
        with descend(beneath, folders) as place:
            return _opened(place, last, most, links=False)
    except NotADirectoryError as error:
        raise StrangeFileError(error.errno, error.strerror, error.filename) from error


def _opened(place: Place, name: str, most: int, links: bool) -> BufferedReader:
    path = place.path / name
    # a pipe put there after the first look would wait for its writer
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        _refuse_strange(os.stat(place.of(name), dir_fd=place.handle, follow_symlinks=links), path, most)
        handle = os.open(place.of(name), flags | (0 if links else NO_LINK), dir_fd=place.handle)
    except OSError as error:
        error.filename = str(path)  # the system knows its last part only
        raise
    try:
        _refuse_strange(os.fstat(handle), path, most)  # what was opened may not be what was looked at
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _refuse_strange(status: os.stat_result, path: Path, most: int) -> None:
    if stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) & NAME_SURROGATE:
        raise StrangeFileError(errno.ELOOP, "it is a link, and none is followed there", str(path))
    if stat.S_ISDIR(status.st_mode):
        raise StrangeFileError(errno.EISDIR, "it is a folder, not a file", str(path))
    if not stat.S_ISREG(status.st_mode):
        raise StrangeFileError(errno.EINVAL, "it is no file but a pipe or device", str(path))
    if status.st_size > most:
        what = f"it has {status.st_size:,} bytes, more than the {most:,} that such a file may have"
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
