"""`--watch`: photos of a folder are worked on as they come, each once.

What was done is noted beside the results, by what photos hold and what was asked of them. So nothing is done
twice, whatever a photo is called, whether its result was moved away, and after a restart.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mystyle_cli.errors import MystyleError, UsageError
from mystyle_cli.files import reading
from mystyle_cli.files.parsing import DocumentError, json_of
from mystyle_cli.files.writing import refuse_link, write_result
from mystyle_cli.terminal.inputs import Input, pictures_of
from mystyle_cli.terminal.outputs import names_folder

if TYPE_CHECKING:
    from mystyle_cli.terminal.console import Console
    from mystyle_cli.terminal.options import BatchOptions

EVERY: Final = 2.0  # seconds between two looks
NOTES: Final = ".mystyle-watch.jsonl"  # the file beside the results
LARGEST: Final = 256 << 20  # bytes of the largest such file that is read

FIELDS: Final = frozenset({"photo", "asked", "input"})  # of a note, at least

State = tuple[int, int, int]
"""What tells that a file is another one, or is still being written: its number, size and time of change."""


def wait() -> None:
    """Let some time pass before the folder is looked at again."""
    time.sleep(EVERY)


def fingerprint(*asked: object) -> str:
    """Return what a command and its options are known by."""
    return hashlib.sha256(repr(asked).encode("utf-8", "backslashreplace")).hexdigest()


@dataclass
class Notes:
    """What was done already, in a file beside the results; one that is damaged is gone on with.

    Args:
        asked: what the command is known by, see `fingerprint`.
    """

    path: Path
    asked: str
    _lines: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, folder: Path, asked: str) -> Notes:
        """Read the notes of a folder, which need not be there yet; raises UsageError where they cannot be."""
        path = folder / NOTES
        notes = cls(path, asked)
        try:
            refuse_link(path)
            lines = reading.read_file(path, LARGEST).decode("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return notes
        except OSError as error:
            raise UsageError(
                f"{path} cannot be read: {error.strerror or error}", "Use another folder with -o."
            ) from error
        for line in lines:
            try:
                entry = json_of(line)
            except DocumentError:
                continue
            if isinstance(entry, dict) and entry.keys() >= FIELDS and all(map(_is_text, entry.values())):
                notes._lines.append(entry)
        if lines and not notes._lines:  # it would be replaced
            raise UsageError(f"{path} is no file of mystyle's", "Use another folder with -o.")
        return notes

    def knows(self, photo: str) -> bool:
        """Tell whether a photo of this digest was worked on, or could not be."""
        return any(line.get("photo") == photo and line.get("asked") == self.asked for line in self._lines)

    def made_of(self, output: Path, item: Input) -> bool | None:
        """Tell whether a result was made of a photo; None where none is there as it was written last."""
        name = _written(os.path.relpath(output, self.path.parent))
        last = next((line for line in reversed(self._lines) if line.get("output") == name), None)
        if last is None or last.get("written") != _digest(output):
            return None
        return bool(last["input"] == _written(item.relative.as_posix()))

    def add(self, photo: str, item: Input, output: Path | None) -> None:
        """Note what became of a photo of a digest: its result, or None where there is none.

        Raises:
            MystyleError: nothing can be written there.
        """
        line = {"photo": photo, "asked": self.asked, "input": _written(item.relative.as_posix())}
        if output is not None:
            name = _written(os.path.relpath(output, self.path.parent))
            line |= {"output": name, "written": _digest(output) or ""}
        self._lines.append(line)
        text = "".join(json.dumps(one) + "\n" for one in self._lines)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_result(self.path, text.encode())
        except OSError as error:
            raise MystyleError(
                f"{self.path} cannot be written: {error.strerror or error}", "Check the place of the results."
            ) from error


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _written(name: str) -> str:
    """Return a name as text that any file can hold, whatever bytes it is of."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _digest(path: Path) -> str | None:
    try:
        return reading.digest_of(path, LARGEST)
    except OSError:
        return None


class Watch:
    """A folder that is looked at again and again.

    Args:
        asked: what the command is known by, see `fingerprint`.

    Raises:
        UsageError: what is to be watched is no folder, or the results would land among the photos.
    """

    def __init__(self, console: Console, options: BatchOptions, asked: str) -> None:
        self.console, self.options = console, options
        self.folders = [Path(given) for given in options.inputs]
        for folder in self.folders:
            if not folder.is_dir():
                raise UsageError(f"--watch needs a folder, and {folder} is none", "Name the folder alone.")
        if options.output is None or not names_folder(options.output):
            raise UsageError("--watch needs a folder for the results", "Say it with -o FOLDER.")
        output = Path(options.output).resolve()
        for folder in (folder.resolve() for folder in self.folders):
            if output == folder or (options.recursive and folder in output.parents):
                raise UsageError(
                    f"the results in {options.output} would be taken for photos", "Use another -o FOLDER."
                )
        self.notes = Notes.of(Path(options.output), asked)
        self.digests: dict[str, str] = {}  # of photos that were handed out, by their names
        self._seen: dict[str, State] = {}  # what was there at the last look
        self._tried: dict[str, State] = {}  # what was handed out, or found done
        self._missing: set[Path] = set()

    def rounds(self) -> Iterator[list[Input]]:
        """Yield photos that have come and are whole, some or none at each look; ends when it is interrupted.

        A photo is whole when two looks in a row see it as it is.
        """
        self.console.info(f"watching {', '.join(map(str, self.folders))}; Ctrl-C ends")
        while True:
            try:
                yield self._look()
                wait()
            except KeyboardInterrupt:
                return

    def _look(self) -> list[Input]:
        there = {item.name: item for folder in self.folders for item in self._photos(folder)}
        states = {name: state for name, item in there.items() if (state := _state(item)) is not None}
        settled = [
            name
            for name, state in states.items()
            if self._seen.get(name) == state and self._tried.get(name) != state
        ]
        self._seen = states
        results = os.path.realpath(self.notes.path.parent)
        new = []
        for name in settled:
            if _is_beneath(there[name], results):  # by a link among the photos: its result would be next
                self._tried[name] = states[name]
                continue
            digest = _digest_of(there[name])
            if digest is None:  # it went
                continue
            self._tried[name] = states[name]
            if not self.notes.knows(digest) and digest not in self.digests.values():
                self.digests[name] = digest
                new.append(there[name])
        return new

    def _photos(self, folder: Path) -> Sequence[Input]:
        if folder.is_dir():
            self._missing.discard(folder)
            return pictures_of(folder, self.options.recursive)
        if folder not in self._missing:
            self._missing.add(folder)
            self.console.warn(f"{folder} is not there; it is waited for")
        return []

    def note(self, item: Input, output: Path | None) -> None:
        """Note what became of a photo that was handed out; where that cannot be, it is told."""
        try:
            self.notes.add(self.digests.pop(item.name), item, output)
        except MystyleError as error:
            self.console.warn(f"{error.message}; after a restart this is done again")

    def forget(self, item: Input) -> None:
        """Let a photo be tried again after a restart, which failed for what is not its own fault."""
        self.digests.pop(item.name, None)


def _digest_of(item: Input) -> str | None:
    """Return the digest of a photo, or of its name where it cannot be read; None where it is gone."""
    from mystyle_cli.photos.decode import digests_of

    assert item.path is not None
    digest = digests_of([item.path])[item.path]
    return digest if os.path.lexists(item.path) else None


def _is_beneath(item: Input, folder: str) -> bool:
    """Tell whether a photo lies in a folder, given without links, whatever way the photo's path takes."""
    assert item.path is not None
    return Path(folder) in Path(os.path.realpath(item.path)).parents


def _state(item: Input) -> State | None:
    assert item.path is not None
    try:
        status = item.path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
