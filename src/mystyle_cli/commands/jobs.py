"""`mystyle jobs`: runs that are kept where `--on` says where work runs."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from shlex import join
from typing import TYPE_CHECKING

import click

from mystyle_cli.errors import MystyleError, UsageError
from mystyle_cli.terminal.app import App, Command, Group, pass_app
from mystyle_cli.terminal.console import confirm_removal
from mystyle_cli.terminal.learning import GIB, duration

if TYPE_CHECKING:
    from mystyle_cli.engines.runs import RunRecord, Runs


@click.group(
    "jobs",
    cls=Group,
    examples=("mystyle jobs list", "mystyle jobs show 3f2a", "mystyle jobs retry 3f2a"),
)
def command() -> None:
    """What was started with --on: list, show, go on, end, remove."""


def _runs(app: App) -> Runs:
    from mystyle_cli.engines.runs import Runs

    return Runs(app.profiles().root)


run_argument = click.argument("run", metavar="RUN")


@command.command("list", cls=Command, examples=("mystyle jobs list", "mystyle --json jobs list"))
@pass_app
def list_runs(app: App) -> None:
    """List the runs of the store, the last one first."""
    console, runs = app.console, _runs(app)
    rows: list[list[str]] = []
    found: list[dict[str, object]] = []
    for run in runs.all():
        try:
            record = run.read()
        except MystyleError as error:
            console.error(error.message, error.hint)
            found.append({"run": run.name, "state": "damaged"})
            continue
        state = run.state(record)
        rows.append([run.name, record.command, record.engine, state, _counts(record), record.started])
        found.append({"run": run.name, "state": state, **_facts(record)})
    if found:
        console.table(["RUN", "COMMAND", "ON", "STATE", "DONE", "STARTED"], rows)
    else:
        console.info(f"no runs in {runs.root}; a command with --on keeps one")
    console.document("jobs list", {"runs": found})


def _counts(record: RunRecord) -> str:
    failed = f", {record.failed} failed" if record.failed else ""
    return f"{record.done + record.skipped} of {record.items}{failed}"


def _facts(record: RunRecord) -> dict[str, object]:
    """Return a record's part of a JSON document."""
    facts = asdict(record)
    facts.pop("kind")
    return {"task": facts.pop("command"), **facts, "words": list(record.words), "seconds_each": record.each}


@command.command("show", cls=Command, examples=("mystyle jobs show 3f2a",))
@run_argument
@pass_app
def show_run(app: App, run: str) -> None:
    """Show what a run is of, how far it came, and what it has made.

    RUN is a run's name, or how it begins. Results are listed that are there as the run wrote them.
    """
    found = _runs(app).find(run)
    record = found.read()
    state, results = found.state(record), [str(path) for path in found.results()]
    rows = [
        ("command", join(["mystyle", *record.words])),
        ("in", record.folder),
        ("on", record.engine),
        ("state", state),
        ("done", f"{_counts(record)}, {len(results)} results there"),
        ("started", record.started),
        ("ended", record.ended or "-"),
    ]
    if record.each is not None:
        rows.append(("measured", f"{record.each:.3g} s each and worker, {duration(record.opening)} to begin"))
    if record.memory:
        rows.append(("memory", f"{record.memory / GIB:.2f} GB a worker"))
    for name, text in rows:
        app.console.show(f"{name:9} {text}")
    for path in results:
        app.console.detail(path)
    body = {"run": found.name, "state": state, **_facts(record), "results": results}
    app.console.document("jobs show", body)


@command.command("retry", cls=Command, examples=("mystyle jobs retry 3f2a",))
@run_argument
@click.pass_context
@pass_app
def retry_run(app: App, context: click.Context, run: str) -> int:
    """Go on with a run: what is missing is done.

    The command is run again as it was typed, in the folder in which it was, without --overwrite: what was
    put in the place of a result meanwhile stays.
    """
    found = _runs(app).find(run)
    record = found.read()
    root, words = context.find_root().command, [word for word in record.words if word != "--overwrite"]
    again = replace(app, store=app.profiles().root.absolute(), retried=found.name)
    try:
        os.chdir(record.folder)
    except OSError as error:
        raise UsageError(f"{record.folder}: {error.strerror}", "Bring the folder back.") from error
    try:
        root.main(args=words, obj=again)
    except SystemExit as ended:
        return int(ended.code or 0)


@command.command("cancel", cls=Command, examples=("mystyle jobs cancel 3f2a",))
@run_argument
@pass_app
def cancel_run(app: App, run: str) -> None:
    """End a run that is under way; what was finished is kept.

    The command that drives it ends as Ctrl-C ends it, in a second or two; on another machine that sees the
    same store, too.
    """
    found = _runs(app).find(run)
    if not found.under_way():
        raise UsageError(f"the run {found.name} is not under way", f"See: mystyle jobs show {found.name}")
    found.stop()
    app.console.info(f"{found.name}: asked to end; mystyle jobs retry {found.name} goes on with it")
    app.console.document("jobs cancel", {"run": found.name})


@command.command(
    "remove", cls=Command, examples=("mystyle jobs remove 3f2a", "mystyle jobs remove 3f2a --yes")
)
@run_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_app
def remove_run(app: App, run: str, yes: bool) -> None:
    """Remove what is kept of a run; photos and results stay."""
    found = _runs(app).find(run)
    if found.under_way():
        raise UsageError(f"the run {found.name} is under way", f"End it: mystyle jobs cancel {found.name}")
    if not yes:
        confirm_removal(f"what is kept of the run {found.name}")
    strangers = found.remove()
    for name in strangers:
        app.console.warn(f"{found.folder / name} is not mystyle's, and stays")
    app.console.document("jobs remove", {"run": found.name, "left": list(strangers)})
