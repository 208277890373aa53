"""What workers on other machines see as the driver does: the folder of its run, and its locks."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mystyle_cli.engines.runs import LAYOUT, LOGS
from mystyle_cli.errors import MystyleError
from mystyle_cli.files.mounts import lock_fault
from mystyle_cli.files.owned import Owned
from mystyle_cli.files.writing import make_private, write_result


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


def forget(logs: Path, name: str) -> None:
    """Remove a file of a run's logs, through no link; see `shared_logs`."""
    folder = logs.absolute().parent
    Owned(folder.parent, folder.name, LAYOUT).remove(f"{LOGS}/{name}")


@dataclass(frozen=True)
class Sign:
    """A file that whoever sees the driver's folders can read."""

    path: Path
    text: str

    def missing(self) -> MystyleError | None:
        """Look for it, on whichever machine this is; returns what is said where it is not seen."""
        try:
            if self.path.read_text("utf-8") == self.text:
                return None
        except OSError:
            pass
        return self.unseen(self.path.parent.parent)

    def unseen(self, folder: Path) -> MystyleError:
        """Return what is said where a folder of the driver's is not seen on this machine."""
        return MystyleError(
            f"{os.uname().nodename} does not see {folder}",
            "All machines must see the store, photos and results at the same places: --store, -o.",
        )


@contextmanager
def sign_in(logs: Path) -> Iterator[Sign]:
    """Leave a sign in a folder as long as work is under way."""
    sign = Sign(logs / f"seen-{secrets.token_hex(4)}", secrets.token_hex(16))
    write_result(sign.path, sign.text.encode(), private=True)
    try:
        yield sign
    finally:
        forget(logs, sign.path.name)
