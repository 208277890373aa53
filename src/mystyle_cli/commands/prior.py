"""`mystyle prior`: the generators that profiles start from, and whether their files are sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mystyle_cli.commands.app import App, Command, Group, pass_app
from mystyle_cli.config import DEFAULT_PRIOR
from mystyle_cli.errors import ModelError

_prior_argument = click.argument("name", default=DEFAULT_PRIOR, metavar="[NAME|DIR]")


@click.group("prior", cls=Group, examples=("mystyle prior list", "mystyle prior verify portraits-128"))
def command() -> None:
    """List and check the generators that profiles start from."""


@command.command("list", cls=Command, examples=("mystyle prior list",))
@pass_app
def list_priors(app: App) -> None:
    """List the priors that are there."""
    from mystyle_cli.prior.registry import bundled_priors, open_prior

    priors = [open_prior(name) for name in bundled_priors()]
    rows = [
        [prior.name, f"{prior.resolution} px", ", ".join(prior.roles), str(prior.path)] for prior in priors
    ]
    app.console.table(["NAME", "SIZE", "ROLES", "FOLDER"], rows)
    app.console.document(
        "prior list",
        {
            "priors": [
                {
                    "name": prior.name,
                    "resolution": prior.resolution,
                    "roles": prior.roles,
                    "folder": str(prior.path),
                }
                for prior in priors
            ]
        },
    )


@command.command("show", cls=Command, examples=("mystyle prior show portraits-128",))
@_prior_argument
@pass_app
def show(app: App, name: str) -> None:
    """Show a prior's parts, their terms, and its directions of editing."""
    from mystyle_cli.prior.registry import open_prior

    prior = open_prior(name)
    facts = {key: value for key, value in prior.metadata.items() if not isinstance(value, dict)}
    directions = prior.directions()
    for key, value in {**facts, "folder": prior.path, "sha256": prior.digest}.items():
        app.console.result(f"{key:<12}  {value}")
    for role in prior.roles:
        app.console.result(f"{role:<12}  {_file_line(prior.path, prior.metadata['roles'][role])}")
    for title, direction in directions.items():
        app.console.result(f"{'direction':<12}  {title}: strength 1 is {direction.unit}")
    units = {title: direction.unit for title, direction in directions.items()}
    body = {"folder": str(prior.path), "sha256": prior.digest, **prior.metadata, "units": units}
    app.console.document("prior show", body)


@command.command("verify", cls=Command, examples=("mystyle prior verify portraits-128",))
@_prior_argument
@pass_app
def verify(app: App, name: str) -> int:
    """Check every file of a prior against its digest."""
    from mystyle_cli.prior.registry import open_prior

    prior = open_prior(name)
    problems = prior.verify()
    app.console.result(f"{prior.name}: {'damaged' if problems else 'sound'} ({', '.join(prior.roles)})")
    for problem in problems:
        app.console.error(problem)
    if problems:
        app.console.info("Install mystyle again, or restore the prior's folder.")
    app.console.document("prior verify", {"ok": not problems, "name": prior.name, "problems": problems})
    return ModelError.exit_code if problems else 0


def _file_line(folder: Path, entry: dict[str, Any]) -> str:
    """Return a file's name, size, and whatever else its entry says, without its digest."""
    path = folder / entry["file"]
    size = f"{path.stat().st_size / 1e6:.1f} MB" if path.is_file() else "missing"
    rest = [f"{key} {value}" for key, value in entry.items() if key not in ("file", "sha256")]
    return ", ".join([entry["file"], size, *rest])
