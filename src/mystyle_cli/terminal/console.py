"""The one place that writes to the terminal: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import re
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TextIO

import click

from mystyle_cli.errors import UsageError
from mystyle_cli.progress import Progress, Step, silent

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from mystyle_cli.engines.engine import Note


def finite(value: float) -> float | None:
    """Return a number that JSON has: None for those that are not finite."""
    import math

    return float(value) if math.isfinite(value) else None


# version of every JSON document on stdout; it rises when a key changes its meaning or goes away
JSON_SCHEMA: Final = 2

LINE_EVERY_S: Final = 10.0  # seconds between two progress lines of one stage where no bar can be drawn


@dataclass
class Console:
    """Writes for one run of the command line."""

    verbosity: int = 0  # below 0 only warnings and errors, 0 summaries too, above 0 details too
    json: bool = False
    bars: bool = True  # show progress at all
    debug: bool = False
    mute: bool = False  # says nothing at all: another process of the same run does

    def result(self, line: str) -> None:
        """Write one line of the command's result to stdout (nothing with --json).

        A script gets it letter by letter, for it may be a file's name; on a terminal nothing steers.
        """
        if not self.json:
            self._say(_plain(line) if sys.stdout.isatty() else line, sys.stdout)

    def show(self, text: str) -> None:
        """Write text for people to stdout (nothing with --json), in which anybody's words may stand."""
        if not self.json:
            self._say(_plain(text), sys.stdout)

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write aligned columns to stdout (nothing with --json)."""
        for line in columns(headers, rows):
            self.show(line)

    def document(self, command: str, body: Mapping[str, object], *, ok: bool = True) -> None:
        """Write the command's JSON document, its keys snake_case, to stdout (nothing without --json).

        Args:
            ok: whether the exit code is 0.
        """
        if self.json:
            head = {"schema": JSON_SCHEMA, "command": command, "ok": ok}
            self._say(json.dumps({**head, **body}, indent=2), sys.stdout)

    def info(self, text: str) -> None:
        """Write a summary line to stderr, unless -q."""
        if self.verbosity >= 0:
            self._say(_plain(text), sys.stderr)

    def detail(self, text: str) -> None:
        """Write a line to stderr that only -v shows."""
        if self.verbosity > 0:
            self._say(_plain(text), sys.stderr)

    def warn(self, text: str) -> None:
        """Write a warning to stderr, whatever the verbosity."""
        self._say(f"{_coloured('warning:', 'yellow')} {_line(text)}", sys.stderr)

    def error(self, message: str, hint: str = "", cause: BaseException | None = None) -> None:
        """Write what failed and what to do next to stderr, and with --debug where its cause arose."""
        if self.debug and cause is not None:
            self._say("".join(traceback.format_exception(cause)), sys.stderr)
        self._say(f"{_coloured('error:', 'red')} {_line(message)}", sys.stderr)
        if hint:
            self._say(f"  {_line(hint)}", sys.stderr)

    def hear(self, note: Note) -> None:
        """Say what was told from where work is done."""
        if note.kind == "info":
            self.info(note.text)
        else:
            self.warn(note.text)

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """Draw a bar for each stage on a terminal, write a line now and then elsewhere."""
        if self.mute or not self.bars or self.verbosity < 0:
            yield silent
        elif not sys.stderr.isatty():
            yield _Lines()
        else:
            bars = _new_bars()
            with bars:
                yield _Stages(bars)

    def _say(self, text: str, stream: TextIO) -> None:
        if not self.mute:
            _say(text, stream)


def pour(data: bytes) -> None:
    """Write a picture to stdout; a terminal is refused."""
    if sys.stdout.isatty():
        raise UsageError("a picture cannot be shown in a terminal", "Redirect it (> out.png) or use -o FILE.")
    stream = sys.stdout.buffer
    stream.write(data)
    stream.flush()


def confirm_removal(what: str, details: str = "") -> None:
    """Ask whether something is to be removed for good; raises UsageError where it is not."""
    if not sys.stdin.isatty():
        raise UsageError(f"{what} would be removed for good{details}", "Say so with --yes.")
    if not click.confirm(f"Remove {what} for good{details}?", err=True):
        raise UsageError("nothing was removed", "")


def fill_closed_streams() -> None:
    """Put nothing in the place of standard streams that the program was started without (`<&-`).

    Otherwise they are None, and the next file that is opened gets their number, to which libraries write.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def is_closed(stream: TextIO) -> bool:
    """Tell whether a standard stream is one that `fill_closed_streams` put there."""
    return getattr(stream, "name", None) == os.devnull


def _say(text: str, stream: TextIO) -> None:
    """Write a line; while bars are drawn the stream is theirs, and the line goes above them.

    What a stream's encoding lacks, as it does for file names of other bytes, is escaped.
    """
    try:
        print(text, file=stream, flush=True)
    except UnicodeEncodeError:
        encoding = stream.encoding or "utf-8"
        print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)


# what moves a terminal's cursor, changes its colours or turns text around; lines and tabs stay
_CONTROLS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def _plain(text: str) -> str:
    """Return a text, which may come from any file, with what would steer the terminal spelled out."""
    return _CONTROLS.sub(lambda control: control[0].encode("unicode_escape").decode(), text)


def _line(text: str) -> str:
    """Return a text as one line; see `_plain`."""
    return _plain(" ".join(text.split("\n")))


def _coloured(word: str, colour: str) -> str:
    return click.style(word, fg=colour) if sys.stderr.isatty() and "NO_COLOR" not in os.environ else word


def columns(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay rows out under their headers, each column as wide as its widest cell."""
    # rich has tables, at a tenth of a second of imports, and folds them to the terminal's width
    table = [list(headers), *[list(row) for row in rows]]
    widths = [max(len(row[index]) for row in table) for index in range(len(headers))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


def _figures(step: Step) -> str:
    return " ".join(f"{name} {value:.4g}" for name, value in step.detail.items())


def _new_bars() -> Bars:
    from rich.console import Console as RichConsole
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as RichProgress

    return RichProgress(
        TextColumn("{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
        console=RichConsole(stderr=True),
        redirect_stdout=sys.stdout.isatty(),  # otherwise results would land on stderr with the bars
    )


class _Stages:
    """One bar per stage; a stage that starts again starts its bar again."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, step: Step) -> None:
        if step.stage not in self._tasks:
            self._tasks[step.stage] = self._bars.add_task(step.stage, total=step.total, figures="")
        self._bars.update(
            self._tasks[step.stage], completed=step.done, total=step.total, figures=_figures(step)
        )


class _Lines:
    """A line for a stage every ten seconds and at its end; a stage may start again."""

    def __init__(self) -> None:
        self._started: dict[str, tuple[float, int]] = {}  # when, and at which step (a resumed stage: not 0)
        self._due: dict[str, float] = {}
        self._done: dict[str, int] = {}

    def __call__(self, step: Step) -> None:
        now = time.monotonic()
        if step.done < self._done.get(step.stage, step.total + 1):  # its first step, or it starts again
            self._started[step.stage] = now, step.done
            self._due[step.stage] = now + LINE_EVERY_S
        elif step.done == self._done[step.stage]:
            return
        self._done[step.stage] = step.done
        if step.done < step.total and now < self._due[step.stage]:
            return
        self._due[step.stage] = now + LINE_EVERY_S
        started, first = self._started[step.stage]
        spent = now - started
        left = spent * (step.total - step.done) / max(step.done - first, 1)
        when = f"{spent:.0f} s" if step.done >= step.total else f"{spent:.0f} s, about {left:.0f} s left"
        _say(f"{step.stage}: {step.done}/{step.total} ({when}) {_figures(step)}".rstrip(), sys.stderr)
