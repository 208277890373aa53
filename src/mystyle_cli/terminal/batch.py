"""Many inputs: read a few at a time for whoever works on them, each result written whole, failures told."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from mystyle_cli.errors import DecodeError, FaceError, MystyleError, UsageError, contained
from mystyle_cli.progress import Progress, Step, silent
from mystyle_cli.terminal.console import Console, is_closed
from mystyle_cli.terminal.inputs import Input, expand, left_out
from mystyle_cli.terminal.options import BatchOptions, Marking, warn_unmarked
from mystyle_cli.terminal.outputs import (
    FORMAT,
    JPEG_QUALITY,
    NONE,
    Ground,
    Naming,
    Originals,
    Place,
    Target,
    plan,
    refuse_idle,
    split,
    target_for,
)

if TYPE_CHECKING:
    from mystyle_cli.photos.decode import Photo
    from mystyle_cli.photos.marks import Provenance
    from mystyle_cli.photos.pixels import Format, Pixels
    from mystyle_cli.photos.signing import Seal
    from mystyle_cli.terminal.watching import Watch

Answer = TypeVar("Answer")

SOME_FAILED = 3
TAKEN = "Use --overwrite or --skip-existing."  # what to do where something is in a result's place


@dataclass(frozen=True)
class Picture:
    """A finished result as it is written."""

    pixels: Pixels  # uint8 (H, W, 3)
    marks: Provenance | None  # what is recorded in the file, None for nothing
    alpha: Pixels | None = None  # opacity uint8 (H, W) to keep, or None
    exif: bytes | None = None
    seal: Seal | None = None


def marked(picture: Picture, marking: Marking, seal: Seal | None) -> Picture:
    """Return a picture with the marks that were asked for.

    Args:
        marking: "visible" puts a mark that can be seen into it, too; "none" takes the record out.
    """
    from mystyle_cli.photos.marks import stamped

    if marking == "none" or picture.marks is None:
        return replace(picture, marks=None)
    if marking == "visible":
        return replace(picture, pixels=stamped(picture.pixels), marks=replace(picture.marks, visible=True))
    return replace(picture, seal=seal)


def seal_for(marking: Marking) -> Seal | None:
    """Return what signs results, None where nothing is to; raises UsageError where it cannot."""
    if marking != "c2pa":
        return None
    from mystyle_cli.photos.signing import open_seal

    return open_seal()


@dataclass(frozen=True)
class Failure:
    """An input that gave no result."""

    item: Input
    error: MystyleError


@dataclass(frozen=True)
class Job:
    """An input that is worked on."""

    item: Input
    target: Target
    photo: Photo  # as it was decoded
    code: Path | None = None  # where its code is to be kept, if anywhere
    wanted: bool = True  # whether its result is written; what is there already is left there
    beside: tuple[Target, ...] = ()  # where further pictures of it go, as many as there may be


@dataclass(frozen=True)
class Result:
    """What a command made of an input."""

    picture: Callable[[], Picture]  # makes what is written; asked for only where it is
    summary: str  # a line for people
    warnings: Sequence[str]  # what the user should know about it
    report: Mapping[str, object]  # its part of the JSON document
    beside: Sequence[tuple[Target, Callable[[], Picture]]] = ()  # further pictures of the same


def finished(job: Job, pixels: Pixels, marks: Provenance, filled: Pixels | None = None) -> Picture:
    """Return a photo as it is written: what is kept of its EXIF data, and its opacity enlarged as it was.

    Args:
        filled: uint8 (H, W) of the photo, 255 where it is opaque now, whatever it was.
    """
    from mystyle_cli.photos.pixels import resize

    alpha = job.photo.alpha
    if alpha is not None and filled is not None:
        alpha = alpha | filled  # no less than either: what was not filled stays as it was
    if alpha is not None:
        alpha = resize(alpha, pixels.shape[:2], "bicubic")  # which leaves no echo of an edge inside
    return Picture(pixels, marks, alpha, job.photo.exif)


@contextmanager
def open_batch(
    console: Console,
    options: BatchOptions,
    command: str,
    originals: Originals = NONE,
    codes: Path | None = None,
    size: tuple[int, int] | None = None,
    watch: Watch | None = None,
    variants: int = 1,
) -> Iterator[Batch]:
    """Plan where the results of all inputs go; at the end, say what came of them.

    Args:
        originals: what no result may replace besides the inputs.
        codes: the folder in which the command keeps codes, if any.
        size: height and width of every result, where that is known; None: about those of its photo.
        watch: yields the inputs as they come; an interruption ends that, as it should.
        variants: results of each input.

    Raises:
        UsageError: inputs and outputs do not fit together; nothing has been done then.
    """
    if options.overwrite and options.skip_existing:
        raise UsageError("--overwrite and --skip-existing contradict each other", "Give one of them.")
    warn_unmarked(console, options.marking)
    if watch is not None:
        batch: Batch = WatchingBatch(console, options, command, originals, codes, watch)
    else:
        batch = _planned(console, options, command, originals, codes, size, variants)
    with console.progress() as batch.progress:
        try:
            yield batch
        except KeyboardInterrupt:
            if watch is None:
                raise
    batch.account()
    batch.document(command)


def _planned(
    console: Console,
    options: BatchOptions,
    command: str,
    originals: Originals,
    codes: Path | None,
    size: tuple[int, int] | None,
    variants: int,
) -> Batch:
    """Return a batch of inputs that are all there, with a place for each result."""
    inputs = expand(options.inputs, options.recursive)
    if others := left_out(options.inputs, options.recursive):
        console.warn(others)
    ending = options.format_name or FORMAT
    if options.naming:
        inputs = options.naming.without_results(inputs, options.output, command, f".{ending}")
    originals |= Originals.of(item.path for item in inputs if item.path is not None)
    places = plan(inputs, options.output, command, ending, originals, codes, options.naming)
    if variants > 1:
        places = split(inputs, places, variants, originals)
    targets = [place.target for place in places]
    refuse_idle(targets, options.format_name, options.jpeg_quality)
    check_stream(console, targets, inputs)
    return Batch(console, options, inputs, places, originals, size)


class Ledger:
    """What came of inputs: done, failed, left out.

    Args:
        noun: what they are together, such as "photos".
    """

    def __init__(self, console: Console, inputs: Sequence[Input], noun: str) -> None:
        self.console, self.inputs, self.noun = console, inputs, noun
        self.progress: Progress = silent
        self.done: list[dict[str, object]] = []
        self.failed: list[Failure] = []
        self.skipped: list[Input] = []
        self.beside: dict[str, list[dict[str, str]]] = {}  # what else the JSON document says was left out

    @property
    def exit_code(self) -> int:
        """0 when nothing failed, the failures' own code when all failed alike, otherwise 3."""
        if not self.failed:
            return 0
        codes = {failure.error.exit_code for failure in self.failed}
        return codes.pop() if len(codes) == 1 and not self.done and not self.skipped else SOME_FAILED

    def tell(self) -> None:
        """Say how far it is."""
        if len(self.inputs) > 1:
            accounted = len(self.done) + len(self.failed) + len(self.skipped)
            self.progress(Step(self.noun, accounted, len(self.inputs)))

    def enter(
        self, item: Input, target: Target, summary: str, warnings: Sequence[str], report: Mapping[str, object]
    ) -> None:
        """Say that a result was written."""
        for warning in warnings:
            self.console.warn(f"{item.name}: {warning}")
        self.console.info(summary)
        if target.path is not None:
            self.console.result(target.name)
        self.done.append({"input": item.name, "output": target.name, **report})

    def account(self) -> None:
        """List every failure at the end, and count when there was more than one input."""
        console = self.console
        for failure in self.failed:
            self._tell_of(failure)
        if len(self.inputs) == 1 and self.skipped:
            console.info(f"{self.skipped[0].name}: left out, its result is already there")
        if len(self.inputs) > 1:
            counts = [f"{len(self.done)} done"]
            counts += [f"{len(self.skipped)} skipped"] if self.skipped else []
            counts += [f"{len(self.failed)} failed"] if self.failed else []
            console.info(f"{len(self.inputs)} {self.noun}: {', '.join(counts)}")

    def _tell_of(self, failure: Failure) -> None:
        message = failure.error.message
        text = message if failure.item.name in message else f"{failure.item.name}: {message}"
        self.console.error(text, failure.error.hint, failure.error.__cause__)

    def document(self, command: str) -> None:
        """Print the JSON document, where it is wanted."""
        failures = [
            {
                "input": failure.item.name,
                "error": failure.error.message,
                "hint": failure.error.hint,
                "exit_code": failure.error.exit_code,
            }
            for failure in self.failed
        ]
        skipped = [item.name for item in self.skipped]
        body = {"results": self.done, "failures": failures, "skipped": skipped, **self.beside}
        self.console.document(command, body, ok=not failures and not any(self.beside.values()))


class Batch(Ledger):
    """Inputs on their way, and what came of them; `open_batch` makes it."""

    def __init__(
        self,
        console: Console,
        options: BatchOptions,
        inputs: Sequence[Input],
        places: Sequence[Place],
        originals: Originals,
        size: tuple[int, int] | None,
    ) -> None:
        super().__init__(console, inputs, "photos")
        self.options, self.seal = options, seal_for(options.marking)
        self.places, self.originals, self.size = places, originals, size

    def groups(self) -> Iterator[list[Job]]:
        """Yield what can be worked on, a few photos at a time; each of them is to be settled."""
        yield from self._grouped(self.inputs, self.places)

    def _grouped(self, inputs: Sequence[Input], places: Sequence[Place]) -> Iterator[list[Job]]:
        jobs = self._read(inputs, places)
        self.tell()
        while group := list(islice(jobs, self.options.batch)):
            yield group
            self.tell()

    def _replaces(self, item: Input, target: Target) -> bool:
        """Tell whether what is there already gives way to an input's result."""
        return self.options.overwrite

    def _read(self, inputs: Sequence[Input], places: Sequence[Place]) -> Iterator[Job]:
        """Yield what can be worked on; file the rest under failed or skipped."""
        from mystyle_cli.photos.decode import decode
        from mystyle_cli.photos.encode import check_room

        options = self.options
        ground = Ground(self.originals, options.overwrite, TAKEN)
        for item, place in zip(inputs, places, strict=True):
            ground.overwrite = self._replaces(item, place.target)
            left = options.skip_existing and not ground.overwrite
            there = [path for path in place.needed if os.path.lexists(path)] if left else []
            if there and there == place.needed:
                self.skipped.append(item)
                continue
            wanted = place.target.path not in there  # else only its code is missing
            try:
                for path in place.paths:
                    if path not in there:
                        ground.check(path)
                photo = decode(sys.stdin.buffer if item.path is None else item.path)
                if wanted:
                    check_room(place.target.format, self.size or photo.pixels.shape)
                if not options.keep_metadata:  # where, when, with what and by whom it was taken stays here
                    photo = replace(photo, exif=None)
            except Exception as error:
                self.failed.append(Failure(item, contained(item.name, error)))
            else:
                code = None if place.code in there else place.code
                yield Job(item, place.target, photo, code, wanted, place.beside)

    def settle(
        self, job: Job, answer: Answer | MystyleError, finish: Callable[[Job, Answer], Result]
    ) -> None:
        """Write what was made of a job and say so, or file why there is nothing, be it in `finish`."""
        options, name = self.options, job.item.name
        ground = Ground(self.originals, self._replaces(job.item, job.target), TAKEN)
        try:
            if isinstance(answer, MystyleError):
                raise answer
            if job.code is not None:
                ground.refuse(job.code)
            result = finish(job, answer)
            # what there may be less of comes first: what is there last says that all of it is
            for target, picture in (*result.beside, (job.target, result.picture)) if job.wanted else ():
                drawn = marked(picture(), options.marking, self.seal)
                if target.path is not None:
                    ground.refuse(target.path)
                write(self.console, target, drawn, options.jpeg_quality or JPEG_QUALITY, self.originals)
        except BrokenPipeError:  # nobody reads standard output any more
            raise
        except Exception as error:
            self.failed.append(Failure(job.item, contained(name, error)))
            return
        self.enter(job.item, job.target, result.summary, result.warnings, result.report)
        for target, _ in result.beside:
            self.console.result(target.name)


class WatchingBatch(Batch):
    """Inputs that come while others are worked on, each handed out once."""

    def __init__(
        self,
        console: Console,
        options: BatchOptions,
        command: str,
        originals: Originals,
        codes: Path | None,
        watch: Watch,
    ) -> None:
        ending = options.format_name or FORMAT
        refuse_idle([target_for(Path(f"a.{ending}"))], options.format_name, options.jpeg_quality)
        options = replace(options, skip_existing=not options.overwrite)
        super().__init__(console, options, [], [], originals, None)
        self.command, self.codes, self.watch = command, codes, watch
        self._told = [0, 0]  # failures and skipped inputs that were noted

    def groups(self) -> Iterator[list[Job]]:
        """Yield what has come, a few photos at a time, until it is interrupted."""
        for new in self.watch.rounds():
            self.inputs = [*self.inputs, *new]
            self.originals |= Originals.of(item.path for item in new if item.path is not None)
            planned = [(item, place) for item in new if (place := self._place(item)) is not None]
            for group in self._grouped([item for item, _ in planned], [place for _, place in planned]):
                self._note()
                yield group
            self._note()

    def settle(
        self, job: Job, answer: Answer | MystyleError, finish: Callable[[Job, Answer], Result]
    ) -> None:
        """Do as any batch does, and note it."""
        count = len(self.failed)
        super().settle(job, answer, finish)
        if len(self.failed) == count:
            self.watch.note(job.item, job.target.path)
        self._note()

    def _place(self, item: Input) -> Place | None:
        """Choose where a photo's result goes: by its whole name where another's has the usual one."""
        try:
            place = self._planned(item, self.options.naming)
            path = place.target.path
            if path is not None and self.watch.notes.made_of(path, item) is False:
                place = self._planned(item, Naming("{name}{ext}"))
        except UsageError as error:
            self.failed.append(Failure(item, error))
            return None
        return place

    def _planned(self, item: Input, naming: Naming | None) -> Place:
        options = self.options
        ending = options.format_name or FORMAT
        (place,) = plan([item], options.output, self.command, ending, self.originals, self.codes, naming)
        return place

    def _replaces(self, item: Input, target: Target) -> bool:
        """Tell whether what is there is the result of what the photo was before."""
        ours = target.path is not None and self.watch.notes.made_of(target.path, item) is True
        return self.options.overwrite or ours

    def _note(self) -> None:
        """Tell of what failed since, and note it, unless that may be different another time."""
        failures, skipped = self.failed[self._told[0] :], self.skipped[self._told[1] :]
        self._told = [len(self.failed), len(self.skipped)]
        for failure in failures:
            self._tell_of(failure)
            if isinstance(failure.error, DecodeError | FaceError | UsageError):
                self.watch.note(failure.item, None)
            else:
                self.watch.forget(failure.item)
        for item in skipped:
            self.watch.note(item, None)

    def account(self) -> None:
        """Count; what failed was told when it did."""
        counts = [f"{len(self.done)} done"]
        counts += [f"{len(self.skipped)} skipped"] if self.skipped else []
        counts += [f"{len(self.failed)} failed"] if self.failed else []
        self.console.info(f"{len(self.inputs)} photos came: {', '.join(counts)}")


def check_stream(console: Console, targets: Sequence[Target], inputs: Sequence[Input] = ()) -> None:
    """Refuse before any work what could not be read for it, or written after it."""
    if any(item.path is None for item in inputs) and is_closed(sys.stdin):
        raise UsageError("standard input is closed", "Feed it a picture (< in.png), or name files.")
    if any(target.path is None for target in targets):
        if is_closed(sys.stdout):
            raise UsageError("standard output is closed", "Redirect it (> out.png) or use -o FILE.")
        if console.json:
            raise UsageError("--json and the picture would both go to standard output", "Use -o FILE.")
        if sys.stdout.isatty():
            raise UsageError(
                "a picture cannot be shown in a terminal", "Redirect it (> out.png) or use -o FILE."
            )


def write(
    console: Console, target: Target, picture: Picture, jpeg_quality: int, originals: Originals
) -> None:
    """Write one picture whole or not at all; folders on the way are made. Raises MystyleError."""
    if target.path is None:
        buffer = io.BytesIO()
        encode_picture(picture, buffer, target.format, jpeg_quality)
        console.binary(buffer.getvalue())
        return
    originals.refuse(target.path)
    try:
        target.path.parent.mkdir(parents=True, exist_ok=True)
        encode_picture(picture, target.path, target.format, jpeg_quality)
    except OSError as error:
        raise MystyleError(
            f"{target.path}: {error.strerror or error}", "Choose another place with -o."
        ) from error


def encode_picture(picture: Picture, file: Path | BinaryIO, format: Format, jpeg_quality: int) -> None:
    """Encode a finished result with all that is kept and said in its file."""
    from mystyle_cli.photos.encode import Beside, encode

    beside = Beside(picture.alpha, picture.exif, picture.marks, picture.seal)
    encode(picture.pixels, file, beside, format=format, jpeg_quality=jpeg_quality)
