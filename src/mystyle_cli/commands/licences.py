"""`mystyle licences`: under what terms every model file comes, and which terms were accepted when."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

import click

from mystyle_cli.commands.app import App, Command, pass_app

_USE: Final = {True: "allowed", False: "NO", None: "not known"}


@click.command("licences", cls=Command, examples=("mystyle licences", "mystyle --json licences"))
@pass_app
def command(app: App) -> None:
    """Show the terms of every model file, and what you accepted."""
    from mystyle_cli.prior.licences import LICENCES, ledger_path, read_ledger
    from mystyle_cli.prior.notices import notices

    console, found, ledger = app.console, notices(), read_ledger()
    rows = [[notice.place, notice.file, _USE[notice.commercial], notice.licence or "-"] for notice in found]
    console.table(["OF", "FILE", "COMMERCIAL USE", "LICENCE"], rows)
    accepted = [
        [entry.accepted, entry.prior, ", ".join(entry.files), entry.licence] for entry in reversed(ledger)
    ]
    console.show("")
    if accepted:
        console.table(["ACCEPTED", "FOR", "FILES", "LICENCE"], accepted)
    else:
        console.show("no terms had to be accepted yet")
    used = {notice.licence for notice in found} | {entry.licence for entry in ledger}
    for licence in LICENCES.values():
        if licence.id in used:
            console.show(f"\n{licence.id}\n{licence.terms}")
    console.document(
        "licences",
        {
            "ledger": str(ledger_path()),
            "accepted": [asdict(entry) for entry in ledger],
            "files": [{**asdict(notice), "commercial": notice.commercial} for notice in found],
            "licences": [asdict(licence) for licence in LICENCES.values() if licence.id in used],
        },
    )
