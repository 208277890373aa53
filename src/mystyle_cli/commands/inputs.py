"""From what was typed to a list of inputs, and from each input to the file that its result goes to."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mystyle_cli.errors import UsageError

if TYPE_CHECKING:
    from mystyle_cli.photos.decode import Format

PICTURES: Final = frozenset(
    f".{ending}"
    for ending in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "webp", "heic", "heif", "avif"),
        *("tif", "tiff", "bmp", "gif", "pgm", "ppm"),
    )
)
"""Suffixes that a folder is searched for; a file that is named is read whatever its suffix."""

STREAM: Final = "-"

FORMAT: Final = "png"
"""Ending of results where neither -o nor --format names one."""

QUALITY: Final = 95
"""Of jpeg and webp, from 1 to 100."""


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


@dataclass(frozen=True)
class Target:
    """Where one result goes.

    Args:
        path: the file; None is standard output.
        format: what is written there.
    """

    path: Path | None
    format: Format

    @property
    def name(self) -> str:
        """What messages call it."""
        return STREAM if self.path is None else str(self.path)


@dataclass(frozen=True)
class Originals:
    """The files that no result may replace, known as the system knows them, whatever way a path takes.

    Args:
        ids: device and number of each.
    """

    ids: frozenset[tuple[int, int]] = frozenset()

    @classmethod
    def of(cls, places: Iterable[Path]) -> Originals:
        """Return those of files, and of all files in folders; what is not there cannot be replaced."""
        found = set()
        for place in places:
            inner = place.rglob("*") if os.path.isdir(place) else ()
            for path in (place, *inner):
                with suppress(OSError):
                    found.add(_id(path))
        return cls(frozenset(found))

    def __or__(self, other: Originals) -> Originals:
        """Return all of both."""
        return Originals(self.ids | other.ids)

    def refuse(self, path: Path) -> None:
        """Refuse to write a result over an original, however its path is written.

        Raises:
            UsageError: it would.
        """
        with suppress(OSError):
            if _id(path) in self.ids:
                raise UsageError(
                    f"{path} would replace an input", "Originals are never touched: use another -o."
                )


def refuse_link(path: Path) -> None:
    """Refuse to write a result through a link.

    Raises:
        UsageError: a link is in its place.
    """
    if path.is_symlink():
        raise UsageError(f"{path} is a link, and no result is written through one", "Use another -o.")


NONE: Final = Originals()


def _id(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


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


def left_out(arguments: Iterable[str], recursive: bool) -> str:
    """Say which files of the folders among the arguments are not called pictures, or "".

    Args:
        arguments: what was typed.
        recursive: folders below were searched too.
    """
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
        found = _found(path, _files(path, recursive))
        if not found and path.suffix.lower() in PICTURES:  # a shell's *.jpg took it for a picture
            return [Input(path, Path(path.name))]
        return _some(found, argument, deep=recursive)
    if not os.path.exists(path) and glob.has_magic(argument):
        root, pattern = _root_of(argument)
        matches = glob.glob(os.path.join(glob.escape(str(root)), pattern), recursive=True)
        return _some(_found(root, map(Path, matches), from_folder=False), argument, deep=True)
    return [Input(path, Path(path.name))]  # one that is missing fails when it is read, alone


def _files(folder: Path, recursive: bool) -> Iterator[Path]:
    """Yield the files of a folder, also of linked folders in it, each folder once."""
    seen: set[tuple[int, int]] = set()
    for place, inner, names in os.walk(folder, followlinks=True):
        with suppress(OSError):
            known = len(seen)
            seen.add(_id(Path(place)))
            if len(seen) == known:  # a link to a folder above or beside
                inner.clear()
                continue
        yield from (Path(place, name) for name in names)
        if not recursive:
            return


def _called_picture(path: Path) -> bool:
    """Tell whether a file's name is one of a picture."""
    return path.suffix.lower() in PICTURES and not path.name.startswith(".")


def _found(root: Path, paths: Iterable[Path], from_folder: bool = True) -> list[Input]:
    """Return what is called a picture; what is none, such as a broken link, fails when it is read, alone."""
    return [
        Input(path, path.relative_to(root), from_folder)
        for path in sorted(paths, key=lambda path: path.as_posix())
        if _called_picture(path) and not os.path.isdir(path)
    ]


def _some(found: list[Input], argument: str, deep: bool) -> list[Input]:
    """Return inputs if there are any; `deep` where folders below were searched, or none was meant."""
    if not found:
        others = left_out([argument], recursive=True)
        raise UsageError(
            f"{argument}: no pictures there{f'; {others}' if others else ''}",
            "Check the path." if deep else "Check the path; --recursive searches folders below.",
        )
    return found


def _root_of(pattern: str) -> tuple[Path, str]:
    """Split a pattern into its longest leading folder, which may be called as a wildcard is, and the rest."""
    parts = Path(pattern).parts
    plain = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    while plain + 1 < len(parts) and os.path.isdir(Path(*parts[: plain + 1])):
        plain += 1
    return Path(*parts[:plain]), os.path.join(*parts[plain:])


def plan(
    inputs: Sequence[Input],
    output: str | None,
    task: str,
    format_name: str,
    originals: Originals = NONE,
) -> list[Target]:
    """Choose each result's file before any work is done.

    Args:
        inputs: what is worked on.
        output: `-o` as typed: a file, a folder, `-`, or None.
        task: the command, for names beside the input.
        format_name: suffix without dot for names that are made up here.
        originals: what no result may replace besides the inputs.

    Raises:
        UsageError: the results cannot all go there, or one would replace an input.
    """
    suffix = f".{format_name}"
    if output == STREAM or (output is None and len(inputs) == 1 and inputs[0].path is None):
        targets = _to_stream(inputs, suffix)
    elif output is None:
        targets = [_beside(item, task, suffix) for item in inputs]
    elif _is_folder(output, inputs):
        targets = _into_folder(Path(output), inputs, suffix)
    else:
        targets = [target_for(Path(output))]
    _refuse_clashes(inputs, targets, originals)
    return targets


def _to_stream(inputs: Sequence[Input], suffix: str) -> list[Target]:
    if len(inputs) > 1:
        raise UsageError(f"{len(inputs)} results cannot go to standard output", "Use -o FOLDER.")
    return [Target(None, target_for(Path(STREAM + suffix)).format)]


def _beside(item: Input, task: str, suffix: str) -> Target:
    if item.from_folder or item.path is None:
        raise UsageError(f"{item.name}: where should its result go?", "Use -o FOLDER.")
    return target_for(item.path.with_name(f"{item.path.stem}.{task}{suffix}"))


def _is_folder(output: str, inputs: Sequence[Input]) -> bool:
    many = len(inputs) > 1 or inputs[0].from_folder
    return many or output.endswith(("/", "\\")) or os.path.isdir(output)


def _into_folder(folder: Path, inputs: Sequence[Input], suffix: str) -> list[Target]:
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise UsageError(f"{folder} is a file, and {len(inputs)} results need a folder", "Use -o FOLDER.")
    stems = Counter(item.relative.with_suffix(suffix) for item in inputs)
    targets = []
    for item in inputs:
        place = item.relative.with_suffix(suffix)
        if stems[place] > 1:  # a.jpg and a.png: keep both names whole
            place = item.relative.with_name(item.relative.name + suffix)
        targets.append(target_for(folder / place))
    return targets


def target_for(path: Path) -> Target:
    """Return the place of a result whose file is known; its ending says the format.

    Raises:
        UsageError: nothing is written under that ending.
    """
    from mystyle_cli.photos.decode import format_of

    return Target(path, format_of(path))


def _refuse_clashes(inputs: Sequence[Input], targets: Sequence[Target], originals: Originals) -> None:
    named = {os.path.realpath(item.path) for item in inputs if item.path is not None}  # even missing ones
    originals |= Originals.of(item.path for item in inputs if item.path is not None)
    seen: dict[Path, Input] = {}
    for item, target in zip(inputs, targets, strict=True):
        if target.path is None:
            continue
        originals.refuse(target.path)
        if os.path.realpath(target.path) in named:
            raise UsageError(
                f"{target.path} would replace an input", "Originals are never touched: use another -o."
            )
        if target.path in seen:
            raise UsageError(
                f"{seen[target.path].name} and {item.name} would both become {target.path}",
                "Give the folder above them with --recursive, so that the tree is kept.",
            )
        seen[target.path] = item


def refuse_idle(targets: Sequence[Target], format_name: str | None, quality: int | None) -> None:
    """Refuse a format or a quality that no result would have.

    Args:
        targets: where results go.
        format_name: `--format` as typed, or None.
        quality: `--jpeg-quality` as typed, or None.

    Raises:
        UsageError: a result is of another format, or none of a format that has a quality.
    """
    if format_name is not None:
        if not targets:
            raise UsageError(
                "--format does nothing here: the one picture has a name", "Leave it out, or give -o DIR."
            )
        wanted = target_for(Path(f"{STREAM}.{format_name}")).format
        for target in targets:
            if target.format != wanted:
                raise UsageError(
                    f"-o {target.name} and --format {format_name} contradict each other", "Give one of them."
                )
    if quality is not None and all(target.format == "png" for target in targets):
        raise UsageError(
            "--jpeg-quality does nothing here: what is written is png, which keeps every pixel",
            "Leave it out, or use --format jpg or webp.",
        )


def check_free(targets: Iterable[Target], overwrite: bool, originals: Originals) -> None:
    """Refuse to replace what is there, before any work.

    Raises:
        UsageError: a result is there already and may not be replaced, or two would be one file.
    """
    seen: set[Path] = set()
    for target in targets:
        if target.path is None:
            continue
        originals.refuse(target.path)
        refuse_link(target.path)
        if target.path in seen:
            raise UsageError(f"{target.path} would be written twice", "Use another -o or --grid.")
        seen.add(target.path)
        if os.path.exists(target.path) and not overwrite:
            raise UsageError(f"{target.path} is already there", "Use --overwrite, or another -o.")
