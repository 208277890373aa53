"""Where results go: every name is chosen and looked at before any work is done."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Final

from mystyle_cli.errors import MystyleError, UsageError, reason_of
from mystyle_cli.files.writing import check_writable, sweep
from mystyle_cli.terminal.inputs import STREAM, Input, file_id

if TYPE_CHECKING:
    from mystyle_cli.photos.pixels import Format

FORMAT: Final = "png"  # ending of results where neither -o nor --format names one
JPEG_QUALITY: Final = 95  # of jpeg and webp, from 1 to 100


@dataclass(frozen=True)
class Target:
    """Where one result goes."""

    path: Path | None  # the file; None is standard output
    format: Format

    @property
    def name(self) -> str:
        """What messages call it."""
        return STREAM if self.path is None else str(self.path)


@dataclass(frozen=True)
class Place:
    """Where everything goes that is kept of one input."""

    target: Target
    code: Path | None = None  # the file of its code; None keeps none
    beside: tuple[Target, ...] = ()  # further pictures of it

    @property
    def paths(self) -> list[Path]:
        """The files."""
        return [path for path in (self.target.path, self.code, *self._beside) if path is not None]

    @property
    def needed(self) -> list[Path]:
        """Those that there are in the end, whatever comes of it; the last to be written among them."""
        return [path for path in (self.target.path, self.code) if path is not None]

    @property
    def _beside(self) -> list[Path | None]:
        return [target.path for target in self.beside]

    def split(self, variants: int) -> Place:
        """Return places of variants of a result, OUT-1, OUT-2 ..., and of the map of what is open, OUT-open.

        Raises:
            UsageError: it goes to standard output.
        """
        if self.target.path is None:
            raise UsageError(f"{variants} variants cannot go to standard output", "Use -o FILE.")
        path = self.target.path
        names = [*map(str, range(1, variants + 1)), OPEN]
        first, *more = (replace(self.target, path=path.with_stem(f"{path.stem}-{name}")) for name in names)
        return replace(self, target=first, beside=tuple(more))


OPEN: Final = "open"  # what the name of a map of what a photo leaves open ends in

VARIANT: Final = re.compile(rf"(.+)-(\d+|{OPEN})")
"""The stem of a variant's name, or of such a map's."""


@dataclass(frozen=True)
class Originals:
    """The files that no result may replace, known as the system knows them, whatever way a path takes."""

    ids: frozenset[tuple[int, int]] = frozenset()  # device and number of each

    @classmethod
    def of(cls, paths: Iterable[Path]) -> Originals:
        """Return those of files, and of all files in folders; what is not there cannot be replaced."""
        ids = set()
        for path in paths:
            inner = path.rglob("*") if os.path.isdir(path) else ()
            for file in (path, *inner):
                with suppress(OSError):
                    ids.add(file_id(file))
        return cls(frozenset(ids))

    def __or__(self, other: Originals) -> Originals:
        return Originals(self.ids | other.ids)

    def refuse(self, path: Path) -> None:
        """Refuse to write a result over an original, however its path is written; raises UsageError."""
        with suppress(OSError):
            if file_id(path) in self.ids:
                raise UsageError(
                    f"{path} would replace an input", "Originals are never touched: use another -o."
                )


NONE: Final = Originals()


@dataclass
class Ground:
    """Looks at places where results are to be written, before anything is done for them."""

    originals: Originals
    overwrite: bool
    advice: str = "Use --overwrite, or another -o."  # what to do where they are not
    _folders: dict[Path, str] = field(default_factory=dict)

    def check(self, path: Path) -> None:
        """Refuse a place where a result could not be written, or where something stays.

        What a killed command left half-written in its folder goes.

        Raises:
            UsageError: an input, a link or an older result is there.
            MystyleError: nothing can be written there.
        """
        self.refuse(path)
        if refusal := _refusal(lambda: _look(path)) or self._try(path.parent):
            raise MystyleError(f"{path} cannot be written: {refusal}", "Choose another place with -o.")

    def refuse(self, path: Path) -> None:
        """Refuse (UsageError) a place where an input, a link or an older result is.

        Asked again before a result is written: somebody may have put something there while it was made.
        """
        self.originals.refuse(path)
        if os.path.islink(path):
            raise UsageError(f"{path} is a link, and no result is written through one", "Use another -o.")
        if os.path.lexists(path) and not self.overwrite:
            raise UsageError(f"{path} is already there", self.advice)

    def _try(self, folder: Path) -> str:
        """Return why nothing can be written in a folder, "" where it can; it is tried once."""
        if folder not in self._folders:
            sweep(folder)
            self._folders[folder] = _refusal(lambda: check_writable(folder))
        return self._folders[folder]

    def check_all(self, paths: Iterable[Path]) -> None:
        """Check places of which each is needed.

        Raises:
            UsageError: as `check`, or two of them are one.
            MystyleError: as `check`.
        """
        seen: set[str] = set()
        for path in paths:
            self.check(path)
            real = os.path.realpath(path)
            if real in seen:
                raise UsageError(f"{path} would be written twice", "Use another -o or --grid.")
            seen.add(real)


def _look(path: Path) -> None:
    """Raise OSError where a name cannot be one, such as one that is too long."""
    with suppress(FileNotFoundError):
        path.lstat()


def _refusal(act: Callable[[], None]) -> str:
    """Return why the system refuses something, "" where it does not."""
    try:
        act()
    except OSError as error:
        return error.strerror or str(error)
    return ""


@dataclass(frozen=True)
class Naming:
    """How results are called: `{stem}.{command}{ext}`.

    Raises:
        UsageError: the template has other fields, or no name comes of it.
    """

    template: str

    def __post_init__(self) -> None:
        """Refuse what is no template, before any photo is looked at."""
        hint = f"Give a file's name with some of {', '.join(f'{{{name}}}' for name in FIELDS)}."
        try:
            parts = list(Formatter().parse(self.template))
        except ValueError as error:
            raise UsageError(f"{self.template!r}: {reason_of(error)}", hint) from error
        fields = [part for part in parts if part[1] is not None]
        # a field with a dot or an index would read attributes; a width could ask for any number of letters
        odd = [name for _, name, width, kind in fields if name not in FIELDS or width or kind]
        if odd:
            raise UsageError(f"{self.template!r}: there is no {{{odd[0]}}}", hint)
        if not any(name in ("stem", "name") for _, name, _, _ in fields):
            raise UsageError(f"{self.template!r}: all results would be called alike", hint)
        if {"/", "\\", "\0"} & set(self.template):
            raise UsageError(f"{self.template!r}: a name is no path", "Say the folder with -o.")

    def path(self, item: Input, output: str | None, command: str, suffix: str) -> Path:
        """Return the file of an input's result; raises UsageError where that can be none."""
        if item.path is None:
            raise UsageError("--name does nothing for what comes from a stream", "Use -o FILE.")
        if output is not None and not names_folder(output):
            raise UsageError(f"-o {output} is a name already", "Leave out --name, or give -o FOLDER.")
        folder = item.path.parent if output is None else Path(output) / item.relative.parent
        name = self.template.format(stem=item.path.stem, name=item.path.name, command=command, ext=suffix)
        return folder / name

    def without_results(
        self, inputs: Sequence[Input], output: str | None, command: str, suffix: str
    ) -> list[Input]:
        """Leave out what is in a folder only because an earlier run of this command has put it there.

        A photo may be called as a result would be. It stays an input, which no result replaces.
        """
        made = {os.path.realpath(self.path(item, output, command, suffix)) for item in inputs}
        return [
            item
            for item in inputs
            if item.path is None
            or not item.from_folder
            or not made & _results_like(item.path)
            or not _is_ours(item.path)
        ]


def _results_like(path: Path) -> set[str]:
    """Return the path of a file, and that of the result of which its name may be a variant's."""
    variant = VARIANT.fullmatch(path.stem)
    names = [path] if variant is None else [path, path.with_stem(variant[1])]
    return {os.path.realpath(name) for name in names}


def _is_ours(path: Path) -> bool:
    """Tell whether a picture says that this program made it."""
    from mystyle_cli.photos.marks import read_marks

    try:
        return read_marks(path) is not None
    except MystyleError:
        return False


FIELDS: Final = ("stem", "name", "command", "ext")  # of names: the photo's without its ending, and with it


def plan(
    inputs: Sequence[Input],
    output: str | None,
    task: str,
    format_name: str,
    originals: Originals = NONE,
    codes: Path | None = None,
    naming: Naming | None = None,
) -> list[Place]:
    """Choose every file that results go to, before any work is done.

    Args:
        output: `-o` as typed: a file, a folder, `-`, or None.
        task: the command, for names beside the input.
        format_name: suffix without dot for names that are made up here.
        naming: how results are called; None leaves it to this function.
        codes: the folder that codes are kept in; None keeps none.

    Raises:
        UsageError: the results cannot all go there, or one would replace an input.
    """
    if naming is None:
        targets = _targets(inputs, output, task, f".{format_name}")
    else:
        targets = [target_for(naming.path(item, output, task, f".{format_name}")) for item in inputs]
    if codes is None:
        places = [Place(target) for target in targets]
    else:
        names = _apart(inputs, lambda item: item.relative, ".safetensors")
        places = [Place(target, codes / name) for target, name in zip(targets, names, strict=True)]
    _refuse_clashes(inputs, places, originals)
    return places


def split(
    inputs: Sequence[Input], places: Sequence[Place], variants: int, originals: Originals
) -> list[Place]:
    """Return places for some variants of each result, see `Place.split`; raises UsageError as `plan`."""
    apart = [place.split(variants) for place in places]
    _refuse_clashes(inputs, apart, originals)
    return apart


def _targets(inputs: Sequence[Input], output: str | None, task: str, suffix: str) -> list[Target]:
    if output == STREAM or (output is None and len(inputs) == 1 and inputs[0].path is None):
        if len(inputs) > 1:
            raise UsageError(f"{len(inputs)} results cannot go to standard output", "Use -o FOLDER.")
        return [Target(None, target_for(Path(STREAM + suffix)).format)]
    if output is None:
        return [target_for(path) for path in _apart(inputs, _beside, f".{task}{suffix}")]
    if names_folder(output):
        return [
            target_for(Path(output) / name) for name in _apart(inputs, lambda item: item.relative, suffix)
        ]
    if len(inputs) > 1 or inputs[0].from_folder:
        raise needs_folder(
            output, "the results of a folder" if len(inputs) == 1 else f"{len(inputs)} results"
        )
    return [target_for(Path(output))]


def names_folder(output: str) -> bool:
    """Tell whether `-o` names a folder: one that is there, or a name without an ending or ending in `/`."""
    return output.endswith(("/", "\\")) or os.path.isdir(output) or not Path(output).suffix


def needs_folder(output: str, what: str) -> UsageError:
    """Return what is said where `-o` names a file and results need a folder."""
    return UsageError(f"{output} names a file, and {what} need a folder", f"For a folder: -o {output}/")


def _beside(item: Input) -> Path:
    if item.from_folder or item.path is None:
        raise UsageError(f"{item.name}: where should its result go?", "Use -o FOLDER.")
    return item.path


def _apart(inputs: Sequence[Input], place: Callable[[Input], Path], suffix: str) -> list[Path]:
    """Name a file for each input, with another ending.

    Inputs that differ only in their ending keep it: a.jpg.png, a.webp.png; and so does an input whose name
    one of those has then.
    """
    whole: set[int] = set()
    while True:
        places = [place(item) for item in inputs]
        names = [
            path.with_name((path.name if number in whole else path.stem) + suffix)
            for number, path in enumerate(places)
        ]
        count = Counter(names)
        more = {number for number, name in enumerate(names) if count[name] > 1} - whole
        if not more:
            return names
        whole |= more


def target_for(path: Path) -> Target:
    """Return the place of a result whose file is known; its ending says the format, or raises UsageError."""
    from mystyle_cli.photos.encode import format_of

    return Target(path, format_of(path))


def refuse_idle(targets: Sequence[Target], format_name: str | None, jpeg_quality: int | None) -> None:
    """Refuse (UsageError) a format or a quality that no result would have."""
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
    if jpeg_quality is not None and all(target.format == "png" for target in targets):
        raise UsageError(
            "--jpeg-quality does nothing here: what is written is png, which keeps every pixel",
            "Leave it out, or use --format jpg or webp.",
        )


def _refuse_clashes(inputs: Sequence[Input], places: Sequence[Place], originals: Originals) -> None:
    named = {os.path.realpath(item.path) for item in inputs if item.path is not None}  # even missing ones
    originals |= Originals.of(item.path for item in inputs if item.path is not None)
    seen: dict[str, Input] = {}
    for item, place in zip(inputs, places, strict=True):
        for path in place.paths:
            originals.refuse(path)
            real = os.path.realpath(path)
            if real in named:
                raise UsageError(
                    f"{path} would replace an input", "Originals are never touched: use another -o."
                )
            if real in seen:
                raise UsageError(
                    f"{seen[real].name} and {item.name} would both become {path}",
                    "Give the folder above with --recursive, so that the tree is kept; in --name use {name}.",
                )
            seen[real] = item
