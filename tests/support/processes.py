"""Several processes of one run without `torchrun`: children of this one, which have imported what it has."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from torch.distributed import FileStore

from mystyle_cli.ranks import Ranks

PATIENCE = 120.0
"""Seconds after which a process that is waited for counts as lost, where a test says nothing else."""


@contextmanager
def beside(
    folder: Path, work: Callable[[Ranks], object], patience: float = PATIENCE, grace: float = 60
) -> Iterator[Ranks]:
    """Let another process do its part of some work while the block does the first's, with the ranks it gets.

    Args:
        folder: an empty one, where they find each other; see `ended`.
        work: what the other does.
        grace: seconds after which the other is killed when the block has ended.
    """

    def ranks(rank: int) -> Ranks:
        return Ranks(rank, 2, rank, 2, FileStore(str(folder / "meeting"), 2), patience)

    with child(folder, lambda: work(ranks(1)), grace):
        yield ranks(0)


@contextmanager
def child(folder: Path, work: Callable[[], object], grace: float = 60) -> Iterator[None]:
    """Do some work in a child beside what the block does; see `beside`."""
    made = os.fork()
    if not made:
        said = "nothing"
        try:
            work()
        except BaseException as error:  # a forked child must not go on as its parent
            said = f"{type(error).__name__}: {error}"
        finally:
            (folder / "ended").write_text(said)
            os._exit(0)
    try:
        yield
    finally:
        until = time.monotonic() + grace
        while os.waitpid(made, os.WNOHANG) == (0, 0):
            if time.monotonic() > until:
                os.kill(made, signal.SIGKILL)
                os.waitpid(made, 0)
                break
            time.sleep(0.01)


def ended(folder: Path) -> str:
    """Return what the other's work ended with: "nothing", or what it raised, as `Type: message`."""
    return (folder / "ended").read_text()
