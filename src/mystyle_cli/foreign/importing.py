"""From other people's files to a prior of one's own: read, converted, written whole or not at all.

Source: paper sec. 3.1 (G_d and its helpers).
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from mystyle_cli.errors import ModelError, UsageError
from mystyle_cli.files.owned import Layout, Owned
from mystyle_cli.files.paths import check_name, priors_root
from mystyle_cli.files.writing import lock_of, sync_folder
from mystyle_cli.foreign.making import MANIFEST, Imported, Making, Parts
from mystyle_cli.prior.registry import REPLACED, bundled_priors, imported_priors
from mystyle_cli.progress import Progress, silent

UNFINISHED: Final = ".import-"
REMOVED: Final = ".removed-"
# the names that import gives; files and folders of other names in a prior are the user's
LAYOUT: Final = Layout(
    files=re.compile(
        r"prior\.toml|(generator|perceptual)\.safetensors|(encoder|identity|matte)\.onnx"
        r"|directions/[^/]+\.safetensors"
    ),
    folders=frozenset({"directions"}),
)

# what imports and removals are called while they are under way, or were by earlier versions
_LEFT: Final = re.compile(r"\.(import|removed)-[0-9a-f]{8}|\.new-.+")


def import_prior(
    name: str, parts: Parts, *, overwrite: bool = False, progress: Progress = silent
) -> Imported:
    """Make a prior of foreign files, under the user's priors; one that is bundled is never replaced.

    Raises:
        UsageError: the name is no name, or taken.
        ModelError: a file is refused, the files do not fit each other, or the disk is full.
    """
    name = _free_name(name, overwrite)
    with _changing() as root:
        folder = root / f"{UNFINISHED}{secrets.token_hex(4)}"
        try:
            folder.mkdir()
            making = Making(name, folder, parts, progress)
            making.make()
            _replace(root / name, folder)
        except OSError as error:
            raise ModelError(
                f"prior {name} cannot be written to {root}: {error.strerror or error}",
                "check the folder's permissions and the free disk",
            ) from error
        finally:
            with suppress(OSError):
                Owned(root, folder.name, LAYOUT).clear()
    return Imported(root / name, making.dialect, tuple(making.notes))


def remove_prior(name: str) -> tuple[Path, list[Path]]:
    """Remove an imported prior for good; interrupted, it goes on when it is called again.

    Returns:
        Where it was, and what is left there, for it was not imported.

    Raises:
        UsageError: it is a bundled one.
        ModelError: there is no such prior, it is reached through a link, or the folder cannot be changed.
    """
    if name in bundled_priors():
        raise UsageError(f"{name} came with mystyle and cannot be removed", "name an imported prior")
    if priors_root().is_dir():
        with _changing() as root:  # which finishes an interrupted removal
            if name in imported_priors():
                return root / name, [root / name / stranger for stranger in _remove(root, name)]
    known = ", ".join(imported_priors()) or "none"
    raise ModelError(f"no imported prior {name!r} (there: {known})", "see `mystyle prior list`")


def _remove(root: Path, name: str) -> Sequence[str]:
    """Remove an imported prior, at one instant where nothing else is in it; returns what is left."""
    prior = Owned(root, name, LAYOUT)
    _refuse_link(prior)
    try:
        if prior.content().strangers:
            return prior.vanish((MANIFEST,))
        gone = Owned(root, f"{REMOVED}{secrets.token_hex(4)}", LAYOUT)
        prior.path.rename(gone.path)
        sync_folder(root)
        return gone.clear()
    except OSError as error:
        raise ModelError(
            f"{root / name} cannot be removed: {error.strerror}", "check the folder's permissions"
        ) from error


def _refuse_link(prior: Owned) -> None:
    if not prior.exists():
        raise ModelError(
            f"{prior.path} is a link, and what is reached through one is only read",
            "remove the link yourself, or choose another name",
        )


def _free_name(name: str, overwrite: bool) -> str:
    """Return a name in its normal form, after seeing that it may be given."""
    name = check_name(name, "prior")
    if name in bundled_priors():
        raise UsageError(f"{name} is the name of a bundled prior", "choose another name")
    there = Owned(priors_root(), name, LAYOUT)
    if not os.path.lexists(there.path):
        return name
    if not overwrite:
        raise UsageError(
            f"there is a prior {name} already", "choose another name, or say --overwrite to replace it"
        )
    _refuse_link(there)
    strangers = there.content().strangers
    if strangers or not there.has(MANIFEST):
        named = ", ".join(str(there.path / stranger) for stranger in strangers[:3]) or "no prior.toml"
        raise ModelError(
            f"{there.path} is not only what was imported, and is not replaced: {named}",
            "choose another name, or move those files away",
        )
    return name


@contextmanager
def _changing() -> Iterator[Path]:
    """Hold the folder of priors for changing, after clearing what a killed command left behind."""
    from filelock import Timeout

    root = priors_root()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with lock_of(root / ".lock").acquire(timeout=0.2):
            _clear(root)
            yield root
    except Timeout as error:
        raise ModelError(f"another command is changing {root}", "wait until it has ended") from error
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise ModelError(
            f"{root} cannot be written to: {error.strerror} ({error.filename})",
            "check the folder's permissions",
        ) from error


def _clear(root: Path) -> None:
    for name in sorted(os.listdir(root)):
        left = Owned(root, name, LAYOUT)
        if not left.exists() or left.content().strangers:
            continue
        target = root / name.removeprefix(REPLACED)
        if name.startswith(REPLACED) and left.has(MANIFEST) and not os.path.lexists(target):
            os.rename(left.path, target)  # killed between the renames of `_replace`
        elif name.startswith(REPLACED) or _LEFT.fullmatch(name):
            with suppress(OSError):
                left.clear()


def _replace(target: Path, made: Path) -> None:
    """Put a finished folder in its place; until it is there, readers find the one before under its name."""
    # two renames, for no system swaps folders at one instant; `open_prior` and `_clear` know the first's name
    before = Owned(target.parent, f"{REPLACED}{target.name}", LAYOUT)
    if os.path.lexists(target):
        target.rename(before.path)
    made.rename(target)
    sync_folder(target.parent)
    with suppress(OSError):
        before.clear()
