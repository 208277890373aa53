"""`mystyle profile`: the people that were learned, as a list of names with verbs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mystyle_cli.commands.evaluate import advise_profile
from mystyle_cli.commands.export import export_profile, import_profile
from mystyle_cli.commands.learn import create, merge
from mystyle_cli.errors import MystyleError, ProfileError, UsageError
from mystyle_cli.terminal.app import App, Command, Group, pass_app
from mystyle_cli.terminal.console import confirm_removal
from mystyle_cli.terminal.learning import until_option
from mystyle_cli.terminal.options import profile_argument

if TYPE_CHECKING:
    from mystyle_cli.person.manifest import Manifest
    from mystyle_cli.person.years import Years
    from mystyle_cli.store.store import Entry, Store


@click.group(
    "profile",
    cls=Group,
    examples=("mystyle profile create adele ./photos", "mystyle profile list", "mystyle profile show adele"),
)
def command() -> None:
    """Learn a person from photos; list, show, check profiles."""


command.add_command(create)
command.add_command(merge)
command.add_command(advise_profile)
command.add_command(export_profile)
command.add_command(import_profile)


@command.command(
    "consent",
    cls=Command,
    examples=(
        'mystyle profile consent adele "Adele, by letter, 2026-11-02: restoring family photos"',
        'mystyle profile consent adele "Adele, again, 2028-12-20" --until 2030-12-31',
    ),
)
@profile_argument
@click.argument("text", metavar="TEXT")
@until_option
@pass_app
def note_consent(app: App, name: str, text: str, until: str) -> None:
    """Note what the person agreed to, in place of what was noted before.

    A profile whose consent has ended refuses work until it is renewed so. Where it was taken back: profile
    delete.
    """
    if not text.strip():
        raise UsageError("nothing is noted by an empty text", "Write who agreed, to what, and when.")
    noted = app.profiles().note_consent(name, text.strip(), until)
    app.console.info(f"'{name}': {consent_line(noted.consent, noted.consent_until)}")
    body = {"name": name, "consent": noted.consent, "consent_until": noted.consent_until or None}
    app.console.document("profile consent", body)


def consent_line(consent: str, until: str) -> str:
    """Return what is noted about consent, for people."""
    if not consent:
        return "nothing noted"
    return f"{consent} (until {until})" if until else consent


@command.command("list", cls=Command, examples=("mystyle profile list", "mystyle --json profile list"))
@pass_app
def list_profiles(app: App) -> None:
    """List the profiles of the store."""
    console = app.console
    store = app.profiles()
    entries = store.entries()
    if not entries:
        console.info(f"no profiles in {store.root}; make one: mystyle profile create NAME PHOTOS")
    else:
        rows = [[entry.name, entry.state, *_counts(entry), _prior(entry), _said(entry)] for entry in entries]
        console.table(["NAME", "STATE", "PHOTOS", "HELD OUT", "PRIOR", ""], rows)
    for entry in entries:
        if entry.hint:
            console.info(f"{entry.name}: {entry.hint}")
    console.document(
        "profile list", {"store": str(store.root), "profiles": [_brief(entry) for entry in entries]}
    )


@command.command("show", cls=Command, examples=("mystyle profile show adele",))
@profile_argument
@pass_app
def show(app: App, name: str) -> None:
    """Show what a profile holds and how well it knows the person."""
    store = app.profiles()
    entry, folder = store.entry(name), store.path(name)
    if entry.manifest is None:
        raise ProfileError(f"profile '{name}' is {entry.state}: {entry.detail}", entry.hint)
    manifest = entry.manifest
    from mystyle_cli.person.layout import GENERATOR
    from mystyle_cli.person.manifest import export_state

    sizes, years = store.sizes(name), _years(folder)
    facts = {
        "name": entry.name,
        "state": entry.state,
        "folder": str(folder),
        "size": _size(sizes),
        "prior": f"{manifest.prior.name} ({manifest.prior.resolution} px)",
        "onnx_export": "missing" if _lacks(folder, manifest, "export") else export_state(manifest, GENERATOR),
        "created": manifest.created,
        "changed": manifest.changed,
        "made_by": f"mystyle {manifest.made_by}",
        "consent": consent_line(manifest.consent, manifest.consent_until),
    }
    tables = {"photos": manifest.counts, **manifest.stages, **manifest.results, "identity": manifest.identity}
    shown = {key.replace("_", " "): " ".join(text.split()) for key, text in facts.items()}
    shown |= {"people": ", ".join(manifest.members)} if manifest.members else {}
    shown |= {"taken": years.told} if years is not None else {}
    shown |= {title: _inline(table) for title, table in tables.items() if table}
    shown |= {f"identity of {person}": _inline(table) for person, table in manifest.members.items()}
    width = max(len(title) for title in shown)
    for title, text in shown.items():
        app.console.show(f"{title:<{width}}  {text}")
    if entry.detail:
        app.console.warn(f"profile '{entry.name}' is {entry.state}: {entry.detail}")
        app.console.info(entry.hint)
    app.console.document(
        "profile show",
        {
            **_brief(entry),
            **facts,
            "consent": manifest.consent or None,
            "consent_until": manifest.consent_until or None,
            "bytes": sum(sizes.values()),
            "sizes": sizes,
            "tables": tables,
            **({} if years is None else {"years": asdict(years)}),
            "identities": [{"person": one, **table} for one, table in manifest.members.items()],
        },
    )


def _years(folder: Path) -> Years | None:
    """Return when a profile's photos were taken; None where its records cannot be read."""
    from mystyle_cli.person.layout import PHOTOS, place_of
    from mystyle_cli.person.reference import read_records
    from mystyle_cli.person.years import Years

    try:
        return Years.of(read_records(place_of(folder, PHOTOS), folder))
    except ProfileError:
        return None


@command.command("path", cls=Command, examples=('open "$(mystyle profile path adele)/contact-sheet.png"',))
@profile_argument
@pass_app
def path(app: App, name: str) -> None:
    """Print the folder of a profile."""
    folder = app.profiles().path(name)
    app.console.result(str(folder))
    app.console.document("profile path", {"name": name, "folder": str(folder)})


@command.command("rename", cls=Command, examples=("mystyle profile rename adele adele-2015",))
@profile_argument
@click.argument("new", metavar="NEW")
@pass_app
def rename(app: App, name: str, new: str) -> None:
    """Give a profile another name."""
    folder = app.profiles().rename(name, new)
    app.console.info(f"'{name}' is now '{folder.name}'")
    app.console.document("profile rename", {"old": name, "name": folder.name, "folder": str(folder)})


@command.command("delete", cls=Command, examples=("mystyle profile delete adele --yes",))
@profile_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_app
def delete(app: App, name: str, yes: bool) -> None:
    """Remove a profile for good, with all that was derived from the photos; your photos stay.

    What mystyle did not make stays too, and is named. Pictures, codes and files that you had written
    elsewhere are yours to remove. Interrupted, the same command goes on.
    """
    store = app.profiles()
    folder, files = store.folder(name), store.content(name)
    if not yes:
        confirm_removal(str(store.path(name)), f" ({_kinds(files)})")
    left = store.delete(name)
    app.console.info(f"removed {folder}: {_kinds(files)}" if files else f"removed {folder}")
    app.console.info("pictures, codes and exported files that you had written elsewhere are still there")
    for path in left:
        app.console.warn(f"left where it is, for it is not mystyle's: {path}")
    body = {
        "name": name,
        "folder": str(folder),
        "removed": list(files),
        "left": [str(path) for path in left],
    }
    app.console.document("profile delete", body)


def _kinds(files: Sequence[str]) -> str:
    """Return a profile's files for people: those of a folder counted, the others by name."""
    folders = Counter(name.partition("/")[0] for name in files if "/" in name)
    named = [name for name in files if "/" not in name and not name.startswith(".")]
    return ", ".join([*named, *(f"{count} in {folder}/" for folder, count in folders.items())]) or "no files"


@command.command("verify", cls=Command, examples=("mystyle profile verify adele", "mystyle profile verify"))
@click.argument("names", nargs=-1, metavar="[NAME]...")
@pass_app
def verify(app: App, names: tuple[str, ...]) -> int:
    """Check every file of profiles, and use all that is in them once.

    Digests, kinds and bounds of what the files say, and whether every net gives pictures in finite numbers.
    Without a name, all profiles are checked.
    """
    store = app.profiles()
    checked = {name: store.verify(name) for name in names or store.names()}
    for name, problems in checked.items():
        app.console.show(f"{name}: {_verdict(store, name, problems)}")
        for problem in problems:
            app.console.error(f"{name}: {problem.message}")
        for hint in dict.fromkeys(problem.hint for problem in problems):
            app.console.info(f"  {hint}")
    damaged = any(checked.values())
    messages = {name: [problem.message for problem in problems] for name, problems in checked.items()}
    hints = {name: list(dict.fromkeys(problem.hint for problem in checked[name])) for name in checked}
    app.console.document("profile verify", {"problems": messages, "hints": hints}, ok=not damaged)
    return ProfileError.exit_code if damaged else 0


def _verdict(store: Store, name: str, problems: Sequence[MystyleError]) -> str:
    """Return what a profile is in one word; one of a later version, half made or half gone is not damaged."""
    if not problems:
        return "sound"
    state = store.entry(name).state
    return state if state in ("newer", "unfinished", "deleting") else "damaged"


def _lacks(folder: Path, manifest: Manifest, stage: str) -> bool:
    from mystyle_cli.person.layout import is_there

    return any(not is_there(folder, name) for name in manifest.files.get(stage, {}))


def _brief(entry: Entry) -> dict[str, object]:
    manifest = entry.manifest
    return {
        "name": entry.name,
        "state": entry.state,
        "detail": entry.detail,
        "hint": entry.hint,
        "prior": manifest.prior.name if manifest else None,
        "counts": dict(manifest.counts) if manifest else {},
        "people": list(manifest.members) if manifest else [],
    }


def _size(sizes: Mapping[str, int]) -> str:
    """Return what a person takes on disk, and apart from it the nets that can be made again."""
    from mystyle_cli.store.store import EXPORTED

    own = {part: size for part, size in sizes.items() if part != EXPORTED and size}
    parts = ", ".join(f"{part} {size / 1e6:.2f}" for part, size in own.items())
    exported = f"; and {sizes[EXPORTED] / 1e6:.1f} MB of exported nets" if sizes[EXPORTED] else ""
    return f"{sum(own.values()) / 1e6:.2f} MB ({parts}){exported}"


def _said(entry: Entry) -> str:
    """Return what is wrong with a profile, or else who is in one of several people."""
    people = ", ".join(entry.manifest.members) if entry.manifest else ""
    return entry.detail or people


def _counts(entry: Entry) -> list[str]:
    counts = entry.manifest.counts if entry.manifest else {}
    return [str(counts.get(key, "-")) for key in ("train", "held_out")]


def _prior(entry: Entry) -> str:
    return entry.manifest.prior.name if entry.manifest else "-"


def _inline(table: Mapping[str, object]) -> str:
    """Return a table's figures on one line, without digests and what other tables repeat."""
    shown = {key: value for key, value in table.items() if not (_is_digest(value) or "." in key)}
    return ", ".join(
        f"{key.replace('_', ' ')} {f'{value:.4g}' if isinstance(value, float) else value}"
        for key, value in shown.items()
    )


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and not set(value) - set("0123456789abcdef")
