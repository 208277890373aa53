"""Who may change a profile now: one lock for each name, whose file goes with the profile."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mystyle_cli.errors import ProfileError, UsageError
from mystyle_cli.files.mounts import lock_fault
from mystyle_cli.files.owned import PASSING
from mystyle_cli.files.paths import check_name
from mystyle_cli.files.writing import OWNER_FOLDER, lock_of, make_private
from mystyle_cli.person.layout import owned
from mystyle_cli.store.looks import is_profile

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCKS: Final = ".locks"
# held while a lock is taken or its file removed, so that nobody takes one whose file is gone
GATE: Final = ".store.lock"

PATIENCE: Final = 0.2  # seconds to wait for another command that has a profile
GATE_PATIENCE: Final = 10.0  # seconds to wait for the gate, which nobody holds for long


class Locks:
    """The locks of a folder of profiles; they lie in a folder of their own in it, which the first makes."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root / LOCKS

    @contextmanager
    def held(self, key: str, name: str) -> Iterator[None]:
        """Hold the lock of one profile, or of names that differ only in case; its file goes with the profile.

        Raises:
            ProfileError: another command holds it, or the store cannot be written to.
        """
        path, folder = self.folder / f"{key}.lock", self.root / check_name(name)
        lock = self._take(path, name)
        try:
            yield
        finally:
            with self._gate():
                gone = not is_profile(folder)
                try:
                    if gone:  # a command that ends early may leave something under way, too
                        owned(folder).sweep()
                finally:
                    lock.release()  # first, for Windows removes no file that is open
                if gone:
                    path.unlink(missing_ok=True)

    def sweep(self, names: Callable[[], Iterable[str]]) -> None:
        """Remove the locks of killed commands, whose names have no profile, and what they left under way.

        Args:
            names: tells, once nobody takes or removes a lock, which profiles there are.
        """
        from filelock import Timeout

        if lock_fault(self.root):  # a command on another machine may hold one that is free here
            return
        with self._gate():
            taken = {name.casefold() for name in names()}
            for path in sorted(self.folder.glob("*.lock")):
                if path.name == GATE or path.stem in taken:
                    continue
                try:
                    with lock_of(path).acquire(timeout=0):
                        for name in self._passing(path.stem):
                            owned(self.root / check_name(name)).sweep()
                # held, so its command is alive; or a name that is none of ours
                except (Timeout, OSError, UsageError):
                    continue
                path.unlink(missing_ok=True)

    def _passing(self, key: str) -> list[str]:
        """Return the names of profiles that are not there yet or no longer, of those that share a lock."""
        names = [name.removeprefix(PASSING) for name in os.listdir(self.root) if name.startswith(PASSING)]
        return [name for name in names if name.casefold() == key]

    def _take(self, path: Path, name: str) -> BaseFileLock:
        from filelock import Timeout

        deadline = time.monotonic() + PATIENCE
        while True:
            with self._gate():  # only for a try: whoever holds the lock needs the gate to let it go
                try:
                    lock = lock_of(path)
                    lock.acquire(timeout=0)
                    return lock
                except Timeout as error:
                    if time.monotonic() > deadline:
                        raise ProfileError(
                            f"profile '{name}' is being changed by another command",
                            "Wait until it has ended.",
                        ) from error
                except OSError as error:
                    raise self._unwritable(error) from error
            time.sleep(PATIENCE / 10)

    @contextmanager
    def _gate(self) -> Iterator[None]:
        """Keep others from taking and removing locks."""
        from filelock import Timeout

        try:
            self.root.mkdir(OWNER_FOLDER, parents=True, exist_ok=True)
            make_private(self.folder)
            gate = lock_of(self.folder / GATE)
            gate.acquire(timeout=GATE_PATIENCE)
        except Timeout as error:
            raise ProfileError(f"the locks of {self.root} are held", "Wait, and try again.") from error
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            yield
        finally:
            gate.release()

    def _unwritable(self, error: OSError) -> ProfileError:
        return ProfileError(
            f"the store {self.root} cannot be written to: {error.strerror} ({error.filename})",
            "Check its permissions, or choose another with --store.",
        )
