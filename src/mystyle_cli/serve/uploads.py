"""Photos of an album on their way through the page: in a folder of this server's own, and gone with it."""

from __future__ import annotations

import os
import re
import secrets
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from mystyle_cli.errors import MystyleError, UsageError
from mystyle_cli.files.mounts import lock_fault
from mystyle_cli.files.owned import PASSING, Layout, Owned
from mystyle_cli.files.paths import home
from mystyle_cli.files.writing import lock_of, make_private

MOST_BYTES: Final = 64 << 20  # of a photo
MOST_PHOTOS: Final = 500  # of an album
MOST_ALBUM: Final = 4 << 30  # bytes of an album
SPARE: Final = 1 << 30  # bytes that stay free on the disk

FOLDER: Final = "page"  # in the user's own, holds those of all servers
OURS: Final = re.compile(r"serving-[0-9a-f]{16}")
GATE: Final = ".page.lock"  # held while a server's folder is made or removed
LOCK, ALBUM = "lock", "album"
LAYOUT: Final = Layout(re.compile(rf"{LOCK}|{ALBUM}/[\w()\- .]{{1,100}}"), frozenset({ALBUM}), private=True)
PATIENCE: Final = 10.0  # seconds to wait for the gate
LONGEST_NAME: Final = 80


def safe_name(name: str) -> str:
    """Return a name for a photo that a browser calls so: its last part, of letters that every disk takes."""
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    plain = re.sub(r"[^\w()\- .]", "_", last).strip(" .") or "photo"
    stem, dot, ending = plain.rpartition(".")
    if not stem or len(ending) > 8:
        stem, dot, ending = plain, "", ""
    while len(f"{stem}{dot}{ending}".encode()) > LONGEST_NAME:
        stem = stem[:-1]
    return f"{stem}{dot}{ending}"


class Uploads:
    """The folder of one server; `open_uploads` makes it."""

    def __init__(self, own: Owned) -> None:
        self._own, self._sizes = own, dict[str, int]()

    @property
    def count(self) -> int:
        """How many photos there are."""
        return len(self._sizes)

    def add(self, name: str, data: bytes) -> str:
        """Keep a photo of the album; returns what it is called.

        Raises:
            UsageError: the album is full.
            MystyleError: the disk is.
        """
        if self.count >= MOST_PHOTOS:
            raise UsageError(f"an album has {MOST_PHOTOS} photos at most", "About 100 good ones are enough.")
        if sum(self._sizes.values()) + len(data) > MOST_ALBUM:
            raise UsageError(f"an album has {MOST_ALBUM >> 30} GB at most", "Give fewer photos.")
        stem, dot, ending = safe_name(name).rpartition(".")
        called, number = f"{stem}{dot}{ending}", 1
        while called.casefold() in {other.casefold() for other in self._sizes}:
            number += 1
            called = f"{stem or ending} ({number}){dot}{ending if stem else ''}"
        try:
            import shutil

            if shutil.disk_usage(self._own.base).free < SPARE + len(data):
                raise MystyleError("the disk is nearly full", "Free some space.")
            self._own.write(f"{ALBUM}/{called}", data)
        except OSError as error:
            raise MystyleError(f"{called}: {error.strerror or error}", "Free some space.") from error
        self._sizes[called] = len(data)
        return called

    def paths(self) -> list[Path]:
        """Return the album's photos."""
        return [self._own.path / ALBUM / name for name in self._sizes]

    def clear(self) -> None:
        """Remove the album; raises MystyleError where that cannot be."""
        self._sizes.clear()
        try:
            self._own.clear(ALBUM)
        except OSError as error:
            raise _left(self._own.path, error) from error


@contextmanager
def open_uploads() -> Iterator[Uploads]:
    """Make a folder for this server, and remove it at the end; what killed servers left goes, too.

    Raises:
        MystyleError: it cannot be made.
    """
    base = home() / FOLDER
    try:
        make_private(base)
        with _gate(base):
            _sweep(base)
            own = Owned(base, f"serving-{secrets.token_hex(8)}", LAYOUT)
            own.make(LOCK, b"")
            lock = lock_of(own.path / LOCK)
            lock.acquire(timeout=0)
    except OSError as error:
        hint = "Free some space, or set MYSTYLE_HOME to a folder that can be written to."
        raise MystyleError(f"{base} cannot be written to: {error.strerror or error}", hint) from error
    try:
        yield Uploads(own)
    finally:
        try:
            with _gate(base):
                lock.release()
                own.vanish((LOCK,))
        except OSError as error:
            raise _left(own.path, error) from error


def _left(folder: Path, error: OSError) -> MystyleError:
    return MystyleError(
        f"photos that were uploaded may be left in {folder}: {error.strerror or error}",
        "Remove that folder by hand.",
    )


@contextmanager
def _gate(base: Path) -> Iterator[None]:
    with lock_of(base / GATE).acquire(timeout=PATIENCE):
        yield


def _sweep(base: Path) -> None:
    """Remove the folders of servers that were killed: those whose lock nobody holds, and nothing else."""
    from filelock import Timeout

    if lock_fault(base):  # a server on another machine may hold one that is free here
        return
    for name in sorted(os.listdir(base)):
        own = Owned(base, name.removeprefix(PASSING), LAYOUT)
        if not OURS.fullmatch(own.name):
            continue
        own.sweep()
        with suppress(Timeout, OSError):
            if own.has(LOCK):
                lock_of(own.path / LOCK).acquire(timeout=0).lock.release()
                own.vanish((LOCK,))
