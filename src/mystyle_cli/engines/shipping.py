"""Work for machines that do not see the driver's files: what they lack is sent, what they make comes back.

What all items need is sent once and lies in a hold, a private folder of the worker's, which goes when the
worker does, however that ends. What one item needs travels with it, and what is made of it comes back to the
driver, which alone writes. Everything is known by its digest, and taken for nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Protocol, Self, runtime_checkable

from mystyle_cli.engines.engine import Opener
from mystyle_cli.errors import MystyleError
from mystyle_cli.files.documents import Items, Text
from mystyle_cli.files.mounts import lock_fault
from mystyle_cli.files.owned import PASSING, Layout, Owned, inside
from mystyle_cli.files.parsing import json_of
from mystyle_cli.files.reading import read_file
from mystyle_cli.files.writing import OWNER_FOLDER, lock_of

HOLD: Final = re.compile("mystyle-hold-[0-9a-f]{16}")  # how holds are called
LOCK: Final = "lock"  # held as long as the worker lives
NAMES: Final = "names.json"  # of what is in it besides these two
MOST_NAMES: Final = 1 << 20  # bytes of that
TRIES: Final = 3  # to make a hold, of which somebody may take the first for an old one
PATIENCE_S: Final = 10.0  # for a worker to end that has let go of its watcher

Put = Callable[[bytes], Any]
"""Gives content to what carries it; returns by what `Fetch` finds it on any machine."""

Fetch = Callable[[Any], bytes]

_NAMES: Final = Items(Text(1 << 12), 1 << 16)


@dataclass(frozen=True)
class Label:
    """What content is known by on its way.

    Args:
        name: of the file, for whoever sends it.
    """

    name: str
    size: int
    sha256: str

    @classmethod
    def of(cls, name: str, data: bytes) -> Self:
        """Return the label of content."""
        return cls(name, len(data), hashlib.sha256(data).hexdigest())

    def checked(self, data: object) -> bytes:
        """Return content that has arrived; raises MystyleError where it is not what was sent."""
        if isinstance(data, bytes) and Label.of(self.name, data) == self:
            return data
        raise MystyleError(
            f"{self.name} has not arrived as it was sent", "Give the same command again, or use --on local."
        )


@dataclass(frozen=True)
class Parcel:
    """Content on its way to a worker."""

    label: Label
    place: Any  # by which `Fetch` finds it

    @classmethod
    def sent(cls, name: str, data: bytes, put: Put) -> Self:
        """Send content."""
        return cls(Label.of(name, data), put(data))

    def opened(self, fetch: Fetch) -> bytes:
        """Return the content; raises MystyleError where it is not what was sent."""
        return self.label.checked(fetch(self.place))


class Load(Protocol):
    """What a worker gets once; picklable."""

    def opener(self, hold: Hold) -> Opener:
        """Return what is opened in the worker, for items as they travel; raises MystyleError."""


class Shipping(Protocol):
    """The driver's end of work on machines that do not see its files."""

    def load(self, put: Put) -> Load:
        """Return what each worker gets; raises MystyleError where the work cannot be done there."""

    def pack(self, items: Sequence[Any], put: Put) -> list[Any]:
        """Return what of some items travels."""

    def unpack(self, items: Sequence[Any], answers: Iterable[Any]) -> Iterable[Any]:
        """Yield the answers for items that were packed, as they would be of a worker that sees the files.

        Args:
            answers: for what travelled.
        """


@runtime_checkable
class Shipped(Opener, Protocol):
    """An opener whose work can be done where the driver's files are not seen."""

    def places(self) -> Sequence[Path]:
        """Return some of what is read and written, by which a worker tells whether it sees the files."""

    def shipping(self) -> Shipping:
        """Return the driver's end of it."""


@dataclass
class Hold:
    """A worker's folder of files that were sent to it."""

    folder: Path
    fetch: Fetch
    _lock: Any = field(repr=False)  # filelock's
    _watch: IO[bytes] = field(repr=False)  # whose end tells the watcher that this process has ended

    @classmethod
    def made(cls, fetch: Fetch) -> Self:
        """Make one, for this user only, and remove those that killed ones left.

        Raises:
            MystyleError: it cannot be made, or nobody would remove it.
        """
        sweep(Path(tempfile.gettempdir()))
        for _ in range(TRIES):
            folder = Path(tempfile.gettempdir()) / f"mystyle-hold-{secrets.token_hex(8)}"
            folder.mkdir(OWNER_FOLDER)
            lock = lock_of(folder / LOCK)
            with suppress(TimeoutError):
                lock.acquire(timeout=0)
                if _owned(folder, ()).has(LOCK):  # else somebody swept it in the instant before
                    return cls(folder, fetch, lock, _watched(folder))
        raise MystyleError(f"no folder can be kept in {tempfile.gettempdir()}", "Look at it on that machine.")

    def keep(self, parcels: Sequence[Parcel]) -> Path:
        """Put content at its names in the folder, once in all, and return that.

        Raises:
            MystyleError: something is not what was sent, or there is no room for it.
            OSError: it cannot be written.
        """
        size, free = sum(parcel.label.size for parcel in parcels), shutil.disk_usage(self.folder).free
        if size > free:
            raise MystyleError(
                f"{os.uname().nodename}: {self.folder.parent} has {free / 1e9:.1f} GB free, and "
                f"{size / 1e9:.1f} GB would lie there",
                "Make room there, or have Ray started there with another TMPDIR.",
            )
        names = [inside(parcel.label.name) for parcel in parcels]
        here = _owned(self.folder, names)
        here.write(NAMES, json.dumps(names).encode())  # before the first of them is there
        for name, parcel in zip(names, parcels, strict=True):
            here.write(name, parcel.opened(self.fetch))
        return self.folder


def _owned(folder: Path, names: Sequence[str]) -> Owned:
    """Return a hold as a folder of the program's, in which these files are."""
    folders = {str(above) for name in names for above in Path(name).parents} - {"."}
    files = "|".join(map(re.escape, (LOCK, NAMES, *names)))
    return Owned(folder.parent, folder.name, Layout(re.compile(files), frozenset(folders), private=True))


def sweep(above: Path) -> None:
    """Remove the holds of this user whose workers are no more; what is not theirs stays."""
    if lock_fault(above):  # a worker on another machine may hold one that is free here
        return
    with suppress(OSError):
        for name in os.listdir(above):
            whole = name.removeprefix(PASSING)
            if HOLD.fullmatch(whole) and _is_own(above / name):
                with suppress(OSError, ValueError):
                    remove(above / whole) if name == whole else _owned(above / whole, ()).sweep()


def _is_own(folder: Path) -> bool:
    """Tell whether something is there that is this user's; root could remove what is another's."""
    try:
        return not hasattr(os, "geteuid") or folder.lstat().st_uid == os.geteuid()
    except OSError:
        return False


def remove(folder: Path, patience: float = 0) -> None:
    """Remove a hold, unless its worker lives.

    Args:
        patience: seconds to wait for its worker to end.

    Raises:
        OSError: not all of it can be removed.
        ValueError: what is in it is not what was kept there.
    """
    from filelock import Timeout

    bare = _owned(folder, ())
    if not bare.has(LOCK):
        return  # another worker makes it now
    with suppress(Timeout), lock_of(folder / LOCK).acquire(timeout=patience):
        names = []
        if bare.has(NAMES):
            listed = _NAMES.read(json_of(read_file(folder / NAMES, MOST_NAMES, folder)), NAMES)
            names = [inside(name) for name in listed]
        _owned(folder, names).vanish((NAMES, LOCK))


def _watched(folder: Path) -> IO[bytes]:
    """Start what removes a hold when this process has ended, however that went.

    Raises:
        MystyleError: it does not start.
    """
    # Python itself, through no shell; what it waits for is the end of its input
    watcher = subprocess.Popen(  # noqa: S603
        [sys.executable, "-P", "-m", __name__, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # what ends a worker with all of its session or group, lets this live
        # what an empty place in PYTHONPATH means: no folder that others write to
        cwd=folder.anchor,
    )
    if watcher.stdin is None or (hasattr(os, "fork") and watcher.wait() != 0):
        raise MystyleError(f"nobody would remove {folder}, for Python does not start")
    return watcher.stdin


def watch(folder: Path) -> None:
    """Be what removes a hold; a process of its own, whose parent is no worker that could take it along."""
    if hasattr(os, "fork") and os.fork():
        return
    sys.stdin.buffer.read()
    with suppress(OSError, ValueError):
        remove(folder, PATIENCE_S)


if __name__ == "__main__":
    watch(Path(sys.argv[1]))
