"""From what was typed to a list of inputs."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mystyle_cli.errors import UsageError

# suffixes that a folder is searched for; a file that is named is read whatever its suffix
PICTURES: Final = frozenset(
    f".{ending}"
    for ending in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "webp", "heic", "heif", "avif"),
        *("tif", "tiff", "bmp", "gif", "pgm", "ppm"),
    )
)

STREAM: Final = "-"


@dataclass(frozen=True)
class Input:
    """One picture to work on."""

    path: Path | None  # the file; None is standard input
    relative: Path  # its place under the folder or pattern that it was found by
    from_folder: bool = False

    @property
    def name(self) -> str:
        """What messages call it."""
        return STREAM if self.path is None else str(self.path)


def expand(arguments: Iterable[str], recursive: bool) -> list[Input]:
    """Turn files, folders, patterns and `-` into inputs: each once, folders and patterns sorted.

    Raises:
        UsageError: a folder or pattern holds no picture.
    """
    inputs: dict[str, Input] = {}
    for argument in arguments:
        for item in _expand_one(argument, recursive):
            inputs.setdefault(item.name, item)
    return list(inputs.values())


def expand_paths(arguments: Iterable[str], recursive: bool) -> list[Path]:
    """Do as `expand` where standard input makes no sense."""
    paths = [item.path for item in expand(arguments, recursive)]
    if None in paths:
        raise UsageError("standard input cannot be used here", "Name files or folders.")
    return [path for path in paths if path is not None]


def left_out(arguments: Iterable[str], recursive: bool) -> str:
    """Say which files of the folders among the arguments are not called pictures, or ""."""
    counts = Counter(
        path.suffix.lower() or "without an ending"
        for argument in arguments
        if argument != STREAM and os.path.isdir(argument)
        for path in _files(Path(argument), recursive)
        if not _called_picture(path) and not path.name.startswith(".")
    )
    if not counts:
        return ""
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
    are = "file is" if counts.total() == 1 else "files are"
    return f"{counts.total()} {are} left out as not called a picture: {kinds} (named, they are tried)"


def _expand_one(argument: str, recursive: bool) -> list[Input]:
    path = Path(argument)
    if argument == STREAM:
        return [Input(None, Path("stdin"))]
    if os.path.isdir(path):
        pictures = _pictures(path, _files(path, recursive))
        if not pictures and path.suffix.lower() in PICTURES:  # a shell's *.jpg took it for a picture
            return [Input(path, Path(path.name))]
        return _some(pictures, argument, deep=recursive)
    if not os.path.exists(path) and glob.has_magic(argument):  # a file may be called like a pattern
        root, pattern = _root_of(argument)
        matches = glob.glob(os.path.join(glob.escape(str(root)), pattern), recursive=True)
        return _some(_pictures(root, map(Path, matches), from_folder=False), argument, deep=True)
    return [Input(path, Path(path.name))]  # one that is missing fails when it is read, alone


def pictures_of(folder: Path, recursive: bool) -> list[Input]:
    """Return what is called a picture in a folder now, sorted; nothing where there is none."""
    return _pictures(folder, _files(folder, recursive))


def _files(folder: Path, recursive: bool) -> Iterator[Path]:
    """Yield the files of a folder, also of linked folders in it, each folder once."""
    seen: set[tuple[int, int]] = set()
    for inside, inner, names in os.walk(folder, followlinks=True):
        with suppress(OSError):
            known = len(seen)
            seen.add(file_id(Path(inside)))
            if len(seen) == known:  # a link to a folder above or beside
                inner.clear()
                continue
        yield from (Path(inside, name) for name in names)
        if not recursive:
            return


def file_id(path: Path) -> tuple[int, int]:
    """Return what the system knows a file or folder by, whatever way its path takes: device and number."""
    status = path.stat()
    return status.st_dev, status.st_ino


def _called_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURES and not path.name.startswith(".")


def _pictures(root: Path, paths: Iterable[Path], from_folder: bool = True) -> list[Input]:
    """Return what is called a picture; what is none, such as a broken link, fails when it is read, alone."""
    return [
        Input(path, path.relative_to(root), from_folder)
        for path in sorted(paths, key=lambda path: path.as_posix())
        if _called_picture(path) and not os.path.isdir(path)
    ]


def _some(inputs: list[Input], argument: str, deep: bool) -> list[Input]:
    """Return inputs if there are any; `deep` where folders below were searched, or none was meant."""
    if not inputs:
        others = left_out([argument], recursive=True)
        raise UsageError(
            f"{argument}: no pictures there{f'; {others}' if others else ''}",
            "Check the path." if deep else "Check the path; --recursive searches folders below.",
        )
    return inputs


def _root_of(pattern: str) -> tuple[Path, str]:
    """Split a pattern into its longest leading folder, which may be called as a wildcard is, and the rest."""
    parts = Path(pattern).parts
    plain = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    while plain + 1 < len(parts) and os.path.isdir(Path(*parts[: plain + 1])):
        plain += 1
    return Path(*parts[:plain]), os.path.join(*parts[plain:])
