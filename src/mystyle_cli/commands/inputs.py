"""From what was typed to a list of inputs."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mystyle_cli.errors import UsageError

PICTURES: Final = frozenset(
    f".{ending}"
    for ending in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "webp", "heic", "heif", "avif"),
        *("tif", "tiff", "bmp", "gif", "pgm", "ppm"),
    )
)
"""Suffixes that a folder is searched for; a file that is named is read whatever its suffix."""

STREAM: Final = "-"


@dataclass(frozen=True)
class Input:
    """One picture to work on.

    Args:
        path: the file; None is standard input.
        relative: its place under the folder or pattern that it was found by.
        from_folder: found in a folder rather than named.
    """

    path: Path | None
    relative: Path
    from_folder: bool = False

    @property
    def name(self) -> str:
        """What messages call it."""
        return STREAM if self.path is None else str(self.path)


def expand(arguments: Iterable[str], recursive: bool) -> list[Input]:
    """Turn files, folders, patterns and `-` into inputs: each once, folders and patterns sorted.

    Args:
        arguments: what was typed, in order.
        recursive: search folders below folders too.

    Raises:
        UsageError: a folder or pattern holds no picture.
    """
    found: dict[str, Input] = {}
    for argument in arguments:
        for item in _expand_one(argument, recursive):
            found.setdefault(item.name, item)
    return list(found.values())


def expand_paths(arguments: Iterable[str], recursive: bool) -> list[Path]:
    """Do as `expand` where standard input makes no sense."""
    paths = [item.path for item in expand(arguments, recursive)]
    if None in paths:
        raise UsageError("standard input cannot be used here", "Name files or folders.")
    return [path for path in paths if path is not None]


def _expand_one(argument: str, recursive: bool) -> list[Input]:
    path = Path(argument)
    if argument == STREAM:
        return [Input(None, Path("stdin"))]
    if os.path.isdir(path):
        pattern = "**/*" if recursive else "*"
        found = _found(path, path.glob(pattern))
        if not found and path.suffix.lower() in PICTURES:  # a shell's *.jpg took it for a picture
            return [Input(path, Path(path.name))]
        return _some(found, argument)
    if not os.path.exists(path) and glob.has_magic(argument):
        matches = (Path(match) for match in glob.glob(argument, recursive=True))
        return _some(_found(_root_of(argument), matches, from_folder=False), argument)
    return [Input(path, Path(path.name))]  # one that is missing fails when it is read, alone


def _found(root: Path, paths: Iterable[Path], from_folder: bool = True) -> list[Input]:
    """Return what is called a picture; what is none, such as a broken link, fails when it is read, alone."""
    return [
        Input(path, path.relative_to(root), from_folder)
        for path in sorted(paths, key=lambda path: path.as_posix())
        if path.suffix.lower() in PICTURES and not path.name.startswith(".") and not os.path.isdir(path)
    ]


def _some(found: list[Input], argument: str) -> list[Input]:
    """Return inputs if there are any."""
    if not found:
        raise UsageError(
            f"{argument}: no pictures there", "Check the path; --recursive searches folders below."
        )
    return found


def _root_of(pattern: str) -> Path:
    """Return the longest leading folder of a pattern that holds no wildcard."""
    parts = Path(pattern).parts
    plain = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:plain]) if plain else Path()
