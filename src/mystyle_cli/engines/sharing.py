"""What workers on other machines see as the driver does: the folder of its run, and its locks."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from mystyle_cli.engines.runs import LOGS, forget
from mystyle_cli.errors import MystyleError
from mystyle_cli.files.mounts import lock_fault
from mystyle_cli.files.writing import make_private, write_result

BOOT: Final = Path("/proc/sys/kernel/random/boot_id")  # another one at each start of a machine


def shared_logs(folder: Path | None, engine: str) -> Path:
    """Return the folder of a run's logs, made where it is not there, for workers of several machines.

    Raises:
        MystyleError: no run is kept, or its file system holds locks on each machine alone.
    """
    if folder is None:
        raise MystyleError(
            f"{engine}: its workers meet in the folder of a run, and of this command none is kept",
            "Use --on local:N, or --on ray, a cluster of this machine's own.",
        )
    if fault := lock_fault(folder):
        raise MystyleError(
            f"{engine}: no lock in {folder} is seen by other machines: {fault}",
            "Have the store on a file system that all machines share with its locks: --store.",
        )
    make_private(folder / LOGS)
    return folder / LOGS


@dataclass(frozen=True)
class Glimpse:
    """A file or folder as the driver sees it."""

    path: Path
    device: int  # of its file system, as the driver's machine numbers these
    number: int  # of the file on that
    content: tuple[int, int] | None  # size and time of change; None for a folder, which changes meanwhile

    @classmethod
    def of(cls, path: Path) -> Self:
        """Look at a file or folder; raises OSError."""
        status = path.stat()
        kept = None if stat.S_ISDIR(status.st_mode) else (status.st_size, status.st_mtime_ns)
        return cls(path, status.st_dev, status.st_ino, kept)


@dataclass(frozen=True)
class Sight:
    """Some of what the driver reads and writes, by which others tell whether they see the same.

    Args:
        machine: the driver's, as Linux names each start of one; "" where it is not known.
    """

    machine: str
    glimpses: tuple[Glimpse, ...]

    @classmethod
    def of(cls, paths: Iterable[Path]) -> Self:
        """Look at files and folders; what is not there is not seen anywhere."""
        glimpses = []
        for path in paths:
            with suppress(OSError):
                glimpses.append(Glimpse.of(path))
        return cls(_machine(), tuple(glimpses))

    def is_shared(self, sign: Path) -> bool:
        """Tell whether this process sees the same.

        On another machine a folder is the same if it lies on the file system of something that is known to be
        the same: the sign, or a file of the same number, size and time.

        Args:
            sign: a file that is known to be the driver's.
        """
        try:
            here = [Glimpse.of(one.path) for one in self.glimpses]
            known = {sign.stat().st_dev}
        except OSError:
            return False
        if self.machine and self.machine == _machine():
            return here == list(self.glimpses)
        pairs = list(zip(here, self.glimpses, strict=True))
        files = [(mine, one) for mine, one in pairs if one.content is not None]
        if any(replace(mine, device=one.device) != one for mine, one in files):
            return False
        known |= {mine.device for mine, _ in files}
        return all(mine.number == one.number and mine.device in known for mine, one in pairs)


def _machine() -> str:
    try:
        return BOOT.read_text("ascii")
    except OSError:
        return ""


NOTHING: Final = Sight("", ())


@dataclass(frozen=True)
class Sign:
    """A file that whoever sees the driver's folders can read."""

    path: Path
    text: str
    sight: Sight = NOTHING

    def missing(self) -> MystyleError | None:
        """Look for it, on whichever machine this is; returns what is said where it is not seen."""
        try:
            if self.path.read_text("utf-8") == self.text:
                shared = self.sight.is_shared(self.path)
                return None if shared else self.unseen("the photos, or the place of the results")
        except OSError:
            pass
        return self.unseen(self.path.parent.parent)

    def unseen(self, what: object) -> MystyleError:
        """Return what is said where something of the driver's is not seen on this machine."""
        return MystyleError(
            f"{os.uname().nodename} does not see {what}",
            "All machines must see the store, photos and results at the same places: --store, -o.",
        )


@contextmanager
def sign_in(logs: Path, places: Iterable[Path] = ()) -> Iterator[Sign]:
    """Leave a sign in a folder as long as work is under way.

    Args:
        places: some of what is read and written besides.
    """
    sign = Sign(logs / f"seen-{secrets.token_hex(4)}", secrets.token_hex(16), Sight.of(places))
    write_result(sign.path, sign.text.encode(), private=True)
    try:
        yield sign
    finally:
        forget(logs, sign.path.name)
