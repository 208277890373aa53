"""`mystyle prior`: the generators that profiles start from, and whether their files are sound."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mystyle_cli.commands.fetch import fetch
from mystyle_cli.commands.import_prior import import_prior, remove
from mystyle_cli.config import DEFAULT_PRIOR
from mystyle_cli.errors import ModelError
from mystyle_cli.terminal.app import App, Command, Group, pass_app

if TYPE_CHECKING:
    from mystyle_cli.prior.registry import Prior

_prior_argument = click.argument("name", default=DEFAULT_PRIOR, metavar="[NAME|DIR]")


@click.group(
    "prior",
    cls=Group,
    examples=("mystyle prior list", "mystyle prior import ffhq --generator ffhq.pkl"),
)
def command() -> None:
    """The generators that profiles start from: list, check, bring, remove."""


command.add_command(fetch)
command.add_command(import_prior)
command.add_command(remove)


@command.command("list", cls=Command, examples=("mystyle prior list",))
@pass_app
def list_priors(app: App) -> None:
    """List the priors that are there."""
    from mystyle_cli.prior.registry import bundled_priors, imported_priors

    priors = [_entry(name, "bundled") for name in bundled_priors()]
    priors += [_entry(name, "imported") for name in imported_priors()]
    rows = [
        [
            str(entry["name"]),
            f"{entry['resolution']} px" if entry["problem"] is None else "damaged",
            str(entry["kind"]),
            ", ".join(entry["roles"]),
            str(entry["folder"]),
        ]
        for entry in priors
    ]
    app.console.table(["NAME", "SIZE", "KIND", "ROLES", "FOLDER"], rows)
    app.console.document("prior list", {"priors": priors})


def _entry(name: str, kind: str) -> dict[str, Any]:
    """Return what the list says of one prior; one that is damaged is listed too."""
    from mystyle_cli.files.paths import priors_root
    from mystyle_cli.prior.registry import open_prior

    facts: dict[str, Any]
    try:
        prior = open_prior(name)
    except ModelError as error:
        folder = str(priors_root() / name)
        facts = {"resolution": None, "roles": (), "folder": folder, "problem": error.message}
    else:
        facts = {"resolution": prior.resolution, "roles": prior.roles, "folder": str(prior.path)}
        facts["problem"] = None
    return {"name": name, "kind": kind, **facts}


@command.command("show", cls=Command, examples=("mystyle prior show faces",))
@_prior_argument
@pass_app
def show(app: App, name: str) -> None:
    """Show a prior's parts, their terms, and its directions of editing."""
    from mystyle_cli.prior.registry import open_prior

    prior = open_prior(name)
    notes = prior.metadata.get("notes", [])
    facts = {k: v for k, v in prior.metadata.items() if not isinstance(v, dict) and k != "notes"}
    directions = prior.directions()
    crop = f"{prior.crop.scale:g} FFHQ sides, {prior.crop.down:g} lower"
    for key, value in {**facts, "crop": crop, "folder": prior.path, "sha256": prior.digest}.items():
        app.console.show(f"{key:<12}  {value}")
    for role in prior.roles:
        app.console.show(f"{role:<12}  {_file_line(prior.path, prior.metadata['roles'][role])}")
    if (limits := prior.identity_limits) is not None:
        app.console.show(
            f"{'identity':<12}  judged on {limits.people} people, crops of {limits.least_side} px at least"
        )
    for title, direction in directions.items():
        app.console.show(f"{'direction':<12}  {title}: strength 1 is {direction.unit}")
    for note in notes:
        app.console.show(f"{'note':<12}  {note}")
    units = {title: direction.unit for title, direction in directions.items()}
    body = {"folder": str(prior.path), "sha256": prior.digest, **prior.metadata, "units": units}
    body["crop"] = asdict(prior.crop)
    app.console.document("prior show", body)


@command.command("verify", cls=Command, examples=("mystyle prior verify faces",))
@_prior_argument
@pass_app
def verify(app: App, name: str) -> int:
    """Check every file of a prior against its digest, and use every net once."""
    from mystyle_cli.prior.registry import open_prior

    prior = open_prior(name)
    problems = [error.message for error in prior.verify()]
    app.console.show(f"{prior.name}: {'damaged' if problems else 'sound'} ({', '.join(prior.roles)})")
    for problem in problems:
        app.console.error(problem)
    if problems:
        app.console.info(_cure(prior))
    app.console.document("prior verify", {"name": prior.name, "problems": problems}, ok=not problems)
    return ModelError.exit_code if problems else 0


def _cure(prior: Prior) -> str:
    from mystyle_cli.prior.registry import bundled_priors

    if prior.name in bundled_priors():
        return "Install mystyle again."
    return f"Import or fetch it again, or restore {prior.path} from a backup."


def _file_line(folder: Path, entry: dict[str, Any]) -> str:
    path = folder / entry["file"]
    size = f"{path.stat().st_size / 1e6:.1f} MB" if path.is_file() else "missing"
    hidden = ("file", "sha256", "source_sha256", "decoder_generator")
    rest = [f"{key.replace('_', ' ')} {value}" for key, value in entry.items() if key not in hidden]
    return ", ".join([entry["file"], size, *rest])
