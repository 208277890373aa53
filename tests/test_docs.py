"""The documents say what the program does."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from mystyle_cli.cli import cli
from mystyle_cli.terminal.app import App
from tools.make_reference import PAGE, reference

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("profiles/*.md")])


def test_reference_is_current() -> None:
    """docs/commands.md is what the commands' help says (else: make reference)."""
    assert PAGE.read_text("utf-8") == reference()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link and picture of a document exists."""
    shown = re.sub(r"<!--.*?-->", "", document.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", shown):
        if "://" not in target and not target.startswith("mailto:"):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def commands_of(text: str) -> list[list[str]]:
    """Return the `mystyle ...` lines of a document's indented and fenced blocks, split as a shell would."""
    lines = re.findall(r"^(?:    |\$ )?(mystyle [^\n`]*)$", text, flags=re.MULTILINE)
    return [shlex.split(line, comments=True)[1:] for line in lines]


def test_commands_are_seen_in_documents() -> None:
    """The test below looks at the lines that it is there for."""
    shown = {path.name: len(commands_of(path.read_text("utf-8"))) for path in DOCUMENTS}
    assert min(shown["README.md"], shown["quickstart.md"], shown["instant.md"]) >= 2


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_in_documents_parse(document: Path) -> None:
    """Every command line that a document shows has a command and options that exist."""
    if document == PAGE:
        return
    for line in commands_of(document.read_text("utf-8")):
        words = line[
            : next((index for index, word in enumerate(line) if word in {"|", ">", "<", "&&"}), None)
        ]
        try:
            parse(words)
        except click.BadParameter as error:
            if "does not exist" not in error.message:  # a document's files are not here, and need not be
                raise AssertionError(f"{' '.join(line)}: {error.message}") from error


def parse(words: list[str]) -> None:
    """Parse a command line down to its last command without running it."""
    context = cli.make_context("mystyle", list(words), obj=App())
    while isinstance(context.command, click.Group):
        rest = [*context._protected_args, *context.args]
        name, command, rest = context.command.resolve_command(context, rest)
        assert command is not None
        context = command.make_context(name, rest, parent=context)
