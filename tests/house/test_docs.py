"""The documents say what the program does, and lead where they say."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from PIL import Image

from mystyle_cli.cli import cli
from mystyle_cli.find.locate import mask_of
from mystyle_cli.photos.decode import decode
from mystyle_cli.terminal.app import App
from tools.make_reference import PAGE, reference

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("profiles/*.md")])


def test_reference_is_current() -> None:
    """docs/commands.md is what the commands' help says (else: make reference)."""
    assert PAGE.read_text("utf-8") == reference()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link, heading and picture that a document names exists."""
    shown = re.sub(r"<!--.*?-->", "", document.read_text("utf-8"), flags=re.DOTALL)
    for target, heading in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?[^)]*\)", shown):
        if "://" not in target and not target.startswith("mailto:"):
            place = document.parent / target if target else document
            assert place.exists(), f"{document.name} links to {target}"
            assert not heading or heading in headings(place), f"{document.name} links to {target}#{heading}"


def headings(document: Path) -> set[str]:
    """Return the names by which the headings of a document are linked to."""
    shown = re.sub(r"^```.*?^```", "", document.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", shown, flags=re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", title).strip().lower().replace(" ", "-") for title in titles}


def test_the_site_has_every_page() -> None:
    """The navigation of the site names every page once, and none that is not there."""
    named = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), flags=re.MULTILINE)
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in ROOT.glob("docs/**/*.md")]
    assert sorted(named) == sorted(pages)


def test_pages_of_the_site_link_to_pages_of_the_site() -> None:
    """No page links to a file outside docs/, where the site, which is built strictly, has none."""
    for page in ROOT.glob("docs/**/*.md"):
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8")):
            inside = "://" in target or (page.parent / target).resolve().is_relative_to(ROOT / "docs")
            assert inside, f"{page.name} links to {target}"


def test_messages_are_quoted_as_they_are() -> None:
    """What the pages quote under "you see" is what the program says, but for what stands in its place."""
    files = (path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py"))
    said = "\n".join(re.sub(r'"\s*\n\s*f?"', "", text) for text in files)  # strings in parts are one
    quoted = [
        (page.name, piece.strip(" ,"))
        for page in ROOT.glob("docs/*.md")
        for table in re.findall(
            r"^\| you see \|.*?\n\n", page.read_text("utf-8") + "\n\n", re.MULTILINE | re.DOTALL
        )
        for cell in re.findall(r"^\| ([^|]*) \|", table, flags=re.MULTILINE)
        for message in re.findall(r'"([^"]+)"', cell)
        for piece in re.split(r"\.\.\.|adele|<[a-z]+>", message)
    ]
    assert len(quoted) > 20
    assert [(page, piece) for page, piece in quoted if piece not in said] == []


def test_a_mask_is_made_as_it_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of docs/fill.md make a mask that is taken, of the upright photo's size."""
    monkeypatch.chdir(tmp_path)
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by a quarter
    Image.new("RGB", (160, 120), "grey").save("torn.png", exif=turned)
    [lines] = re.findall(r"```python\n(.*?)```", (ROOT / "docs/fill.md").read_text("utf-8"), flags=re.DOTALL)
    exec(compile(lines, "docs/fill.md", "exec"), {})
    mask = mask_of(decode(Path("hole.png")))
    assert mask.shape == decode(Path("torn.png")).pixels.shape[:2] == (160, 120)
    assert mask[50, 60] == 255
    assert mask[0, 0] == 0


def commands_of(text: str) -> list[list[str]]:
    """Return the `mystyle ...` lines of a document's indented and fenced blocks, split as a shell would."""
    lines = re.findall(r"^(?:    |\$ )?(mystyle [^\n`]*)$", text, flags=re.MULTILINE)
    return [shlex.split(line, comments=True)[1:] for line in lines]


def test_commands_are_seen_in_documents() -> None:
    """The test below looks at the lines that it is there for."""
    named = ["README.md", *(f"docs/{name}.md" for name in ("quickstart", "learn", "enlarge", "fill", "keep"))]
    assert min(len(commands_of((ROOT / name).read_text("utf-8"))) for name in named) >= 2


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
