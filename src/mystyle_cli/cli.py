"""The program `mystyle`: finds the command, and turns every error into a message and an exit code."""

from __future__ import annotations

import errno
import importlib
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from types import FrameType, MappingProxyType
from typing import Any, Final, NamedTuple, NoReturn

import click

from mystyle_cli import __version__
from mystyle_cli.errors import MystyleError
from mystyle_cli.ranks import GO_ON
from mystyle_cli.terminal.app import App, Group
from mystyle_cli.terminal.console import fill_closed_streams

INTERRUPTED: Final = 130

# set by Ctrl-C, because an import that it breaks off inside a library can end in any other error
_asked_to_end: Final = threading.Event()
_terminated: Final = threading.Event()  # set where it was SIGTERM


class Entry(NamedTuple):
    """Where a command lives and the line that `mystyle --help` shows, so that help imports no command."""

    module: str  # in commands/
    name: str
    short_help: str


COMMANDS: Final = MappingProxyType(
    {
        "profile": Entry("profile", "command", "Learn a person from photos; list, show, check profiles."),
        "ingest": Entry("learn", "ingest", "Add photos to a profile."),
        "tune": Entry("learn", "tune", "Tune a profile's generator to its photos."),
        "upscale": Entry("restore", "upscale", "Enlarge photos of the person."),
        "inpaint": Entry("restore", "inpaint", "Fill in the hidden part of photos of the person."),
        "restore": Entry("restore", "restore", "Repair blurred, noisy or grey photos of the person."),
        "invert": Entry("restore", "invert", "Reproduce photos inside the person's own space."),
        "edit": Entry("edit", "command", "Change pose, smile or light in photos of the person."),
        "sample": Entry("sample", "command", "Make new pictures of the person."),
        "study": Entry("study", "command", "Ask people whether results look real, and like the person."),
        "evaluate": Entry("evaluate", "command", "Measure how good profiles are, on their held-out photos."),
        "jobs": Entry("jobs", "command", "What was started with --on: list, show, go on, end, remove."),
        "inspect": Entry("results", "inspect", "Show what pictures say of how they were made."),
        "verify": Entry("results", "verify", "Draw a result again, and see whether it is what it says."),
        "export": Entry("export", "export", "Write the person's nets as ONNX files."),
        "prior": Entry(
            "prior", "command", "The generators that profiles start from: list, check, bring, remove."
        ),
        "licences": Entry(
            "machine", "licences", "Show the terms of every model file, and what you accepted."
        ),
        "doctor": Entry("machine", "doctor", "Check this machine, and say what to do about each problem."),
        "serve": Entry("machine", "serve", "Learn people and repair photos in your browser."),
        "completion": Entry("machine", "completion", "Print the shell completion script."),
    }
)


class Root(Group):
    """The group of all commands; each is imported only when it is used."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the commands in the order in which people need them."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import and return one command."""
        if name not in COMMANDS:
            return None
        entry = COMMANDS[name]
        command = getattr(importlib.import_module(f"mystyle_cli.commands.{entry.module}"), entry.name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.short_help) for name, entry in COMMANDS.items()])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run the command line and leave with its exit code; the only error boundary of the program."""
        app = extra.setdefault("obj", App())
        app.words = tuple(sys.argv[1:] if args is None else args)
        try:
            code = super().main(
                args, prog_name, complete_var, standalone_mode=False, windows_expand_args=False, **extra
            )
        except click.Abort:
            code = _interrupted(app)
        except click.ClickException as error:
            if not app.console.mute:
                error.show()
            code = _failed(app, error.format_message(), "", error.exit_code, said=True)
        except MystyleError as error:
            code = _failed(app, error.message, error.hint, error.exit_code)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            hint = "Free some space and run the command again." if error.errno == errno.ENOSPC else ""
            code = _failed(app, _describe(error), hint, 1)
        except Exception as error:
            code = _interrupted(app) if _asked_to_end.is_set() else _unexpected(app, error)
        sys.exit(code if isinstance(code, int) else 0)


def _interrupted(app: App) -> int:
    ranks = app.ranks
    if ranks.several and _terminated.is_set():
        text = f"torchrun has ended this: one of its {ranks.size} processes ended, or it was told to"
        return _failed(app, text, GO_ON, 1)
    app.console.error("interrupted", "What was finished is kept; the same command goes on from there.")
    return INTERRUPTED


def _unexpected(app: App, error: Exception) -> int:
    """Show an error that no part of the program foresaw; returns its exit code."""
    from mystyle_cli.errors import ran_out

    if ran_out(error):
        return _failed(
            app, "out of memory", "Give fewer photos at a time (--batch 1) or close other programs.", 1
        )
    text = f"unexpected {type(error).__name__}: {error}"
    return _failed(app, text, "This is a fault in mystyle; --debug shows where.", 1)


def _describe(error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason


def _failed(app: App, message: str, hint: str, code: int, said: bool = False) -> int:
    """Show the error that is being handled and return its exit code."""
    if app.debug:
        traceback.print_exc()
    if not said:
        app.console.error(message, hint)
    app.console.document("error", {"error": message, "hint": hint, "exit_code": code}, ok=False)
    return code


@click.group(
    cls=Root,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    examples=(
        "mystyle profile create adele ./photos",
        "mystyle upscale adele in.png --beta 0.05",
        "mystyle sample adele -n 9 --grid grid.png",
    ),
)
@click.version_option(__version__, prog_name="mystyle", message="%(prog)s %(version)s")
def cli() -> None:
    """Learn one person from their photos, then repair, enlarge and edit photos that still look like them."""


def _note_interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Do what Python does on Ctrl-C, and remember it."""
    _asked_to_end.set()
    if number == signal.SIGTERM:
        _terminated.set()
    raise KeyboardInterrupt


def main() -> NoReturn:
    """Run the installed program; a request to end (SIGTERM) is treated as Ctrl-C."""
    fill_closed_streams()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where a shell has it ignored
        signal.signal(signal.SIGINT, _note_interrupt)
    signal.signal(signal.SIGTERM, _note_interrupt)
    cli.main()
