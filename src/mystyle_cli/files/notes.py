"""Lines on what was made: of what, asked how, and where it is; only ever added to."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from mystyle_cli.files import reading
from mystyle_cli.files.parsing import DocumentError, json_of
from mystyle_cli.files.places import NO_LINK, Place

LARGEST: Final = 1 << 30  # bytes of the largest file of lines, and of the largest result, that is read

FIELDS: Final = frozenset({"photo", "asked", "input"})  # of a line, at least

Line = dict[str, str]
"""`photo`: the digest of what was worked on, `asked`: of what was asked, `input`: how it was called; where
there is a result also `output`, its name, and `written`, its digest."""


def written(name: str | Path) -> str:
    """Return a name as text that any file can hold, whatever bytes it is of."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def lines_in(data: bytes) -> list[Line]:
    """Return the lines of a file; what is damaged, or none of them, is passed over."""
    found = []
    for text in data.decode("utf-8", "replace").splitlines():
        try:
            line = json_of(text)
        except DocumentError:
            continue
        if isinstance(line, dict) and line.keys() >= FIELDS and all(map(_is_text, line.values())):
            found.append(line)
    return found


def _is_text(value: object) -> bool:
    return isinstance(value, str)


class Notes:
    """Lines that were read, and those that are added.

    Args:
        base: the folder that the names of results are relative to.
        append: adds bytes to the file of these lines; raises OSError.
    """

    def __init__(self, lines: Iterable[Line], base: Path, append: Callable[[bytes], None]) -> None:
        self.base, self.append = base, append
        self._done: set[tuple[str, str]] = set()
        # lines on results by their names and digests: what is there tells which line is of it, whatever order
        # those of several files are read in, and whether or not what a later one announced was ever written
        self._of: dict[str, dict[str, Line]] = {}
        for line in lines:
            self._know(line)

    def _know(self, line: Line) -> None:
        self._done.add((line["photo"], line["asked"]))
        if "output" in line:
            self._of.setdefault(line["output"], {})[line.get("written", "")] = line

    def knows(self, photo: str, asked: str) -> bool:
        """Tell whether a photo of this digest was worked on so, or could not be."""
        return (photo, asked) in self._done

    def name_of(self, output: Path) -> str:
        """Return what a result is called in lines."""
        return written(os.path.relpath(output, self.base))

    def line_on(self, output: Path) -> Line | None:
        """Return a line on a result that is there as it was written then; else None."""
        known = self._of.get(self.name_of(output))
        return known.get(digest(output) or "absent") if known else None

    def add(self, line: Line) -> None:
        """Add a line; raises OSError where it cannot be kept."""
        self._know(line)
        self.append(json.dumps(line).encode() + b"\n")


def digest(path: Path) -> str | None:
    """Return the sha256 of a result, or None where no file is that can be read."""
    try:
        return reading.digest_of(path, LARGEST)
    except OSError:
        return None


def append(place: Place, name: str, data: bytes, mode: int) -> None:
    """Add to a file of an open folder, through no link; a line that was torn off before is ended first."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | NO_LINK | getattr(os, "O_NONBLOCK", 0)
    handle = os.open(place.of(name), flags | getattr(os, "O_BINARY", 0), mode, dir_fd=place.handle)
    try:
        with open(handle, "r+b", buffering=0, closefd=False) as file:
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(size - 1)
                data = data if file.read(1) == b"\n" else b"\n" + data
            file.write(data)
            os.fsync(handle)
    finally:
        os.close(handle)
