"""Write docs/commands.md from the commands themselves; a test compares the two.

python -m tools.make_reference
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from mystyle_cli.cli import cli
from mystyle_cli.terminal.app import App

PAGE = Path(__file__).resolve().parents[1] / "docs" / "commands.md"

HEAD = """\
# Commands

Written by `make reference` from the commands' own `--help`; a test keeps the two equal.

The options of every command may stand before or after the command's name, and are listed once,
under `mystyle`.
Results go to standard output, everything else to standard error. Exit codes:

| code | meaning |
|---|---|
| 0 | done |
| 1 | failed |
| 2 | the command line makes no sense |
| 3 | some inputs failed: all are listed, the rest are done |
| 4 | no face, or not this person |
| 5 | a model or profile is missing, damaged or refused |
| 130 | interrupted (Ctrl-C); the same command goes on from there |
"""


def pages(command: click.Command, parent: click.Context | None, name: str) -> Iterator[tuple[str, str]]:
    """Yield full name and help page of a command and of those below it."""
    settings = {**command.context_settings, "terminal_width": 100, "max_content_width": 100}
    context = click.Context(command, parent, name, obj=App(), **settings)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from pages(found, context, below)


def without_shared_options(page: str) -> str:
    """Drop the section of options that every command has."""
    sections = page.split("\n\n")
    return "\n\n".join(section for section in sections if not section.startswith("Options of every command:"))


def reference() -> str:
    """Return the whole page."""
    parts = [HEAD]
    for name, page in pages(cli, None, "mystyle"):
        text = page if name == "mystyle" else without_shared_options(page)
        parts.append(f"## {name}\n\n```text\n{text.rstrip()}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(reference(), "utf-8")
