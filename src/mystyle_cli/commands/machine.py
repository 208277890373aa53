"""`mystyle doctor`, `licences`, `completion`, `serve`: this machine, what is installed, a page on it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import Final

import click
from click.shell_completion import get_completion_class

from mystyle_cli.terminal.app import App, Command, pass_app

_MARKS: Final = {"ok": "ok", "note": "note", "problem": "PROBLEM"}


@click.command("doctor", cls=Command, examples=("mystyle doctor", "mystyle --json doctor"))
@pass_app
def doctor(app: App) -> int:
    """Check this machine, and say what to do about each problem.

    The exit code is 0 when all is well and 1 when there are problems.
    """
    from mystyle_cli.doctor.checkup import examine

    console, store = app.console, app.profiles()
    with console.progress() as progress:
        findings = examine(store, app.device, progress)
    rows = [[_MARKS[each.state], each.area, each.subject, each.text] for each in findings]
    console.table(["", "AREA", "WHAT", "FOUND"], rows)
    for each in findings:
        if each.advice:
            console.info(f"{_MARKS[each.state]}: {each.area} {each.subject}: {each.text}")
            console.info(f"  {each.advice}")
    problems = sum(each.state == "problem" for each in findings)
    counted = "1 problem: see above" if problems == 1 else f"{problems} problems: see above"
    console.info(counted if problems else "all is well")
    body = {"problems": problems, "findings": [asdict(each) for each in findings]}
    console.document("doctor", body, ok=not problems)
    return 1 if problems else 0


_USE: Final = {True: "allowed", False: "NO", None: "not known"}


@click.command("licences", cls=Command, examples=("mystyle licences", "mystyle --json licences"))
@pass_app
def licences(app: App) -> None:
    """Show the terms of every model file, and what you accepted."""
    from mystyle_cli.fetch.licences import LICENCES, ledger_path, notices, read_ledger

    console, files, ledger = app.console, notices(), read_ledger()
    rows = [[notice.place, notice.file, _USE[notice.commercial], notice.licence or "-"] for notice in files]
    console.table(["OF", "FILE", "COMMERCIAL USE", "LICENCE"], rows)
    accepted = [
        [entry.accepted, entry.prior, ", ".join(entry.files), entry.licence] for entry in reversed(ledger)
    ]
    console.show("")
    if accepted:
        console.table(["ACCEPTED", "FOR", "FILES", "LICENCE"], accepted)
    else:
        console.show("no terms had to be accepted yet")
    used = {notice.licence for notice in files} | {entry.licence for entry in ledger}
    for licence in LICENCES.values():
        if licence.id in used:
            console.show(f"\n{licence.id}\n{licence.terms}")
    console.document(
        "licences",
        {
            "ledger": str(ledger_path()),
            "accepted": [asdict(entry) for entry in ledger],
            "files": [{**asdict(notice), "commercial": notice.commercial} for notice in files],
            "licences": [asdict(licence) for licence in LICENCES.values() if licence.id in used],
        },
    )


@click.command(
    "completion",
    cls=Command,
    examples=(
        'eval "$(mystyle completion bash)"       # in ~/.bashrc',
        'eval "$(mystyle completion zsh)"        # in ~/.zshrc',
        "mystyle completion fish > ~/.config/fish/completions/mystyle.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
@pass_app
def completion(app: App, context: click.Context, shell: str) -> None:
    """Print the shell completion script."""
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(context.find_root().command, {}, "mystyle", "_MYSTYLE_COMPLETE").source()
    app.console.result(script)
    app.console.document("completion", {"shell": shell, "script": script})


@click.command(
    "serve",
    cls=Command,
    examples=(
        "mystyle serve                       # opens your browser; Ctrl-C ends it",
        "mystyle serve --port 8765 --no-open     # prints the address only",
    ),
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Where to listen on this machine.  [default: a free one]",
)
@click.option("--no-open", is_flag=True, help="Do not open a browser.")
@pass_app
def serve(app: App, port: int, no_open: bool) -> None:
    """Learn people and repair photos in your browser.

    The page is on this machine and for this machine only: nothing leaves it, and nobody else can open it
    without the address that is printed. Photos that you give it are gone with it; results are yours to save.
    """
    from mystyle_cli.serve.serve import serve as serve_page

    console = app.console

    def say(url: str) -> None:
        console.info("open this in a browser on this machine; Ctrl-C ends it:")
        console.result(url)
        console.document("serve", {"url": url})

    with suppress(KeyboardInterrupt):  # which is how it ends
        serve_page(app.profiles(), app.wanted_device(), port, say, show=not no_open)
    console.info("ended; what was uploaded is removed")
