"""`--watch`: photos of a folder are worked on as they come, each once.

What was done is noted beside the results, by what photos hold and what was asked of them. So nothing is done
twice, whatever a photo is called, whether its result was moved away, and after a restart.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mystyle_cli.errors import MystyleError, UsageError
from mystyle_cli.files import reading
from mystyle_cli.files.notes import Notes, append, digest, lines_in, written
from mystyle_cli.files.places import descend
from mystyle_cli.files.writing import refuse_link
from mystyle_cli.terminal.inputs import Input, pictures_of
from mystyle_cli.terminal.outputs import names_folder

if TYPE_CHECKING:
    from mystyle_cli.terminal.console import Console
    from mystyle_cli.terminal.options import BatchOptions

EVERY: Final = 2.0  # seconds between two looks
NOTES: Final = ".mystyle-watch.jsonl"  # the file beside the results
LARGEST: Final = 256 << 20  # bytes of the largest such file that is read

State = tuple[int, int, int]
"""What tells that a file is another one, or is still being written: its number, size and time of change."""


def wait() -> None:
    """Let some time pass before the folder is looked at again."""
    time.sleep(EVERY)


class WatchNotes:
    """What was done already, in a file beside the results; one that is damaged is gone on with.

    Args:
        folder: of the results; it need not be there yet.
        asked: what the command is known by, see `runs.fingerprint`.

    Raises:
        UsageError: they cannot be read.
    """

    def __init__(self, folder: Path, asked: str) -> None:
        self.folder, self.path, self.asked = folder, folder / NOTES, asked
        try:
            refuse_link(self.path)
            data = reading.read_file(self.path, LARGEST)
        except FileNotFoundError:
            data = b""
        except OSError as error:
            raise UsageError(
                f"{self.path} cannot be read: {error.strerror or error}", "Use another folder with -o."
            ) from error
        lines = lines_in(data)
        if data and not lines:  # it would be added to
            raise UsageError(f"{self.path} is no file of mystyle's", "Use another folder with -o.")
        self.notes = Notes(lines, folder, self._append)

    def _append(self, data: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with descend(self.folder, ()) as place:
            append(place, NOTES, data, 0o666)

    def knows(self, photo: str) -> bool:
        """Tell whether a photo of this digest was worked on, or could not be."""
        return self.notes.knows(photo, self.asked)

    def made_of(self, output: Path, item: Input) -> bool | None:
        """Tell whether a result was made of a photo; None where none is there as it was written last."""
        line = self.notes.line_on(output)
        return None if line is None else line["input"] == written(item.relative.as_posix())

    def add(self, photo: str, item: Input, output: Path | None) -> None:
        """Note what became of a photo of a digest: its result, or None where there is none.

        Raises:
            MystyleError: nothing can be written there.
        """
        line = {"photo": photo, "asked": self.asked, "input": written(item.relative.as_posix())}
        if output is not None:
            line |= {"output": self.notes.name_of(output), "written": digest(output) or ""}
        try:
            self.notes.add(line)
        except OSError as error:
            raise MystyleError(
                f"{self.path} cannot be written: {error.strerror or error}", "Check the place of the results."
            ) from error


class Watch:
    """A folder that is looked at again and again.

    Args:
        asked: what the command is known by, see `runs.fingerprint`.

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
        self.notes = WatchNotes(Path(options.output), asked)
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
