"""What the program does with errors, interruptions and the options that work everywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mystyle_cli import __version__, errors
from mystyle_cli.cli import COMMANDS, Root, cli
from mystyle_cli.terminal.app import App, Command, pass_app


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Root:
    """The program with one more command, which raises what its argument names."""

    @click.command("fail", cls=Command)
    @click.argument("kind")
    @pass_app
    def fail(app: App, kind: str) -> None:
        """Raise."""
        if kind == "nothing":
            app.console.result(f"{app.store} {app.device} {app.verbosity}")
            return
        if made := getattr(errors, kind, None):
            raise made("it broke", "Mend it.")
        raise {
            "disk": OSError(28, "No space left on device", "x.png"),
            "ctrl-c": KeyboardInterrupt(),
            "memory": MemoryError(),
            "tensor": RuntimeError(
                "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
            ),
        }.get(kind, ZeroDivisionError("oh"))

    root = Root("mystyle", commands={})
    monkeypatch.setattr(root, "get_command", lambda context, name: fail)
    return root


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("nothing", 0),
        ("DecodeError", 1),
        ("DeviceError", 1),
        ("UsageError", 2),
        ("NoFaceError", 4),
        ("NotThisPersonError", 4),
        ("ModelError", 5),
        ("ProfileError", 5),
        ("disk", 1),
        ("ctrl-c", 130),
        ("anything else", 1),
    ],
)
def test_exit_codes(program: Root, kind: str, code: int) -> None:
    """Each kind of error has the documented exit code, a message on stderr and no traceback."""
    done = CliRunner().invoke(program, ["fail", kind])
    assert done.exit_code == code
    assert "Traceback" not in done.output
    assert bool(done.stderr) == (code != 0)
    assert done.stdout == ("None auto 0\n" if code == 0 else "")


def test_message_and_hint(program: Root) -> None:
    """An error says what failed and what to do next."""
    done = CliRunner().invoke(program, ["fail", "ModelError"])
    assert done.stderr == "error: it broke\n  Mend it.\n"


@pytest.mark.parametrize("kind", ["memory", "tensor"])
def test_memory_that_runs_out_is_no_fault(program: Root, kind: str) -> None:
    """Python's and torch's errors alike say what to do, and blame nobody."""
    done = CliRunner().invoke(program, ["fail", kind])
    assert done.exit_code == 1
    assert done.stderr.startswith("error: out of memory\n  Give fewer photos")


BROKEN_OFF = """
import signal, sys
from mystyle_cli import cli

def broken_off(name):
    try:
        if sys.argv[2] != "none":
            signal.raise_signal(getattr(signal, sys.argv[2]))
    except KeyboardInterrupt:
        pass
    raise ImportError("initialization failed")

cli.importlib.import_module = broken_off
cli.main()
"""


@pytest.mark.parametrize(("sign", "code"), [("SIGINT", 130), ("SIGTERM", 130), ("none", 1)])
def test_an_interrupt_that_a_library_swallows_still_counts(sign: str, code: int) -> None:
    """Ctrl-C inside an import that ends as another error is an interruption; no Ctrl-C, no interruption."""
    done = subprocess.run([sys.executable, "-c", BROKEN_OFF, "sample", sign], capture_output=True, text=True)
    assert done.returncode == code
    assert ("interrupted" in done.stderr) == (code == 130)
    assert ("fault in mystyle" in done.stderr) == (code == 1)


def test_traceback_only_with_debug(program: Root) -> None:
    """--debug shows where it happened and leaves the exit code alone."""
    done = CliRunner().invoke(program, ["fail", "NoFaceError", "--debug"])
    assert "Traceback" in done.stderr
    assert done.exit_code == 4


def test_errors_as_json(program: Root) -> None:
    """With --json a failure is a document too, with the exit code that the process has."""
    done = CliRunner().invoke(program, ["--json", "fail", "ProfileError"])
    document = json.loads(done.stdout)
    assert document == {
        "schema": 2,
        "command": "error",
        "ok": False,
        "error": "it broke",
        "hint": "Mend it.",
        "exit_code": 5,
    }
    assert done.exit_code == 5


@pytest.mark.parametrize(
    "line",
    [
        "--store s --device cpu -v fail nothing",
        "fail nothing --store s --device cpu -v",
        "-q fail nothing -vv --device cpu --store s",
    ],
)
def test_shared_options_stand_anywhere(program: Root, line: str) -> None:
    """--store and its like mean the same before and after the command."""
    done = CliRunner().invoke(program, line.split())
    assert done.stdout == "s cpu 1\n"


def test_version() -> None:
    """--version prints the package's version."""
    assert CliRunner().invoke(cli, ["--version"]).stdout == f"mystyle {__version__}\n"


def test_unknown_command_is_a_usage_error() -> None:
    """A mistyped command exits with 2."""
    done = CliRunner().invoke(cli, ["upscal"])
    assert done.exit_code == 2
    assert "upscal" in done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    """The list of commands is true, and each command's help ends in an example that one can type."""
    context = click.Context(cli)
    found = cli.get_command(context, name)
    assert found is not None
    assert found.get_short_help_str(limit=200) == COMMANDS[name].short_help
    below = list(found.commands.values()) if isinstance(found, click.Group) else []
    for command in [found, *below]:
        page = CliRunner().invoke(cli, [name, *([command.name or ""] if command in below else []), "--help"])
        assert page.exit_code == 0
        assert "mystyle" in page.stdout.split("Examples:")[1]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(shell: str) -> None:
    """The script for each shell names the variable by which the program is asked."""
    done = CliRunner().invoke(cli, ["completion", shell])
    assert done.exit_code == 0
    assert "_MYSTYLE_COMPLETE" in done.stdout


def test_profile_names_complete(tmp_path: Path) -> None:
    """A shell completes the names of the profiles that are there."""
    for name in ("adele", "alan", "bo"):
        (tmp_path / "profiles" / name).mkdir(parents=True)
        (tmp_path / "profiles" / name / "profile.toml").write_text("format = 1")
    environment = {
        "MYSTYLE_HOME": str(tmp_path),
        "_MYSTYLE_COMPLETE": "bash_complete",
        "COMP_WORDS": "mystyle profile show a",
        "COMP_CWORD": "3",
    }
    done = CliRunner().invoke(cli, [], env=environment, prog_name="mystyle")
    assert done.stdout.split() == ["plain,adele", "plain,alan"]
