"""Options that several commands share, each bundle handed to the command as one frozen object."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from mystyle_cli.config import EARLIEST_YEAR, LATEST_YEAR
from mystyle_cli.engines.named import Where, parse
from mystyle_cli.errors import UsageError
from mystyle_cli.terminal.app import App
from mystyle_cli.terminal.console import Console

if TYPE_CHECKING:
    from mystyle_cli.restore.task import Dilation
    from mystyle_cli.terminal.outputs import Naming

Function = Callable[..., Any]
Decorator = Callable[[Function], Function]


class Number(click.FloatRange):
    """A finite number within bounds; what a range of click's own lets through are nan and infinity."""

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> float:
        """Parse what was typed."""
        number = float(super().convert(value, param, context))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, context)
        return number


class Beta(click.ParamType):  # type: ignore[type-arg]  # older clicks know no generic ones
    """A dilation: a number from 0 up, or `none` for unbounded, which becomes None.

    Args:
        own: whether `auto` is one, too: the profile's own advice.
    """

    name = "number|none"

    def __init__(self, *, own: bool = False) -> None:
        self.words = ("none", "auto") if own else ("none",)

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Dilation:
        """Parse what was typed."""
        if isinstance(value, str) and value.lower() in self.words:
            return "auto" if value.lower() == "auto" else None
        try:
            beta = float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor {' or '.join(self.words)}", param, context)
        if not math.isfinite(beta) or beta < 0:
            self.fail(
                f"{value} is not a dilation; use 0 or more, or {' or '.join(self.words)}", param, context
            )
        return beta


def bundle(name: str, kind: type, options: Sequence[Decorator]) -> Decorator:
    """Return a decorator that adds options and passes their values on as one object.

    Args:
        name: the argument that the command gets.
        kind: a dataclass whose fields are named as the options.
        options: click's decorators, in the order of the help.
    """
    names = [field.name for field in fields(kind)]

    def decorate(function: Function) -> Function:
        @wraps(function)
        def gathered(*args: Any, **values: Any) -> Any:
            values[name] = kind(**{field: values.pop(field) for field in names})
            return function(*args, **values)

        decorated: Function = gathered
        for option in reversed(options):  # the last to be applied stands first in the help
            decorated = option(decorated)
        return decorated

    return decorate


# how a result says that it is AI-made: in its metadata, in its corner too, signed, or not at all
Marking = Literal["record", "visible", "c2pa", "none"]


EVERYBODY: Final = "all"  # of `--who`


class Photos(click.Argument):
    """The photos of a command; with `--who all` also what stands in NAME's place, which is left out then."""

    def process_value(self, context: click.Context, value: Any) -> Any:
        """Parse what was typed."""
        if context.params.get("who") == EVERYBODY:
            rest = () if self.value_is_missing(value) else value
            value = (*filter(None, (context.params.get("name"),)), *rest) or value
        return super().process_value(context, value)


class Name(click.Argument):
    """The name of a profile, which `--who all` stands for, and `--each` for those of several."""

    def process_value(self, context: click.Context, value: Any) -> Any:
        """Parse what was typed."""
        elsewhere = context.params.get("who") == EVERYBODY or _of_several(context)
        if elsewhere and self.value_is_missing(value):
            return ""  # with --who no photo was typed then either, which is said of those
        return super().process_value(context, value)


def _of_several(context: click.Context) -> bool:
    """Tell whether `--each` was typed; what was not may have a value of click's own until all are read."""
    return isinstance(context.params.get("each"), Path)


@dataclass(frozen=True)
class BatchOptions:
    """What is worked on, and where the results go."""

    inputs: tuple[str, ...]  # files, folders, patterns or `-`, as typed
    output: str | None  # file, folder or `-`; None puts each result beside its input
    format_name: str | None  # suffix of results whose name is made up here; None is png
    jpeg_quality: int | None  # of webp, too; None is that of `outputs.JPEG_QUALITY`
    overwrite: bool
    skip_existing: bool
    recursive: bool
    batch: int
    keep_metadata: bool
    mark: Marking | None  # how results say that they are AI-made, None for the default
    no_mark: bool
    naming: Naming | None  # how results are called; None as the program does
    on: Where | None  # where work runs; None: in this process
    dry_run: bool

    @property
    def marking(self) -> Marking:
        """How results say that they are AI-made; raises UsageError where options contradict each other."""
        return marking_of(self.mark, self.no_mark)

    @property
    def made(self) -> tuple[object, ...]:
        """What of it decides what is in a result's file."""
        return self.format_name, self.jpeg_quality, self.keep_metadata, self.marking


output_option: Final = click.option(
    "-o",
    "--output",
    metavar="FILE|DIR|-",
    help="Where results go: a name without an ending is a folder. Photos that differ only in their ending "
    "keep it: a.jpg.png, a.webp.png.  [default: beside each input]",
)
format_option: Final = click.option(
    "--format",
    "format_name",
    type=click.Choice(["png", "jpg", "webp"]),
    help="Format of results when -o names no file.  [default: png]",
)
jpeg_quality_option: Final = click.option(
    "--jpeg-quality",
    type=click.IntRange(1, 100),
    help="Quality of jpg and webp.  [default: 95]",
)
overwrite_option: Final = click.option(
    "--overwrite", is_flag=True, help="Replace results that are already there."
)
recursive_option: Final = click.option(
    "-r", "--recursive", is_flag=True, help="Search folders below folders; their tree is kept."
)

mark_option: Final = click.option(
    "--mark",
    type=click.Choice(["record", "visible", "c2pa"]),
    help="How results say that they are AI-made: in their metadata, also in a corner for all to see, or also "
    "signed with your own certificate (MYSTYLE_C2PA_CERTIFICATE, MYSTYLE_C2PA_KEY; needs c2pa-python).  "
    "[default: record]",
)
no_mark_option: Final = click.option(
    "--no-mark",
    is_flag=True,
    help="Leave that out; then nobody can tell, and you must say so yourself.",
)


class Template(click.ParamType):  # type: ignore[type-arg]  # older clicks know no generic ones
    """A template for the names of results."""

    name = "template"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Naming:
        """Parse what was typed."""
        from mystyle_cli.terminal.outputs import Naming

        try:
            return Naming(value)
        except UsageError as error:
            self.fail(f"{error.message}. {error.hint}", param, context)


class Engines(click.ParamType):  # type: ignore[type-arg]  # older clicks know no generic ones
    """A place where work runs."""

    name = "engine"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Where:
        """Parse what was typed."""
        if isinstance(value, Where):
            return value
        try:
            return parse(value)
        except UsageError as error:
            self.fail(f"{error.message}. {error.hint}", param, context)


on_option: Final = click.option(
    "--on",
    type=Engines(),
    metavar="ENGINE",
    help="Where work runs: local:N is N processes of this machine, local as many as there is room for, "
    "ray[:ADDRESS] a Ray cluster, slurm[:PARTITION] Slurm.  The run is kept: the same command does what is "
    "missing (mystyle jobs).  [default: this process]",
)


batch_options: Final = bundle(
    "batch",
    BatchOptions,
    (
        click.argument("inputs", cls=Photos, nargs=-1, required=True, metavar="PHOTO..."),
        output_option,
        format_option,
        jpeg_quality_option,
        click.option(
            "--name",
            "naming",
            metavar="TEMPLATE",
            type=Template(),
            help="How results are called, such as '{stem}.{command}{ext}': {stem} and {name} are the photo's "
            "name without and with its ending, {ext} is that of --format.",
        ),
        overwrite_option,
        click.option(
            "--skip-existing",
            is_flag=True,
            help="Leave out photos whose result is already there; with --save-codes, whose code is, too.",
        ),
        recursive_option,
        click.option(
            "--batch", type=click.IntRange(1), default=8, show_default=True, help="Photos worked on at once."
        ),
        click.option(
            "--keep-metadata",
            is_flag=True,
            help="Carry the photo's EXIF data over: place, time, camera and its number, artist, notes.  "
            "[default: nothing of it is in a result]",
        ),
        mark_option,
        no_mark_option,
        on_option,
        click.option(
            "--dry-run",
            is_flag=True,
            help="Show how many photos there are, and what they will take.",
        ),
    ),
)


watch_option: Final = click.option(
    "--watch",
    is_flag=True,
    help="Work on the photos of a folder as they come, each once, until Ctrl-C; results go to -o FOLDER.",
)


def beta_option(default: float) -> Decorator:
    """Return `--beta` with a command's default."""
    return click.option(
        "--beta",
        type=Beta(own=True),
        metavar="NUMBER|none|auto",
        default=default,
        show_default=True,
        help="How far results may leave the photos' own space: 0 is safest, none is unbounded, auto is what "
        "served the profile's own held-out photos best.",
    )


SEEDS: Final = click.IntRange(0, 2**32 - 1)  # what a seed may be: all that is drawn where none is given

seed_option: Final = click.option(
    "--seed", type=SEEDS, help="Makes the run repeatable.  [default: drawn and printed]"
)


backend_option: Final = click.option(
    "--backend",
    type=click.Choice(["auto", "onnx", "torch"]),
    default="auto",
    show_default=True,
    help="What renders: onnx (the export, which starts at once) or torch; auto takes a fresh export.",
)


def profile_names(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Return the names of the store's profiles that begin so, for completion in a shell."""
    return [name for name in context.ensure_object(App).profiles().names() if name.startswith(begun)]


profile_argument: Final = click.argument("name", cls=Name, metavar="NAME", shell_complete=profile_names)

who_option: Final = click.option(
    "--who",
    type=click.Choice([EVERYBODY]),
    is_eager=True,  # NAME and PHOTO are read with a view to it
    help="all, in place of NAME: everybody on a photo of whom there is a profile, each by their own; "
    "all other faces stay as they are.",
)

person_option: Final = click.option(
    "--person",
    metavar="NAME",
    help="Who of several people it is (`profile merge`).  [default: whom a photo shows]",
)


year_option: Final = click.option(
    "--year",
    type=click.IntRange(EARLIEST_YEAR, LATEST_YEAR),
    metavar="YEAR",
    help="Show the person as they were about then; `ingest NAME --dates` says when photos were taken.  "
    "[default: any]",
)


def choose_seed(console: Console, seed: int | None) -> int:
    """Return the seed asked for, or draw one and say which."""
    if seed is not None:
        return seed
    drawn = secrets.randbelow(2**32)
    console.info(f"seed {drawn}")
    return drawn


def marking_of(mark: Marking | None, no_mark: bool) -> Marking:
    """Return how results say that they are AI-made; raises UsageError where the two contradict each other."""
    if mark and no_mark:
        raise UsageError(f"--mark {mark} and --no-mark contradict each other", "Give one of them.")
    return "none" if no_mark else mark or "record"


def warn_unmarked(console: Console, marking: Marking) -> None:
    """Warn that nobody can tell what a result is."""
    if marking == "none":
        console.warn("--no-mark: the results do not say that they are AI-made; say so where you show them")


UNBOUNDED: Final = "--beta none lets the result drift away from the person; check the ID score"


def warn_unbounded(console: Console, beta: Dilation) -> None:
    """Warn that an unbounded search may leave the person."""
    if beta is None:
        console.warn(UNBOUNDED)
