"""`mystyle doctor`: what is wrong on this machine, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

import click

from mystyle_cli.commands.app import App, Command, pass_app

_MARKS: Final = {"ok": "ok", "note": "note", "problem": "PROBLEM"}


@click.command("doctor", cls=Command, examples=("mystyle doctor", "mystyle --json doctor"))
@pass_app
def command(app: App) -> int:
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
    body = {"ok": not problems, "problems": problems, "findings": [asdict(each) for each in findings]}
    console.document("doctor", body)
    return 1 if problems else 0
