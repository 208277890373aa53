"""The one loop over many inputs: read, work on some at a time, write each whole, account for failures."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeVar

from mystyle_cli.errors import MystyleError, UsageError, contained
from mystyle_cli.progress import Progress, Step
from mystyle_cli.terminal.console import Console, is_closed
from mystyle_cli.terminal.inputs import Input, expand, left_out
from mystyle_cli.terminal.options import BatchOptions, Marking, warn_unmarked
from mystyle_cli.terminal.outputs import (
    FORMAT,
    JPEG_QUALITY,
    NONE,
    Ground,
    Originals,
    Place,
    Target,
    plan,
    refuse_idle,
)

if TYPE_CHECKING:
    from mystyle_cli.photos.decode import Photo
    from mystyle_cli.photos.marks import Provenance
    from mystyle_cli.photos.pixels import Format, Pixels
    from mystyle_cli.photos.signing import Seal

Answer = TypeVar("Answer")

SOME_FAILED = 3


@dataclass(frozen=True)
class Picture:
    """A finished result as it is written.

    Args:
        pixels: uint8 (H, W, 3).
        marks: what is recorded in the file, None for nothing.
        alpha: opacity uint8 (H, W) to keep, or None.
        exif: the input's EXIF block where it is kept, or None.
        seal: signs its file, or None.
    """

    pixels: Pixels
    marks: Provenance | None
    alpha: Pixels | None = None
    exif: bytes | None = None
    seal: Seal | None = None


def marked(picture: Picture, marking: Marking, seal: Seal | None) -> Picture:
    """Return a picture with the marks that were asked for.

    Args:
        picture: with its record.
        marking: "visible" puts a mark that can be seen into it, too; "none" takes the record out.
        seal: as `seal_for` opened it.
    """
    from mystyle_cli.photos.marks import stamped

    if marking == "none" or picture.marks is None:
        return replace(picture, marks=None)
    if marking == "visible":
        return replace(picture, pixels=stamped(picture.pixels), marks=replace(picture.marks, visible=True))
    return replace(picture, seal=seal)


def seal_for(marking: Marking) -> Seal | None:
    """Return what signs results, None where they are not to be signed.

    Raises:
        UsageError: they are, and cannot be.
    """
    if marking != "c2pa":
        return None
    from mystyle_cli.photos.signing import open_seal

    return open_seal()


@dataclass(frozen=True)
class Failure:
    """An input that gave no result.

    Args:
        item: the input.
        error: why.
    """

    item: Input
    error: MystyleError


@dataclass(frozen=True)
class Job:
    """An input that is worked on.

    Args:
        item: the input.
        target: the place of its result.
        photo: as it was decoded.
        code: where its code is to be kept, if anywhere.
        wanted: whether its result is written; what is there already is left there.
    """

    item: Input
    target: Target
    photo: Photo
    code: Path | None = None
    wanted: bool = True


class Work(Protocol[Answer]):
    """What a command does with its inputs.

    Args:
        name: the command's name.
    """

    name: str

    def run(self, jobs: Sequence[Job], progress: Progress) -> Sequence[Answer | MystyleError]:
        """Return an answer, or why there is none, for each job."""

    def picture(self, job: Job, answer: Answer) -> Picture:
        """Return what is written for an answer."""

    def summary(self, job: Job, answer: Answer) -> str:
        """Return a line for people."""

    def warnings(self, answer: Answer) -> Sequence[str]:
        """Return what the user should know about an answer."""

    def report(self, job: Job, answer: Answer) -> dict[str, object]:
        """Return the answer's part of the JSON document."""


def finished(job: Job, pixels: Pixels, marks: Provenance) -> Picture:
    """Return a photo as it is written: what is kept of its EXIF data, and its opacity enlarged as it was."""
    from mystyle_cli.photos.pixels import resize

    alpha = job.photo.alpha
    if alpha is not None:
        alpha = resize(alpha, pixels.shape[:2], "bicubic")  # which leaves no echo of an edge inside
    return Picture(pixels, marks, alpha, job.photo.exif)


@dataclass
class Batch:
    """What came of all inputs.

    Args:
        done: the JSON report of each that succeeded, in the order of the inputs.
        failed: every input that did not.
        skipped: those whose result was there.
    """

    done: list[dict[str, object]] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    skipped: list[Input] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Inputs that are accounted for."""
        return len(self.done) + len(self.failed) + len(self.skipped)

    @property
    def exit_code(self) -> int:
        """0 when nothing failed, the failures' own code when all failed alike, otherwise 3."""
        if not self.failed:
            return 0
        codes = {failure.error.exit_code for failure in self.failed}
        return codes.pop() if len(codes) == 1 and not self.done and not self.skipped else SOME_FAILED


def run_batch(
    console: Console,
    options: BatchOptions,
    work: Work[Answer],
    originals: Originals = NONE,
    codes: Path | None = None,
    size: tuple[int, int] | None = None,
) -> int:
    """Work through all inputs of a command and write what came of them.

    Args:
        console: where results, summaries and failures go.
        options: inputs and outputs.
        work: what to do with them.
        originals: what no result may replace besides the inputs.
        codes: the folder in which the work keeps codes, if any.
        size: height and width of every result, where that is known; None: about those of its photo.

    Returns:
        The exit code.

    Raises:
        UsageError: inputs and outputs do not fit together; nothing has been done then.
    """
    if options.overwrite and options.skip_existing:
        raise UsageError("--overwrite and --skip-existing contradict each other", "Give one of them.")
    warn_unmarked(console, options.marking)
    inputs = expand(options.inputs, options.recursive)
    if others := left_out(options.inputs, options.recursive):
        console.warn(others)
    originals |= Originals.of(item.path for item in inputs if item.path is not None)
    places = plan(inputs, options.output, work.name, options.format_name or FORMAT, originals, codes)
    targets = [place.target for place in places]
    refuse_idle(targets, options.format_name, options.jpeg_quality)
    check_stream(console, targets, inputs)
    batch, seal = Batch(), seal_for(options.marking)
    ground = Ground(originals, options.overwrite, "Use --overwrite or --skip-existing.")
    jobs = _read(inputs, places, options, ground, batch, size)
    with console.progress() as progress:
        if len(inputs) > 1:
            progress(Step("photos", 0, len(inputs)))
        while chunk := list(islice(jobs, options.batch)):
            answers = _answers(work, chunk, progress)
            for job, answer in zip(chunk, answers, strict=True):
                _settle(console, batch, work, job, answer, options, originals, seal)
            if len(inputs) > 1:
                progress(Step("photos", batch.count, len(inputs)))
    _account(console, batch, len(inputs))
    _document(console, work.name, batch)
    return batch.exit_code


def _answers(work: Work[Answer], jobs: Sequence[Job], progress: Progress) -> Sequence[Answer | MystyleError]:
    """Return an answer or an error for each job; where work on some at once fails, each is tried alone.

    Raises:
        MystyleError: of what all jobs need, such as the profile.
    """
    try:
        return work.run(jobs, progress)
    except (MystyleError, ImportError):
        raise
    except Exception as error:
        if len(jobs) == 1:
            return [contained(jobs[0].item.name, error)]
    return [answer for job in jobs for answer in _answers(work, [job], progress)]


def _settle(
    console: Console,
    batch: Batch,
    work: Work[Answer],
    job: Job,
    answer: Answer | MystyleError,
    options: BatchOptions,
    originals: Originals,
    seal: Seal | None,
) -> None:
    """Write an answer and say so, or file its error."""
    try:
        if isinstance(answer, MystyleError):
            raise answer
        warnings, summary, report = work.warnings(answer), work.summary(job, answer), work.report(job, answer)
        if job.wanted:
            picture = marked(work.picture(job, answer), options.marking, seal)
            write(console, job.target, picture, options.jpeg_quality or JPEG_QUALITY, originals)
    except BrokenPipeError:  # nobody reads standard output any more
        raise
    except Exception as error:
        batch.failed.append(Failure(job.item, contained(job.item.name, error)))
        return
    for warning in warnings:
        console.warn(f"{job.item.name}: {warning}")
    console.info(summary)
    if job.target.path is not None:
        console.result(job.target.name)
    batch.done.append({"input": job.item.name, "output": job.target.name, **report})


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


def _read(
    inputs: Sequence[Input],
    places: Sequence[Place],
    options: BatchOptions,
    ground: Ground,
    batch: Batch,
    size: tuple[int, int] | None,
) -> Iterator[Job]:
    """Yield what can be worked on; file the rest under failed or skipped."""
    from mystyle_cli.photos.decode import decode
    from mystyle_cli.photos.encode import check_room

    for item, place in zip(inputs, places, strict=True):
        there = [path for path in place.paths if os.path.lexists(path)] if options.skip_existing else []
        if there and there == place.paths:
            batch.skipped.append(item)
            continue
        wanted = place.target.path not in there
        try:
            for path in place.paths:
                if path not in there:
                    ground.check(path)
            photo = decode(sys.stdin.buffer if item.path is None else item.path)
            if wanted:
                check_room(place.target.format, size or photo.pixels.shape)
            if not options.keep_metadata:  # where, when, with what and by whom it was taken stays here
                photo = replace(photo, exif=None)
        except Exception as error:
            batch.failed.append(Failure(item, contained(item.name, error)))
        else:
            code = None if place.code in there else place.code
            yield Job(item, place.target, photo, code, wanted)


def write(
    console: Console, target: Target, picture: Picture, jpeg_quality: int, originals: Originals
) -> None:
    """Write one picture whole or not at all; folders on the way are made.

    Raises:
        MystyleError: the place cannot be written to, or something that stays is there.
    """
    if target.path is None:
        buffer = io.BytesIO()
        _encode(picture, buffer, target.format, jpeg_quality)
        console.binary(buffer.getvalue())
        return
    originals.refuse(target.path)
    try:
        target.path.parent.mkdir(parents=True, exist_ok=True)
        _encode(picture, target.path, target.format, jpeg_quality)
    except OSError as error:
        raise MystyleError(
            f"{target.path}: {error.strerror or error}", "Choose another place with -o."
        ) from error


def _encode(picture: Picture, file: Path | BinaryIO, format: Format, jpeg_quality: int) -> None:
    from mystyle_cli.photos.encode import Beside, encode

    beside = Beside(picture.alpha, picture.exif, picture.marks, picture.seal)
    encode(picture.pixels, file, beside, format=format, jpeg_quality=jpeg_quality)


def _account(console: Console, batch: Batch, total: int) -> None:
    """List every failure at the end, and count when there was more than one input."""
    for failure in batch.failed:
        message = failure.error.message
        known = failure.item.name in message
        text = message if known else f"{failure.item.name}: {message}"
        console.error(text, failure.error.hint, failure.error.__cause__)
    if total == 1 and batch.skipped:
        console.info(f"{batch.skipped[0].name}: left out, its result is already there")
    if total > 1:
        counts = [f"{len(batch.done)} done"]
        counts += [f"{len(batch.skipped)} skipped"] if batch.skipped else []
        counts += [f"{len(batch.failed)} failed"] if batch.failed else []
        console.info(f"{total} photos: {', '.join(counts)}")


def _document(console: Console, command: str, batch: Batch) -> None:
    failures = [
        {
            "input": failure.item.name,
            "error": failure.error.message,
            "hint": failure.error.hint,
            "exit_code": failure.error.exit_code,
        }
        for failure in batch.failed
    ]
    skipped = [item.name for item in batch.skipped]
    console.document(
        command, {"ok": not failures, "results": batch.done, "failures": failures, "skipped": skipped}
    )
