"""What readers find of a profile that another command may be changing under their eyes."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from mystyle_cli.errors import ProfileError, UsageError
from mystyle_cli.files.owned import Owned
from mystyle_cli.files.paths import check_name
from mystyle_cli.files.reading import StrangeFileError
from mystyle_cli.person.files import unreadable
from mystyle_cli.person.layout import COMMIT, LAYOUT, NEXT, digest_of_data, marked, owned, place_of
from mystyle_cli.person.manifest import NAME, Manifest
from mystyle_cli.store.draft import made_by_us

# seconds that a reader waits for another command to finish putting a new version in place
SETTLING: Final = 0.2

# how often a reader looks before it believes that something is wrong which changes from look to look
LOOKS: Final = 5

# what earlier versions called a profile whose deletion was under way
TRASH: Final = re.compile(r"\.deleted-[0-9a-f]{8}")

Found = TypeVar("Found")


def twice(look: Callable[[], Found], wrong: Callable[[Found], object]) -> Found:
    """Look until nothing is wrong, or the same twice: another command may be putting a version in place."""
    seen = look()
    for _ in range(LOOKS):
        before = wrong(seen)
        if not before:
            break
        seen = look()
        if wrong(seen) == before:
            break
    return seen


def can_be_called(name: str) -> bool:
    """Tell whether a folder's name is one that a profile can be asked for by."""
    try:
        return check_name(name) == name
    except UsageError:
        return False


def is_trash(folder: Path) -> bool:
    """Tell whether a folder is what a deletion left: a profile, or files of one and nothing else."""
    here = Owned(folder.parent, folder.name, LAYOUT)
    return here.exists() and (not here.content().strangers or made_by_us(folder))


def wait_for_commit(folder: Path) -> None:
    """Wait a little while another command moves a new version to its place; a killed one is read as it is."""
    here, deadline = owned(folder), time.monotonic() + SETTLING
    while here.has(f"{COMMIT}/{NAME}") and time.monotonic() < deadline:
        time.sleep(SETTLING / 20)


@contextmanager
def reading(place: Path) -> Iterator[None]:
    """Turn what the system refuses while a profile or the store is read into a ProfileError.

    Args:
        place: what is said to be unreadable where the system names nothing.
    """
    try:
        yield
    except OSError as error:
        raise unreadable(place, error) from error


def is_profile(folder: Path) -> bool:
    """Tell whether a folder holds a profile, or one whose making or deletion was interrupted."""
    if folder.name.startswith("."):
        return False
    try:
        if not folder.is_dir():
            return False
        there = marked(folder) or any(os.path.lexists(folder / name) for name in (COMMIT, NEXT))
        return there or _is_something(folder / NAME)
    except PermissionError:  # whoever opens it is told
        return True


def _is_something(path: Path) -> bool:
    """Tell whether a file, link, pipe or whatever else but a folder is there."""
    try:
        return not stat.S_ISDIR(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def damaged_files(folder: Path, manifest: Manifest) -> tuple[dict[str, str], list[ProfileError]]:
    """Compare every listed file with its digest: sentences by name, and errors for what cannot be read."""
    problems: dict[str, str] = {}
    closed: list[ProfileError] = []
    for name, digest in manifest.digests().items():
        path = place_of(folder, name)
        try:
            if digest_of_data(folder, name) != digest:
                problems[name] = f"{path} has changed since it was written (its digest differs)"
        except FileNotFoundError:
            problems[name] = f"{path} is missing"
        except StrangeFileError as error:
            problems[name] = f"{path} cannot be read: {error.strerror}"
        except OSError as error:
            closed.append(unreadable(path, error))
    return problems, closed
