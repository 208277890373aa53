"""What journeys through the command line share: how the program is run, and which options they go through."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import click
import pytest
from click.core import ParameterSource
from click.testing import Result

from mystyle_cli.cli import COMMANDS, cli
from mystyle_cli.terminal.app import Command, everywhere_options

Run = Callable[..., Result]
"""Runs the program with some words on a copy of the tiny store, in an empty folder."""

EVERYWHERE = ""
"""Stands for every command, where an option is one that all of them take."""

Option = tuple[str, str]
"""A command, such as "profile create", and one of its options, spelled out."""


def document(done: Result) -> dict[str, Any]:
    """Return the JSON document of a run that went well."""
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["schema"] == 2
    assert isinstance(found, dict)
    return found


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command with its name, the program itself left out."""
    context = click.Context(cli)
    for name in COMMANDS:
        found = cli.get_command(context, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from ((f"{name} {below}", command) for below, command in found.commands.items())
        else:
            yield name, found


def own_options(command: click.Command) -> list[click.Option]:
    """Return a command's options, those of every command left out."""
    shared = {option.name for option in everywhere_options()}
    return [one for one in command.params if isinstance(one, click.Option) and one.name not in shared]


def long_name(option: click.Option) -> str:
    """Return how an option is spelled out."""
    return next(name for name in option.opts if name.startswith("--"))


def all_options() -> set[Option]:
    """Return every option of every command, as click knows them."""
    own = {(name, long_name(option)) for name, command in commands() for option in own_options(command)}
    return own | {(EVERYWHERE, long_name(option)) for option in everywhere_options()}


def journey(command: str, *options: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declare which options of a command a test goes through; it fails unless each was typed and went well.

    Args:
        command: such as "profile create", or `EVERYWHERE`; a word as such, for `declared` reads the source.
        options: such as "--consent"; none for a command that has none of its own.
    """

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @wraps(test)
        def watched(*args: Any, **fixtures: Any) -> None:
            seen: set[Option] = set()
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Command, "invoke", _watched(Command.invoke, seen))
                test(*args, **fixtures)
            wanted = {(command, option) for option in options} or {(command, "")}
            assert wanted <= seen, f"declared, and never typed in a run that went well: {wanted - seen}"

        return watched

    return decorate


def _watched(invoke: Callable[..., Any], seen: set[Option]) -> Callable[..., Any]:
    """Return what runs a command and notes, where it ended well, which it was and what was typed of it."""

    def watched(command: click.Command, context: click.Context) -> Any:
        code = invoke(command, context)
        if not code:
            name = context.command_path.partition(" ")[2]
            shared = {option.name for option in everywhere_options()}
            seen.add((name, ""))
            for one in (context, *_above(context)):
                for option in one.command.params:
                    typed = one.get_parameter_source(str(option.name)) is ParameterSource.COMMANDLINE
                    if typed and isinstance(option, click.Option):
                        seen.add((EVERYWHERE if option.name in shared else name, long_name(option)))
        return code

    return watched


def _above(context: click.Context) -> Iterator[click.Context]:
    """Yield the contexts of the groups that a command was reached through."""
    while context.parent is not None:
        context = context.parent
        yield context


def declared(folder: Path) -> Iterator[Option]:
    """Yield what the tests of a folder declare to go through; (command, "") for each command."""
    for path in sorted(folder.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.FunctionDef) and node.name.startswith("test_")):
                continue
            for call in node.decorator_list:
                if (
                    isinstance(call, ast.Call)
                    and isinstance(call.func, ast.Name)
                    and call.func.id == "journey"
                ):
                    command, *options = map(_word, _flat(call.args))
                    yield command, ""
                    yield from ((command, option) for option in options)


def _flat(arguments: list[ast.expr]) -> Iterator[ast.expr]:
    """Yield arguments with those of a spelled-out `*(...)` among them."""
    for one in arguments:
        if isinstance(one, ast.Starred) and isinstance(one.value, ast.Tuple):
            yield from one.value.elts
        else:
            yield one


def _word(argument: ast.expr) -> str:
    """Return an argument of `journey` as it stands in the source."""
    if isinstance(argument, ast.Name) and argument.id == "EVERYWHERE":
        return EVERYWHERE
    assert isinstance(argument, ast.Constant), ast.unparse(argument)
    assert isinstance(argument.value, str)
    return argument.value
