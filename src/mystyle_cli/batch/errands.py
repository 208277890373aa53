"""What a worker does with photos of a command: read them, have them worked on, write each result whole."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol

from mystyle_cli.batch.companions import Companions
from mystyle_cli.errors import MystyleError, contained
from mystyle_cli.files.documents import Items, Kind, Record, Text
from mystyle_cli.files.notes import Line, written
from mystyle_cli.files.parsing import DocumentError, json_of
from mystyle_cli.files.reading import Handed
from mystyle_cli.nets.memory import peak_memory
from mystyle_cli.nets.processors import threads
from mystyle_cli.terminal.console import pour
from mystyle_cli.terminal.inputs import Input
from mystyle_cli.terminal.outputs import JPEG_QUALITY, Ground, Originals, Place, Target

if TYPE_CHECKING:
    from mystyle_cli.engines.engine import Seat, Work
    from mystyle_cli.engines.runs import Noting
    from mystyle_cli.photos.decode import Photo
    from mystyle_cli.photos.marks import Provenance
    from mystyle_cli.photos.pixels import Format, Pixels
    from mystyle_cli.photos.signing import Seal
    from mystyle_cli.progress import Progress
    from mystyle_cli.store.found import Found
    from mystyle_cli.terminal.options import BatchOptions, Marking

TAKEN: Final = "Use --overwrite or --skip-existing."  # what to do where something is in a result's place


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
class Job:
    """An input that is worked on."""

    item: Input
    target: Target
    photo: Photo  # as it was decoded
    code: Path | None = None  # where its code is to be kept, if anywhere
    wanted: bool = True  # whether its result is written; what is there already is left there
    beside: tuple[Target, ...] = ()  # where further pictures of it go, as many as there may be
    handed: Mapping[str, Handed | MystyleError] = field(default_factory=dict)  # companions that came with it

    def file(self, companions: Companions) -> Path | Handed:
        """Return the companion of its photo; raises UsageError where there is not exactly one."""
        found = self.handed.get(companions.what) or companions.of(self.item)
        if isinstance(found, MystyleError):
            raise found
        return found


@dataclass(frozen=True)
class Result:
    """What a command made of an input."""

    picture: Callable[[], Picture]  # makes what is written; asked for only where it is
    summary: str  # a line for people
    warnings: Sequence[str]  # what the user should know about it
    report: Mapping[str, object]  # its part of the JSON document
    beside: Sequence[tuple[Target, Callable[[], Picture]]] = ()  # further pictures of the same
    code: bytes = b""  # what is kept of it where its job has a place for that


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


class Hands(Protocol):
    """What a command does with photos, its nets ready."""

    def answer(self, jobs: Sequence[Job], progress: Progress) -> Sequence[Any | MystyleError]:
        """Return an answer or an error for every job; raises MystyleError of what all jobs need."""

    def finish(self, job: Job, answer: Any) -> Result:
        """Return what is said and written of an answer."""


@dataclass(frozen=True)
class Needs:
    """What hands read of the driver's files, besides photos."""

    people: tuple[Found, ...] = ()
    companions: tuple[Companions, ...] = ()
    stays: str = ""  # why the work cannot be done where these are not; "" where it can


class Opening(Protocol):
    """What makes a command's hands ready in a worker; picklable."""

    def open(self, seat: Seat) -> Hands:
        """Load what all photos share; raises MystyleError where it is missing."""

    def needs(self) -> Needs:
        """Return what it reads."""

    def moved(self, people: Sequence[Found]) -> Opening:
        """Return the same of profiles that lie elsewhere, in the order of `needs`."""


@dataclass(frozen=True)
class Errand:
    """An input and where everything goes that comes of it."""

    number: int  # in the order of the inputs
    item: Input
    place: Place
    replaces: bool = False  # whether what is there gives way: it came of what the input was before


@dataclass(frozen=True)
class Cost:
    """What the work on an errand took of its worker."""

    seconds: float  # of its share of what was done together
    opening: float  # seconds until the worker was ready
    memory: int  # bytes at most
    threads: int  # that it had


@dataclass(frozen=True)
class Done:
    """A result was written."""

    summary: str
    warnings: tuple[str, ...]
    report: Mapping[str, object]
    beside: tuple[str, ...] = ()  # names of further pictures
    cost: Cost | None = None  # None where it was written before


@dataclass(frozen=True)
class LeftOut:
    """A result is there already, and stays."""


Became = Done | LeftOut | MystyleError
"""What became of an errand."""


@dataclass(frozen=True)
class Desks:
    """Opens a worker's desk: an opener for engines.

    Args:
        originals: what no result replaces.
        size: height and width of all results, where they do not follow from the photo's.
    """

    options: BatchOptions
    opening: Opening
    originals: Originals
    size: tuple[int, int] | None = None
    seal: Seal | None = field(default=None, repr=False)  # what signs results, where that is wanted
    noting: Noting | None = None  # of a run that is kept

    def open(self, seat: Seat) -> Work:
        """Return what does errands; what they need is loaded for the first photo that can be decoded."""
        return _Desk(self, seat).do


class _Any(Kind):
    """A table of whatever a command reports."""

    def read(self, value: object, name: str) -> dict[str, object]:
        if not isinstance(value, dict):
            raise DocumentError(f"`{name}` is no table")
        return value


_LINES: Final = Text(1 << 16, lines=True)
_TOLD: Final = Record(
    {"summary": _LINES, "warnings": Items(_LINES), "beside": Items(_LINES), "report": _Any()}
)


@dataclass(frozen=True)
class Accepted:
    """An errand that is to be worked on."""

    errand: Errand
    wanted: bool  # whether its result is written; what is there already is left there
    code: Path | None  # where its code goes, if anywhere

    @property
    def needed(self) -> list[Path]:
        """The files that come of it, whatever it is."""
        result = self.errand.place.target.path if self.wanted else None
        return [path for path in (self.code, result) if path is not None]

    @property
    def files(self) -> list[Target]:
        """All files that may come of it."""
        place = self.errand.place
        code = [] if self.code is None else [Target(self.code, place.target.format)]
        return [*code, *((*place.beside, place.target) if self.wanted else ())]


@dataclass(frozen=True)
class Made:
    """What came of a photo, to be written in this order."""

    done: Done
    files: Iterable[tuple[Target, bytes]]  # what is there last says that all of it is
    photo: str  # sha256 of the photo's file


class Counter:
    """Where errands are taken in and what came of them is given out: on a machine that sees the files."""

    def __init__(self, given: Desks) -> None:
        self.given, self.options, self.originals = given, given.options, given.originals
        self.ground = Ground(given.originals, self.options.overwrite, TAKEN)
        self.notes = given.noting.open() if given.noting is not None else None

    def take(self, errands: Sequence[Errand]) -> list[Accepted | Became]:
        """Return what is to be worked on, or why it is not."""
        self.originals |= Originals.of(errand.item.path for errand in errands if errand.item.path is not None)
        self.ground.originals = self.originals
        return [self._accepted(self._known(errand)) for errand in errands]

    def _known(self, errand: Errand) -> Errand | Became:
        """Return what a run that is kept knows of an errand: that it is done, or that what is there is ours.

        What is there counts where it is as the run's own lines say that it was written.
        """
        from mystyle_cli.photos.decode import digests_of

        place, path = errand.place, errand.item.path
        if self.notes is None or path is None:
            return errand
        lines = self.notes.lines_on([one for one in place.paths if os.path.lexists(one)])
        if not lines:
            return errand
        needed = [lines.get(one) for one in place.needed]
        photo = digests_of([path])[path]
        if all(line is not None and line["photo"] == photo for line in needed):
            return _before(needed[0]) if needed[0] and self.notes.of_now(needed[0]) else LeftOut()
        return replace(errand, replaces=True)

    def _accepted(self, errand: Errand | Became) -> Accepted | Became:
        if not isinstance(errand, Errand):
            return errand
        options, item, place = self.options, errand.item, errand.place
        self.ground.overwrite = options.overwrite or errand.replaces
        left = options.skip_existing and not self.ground.overwrite
        there = [path for path in place.needed if os.path.lexists(path)] if left else []
        if there and there == place.needed:
            return LeftOut()
        try:
            for path in place.paths:
                if path not in there:
                    self.ground.check(path)
        except Exception as error:
            return contained(item.name, error)
        wanted = place.target.path not in there  # else only its code is missing
        return Accepted(errand, wanted, None if place.code in there else place.code)

    def give(self, accepted: Accepted, make: Callable[[], Made]) -> Became:
        """Write what was made of a photo, or tell why there is nothing, be it in the making."""
        ground, errand = self.ground, accepted.errand
        ground.overwrite = self.options.overwrite or errand.replaces
        if not ground.overwrite and any(map(os.path.lexists, accepted.needed)):
            known = self._known(errand)  # a worker whose driver was killed may have been at it still
            if not isinstance(known, Errand):
                return known
            ground.overwrite = known.replaces
        try:
            if accepted.code is not None:
                ground.refuse(accepted.code)
            made = make()
            for target, data in made.files:
                if target.path is not None:
                    ground.refuse(target.path)
                    last = target.path == errand.place.target.path
                    self._note(target.path, data, errand.item, made.photo, made.done if last else None)
                put(target, data, self.originals)
        except BrokenPipeError:  # nobody reads standard output any more
            raise
        except Exception as error:
            return contained(errand.item.name, error)
        return made.done

    def _note(self, path: Path, data: bytes, item: Input, photo: str, done: Done | None) -> None:
        """Note what is about to be written, where the run is kept.

        Args:
            photo: sha256 of the photo's file.
            done: what is told of the photo, with its last file.
        """
        if self.notes is None or self.given.noting is None:
            return
        line = {"photo": photo, "asked": self.given.noting.run, "input": written(item.relative.as_posix())}
        if done is not None:
            told = {"summary": done.summary, "warnings": done.warnings, "report": done.report}
            line["told"] = json.dumps({**told, "beside": done.beside})
        self.notes.add(path, data, line)


Source = tuple[Path | Handed | BinaryIO, Mapping[str, Handed | MystyleError]]
"""A photo, and its companions by what they are, or why they are not there, where they came with it."""

Answered = tuple[Job, Any] | MystyleError
"""A job with its answer, or why there is none."""


class Bench:
    """Where photos are worked on: files are made of what comes of them, and nothing is written."""

    def __init__(self, given: Desks, seat: Seat) -> None:
        self.given, self.seat = given, seat
        self.opening = 0.0  # seconds that the hands took to open
        self.share = 0.0  # seconds of the last work for each photo
        self._hands: Hands | None = None  # nets take seconds to load

    def work(self, taken: Sequence[tuple[Accepted, Callable[[], Source]]]) -> list[Answered]:
        """Return what came of photos that are worked on together, in their order."""
        begun = time.perf_counter()
        jobs = [self._job(accepted, source) for accepted, source in taken]
        known = [job for job in jobs if isinstance(job, Job)]
        if not known:
            return [job for job in jobs if isinstance(job, MystyleError)]
        if self._hands is None:
            opening = time.perf_counter()
            self._hands = self.given.opening.open(self.seat)
            self.opening = time.perf_counter() - opening
            begun += self.opening
        answers = iter(self._hands.answer(known, self.seat.progress))
        found: list[Answered] = []
        for job in jobs:
            if isinstance(job, MystyleError):
                found.append(job)
                continue
            answer = next(answers)
            found.append(answer if isinstance(answer, MystyleError) else (job, answer))
        self.share = (time.perf_counter() - begun) / len(known)
        return found

    def _job(self, accepted: Accepted, source: Callable[[], Source]) -> Job | MystyleError:
        from mystyle_cli.photos.decode import decode
        from mystyle_cli.photos.encode import check_room

        item, place = accepted.errand.item, accepted.errand.place
        try:
            photo, handed = source()
            decoded = decode(photo)
            if accepted.wanted:
                check_room(place.target.format, self.given.size or decoded.pixels.shape)
            if not self.given.options.keep_metadata:  # where, when, with what and by whom it was taken
                decoded = replace(decoded, exif=None)
        except Exception as error:
            return contained(item.name, error)
        return Job(item, place.target, decoded, accepted.code, accepted.wanted, place.beside, handed)

    def made(self, answered: Answered) -> Made:
        """Return what is said and written of an answer; raises MystyleError where there is none."""
        if isinstance(answered, MystyleError):
            raise answered
        job, answer = answered
        assert self._hands is not None
        result = self._hands.finish(job, answer)
        beside = tuple(target.name for target, _ in result.beside)
        done = Done(result.summary, tuple(result.warnings), result.report, beside)
        return Made(done, self._files(job, result), job.photo.sha256)

    def _files(self, job: Job, result: Result) -> Iterator[tuple[Target, bytes]]:
        options = self.given.options
        if job.code is not None:
            yield Target(job.code, job.target.format), result.code
        # what there may be less of comes first
        for target, picture in (*result.beside, (job.target, result.picture)) if job.wanted else ():
            drawn = marked(picture(), options.marking, self.given.seal)
            yield target, encoded(drawn, target.format, options.jpeg_quality or JPEG_QUALITY)

    def costed(self, done: Done, begun: float) -> Done:
        """Return what was done with what it cost, its own part since an instant."""
        seconds = self.share + time.perf_counter() - begun
        return replace(done, cost=Cost(seconds, self.opening, peak_memory(), threads()))


class _Desk:
    """Where a worker reads photos and writes results: a counter and a bench in one place."""

    def __init__(self, given: Desks, seat: Seat) -> None:
        self.counter, self.bench = Counter(given), Bench(given, seat)

    def do(self, errands: Sequence[Errand]) -> Iterator[Became]:
        """Yield what became of errands, whose photos are worked on together."""
        taken = self.counter.take(errands)
        accepted = [one for one in taken if isinstance(one, Accepted)]
        answered = iter(self.bench.work([(one, partial(_source, one)) for one in accepted]))
        for one in taken:
            if not isinstance(one, Accepted):
                yield one
                continue
            begun = time.perf_counter()
            became = self.counter.give(one, partial(self.bench.made, next(answered)))
            yield self.bench.costed(became, begun) if isinstance(became, Done) else became


def _source(accepted: Accepted) -> Source:
    """Return where a photo is read."""
    return accepted.errand.item.path or sys.stdin.buffer, {}


def _before(line: Line) -> Became:
    """Return what a worker told of a result before it died."""
    try:
        told = _TOLD.read(json_of(line.get("told", "")), "told")
    except DocumentError:
        return LeftOut()
    return Done(told["summary"], tuple(told["warnings"]), told["report"], tuple(told["beside"]))


def write(target: Target, picture: Picture, jpeg_quality: int, originals: Originals) -> None:
    """Write one picture whole or not at all; folders on the way are made. Raises MystyleError."""
    put(target, encoded(picture, target.format, jpeg_quality), originals)


def put(target: Target, data: bytes, originals: Originals) -> None:
    """Write the file of a result whole or not at all; folders on the way are made. Raises MystyleError."""
    from mystyle_cli.files.writing import write_result

    if target.path is None:
        pour(data)
        return
    originals.refuse(target.path)
    try:
        target.path.parent.mkdir(parents=True, exist_ok=True)
        write_result(target.path, data)
    except OSError as error:
        raise MystyleError(
            f"{target.path}: {error.strerror or error}", "Choose another place with -o."
        ) from error


def encoded(picture: Picture, format: Format, jpeg_quality: int) -> bytes:
    """Return the file of a finished result, with all that is kept and said in it."""
    from mystyle_cli.photos.encode import Beside, encode

    buffer = io.BytesIO()
    beside = Beside(picture.alpha, picture.exif, picture.marks, picture.seal)
    encode(picture.pixels, buffer, beside, format=format, jpeg_quality=jpeg_quality)
    return buffer.getvalue()
