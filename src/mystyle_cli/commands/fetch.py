"""`mystyle prior fetch`: a prior from files that others publish, under the terms that they ask for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import click

from mystyle_cli.errors import UsageError
from mystyle_cli.progress import silent
from mystyle_cli.terminal.app import App, Command, pass_app
from mystyle_cli.terminal.options import bundle

if TYPE_CHECKING:
    from mystyle_cli.fetch.fetch import Item, Plan
    from mystyle_cli.fetch.licences import Accept, Licence


@dataclass(frozen=True)
class FetchOptions:
    """What to fetch, and how."""

    dry_run: bool
    given: Path | None
    use: tuple[str, ...]
    without: tuple[str, ...]
    accept_licence: bool
    trust_digest: tuple[str, ...]
    offline: bool


_options: Final = bundle(
    "options",
    FetchOptions,
    (
        click.option("--dry-run", is_flag=True, help="Only say what would be done; nothing is written."),
        click.option(
            "--from",
            "given",
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            metavar="DIR",
            help="Folder with files that you downloaded by hand.",
        ),
        click.option(
            "--use", multiple=True, metavar="FILE", help="Take this file instead of the default of its role."
        ),
        click.option("--without", multiple=True, metavar="ROLE", help="Leave a role out, such as encoder."),
        click.option("--accept-licence", is_flag=True, help="Accept the terms that are shown."),
        click.option(
            "--trust-digest",
            multiple=True,
            metavar="SHA256",
            help="Take a file with this digest although another was expected.",
        ),
        click.option(
            "--offline",
            is_flag=True,
            envvar="MYSTYLE_OFFLINE",
            show_envvar=True,
            help="Make no connection; use what is there.",
        ),
    ),
)


@click.command(
    "fetch",
    cls=Command,
    examples=(
        "mystyle prior fetch ffhq-1024 --dry-run",
        "mystyle prior fetch ffhq-1024",
        "mystyle prior fetch ffhq-1024 --from ~/Downloads --accept-licence",
    ),
)
@click.argument("name", default="ffhq-1024")
@_options
@pass_app
def fetch(app: App, name: str, options: FetchOptions) -> None:
    """Download the files of a published prior and make it ready for use.

    An interrupted download goes on where it stopped. Every file is compared with its known digest before it
    is read, and nothing in it is ever run.
    """
    from mystyle_cli.fetch.assets import find_recipe
    from mystyle_cli.fetch.download import DownloadSettings
    from mystyle_cli.fetch.fetch import fetch_prior, make_plan, prior_is_there
    from mystyle_cli.fetch.licences import accept_licences

    recipe, console = find_recipe(name), app.console
    trusted = frozenset(digest.lower() for digest in options.trust_digest)
    settings = DownloadSettings(trusted, silent, console.warn)
    plan = make_plan(recipe, recipe.choose(options.use, options.without), options.given, settings)
    if options.dry_run:
        _show_plan(app, plan)
        return
    folder = prior_is_there(name)
    if folder is not None and (options.use or options.without):
        raise UsageError(
            f"{name} is there already, with the files that it was made of",
            f"To make it anew, first: mystyle prior remove {name}",
        )
    if folder is not None:
        console.info(f"{name} is there already; to make it anew, first: mystyle prior remove {name}")
    else:
        accept_licences(name, plan.licences, _asking(app, options.accept_licence))
        with console.progress() as progress:
            folder = fetch_prior(plan, replace(settings, progress=progress), offline=options.offline)
        console.info(f"next: mystyle profile create NAME PHOTOS --prior {name}")
    console.result(str(folder))
    body = {"name": name, "dry_run": False, "folder": str(folder), **_describe(plan)}
    console.document("prior fetch", body)


def _asking(app: App, accepted: bool) -> Accept:
    """Return what shows new terms and asks whether they are accepted."""

    def accept(licences: Sequence[Licence]) -> bool:
        for licence in licences:
            app.console.info(f"{licence.terms}\n")
        if accepted or not sys.stdin.isatty():
            return accepted
        return click.confirm("Do you accept these terms?", err=True)

    return accept


def _show_plan(app: App, plan: Plan) -> None:
    from mystyle_cli.fetch.licences import LICENCES

    console = app.console
    rows = []
    for item in plan.items:
        asset = item.asset
        use = "allowed" if LICENCES[asset.licence].commercial else "NO"
        rows.append([asset.file, asset.role, f"{asset.planned / 1e6:.1f} MB", _state(item), use])
    console.table(["FILE", "ROLE", "SIZE", "STATE", "COMMERCIAL USE"], rows)
    console.info(
        f"to download: {plan.to_download / 1e6:.1f} MB; disk needed: about {plan.needed / 1e9:.1f} GB, "
        f"free: {plan.free / 1e9:.1f} GB"
    )
    others = [asset.file for asset in plan.recipe.assets if asset.file not in plan.licences]
    if others:
        console.info(f"others that can be taken with --use: {', '.join(others)}")
    body = {"name": plan.recipe.name, "dry_run": True, "folder": None, **_describe(plan)}
    console.document("prior fetch", body)


def _state(item: Item) -> str:
    if item.state != "missing":
        return f"here: {item.path}" if item.state == "given" else "downloaded before"
    host = urlsplit(item.asset.addresses[0]).hostname
    begun = f", {item.arrived / 1e6:.1f} MB of it are here" if item.arrived else ""
    return f"from {host}{begun}"


def _describe(plan: Plan) -> dict[str, object]:
    return {
        "to_download": plan.to_download,
        "disk_needed": plan.needed,
        "disk_free": plan.free,
        "files": [
            {
                "file": item.asset.file,
                "role": item.asset.role,
                "state": item.state,
                "path": str(item.path),
                "bytes": item.asset.size,
                "sha256": item.asset.sha256 or None,
                "digest_of": item.asset.digest_of,
                "licence": item.asset.licence,
                "places": list(item.asset.addresses),
                "page": item.asset.page,
            }
            for item in plan.items
        ],
    }
