"""How progress and tables are shown."""

from __future__ import annotations

import io
import sys

import pytest

from mystyle_cli.progress import Step, silent
from mystyle_cli.terminal import console as module
from mystyle_cli.terminal.console import Console, columns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands where its last entry says."""
    times = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: times[-1])
    return times


def test_lines_now_and_then(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    """Where no bar can be drawn a stage says little: a line every ten seconds and at its end."""
    with Console().progress() as progress:
        for done in range(101):
            clock.append(0.3 * done)
            progress(Step("tune", done, 100, {"loss": 0.5}))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "tune: 34/100 (10 s, about 20 s left) loss 0.5",
        "tune: 68/100 (20 s, about 10 s left) loss 0.5",
        "tune: 100/100 (30 s) loss 0.5",
    ]


def test_time_left_of_a_resumed_stage(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    """A stage that goes on from step 80 does not count those 80 as this run's speed."""
    with Console().progress() as progress:
        for second, done in ((0, 80), (12, 84)):
            clock.append(float(second))
            progress(Step("tune", done, 100))
    assert capsys.readouterr().err == "tune: 84/100 (12 s, about 48 s left)\n"


def test_a_stage_that_starts_again_is_shown_again(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    """Two searches in a row are two lines, each with its own time."""
    with Console().progress() as progress:
        for second, done in ((0, 1), (4, 2), (5, 1), (7, 2)):
            clock.append(float(second))
            progress(Step("project", done, 2))
    assert capsys.readouterr().err.splitlines() == ["project: 2/2 (4 s)", "project: 2/2 (2 s)"]


@pytest.mark.parametrize("console", [Console(verbosity=-1), Console(bars=False)], ids=["-q", "--no-progress"])
def test_progress_can_be_silenced(console: Console) -> None:
    """-q and --no-progress show none."""
    with console.progress() as progress:
        assert progress is silent


def test_quiet_keeps_warnings_and_errors(capsys: pytest.CaptureFixture[str]) -> None:
    """-q hides summaries and nothing that matters."""
    console = Console(verbosity=-1)
    console.info("summary")
    console.warn("beware")
    console.error("broken", "Mend it.")
    assert capsys.readouterr().err == "warning: beware\nerror: broken\n  Mend it.\n"


def test_columns_line_up() -> None:
    """Cells start under their header, and no line ends in blanks."""
    assert columns(["NAME", "N"], [["ada", "10"], ["maximilian", ""]]) == [
        "NAME        N",
        "ada         10",
        "maximilian",
    ]


class Terminal(io.StringIO):
    """A terminal that remembers."""

    def isatty(self) -> bool:
        """Say that it is one."""
        return True


def test_no_text_steers_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Escape sequences of a note or a file's name reach no terminal; a script gets results as they are."""
    note = "Ada\x1b]0;title\x07 \x9b31m\nnext"
    said = Terminal()
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, said)
    monkeypatch.setenv("NO_COLOR", "1")
    console = Console(verbosity=1)
    for write in (console.result, console.info, console.detail, console.warn, console.error):
        write(note)
    spelled = r"Ada\x1b]0;title\x07 \x9b31m"
    assert said.getvalue().count(f"{spelled}\nnext\n") == 3
    assert said.getvalue().count(f"{spelled} next\n") == 2  # a warning or an error is one line
    assert said.getvalue().replace("\n", "").isprintable()
    piped = io.StringIO()
    monkeypatch.setattr(sys, "stdout", piped)
    console.result(note)
    assert piped.getvalue() == f"{note}\n"
