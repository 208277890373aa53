"""mystyle learns one person from their photos and repairs, enlarges and edits photos of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mystyle_cli.api import Person
    from mystyle_cli.person.store import Store

__all__ = ["__version__", "open_profile", "open_store"]
__version__ = "0.1.0"


def open_store(folder: Path | str | None = None) -> Store:
    """Open the folder of profiles.

    Args:
        folder: by default the one that the command line uses.
    """
    from mystyle_cli.paths import store_root
    from mystyle_cli.person.store import Store

    return Store(store_root(Path(folder) if folder is not None else None))


def open_profile(name: str, store: Path | str | None = None) -> Person:
    """Open a person's profile for use from Python.

    Args:
        name: the profile's name.
        store: folder of profiles; by default the one that the command line uses.

    Raises:
        ProfileError: the profile is missing, unfinished or damaged.
    """
    from mystyle_cli.api import Person

    profile = open_store(store).open(name)
    return Person(profile.path, profile.manifest)
