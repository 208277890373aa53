"""mystyle learns one person from their photos and repairs, enlarges and edits photos of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mystyle_cli.api import People, Person
    from mystyle_cli.store.store import Store

__all__ = ["__version__", "open_people", "open_profile", "open_store"]
__version__ = "0.1.0"

# Read once, when onnxruntime is loaded, by whomever: otherwise it notes a number for this machine in a
# database under ~/.cache and sends events to a host of Microsoft's.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Read once by the library for matrices beneath torch: on several threads it otherwise adds up in another
# order at each run, and the same seed would not give the same picture.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")


def open_store(folder: Path | str | None = None) -> Store:
    """Open the folder of profiles; by default the one that the command line uses."""
    from mystyle_cli.files.paths import store_root
    from mystyle_cli.store.store import Store

    return Store(store_root(Path(folder) if folder is not None else None))


def open_profile(name: str, store: Path | str | None = None) -> Person:
    """Open a person's profile, of the command line's store if none is named, for use from Python.

    Raises:
        ProfileError: the profile is missing, unfinished or damaged.
    """
    from mystyle_cli.api import Person

    profile = open_store(store).open(name)
    return Person(profile.path, profile.manifest)


def open_people(store: Path | str | None = None) -> People:
    """Open everybody of a store, by default the command line's, for photos of several of them.

    Raises:
        ProfileError: there is no finished profile, or one is damaged: `store.open_ready` opens the others.
    """
    from mystyle_cli.api import People
    from mystyle_cli.errors import ProfileError

    there = open_store(store)
    profiles, refused = there.open_ready()
    if refused:
        raise next(iter(refused.values()))
    if not profiles:
        raise ProfileError(
            f"there is no finished profile in {there.root}", "Create one: mystyle profile create NAME PHOTOS"
        )
    return People(profiles)
