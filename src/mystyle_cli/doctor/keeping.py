"""What is kept on this machine: room on the disk, downloads, locks, licences, priors and profiles."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any, Final

from mystyle_cli.doctor.findings import Finding, note, ok, problem
from mystyle_cli.errors import MystyleError
from mystyle_cli.fetch.fetch import LOCK, downloads
from mystyle_cli.fetch.licences import read_ledger
from mystyle_cli.files.paths import home, nearest
from mystyle_cli.files.writing import lock_of
from mystyle_cli.prior.registry import Prior, bundled_priors, imported_priors, open_prior
from mystyle_cli.store.locks import LOCKS
from mystyle_cli.store.store import Store

LITTLE_ROOM: Final = 2e9  # bytes free below which a tune or a fetch may not find the room that it needs

# largest relative difference between tensors that were converted in different ways but are the same
SAME: Final = 1e-6


def look_at_disk(store: Store) -> Iterator[Finding]:
    """Yield free room, and what is kept where."""
    for subject, folder in {"mystyle's folder": home(), "profiles": store.root}.items():
        there = nearest(folder)
        free = shutil.disk_usage(there).free
        text = f"{folder}: {free / 1e9:.1f} GB free"
        if not os.access(there, os.W_OK):
            yield problem("disk", subject, f"{folder} may not be written to", "Check its permissions.")
        elif free < LITTLE_ROOM:
            advice = "Free some space, or set MYSTYLE_HOME to a folder on another disk."
            yield problem("disk", subject, text, advice)
        else:
            yield ok("disk", subject, text)
    yield from _look_at_downloads()


def _look_at_downloads() -> Iterator[Finding]:
    folder = downloads()
    files = sorted(path for path in folder.glob("*") if path.is_file() and not path.name.startswith("."))
    whole = [path for path in files if not path.name.endswith((".part", ".part.json"))]
    if whole:
        size = sum(path.stat().st_size for path in whole)
        advice = "Only needed to make their prior again; remove them when room is short."
        yield note("disk", "downloads", f"{folder}: {len(whole)} files, {size / 1e6:.1f} MB", advice)
    for path in files:
        if path.suffix == ".part":
            text = f"{path.stem}: {path.stat().st_size / 1e6:.1f} MB of an interrupted download"
            yield note("disk", "downloads", text, f"Fetch again to go on, or remove {path}.")


def look_at_locks(store: Store) -> Iterator[Finding]:
    """Yield which locks another command holds now; a lock dies with its command."""
    from filelock import Timeout

    locks = [*sorted((store.root / LOCKS).glob("*.lock")), downloads() / LOCK]
    held = []
    for path in locks:
        if not path.exists():
            continue
        try:
            with lock_of(path).acquire(timeout=0):
                pass
        except Timeout:
            held.append(path)
        except OSError as error:
            yield problem("disk", "locks", f"{path}: {error.strerror}", "Check its permissions.")
    for path in held:
        yield note("disk", "locks", f"{path} is held by another command", "Wait until that has ended.")
    if not held:
        yield ok("disk", "locks", "none is held")


def look_at_priors() -> Iterator[Finding]:
    """Yield whether every prior's files are sound, and its encoder belongs to its generator."""
    for name in [*bundled_priors(), *imported_priors()]:
        try:
            prior = open_prior(name)
            problems = prior.verify()
        except MystyleError as error:
            yield problem("prior", name, error.message, error.hint)
            continue
        advice = (
            "Install mystyle again."
            if name in bundled_priors()
            else f"Remove and bring it anew: mystyle prior remove {name}"
        )
        yield from (problem("prior", name, error.message, advice) for error in problems)
        if not problems:
            size = sum(path.stat().st_size for path in prior.path.rglob("*") if path.is_file())
            yield ok("prior", name, f"sound: {', '.join(prior.roles)} ({size / 1e6:.1f} MB, {prior.path})")
        yield from look_at_encoder(prior)


def look_at_encoder(prior: Prior) -> Iterator[Finding]:
    """Yield whether the generator inside the encoder's file, as import compared it, is the prior's own."""
    encoder: dict[str, Any] | None = prior.metadata["roles"].get("encoder")
    if encoder is None or "source_sha256" not in encoder:
        return  # none, or trained with the generator by us
    difference, count = encoder.get("decoder_difference"), encoder.get("decoder_tensors")
    own = encoder.get("decoder_generator") == prior.metadata["roles"].get("generator", {}).get("sha256")
    if difference is None:
        text = "its encoder's file holds no generator, so nothing tells whether the two belong together"
        yield note("prior", prior.name, text)
    elif own and difference <= SAME:
        text = f"its encoder was trained for this very generator ({count} tensors, largest difference "
        yield ok("prior", prior.name, f"{text}{difference:.1g})")
    else:
        reason = f"their tensors differ by {difference:.2g}" if own else "it was compared with another one"
        yield problem(
            "prior",
            prior.name,
            f"its encoder was not trained for its generator: {reason}; anchors will be off",
            f"Bring both that belong together: mystyle prior remove {prior.name}, then import or fetch.",
        )


def look_at_profiles(store: Store) -> Iterator[Finding]:
    """Yield whether every profile's files are sound, and its prior is there."""
    names = store.names()
    if not names:
        yield ok("profile", "profiles", f"none in {store.root}")
    for name in names:
        try:
            entry = store.entry(name)
            if entry.state == "unfinished":
                yield note("profile", name, entry.detail, entry.hint)
                continue
            problems = store.verify(name)
            if not problems:
                _ = store.open(name).prior
        except MystyleError as error:
            yield problem("profile", name, error.message, error.hint)
            continue
        yield from (problem("profile", name, error.message, error.hint) for error in problems)
        if not problems and entry.manifest is not None:
            yield ok("profile", name, f"{entry.state}, made with {entry.manifest.prior.name}")


def look_at_licences() -> Iterator[Finding]:
    """Yield whether the record of accepted licences can be read."""
    try:
        ledger = read_ledger()
    except MystyleError as error:
        yield problem("licences", "ledger", error.message, error.hint)
    else:
        count = len({entry.licence for entry in ledger})
        yield ok("licences", "ledger", f"{count} accepted" if count else "none had to be accepted")
