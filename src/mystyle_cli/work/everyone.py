"""`--who all`: photos of several people, each known face worked on by its own person's profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mystyle_cli.batch.asking import Ask
from mystyle_cli.batch.batch import open_batch
from mystyle_cli.batch.errands import Job, Needs, Picture, Result, finished
from mystyle_cli.batch.ledger import SOME_FAILED
from mystyle_cli.batch.subjects import SubjectReader, answer_each
from mystyle_cli.engines.engine import Note
from mystyle_cli.errors import MystyleError, ProfileError, UsageError
from mystyle_cli.progress import Progress
from mystyle_cli.terminal.app import App, Unused, choose_device
from mystyle_cli.terminal.console import finite
from mystyle_cli.terminal.marking import Origin, provenance
from mystyle_cli.terminal.options import BatchOptions, warn_unbounded
from mystyle_cli.terminal.outputs import Originals
from mystyle_cli.terminal.searching import SearchOptions, settings_of
from mystyle_cli.work.restoring import figures, told

if TYPE_CHECKING:
    from mystyle_cli.engines.engine import Seat
    from mystyle_cli.group.group import Group, GroupFace, GroupRestoration
    from mystyle_cli.photos.marks import Provenance
    from mystyle_cli.restore.task import RestoreSettings, TaskName
    from mystyle_cli.store.found import Found
    from mystyle_cli.store.store import Store

ONE_ONLY: Final = Unused(
    ("person", "landmarks", "aligned", "folder", "keep_code", "variants"),
    lambda values: bool(values.get("who")),
    "--who all finds everybody by itself",
    "Leave it out, or name one profile in place of --who all.",
)


def run_everyone(app: App, ask: Ask, batch: BatchOptions, search: SearchOptions) -> int:
    """Work on all people of the store in all inputs of a command; returns the exit code."""
    from mystyle_cli.store.found import found

    warn_unbounded(app.console, search.beta)
    store = app.profiles()
    _refuse_name(store, batch.inputs[0])
    profiles, refused = store.open_ready()
    if not profiles:
        raise next(iter(refused.values()), None) or ProfileError(
            f"there is no finished profile in {store.root}", "Create one: mystyle profile create NAME PHOTOS"
        )
    beside = [ask.masks.path] if ask.masks else []
    originals = Originals.of([*(profile.path for profile in profiles), *beside])

    reader = SubjectReader(ask.masks, None, ask.region, transparent=ask.task == "inpaint")
    settings = ask.applied(settings_of(app, ask.task, batch, search, ask.quality))
    opening = OpenGroup(tuple(map(found, profiles)), app.device, ask.task, settings, reader)
    watch = ask.watching(app.console, batch, search)
    asked = ask.asked(app, batch, settings, opening.profiles, search)
    with open_batch(app.console, batch, ask.task, originals, watch=watch, asked=asked) as inputs:
        inputs.work(opening)
        left = [Note("left out", error.message, error.hint, name) for name, error in refused.items()]
        left += inputs.left_out
        for note in left:
            app.console.error(f"left out: {note.text}", note.hint)
        inputs.beside["profiles_left_out"] = [
            {"profile": note.about, "error": note.text, "hint": note.hint} for note in left
        ]
    return inputs.exit_code or (SOME_FAILED if left else 0)


@dataclass(frozen=True)
class OpenGroup:
    """Makes one task on photos of several people ready, in whatever process.

    Args:
        device: `--device`.
    """

    profiles: tuple[Found, ...]
    device: str
    task: TaskName
    settings: RestoreSettings
    reader: SubjectReader

    def open(self, seat: Seat) -> _Hands:
        """Load what all photos share; each person's nets come with the first photo of theirs."""
        from mystyle_cli.group.group import Group

        device = choose_device(self.device, seat.tell, torch=self.settings.quality != "instant")
        group = Group([profile.open().on(device) for profile in self.profiles], self.task, self.settings)
        return _Hands(group, self.reader, seat)

    def needs(self) -> Needs:
        """Return what it reads."""
        return Needs(self.profiles, self.reader.companions)

    def moved(self, people: Sequence[Found]) -> OpenGroup:
        """Return the same of profiles that lie elsewhere."""
        return replace(self, profiles=tuple(people))


@dataclass(frozen=True)
class _Hands:
    """What works on the photos of a batch."""

    group: Group
    reader: SubjectReader
    seat: Seat

    def answer(self, jobs: Sequence[Job], progress: Progress) -> Sequence[GroupRestoration | MystyleError]:
        try:
            return answer_each(jobs, self.reader, lambda subjects: self.group.restore(subjects, progress))
        finally:
            for name, error in self.group.gone.items():
                self.seat.tell(Note("left out", error.message, error.hint, name))

    def finish(self, job: Job, answer: GroupRestoration) -> Result:
        return _finish(self.group, job, answer)


def _refuse_name(store: Store, first: str) -> None:
    """Refuse a profile's name where `--who all` stands for it."""
    if not Path(first).exists() and first in store.names():
        raise UsageError(
            f"--who all stands in NAME's place, and '{first}' is no photo",
            f"Leave out '{first}', or --who all.",
        )


def _finish(group: Group, job: Job, answer: GroupRestoration) -> Result:
    done = [face for face in answer.faces if face.restoration is not None]
    lines = [f"{job.item.name}: {len(done)} of {len(answer.faces)} faces worked on"]
    lines += [
        f"  face {face.number} at {','.join(map(str, face.box))}: {_line(face)}" for face in answer.faces
    ]
    warnings = [
        *answer.warnings,
        *(f"face {face.number}: {note}" for face in answer.faces for note in _notes(face)),
    ]
    report: dict[str, object] = {
        "faces": [_report(face) for face in answer.faces],
        "factor": finite(answer.factor),
        "seed": group.settings.drawn,
        "warnings": warnings,
    }

    def picture() -> Picture:
        assert answer.pixels is not None
        return finished(job, answer.pixels, _marks(group, done), answer.filled)

    return Result(picture, "\n".join(lines), warnings, report)


def _notes(face: GroupFace) -> list[str]:
    """Return what is to be warned of: why a face failed, or in what one that was worked on is in doubt."""
    told_of = [face.note] if face.note and face.verdict in ("done", "failed") else []
    return [*told_of, *(face.restoration.warnings if face.restoration else ())]


def _line(face: GroupFace) -> str:
    """Say in a line what became of a face."""
    made = face.restoration
    if made is None:
        if face.verdict == "failed":
            return f"{face.person}, failed"
        nobody = {"unknown": "nobody of the store", "unsure": "nobody for sure"}
        who = nobody.get(face.verdict, face.person)
        return f"{who}, left as it is ({face.note or face.verdict})"
    assert face.profile is not None
    by = f" of '{face.profile.name}'" if face.profile.person else ""
    dilation = "" if made.alpha_plus is None else f"dilation {made.least_dilation:.4f}, "
    year = "" if made.year is None else f"year {made.year:.0f}, "
    line = (
        f"{face.person}{by}, ID {made.id_score:.3f} (input {made.input_id:.3f}), "
        f"{dilation}{year}{made.steps} steps"
    )
    if made.damage is not None and made.located is not None:
        line += f"; {told(made.damage, made.located.side, face.profile.manifest.prior.resolution)}"
    return line


def _report(face: GroupFace) -> dict[str, object]:
    made, profile = face.restoration, face.profile
    report: dict[str, object] = {
        "face": face.number,
        "box": list(face.box),
        "verdict": face.verdict,
        "person": face.person or None,
        "profile": profile.name if profile else None,
        "input_id": finite(face.input_id),
        "note": face.note or None,
    }
    if made is not None and profile is not None:
        report |= {
            "id": finite(made.id_score),
            "beta": made.beta,
            "least_dilation": finite(made.least_dilation),
            "year": made.year,
            "loss": finite(made.loss),
            "steps": made.steps,
        }
        if made.damage is not None and made.located is not None:
            report["damage"] = figures(made.damage, made.located.side, profile.manifest.prior.resolution)
    return report


def _marks(group: Group, done: list[GroupFace]) -> Provenance:
    """Return what a result says of itself: of one face as any result, of several what they share."""
    each = []
    for face in done:
        made, profile = face.restoration, face.profile
        assert made is not None
        assert profile is not None
        origin = Origin(
            made.beta,
            group.settings.drawn,
            hull=made.alpha_plus is not None,
            person=profile.person,
            year=group.settings.year,
        )
        each.append(provenance(group.task, profile, origin, made.id_score))
    if len(each) == 1:
        return each[0]
    betas = {marks.beta for marks in each}
    return replace(
        each[0],
        profile=", ".join(dict.fromkeys(marks.profile for marks in each)),
        prior=", ".join(dict.fromkeys(marks.prior for marks in each)),
        person=", ".join(face.person for face in done),
        beta=betas.pop() if len(betas) == 1 else None,
        id_score=min((marks.id_score for marks in each if marks.id_score is not None), default=None),
        generator="",
    )
