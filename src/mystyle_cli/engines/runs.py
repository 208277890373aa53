"""Runs as they are kept on disk: what was asked, how far it is, and a line for each result.

A run is known by a digest of the command, of what was asked and of the profiles' versions; so the same
command finds it again and does what is missing. Nothing that is read from it is trusted further than this:
a line counts only where the result that it names is there with the digest that it says.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from mystyle_cli.errors import MystyleError, UsageError
from mystyle_cli.files.documents import Items, Number, Record, Text, Whole
from mystyle_cli.files.notes import Line, Notes, append, lines_in
from mystyle_cli.files.owned import Layout, Owned
from mystyle_cli.files.parsing import DocumentError, json_of
from mystyle_cli.files.places import descend
from mystyle_cli.files.reading import read_file
from mystyle_cli.files.writing import OWNER_FILE, OWNER_FOLDER, lock_of, make_private

RUNS: Final = ".jobs"  # the folder of runs in a store
RECORD: Final = "run.json"
STOP: Final = "stop"  # a file that asks the driver of a run to end
LOCK: Final = "driver.lock"
NOTES: Final = "notes"
LOGS: Final = "logs"  # what an engine keeps of a run

LAYOUT: Final = Layout(
    re.compile(
        rf"{RECORD}|{STOP}|{LOCK}|{NOTES}/[0-9a-f]{{8}}-[0-9a-f]{{8}}\.jsonl|{LOGS}/[\w.%+-]{{1,200}}"
    ),
    frozenset({NOTES, LOGS}),
    private=True,
)
NAME: Final = re.compile("[0-9a-f]{16}")

# what drivers and workers hand each other through the folder of logs: of us, and of submitit
HANDED: Final = re.compile(
    r"[0-9a-f]{8}-(\d+\.(progress|outcome)|pulse)|seen-[0-9a-f]{8}"
    r"|\d+(_\d+)*_(submitted|result)\.pkl|\d+_submission\.sh|\.submission_file_\w+\.sh|[0-9a-f]{32}\.pkl"
)
LARGEST: Final = 1 << 20  # bytes of a record

_FIELDS: Final = Record(
    {
        "format": Whole(1, 1),
        "command": Text(64),
        "words": Items(Text(1 << 16, lines=True)),
        "folder": Text(1 << 16, lines=True),
        "engine": Text(),
        "kind": Text(64),
        "started": Text(64),
        "ended": Text(64),
        "items": Whole(),
        "done": Whole(),
        "skipped": Whole(),
        "failed": Whole(),
        "measured": Whole(),
        "seconds": Number(0),
        "opening": Number(0),
        "memory": Whole(),
    },
    {"threads": Whole()},  # which earlier versions did not note
)


@dataclass(frozen=True)
class RunRecord:
    """What is kept of a run as a whole."""

    command: str
    words: tuple[str, ...]  # of the command line, without the program
    folder: str  # in which it was typed
    engine: str  # what `--on` said
    kind: str  # a digest of what decides how long an item takes
    started: str = ""  # the last time, ISO 8601
    ended: str = ""  # "" while it is under way, and where it was killed
    items: int = 0
    done: int = 0  # in the last run of it
    skipped: int = 0
    failed: int = 0
    measured: int = 0  # items that took `seconds` together, of one worker each
    seconds: float = 0.0
    opening: float = 0.0  # that a worker took until it was ready, at most
    memory: int = 0  # bytes that a worker took at most, 0 where not known
    threads: int = 0  # that a worker had then, 0 where not known

    @property
    def each(self) -> float | None:
        """Seconds an item, or None where none was measured."""
        return self.seconds / self.measured if self.measured else None


def now() -> str:
    """Return the time as it is noted."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def fingerprint(*asked: object) -> str:
    """Return what a command and its options are known by, the same in every process."""
    return hashlib.sha256(_plain(asked).encode("utf-8", "backslashreplace")).hexdigest()


def _plain(value: object) -> str:
    """Return a value as text that does not depend on the order in which sets happen to be."""
    if is_dataclass(value) and not isinstance(value, type):
        named = [one.name for one in fields(value) if one.compare]
        inner = ", ".join(f"{name}={_plain(getattr(value, name))}" for name in named)
        return f"{type(value).__name__}({inner})"
    if isinstance(value, frozenset | set):
        return "{" + ", ".join(sorted(map(_plain, value))) + "}"
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_plain, value))})"
    if isinstance(value, Mapping):
        return _plain(sorted((repr(key), _plain(one)) for key, one in value.items()))
    return repr(value)


class Run:
    """A run in its folder.

    Args:
        root: the folder of runs.
        name: see `NAME`.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.name = root, name
        self.owned = Owned(root, name, LAYOUT)

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        return self.owned.path

    def read(self) -> RunRecord:
        """Return its record; raises MystyleError where it cannot be read."""
        try:
            data = read_file(self.folder / RECORD, LARGEST, beneath=self.root)
            values = _FIELDS.read(json_of(data))
        except (OSError, DocumentError) as error:
            raise MystyleError(
                f"the run {self.name} cannot be read: {error}", f"Remove it: mystyle jobs remove {self.name}"
            ) from error
        values.pop("format")
        return RunRecord(**{**values, "words": tuple(values["words"])})

    def write(self, record: RunRecord) -> None:
        """Put a record in place; raises MystyleError where that cannot be."""
        text = json.dumps({"format": 1, **asdict(record)}, indent=2)
        try:
            self.owned.write(RECORD, text.encode())
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    @contextmanager
    def driven(self) -> Iterator[None]:
        """Hold it, so that no two commands drive one run; raises MystyleError where another does."""
        from filelock import Timeout

        try:
            make_private(self.root)
            make_private(self.folder)
            lock = lock_of(self.folder / LOCK)
            lock.acquire(timeout=0)
        except Timeout as error:
            raise MystyleError(
                f"the run {self.name} is under way in another command",
                f"Wait, or end it: mystyle jobs cancel {self.name}",
            ) from error
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        try:
            self.owned.remove(STOP)
            clear(self.folder / LOGS)  # a driver that was killed has left it, whatever its engine was
            yield
        finally:
            lock.release()

    def state(self, record: RunRecord) -> str:
        """Return how far it is: "under way", "interrupted", "failed" (some of it) or "done"."""
        if self.under_way():
            return "under way"
        if not record.ended:
            return "interrupted"
        return "failed" if record.failed else "done"

    def under_way(self) -> bool:
        """Tell whether a command drives it now."""
        from filelock import Timeout

        if not self.owned.has(LOCK):
            return False
        try:
            with lock_of(self.folder / LOCK).acquire(timeout=0):
                return False
        except Timeout:
            return True
        except OSError:
            return False

    def stop(self) -> None:
        """Ask whoever drives it to end."""
        self.owned.write(STOP, b"")

    def stopped(self) -> bool:
        """Tell whether somebody has asked for that."""
        return self.owned.has(STOP)

    def lines(self) -> Iterator[tuple[str, Line]]:
        """Yield every line with the session in which it was written."""
        with suppress(OSError):
            for name in self.owned.content(NOTES).files:
                session = name.rpartition("/")[2].partition("-")[0]
                data = read_file(self.folder / name, 1 << 30, beneath=self.root)
                yield from ((session, line) for line in lines_in(data))

    def results(self) -> list[Path]:
        """Return the results that are there as they were written, in the order of their names."""
        lines = [line for _, line in self.lines() if "output" in line]
        notes = Notes(lines, Path(os.sep), lambda data: None)
        there = (Path(os.sep, name) for name in sorted({line["output"] for line in lines}))
        return [path for path in there if notes.line_on(path) is not None]

    def noted(self) -> dict[str, int]:
        """Return the files of lines with their sizes."""
        found = {}
        with suppress(OSError):
            for name in self.owned.content(NOTES).files:
                found[name] = (self.folder / name).lstat().st_size
        return found

    def remove(self) -> tuple[str, ...]:
        """Remove it; returns what in its folder is not the program's, which stays."""
        return self.owned.vanish((RECORD,))


def forget(logs: Path, name: str) -> None:
    """Remove a file of a run's logs, through no link."""
    folder = logs.absolute().parent
    Owned(folder.parent, folder.name, LAYOUT).remove(f"{LOGS}/{name}")


def clear(logs: Path) -> None:
    """Remove what drivers and workers of a run hand each other (`HANDED`); what they said stays."""
    with suppress(OSError):  # of a folder that is a link nothing is removed
        for name in os.listdir(logs):
            if HANDED.fullmatch(name):
                forget(logs, name)


def _unwritable(path: Path, error: OSError) -> MystyleError:
    return MystyleError(
        f"{path} cannot be written: {error.strerror or error}", "Check the folder, or leave --on out."
    )


@dataclass(frozen=True)
class Noting:
    """What workers need to note what they made; picklable."""

    root: Path
    run: str
    session: str

    @classmethod
    def of(cls, run: Run) -> Self:
        """Return it for a new session of a run."""
        return cls(run.root.absolute(), run.name, secrets.token_hex(4))

    def open(self) -> WorkerNotes:
        """Return the notes of one worker."""
        return WorkerNotes(self)


class WorkerNotes:
    """What all workers of a run have noted, and what this one adds, in a file of its own."""

    def __init__(self, given: Noting) -> None:
        self.given, self.run = given, Run(given.root, given.run)
        self._file = f"{given.session}-{secrets.token_hex(4)}.jsonl"
        self._seen: object = None
        self._ours: set[tuple[str, str]] = set()
        self.notes = Notes((), Path(os.sep), self._append)
        self._look()

    def _look(self) -> bool:
        """Read what others have added since; tells whether there was anything."""
        seen = self.run.noted()
        if seen == self._seen:
            return False
        self._seen = seen
        lines = list(self.run.lines())
        self._ours = {
            (line["output"], line.get("written", ""))
            for session, line in lines
            if session == self.given.session and "output" in line
        }
        self.notes = Notes((line for _, line in lines), Path(os.sep), self._append)
        return True

    def _append(self, data: bytes) -> None:
        with descend(self.given.root, [self.given.run, NOTES], OWNER_FOLDER) as place:
            append(place, self._file, data, OWNER_FILE)

    def lines_on(self, outputs: Sequence[Path]) -> dict[Path, Line]:
        """Return the lines on results, where each of them is there as it was written; else none."""
        found: dict[Path, Line] = {}
        for output in outputs:
            line = self.notes.line_on(output.absolute())
            if line is None and self._look():  # whoever wrote it may have died since
                line = self.notes.line_on(output.absolute())
            if line is None:
                return {}
            found[output] = line
        return found

    def of_now(self, line: Line) -> bool:
        """Tell whether a line was written in this session: by a worker that then died."""
        return (line.get("output", ""), line.get("written", "")) in self._ours

    def add(self, output: Path, data: bytes, line: Line) -> None:
        """Note what is about to be written to a place; raises OSError."""
        name = self.notes.name_of(output.absolute())
        self.notes.add({**line, "output": name, "written": hashlib.sha256(data).hexdigest()})


class Runs:
    """The runs of a store."""

    def __init__(self, store: Path) -> None:
        self.root = store / RUNS

    def of(self, asked: Sequence[object]) -> Run:
        """Return the run of what was asked, which need not be there yet."""
        return Run(self.root, fingerprint(*asked)[:16])

    def all(self) -> list[Run]:
        """Return those there are, the last begun first; raises MystyleError where they cannot be listed."""
        try:
            names = [name for name in os.listdir(self.root) if NAME.fullmatch(name)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise MystyleError(
                f"{self.root} cannot be read: {error.strerror}", "Check the folder."
            ) from error
        runs = [run for run in (Run(self.root, name) for name in names) if run.owned.exists()]
        return sorted(runs, key=lambda run: (_started(run), run.name), reverse=True)

    def find(self, name: str) -> Run:
        """Return a run by its name or how it begins; raises UsageError where there is none, or several."""
        found = [run for run in self.all() if name and run.name.startswith(name)]
        if len(found) != 1:
            what = "no run" if not found else f"{len(found)} runs"
            raise UsageError(f"there is {what} whose name begins with {name!r}", "See: mystyle jobs list")
        return found[0]

    def measured(self, kind: str, threads: int | None = None) -> RunRecord | None:
        """Return the last run in which the same kind of item was measured, or None.

        Args:
            threads: that workers had; None: any number.
        """
        for run in self.all():
            with suppress(MystyleError):
                record = run.read()
                if record.kind == kind and record.measured and threads in (None, record.threads):
                    return record
        return None


def _started(run: Run) -> str:
    try:
        return run.read().started
    except MystyleError:
        return ""
