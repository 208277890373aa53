"""A process that has imported what takes long and forks a child for each command, which it may kill.

A child runs `mystyle` as the shell would, in a folder and with a home of its own, without the seconds that
importing torch takes. What needs photos of real faces is replaced (curation), and what needs the network
(`prior fetch`) asks the test's own server; all else is the program.

Run as `python -m tests.kills.nursery`: takes an `Order` a line on stdin, as JSON, and answers each with an
`Outcome`. What a command imports that runs to its end is imported here for those that come after it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

from tests.support.effort import HANGS

SIGNALS = {
    "KILL": (signal.SIGKILL,),
    "TERM": (signal.SIGTERM,),
    "INT twice": (signal.SIGINT, signal.SIGINT),
    "HUP": (signal.SIGHUP,),
    "PIPE": (signal.SIGPIPE,),
}
"""What is sent; with PIPE nobody reads what the command prints either."""

PROGRAM = "from mystyle_cli.cli import main; main()"
"""What the installed `mystyle` does."""


@dataclasses.dataclass(frozen=True)
class Order:
    """A command to run, and how to end it.

    Args:
        words: what stands after `mystyle`.
        folder: where it runs; `home` in it is MYSTYLE_HOME.
        kill: a name of `SIGNALS`, or None.
        at: kill it before this change of the disk, counted from 0; None kills it after `after`.
        after: seconds.
        server: where `prior fetch` finds its files.
        fresh: start it as the shell does, nothing imported and nothing replaced; changes are not counted.
    """

    words: tuple[str, ...]
    folder: str
    kill: str | None = None
    at: int | None = None
    after: float = 0.0
    server: str = ""
    fresh: bool = False


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a command.

    Args:
        code: its exit code; minus the signal's number when it was killed.
        changes: changes of the disk that it made or was about to make.
        seconds: how long it ran.
    """

    code: int
    changes: int
    seconds: float


_CHANGES = frozenset(
    {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "os.symlink"}
)
"""Python's audit events of what changes the disk, besides files that are opened for writing."""


class _Counter:
    """Counts a process' changes of the disk before they are made, and kills it before one of them."""

    def __init__(self, order: Order, told: int) -> None:
        self.order, self.told, self.count = order, told, 0
        self.left = list(SIGNALS[order.kill]) if order.kill and order.at is not None else []

    def watch(self) -> None:
        """Begin. Syncing is counted and left out: what was written outlives a kill without it."""
        sys.addaudithook(self._heard)
        os.fsync = lambda handle: self._change()  # type: ignore[assignment]

    def _heard(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = args
            written = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if not written or not isinstance(path, str | bytes | os.PathLike):
                return
            name = os.fsdecode(path)
            if os.path.isabs(name) and not name.startswith(self.order.folder):
                return
        elif event not in _CHANGES:
            return
        self._change()

    def _change(self) -> None:
        os.write(self.told, b".")
        self.count += 1
        if self.left and self.count > (self.order.at or 0):
            os.kill(os.getpid(), self.left.pop(0))


def _become(order: Order, told: int, silent: int) -> NoReturn:
    """Be the command, in a child; at its end, tell what it has imported."""
    known = set(sys.modules)
    sys.dont_write_bytecode = True  # which is a change of the disk, and none of the command's
    from mystyle_cli.cli import main
    from tests.kills import scenes

    os.chdir(order.folder)
    os.environ["MYSTYLE_HOME"] = os.path.join(order.folder, "home")
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if order.fresh:
        os.execv(sys.executable, [sys.executable, "-c", PROGRAM, *order.words])
    sys.argv = ["mystyle", *order.words]
    scenes.stand_in(order.words, order.server, Path(order.folder))
    _Counter(order, told).watch()
    code = 0
    try:
        if order.words[0] == scenes.PUT:
            scenes.act(Path(order.folder))
        else:
            main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:  # an interpreter that ends with a traceback
        traceback.print_exc()
        code = 1
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    if order.kill is None:
        Path(f"{order.folder}.imported").write_text("\n".join(sorted(sys.modules.keys() - known)))
    os._exit(code)


def _import_once(order: Order) -> None:
    """Import what a command has imported that ran to its end."""
    names = Path(f"{order.folder}.imported")
    if order.kill is None and names.exists():
        for name in names.read_text().split():
            with contextlib.suppress(Exception):  # some modules are no files
                importlib.import_module(name)


def _run(order: Order) -> Outcome:
    """Run a command to its end, or kill it."""
    counted, told = os.pipe()
    if order.kill == "PIPE":
        said, silent = os.pipe()
        os.close(said)
    else:
        silent = os.open(f"{order.folder}.said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    started = time.monotonic()
    child = os.fork()
    if not child:
        try:
            _become(order, told, silent)
        finally:  # a signal may come before the command has begun
            os._exit(1)
    os.close(told)
    os.close(silent)
    left = list(SIGNALS[order.kill]) if order.kill and order.at is None else []
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        seconds = time.monotonic() - started
        if done:
            break
        if left and seconds >= order.after:
            os.kill(child, left.pop(0))
        if seconds > HANGS:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.002)
    changes = 0
    while found := os.read(counted, 1 << 16):
        changes += len(found)
    os.close(counted)
    return Outcome(os.waitstatus_to_exitcode(status), changes, seconds)


def main() -> None:
    """Take orders until there are no more."""
    for line in sys.stdin:
        order = Order(**json.loads(line))
        outcome = _run(order)
        _import_once(order)
        print(json.dumps(dataclasses.asdict(outcome)), flush=True)


if __name__ == "__main__":
    main()
