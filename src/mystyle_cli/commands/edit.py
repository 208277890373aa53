"""`mystyle edit`: one property of a photo changed, the person kept (sec. 3.4, app. B.4)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from mystyle_cli.batch.batch import open_batch
from mystyle_cli.batch.companions import Companions, code_companions, landmark_companions
from mystyle_cli.batch.errands import Job, Needs, Picture, Result, finished
from mystyle_cli.batch.running import Asked
from mystyle_cli.batch.subjects import SubjectReader, answer_each
from mystyle_cli.commands.restore import UNMARKED, keep_code_option, refuse_long_codes
from mystyle_cli.config import BETA_EDIT
from mystyle_cli.errors import MystyleError, UsageError, contained
from mystyle_cli.progress import Progress
from mystyle_cli.terminal.app import (
    App,
    Command,
    Unused,
    choose_device,
    open_renderer,
    pass_app,
    wanted_device,
)
from mystyle_cli.terminal.console import finite
from mystyle_cli.terminal.marking import Origin, provenance
from mystyle_cli.terminal.options import (
    BatchOptions,
    Number,
    backend_option,
    batch_options,
    bundle,
    profile_argument,
    warn_unbounded,
)
from mystyle_cli.terminal.outputs import Originals
from mystyle_cli.terminal.searching import UNUSED, SearchOptions, search_options, settings_of

if TYPE_CHECKING:
    from mystyle_cli.edit.edit import AtLimit
    from mystyle_cli.edit.photos import EditedPhoto, EditSettings, EditTask, Frame, Strengths
    from mystyle_cli.edit.refined import Refiner
    from mystyle_cli.engines.engine import Seat
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.prior.directions import Direction
    from mystyle_cli.sample.rendering import Backend, Renderer
    from mystyle_cli.store.found import Found


# edits the photos of some jobs: a result, or why there is none, for each
Answer = Callable[[Sequence[Job], Progress], "list[EditedPhoto | MystyleError]"]

MOST: Final = 100  # pictures of a sweep


@dataclass(frozen=True)
class Sweep:
    """Evenly spaced strengths."""

    first: float
    last: float
    count: int  # of pictures, at least 2

    def strengths(self) -> list[float]:
        """Return the strengths in order."""
        step = (self.last - self.first) / (self.count - 1)
        return [self.first + index * step for index in range(self.count)]


class SweepType(click.ParamType):  # type: ignore[type-arg]  # older clicks know no generic ones
    """FROM:TO:N, such as -3:3:7."""

    name = "FROM:TO:N"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Sweep:
        """Parse what was typed."""
        try:
            first, last, count = str(value).split(":")
            sweep = Sweep(float(first), float(last), int(count))
        except ValueError:
            self.fail(f"{value!r} is not FROM:TO:N, such as -3:3:7", param, context)
        if not (math.isfinite(sweep.first) and math.isfinite(sweep.last)):
            self.fail(f"{value!r} does not go from one finite strength to another", param, context)
        if not 2 <= sweep.count <= MOST:
            self.fail(f"a sweep of {sweep.count} is none; use 2 to {MOST} pictures", param, context)
        return sweep


@dataclass(frozen=True)
class ChangeOptions:
    """What is changed, and how far."""

    directions: tuple[str, ...]  # names or files
    strengths: tuple[float, ...]  # one for each, the last apart where there is a sweep
    sweep: Sweep | None  # strengths of the last direction, or None
    at_limit: AtLimit


change_options: Final = bundle(
    "change",
    ChangeOptions,
    (
        click.option(
            "-d",
            "--direction",
            "directions",
            multiple=True,
            required=True,
            metavar="NAME|FILE",
            help="What to change; `mystyle prior show` lists the names. Several are stacked.",
        ),
        click.option(
            "-s",
            "--strength",
            "strengths",
            multiple=True,
            type=Number(),
            help="How far, in the direction's unit; one for each --direction, in the same order.",
        ),
        click.option(
            "--sweep", type=SweepType(), help="Strengths of the last --direction; the faces side by side."
        ),
        click.option(
            "--at-limit",
            type=click.Choice(["stop", "project", "continue"]),
            default="project",
            show_default=True,
            help="Where the edit would leave the person's space: stop, project back into it, or continue.",
        ),
    ),
)


@dataclass(frozen=True)
class DrawingOptions:
    """What pictures are drawn from, and by what."""

    codes: Path | None  # of the photos, saved before; None: they are searched
    refine: bool  # the generator is tuned on each photo first
    keep_code: bool
    backend: Backend


drawing_options: Final = bundle(
    "drawing",
    DrawingOptions,
    (
        click.option(
            "--codes",
            type=click.Path(exists=True, path_type=Path),
            metavar="FILE|DIR",
            help="What `invert`, `upscale` or `restore` kept of these photos with `--save-codes`: nothing is "
            "searched again.",
        ),
        click.option(
            "--refine",
            is_flag=True,
            help="Tune the generator on the photo first, so that its own details stay; kept for its next "
            "edit.",
        ),
        keep_code_option,
        backend_option,
    ),
)


@click.command(
    "edit",
    cls=Command,
    examples=(
        "mystyle edit adele in.png --direction smile --strength 2 -o out.png",
        "mystyle edit adele in.png --direction yaw --strength 1 --direction smile --strength -1 -o out.png",
        "mystyle edit adele in.png --direction yaw --sweep=-3:3:7 -o strip.png",
        "mystyle edit adele in.png --direction smile --strength 2 --refine -o out.png",
        "mystyle edit adele in.png --codes codes --direction smile --strength 2   # invert --save-codes",
    ),
    unused=(
        Unused(
            ("steps", "seed", "space", "start", "aligned", "landmarks", "force", "person", "year"),
            lambda values: values["codes"] is not None,
            "with --codes nothing is searched",
            "Leave it out, or leave --codes out.",
        ),
        Unused(
            ("at_limit",),
            lambda values: values["beta"] is None,
            "--beta none sets no limit",
            "Leave out one of the two.",
        ),
        Unused(
            ("keep_code",),
            lambda values: values["sweep"] is not None,
            "the faces of a sweep have as many codes",
            "Leave it out, or give one --strength.",
        ),
        Unused(
            ("keep_code",),
            lambda values: values["refine"],
            "no code alone draws what --refine has tuned",
            "Leave out one of the two.",
        ),
        *UNUSED,
        UNMARKED,
    ),
)
@profile_argument
@batch_options
@change_options
@drawing_options
@search_options(BETA_EDIT)
@pass_app
def command(
    app: App,
    name: str,
    batch: BatchOptions,
    change: ChangeOptions,
    drawing: DrawingOptions,
    search: SearchOptions,
) -> int:
    """Change pose, smile or light in photos of the person.

    The photo is inverted into the person's own space, moved along the directions there, and put back. Printed
    are the strength that was reached, where it is another than the one asked for, the dilation that the edit
    needs, and the largest strength within --beta. With --codes nothing is searched, and the exported net is
    enough. With --refine the result keeps what the photo shows and the profile does not know; the first edit
    of a photo takes longer then, and what was tuned on it lies in the profile until that is deleted.
    """
    _check_counts(change)
    warn_unbounded(app.console, search.beta)
    profile = search.whom(app.profiles().open(name))
    from mystyle_cli.edit.directions import find_direction
    from mystyle_cli.edit.photos import check_backend, settings_for
    from mystyle_cli.restore.task import RestoreSettings
    from mystyle_cli.store.found import found

    check_backend(drawing.backend, drawing.codes is not None, drawing.refine)
    if drawing.keep_code:
        refuse_long_codes(profile, batch)
    edits = edits_of([find_direction(profile.prior, name) for name in change.directions], change)
    beside = [place for place in (drawing.codes, search.landmarks) if place is not None]
    files = [path for path in map(Path, change.directions) if path.is_file()]
    originals, size = Originals.of([profile.path, *beside, *files]), _strip_size(profile, change.sweep)

    restore = None if drawing.codes is not None else settings_of(app, "invert", batch, search)
    opening = OpenEditing(
        found(profile),
        app.device,
        edits,
        settings_for(search.beta, change.at_limit, restore or RestoreSettings()),
        drawing,
        SubjectReader(landmarks=landmark_companions(search.landmarks)),
    )
    asked = Asked(
        app,
        "edit",
        (opening.profile, change, drawing, search, restore and restore.drawn, batch.made),
        (
            drawing.codes is None,
            drawing.refine,
            search.space,
            search.steps,
            len(edits),
            opening.profile.prior,
        ),
        tuple([*beside, *files]),
    )
    with open_batch(app.console, batch, "edit", originals, size=size, asked=asked) as inputs:
        inputs.work(opening)
    return inputs.exit_code


def _check_counts(change: ChangeOptions) -> None:
    directions, strengths, sweep = change.directions, change.strengths, change.sweep
    needed = len(directions) - (1 if sweep else 0)
    if len(strengths) != needed:
        last = " (the last has --sweep)" if sweep else ""
        raise UsageError(
            f"{len(directions)} directions{last} and {len(strengths)} strengths do not fit",
            f"Give --strength {needed} times."
            if needed
            else "Leave --strength out, or name its direction first.",
        )


def edits_of(directions: Sequence[Direction], change: ChangeOptions) -> list[Strengths]:
    """Return the edits that were asked for: one, or one for each strength of a sweep."""
    from mystyle_cli.edit.photos import sweep_edits

    held = list(zip(directions, change.strengths, strict=False))
    return sweep_edits(directions[-1], change.sweep.strengths(), held) if change.sweep else [held]


def _strip_size(profile: Profile, sweep: Sweep | None) -> tuple[int, int] | None:
    """Return height and width of the faces of a sweep side by side; None where the photo's size counts."""
    from mystyle_cli.photos.pixels import sheet_size

    side = profile.manifest.prior.resolution
    return sheet_size(sweep.count, (side, side), columns=sweep.count) if sweep else None


@dataclass(frozen=True)
class OpenEditing:
    """Makes edits of photos ready, in whatever process.

    Args:
        device: `--device`.
    """

    profile: Found
    device: str
    edits: list[Strengths]
    settings: EditSettings
    drawing: DrawingOptions
    reader: SubjectReader

    def open(self, seat: Seat) -> _Editing:
        """Load what all photos share."""
        from mystyle_cli.edit.photos import EditTask

        codes = self.drawing.codes
        device = (choose_device if codes is None else wanted_device)(self.device, seat.tell)
        person = self.profile.open().on(device)
        refiner = _refiner(person) if self.drawing.refine else None
        task = EditTask(self.edits, self.settings, refiner)
        if codes is None:
            answer = searching(person, task, self.reader)
        else:
            renderer = open_renderer(person, self.drawing.backend, seat.tell)
            answer = recalling(person, renderer, task, code_companions(codes))
        return _Editing(person, self.settings, self.drawing.keep_code, answer)

    def needs(self) -> Needs:
        """Return what it reads."""
        codes = () if self.drawing.codes is None else (code_companions(self.drawing.codes),)
        stays = "--refine keeps what it tunes in the profile" if self.drawing.refine else ""
        return Needs((self.profile,), (*self.reader.companions, *codes), stays)

    def moved(self, people: Sequence[Found]) -> OpenEditing:
        """Return the same of a profile that lies elsewhere."""
        return replace(self, profile=people[0])


def _refiner(profile: Profile) -> Refiner:
    """Return what tunes the person's generator on photos, and keeps what comes of it in the profile."""
    from mystyle_cli.edit.refined import Refiner
    from mystyle_cli.store.refined import KeptRefinements

    return Refiner(profile, KeptRefinements(profile))


def searching(profile: Profile, task: EditTask, reader: SubjectReader) -> Answer:
    """Return what edits photos after finding their codes."""
    from mystyle_cli.edit.photos import edit_engine, edit_with

    engine = edit_engine(profile, task.settings)
    return lambda jobs, progress: answer_each(
        jobs, reader, lambda subjects: edit_with(engine, subjects, task, progress)
    )


def recalling(profile: Profile, renderer: Renderer, task: EditTask, codes: Companions) -> Answer:
    """Return what edits photos whose codes were saved before."""
    from mystyle_cli.edit.photos import edit_saved
    from mystyle_cli.find.locate import Subject
    from mystyle_cli.restore.saved import load_code

    def answer(jobs: Sequence[Job], progress: Progress) -> list[EditedPhoto | MystyleError]:
        photos: list[EditedPhoto | MystyleError] = []
        for job in jobs:
            try:
                code = load_code(job.file(codes), profile)
                person, subject = profile.one(code.person or None), Subject(job.photo, name=job.item.name)
                photos.append(edit_saved(person, renderer, subject, code, task, progress))
            except Exception as error:
                photos.append(contained(job.item.name, error))
        return photos

    return answer


class _Editing:
    """Photos edited, and edited photos made results."""

    def __init__(self, profile: Profile, settings: EditSettings, keep_code: bool, answer: Answer) -> None:
        self.profile, self.settings, self.keep_code = profile, settings, keep_code
        self.answer = answer

    def finish(self, job: Job, answer: EditedPhoto) -> Result:
        inversion = answer.inversion
        assert inversion is not None
        whom = f"{inversion.person}, " if inversion.person else ""
        lines = [f"{job.item.name}: {whom}inverted with ID {inversion.id_score:.3f}{_refined(answer)}"]
        lines += [f"  {_frame_line(frame)}" for frame in answer.frames]
        report = {
            "person": inversion.person or None,
            "inversion_id": finite(inversion.id_score),
            "beta": inversion.beta,
            "seed": self.settings.restore.drawn,
            "year": inversion.year,
            "edits": [_frame_report(frame) for frame in answer.frames],
            "refined": _refinement(answer),
            "warnings": list(inversion.warnings),
        }
        return Result(lambda: self._picture(job, answer), "\n".join(lines), inversion.warnings, report)

    def _picture(self, job: Job, answer: EditedPhoto) -> Picture:
        import numpy as np

        from mystyle_cli.photos.pixels import grid

        limit = None if self.settings.at_limit == "continue" else answer.frames[0].edited.limit
        score = answer.frames[0].id_score if len(answer.frames) == 1 else None
        code = answer.code(self.profile) if self.keep_code else b""
        drawer, drawn = answer.refined.generator if answer.refined else "", self.settings.restore.drawn
        person = answer.inversion.person if answer.inversion else ""
        year = self.settings.restore.year
        origin = Origin(limit, drawn, code=code, generator=drawer, person=person, year=year)
        marks = provenance("edit", self.profile, origin, score)
        if len(answer.frames) == 1:
            return finished(job, answer.frames[0].pixels, marks)
        faces = np.stack([frame.face for frame in answer.frames])
        return Picture(grid(faces, columns=len(faces)), marks, exif=job.photo.exif)


def _refined(answer: EditedPhoto) -> str:
    """Say how near the photo the generator was tuned."""
    found = answer.refined
    if found is None:
        return ""
    when = ", for an earlier edit" if found.kept else ""
    return f"; refined from loss {found.before:.3f} to {found.after:.3f} in {found.steps} steps{when}"


def _refinement(answer: EditedPhoto) -> dict[str, object] | None:
    found = answer.refined
    if found is None:
        return None
    return {"kept": found.kept, "steps": found.steps, "before": found.before, "after": found.after}


def _frame_report(frame: Frame) -> dict[str, object]:
    return {
        "strengths": frame.strengths,
        "reached": frame.reached,
        "largest": _largest(frame),
        "limit": frame.edited.limit,
        "least_dilation": frame.edited.least_dilation,
        "projected": frame.edited.projected,
        "id": finite(frame.id_score),
    }


def _frame_line(frame: Frame) -> str:
    edited, wanted = frame.edited, frame.strengths.items()
    asked, end = _listed(frame.strengths), ", projected back" if edited.projected else ""
    if any(not math.isclose(frame.reached[name], far, rel_tol=1e-3, abs_tol=1e-6) for name, far in wanted):
        end += f", reached {_listed(frame.reached)}"
    limits = {name: limit for name, limit in _largest(frame).items() if limit is not None}
    largest = f", largest within dilation {edited.limit:.3g}: {_listed(limits)}" if limits else ""
    return f"{asked}{end}: dilation {edited.least_dilation:.4f}, ID {frame.id_score:.3f}{largest}"


def _listed(strengths: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {strength:z.3g}" for name, strength in strengths.items())


def _largest(frame: Frame) -> dict[str, float | None]:
    """Return the largest strengths within beta in the directions that were asked for; None where any is."""
    return {name: finite(strength * frame.edited.largest) for name, strength in frame.strengths.items()}
