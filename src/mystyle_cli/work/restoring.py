"""One task of the restoring engine on photos, and what is said and written of each answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from mystyle_cli.batch.errands import Job, Needs, Picture, Result, finished
from mystyle_cli.batch.subjects import SubjectReader, answer_each
from mystyle_cli.errors import MystyleError
from mystyle_cli.progress import Progress
from mystyle_cli.terminal.app import choose_device
from mystyle_cli.terminal.console import finite
from mystyle_cli.terminal.marking import Origin, provenance
from mystyle_cli.terminal.outputs import Target

if TYPE_CHECKING:
    from mystyle_cli.engines.engine import Seat
    from mystyle_cli.find.locate import Subject
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.projection.damage import Damage
    from mystyle_cli.restore.task import Restoration, RestoreSettings, TaskName
    from mystyle_cli.store.found import Found


@dataclass(frozen=True)
class OpenRestoring:
    """Makes one task on a person's photos ready, in whatever process.

    Args:
        device: `--device`.
        keep_code: whether each photo's code is kept in its result.
    """

    profile: Found
    device: str
    task: TaskName
    settings: RestoreSettings
    reader: SubjectReader
    keep_code: bool

    def open(self, seat: Seat) -> _Hands:
        """Load the nets."""
        device = choose_device(self.device, seat.tell, torch=self.settings.quality != "instant")
        profile = self.profile.open().on(device)
        return _Hands(Restoring(profile, self.task, self.settings, self.keep_code), self.reader)

    def needs(self) -> Needs:
        """Return what it reads."""
        return Needs((self.profile,), self.reader.companions)

    def moved(self, people: Sequence[Found]) -> OpenRestoring:
        """Return the same of a profile that lies elsewhere."""
        return replace(self, profile=people[0])


@dataclass(frozen=True)
class _Hands:
    """What restores the photos of a batch."""

    restoring: Restoring
    reader: SubjectReader

    def answer(self, jobs: Sequence[Job], progress: Progress) -> Sequence[Restoration | MystyleError]:
        return answer_each(jobs, self.reader, lambda subjects: self.restoring.restore(subjects, progress))

    def finish(self, job: Job, answer: Restoration) -> Result:
        return self.restoring.finish(job, answer)


class Restoring:
    """One task on many photos, with nets that are ready.

    Args:
        keep_code: whether each photo's code is kept in its result.
    """

    def __init__(self, profile: Profile, task: TaskName, settings: RestoreSettings, keep_code: bool) -> None:
        from mystyle_cli.restore.engine import open_engine

        self.profile, self.task, self.settings, self.keep_code = profile, task, settings, keep_code
        self.engine = open_engine(profile, settings)

    def restore(self, subjects: Sequence[Subject], progress: Progress) -> Sequence[Restoration]:
        """Restore photos; see `restore.restore_with`."""
        from mystyle_cli.restore.restore import restore_with

        return restore_with(self.engine, subjects, self.task, progress)

    def finish(self, job: Job, answer: Restoration) -> Result:
        """Return what is said and written of an answer."""
        size = f", {answer.factor:.3g} times" if self.task == "upscale" else ""
        if answer.damage is not None and answer.located is not None:
            size = f"; {told(answer.damage, answer.located.side, self.engine.resolution)}"
        dilation = "" if answer.alpha_plus is None else f"dilation {answer.least_dilation:.4f}, "
        year = "" if answer.year is None else f"year {answer.year:.0f}, "
        whom = f"{answer.person}, " if answer.person else ""
        summary = (
            f"{job.item.name}: {whom}ID {answer.id_score:.3f} (input {answer.input_id:.3f}), "
            f"{dilation}{year}{answer.steps} steps{size}"
        )
        report: dict[str, object] = {
            "person": answer.person or None,
            "id": finite(answer.id_score),
            "input_id": finite(answer.input_id),
            "beta": answer.beta,
            "least_dilation": finite(answer.least_dilation),
            "year": answer.year,
            "loss": finite(answer.loss),
            "steps": answer.steps,
            "factor": finite(answer.factor),
            "seed": self.settings.drawn,
            "warnings": list(answer.warnings),
        }
        if answer.damage is not None and answer.located is not None:
            report["damage"] = figures(answer.damage, answer.located.side, self.engine.resolution)
        beside: list[tuple[Target, Callable[[], Picture]]] = []
        if (openness := answer.openness) is not None:
            summary = f"{summary}\n{job.item.name}: {told_open(answer)}"
            beside = self._beside(job, answer)
            report["variants"] = [
                {"output": target.name, "id": finite(other.id_score), "loss": finite(other.loss)}
                for other, (target, _) in zip(answer.others, beside[:-1], strict=True)
            ]
            report["open"] = {
                "map": beside[-1][0].name,
                "hidden": list(openness.hidden),
                "parts": list(openness.parts),
                "dropped": openness.dropped,
            }
        code = self._code(answer) if job.code is not None else b""
        return Result(lambda: self._picture(job, answer), summary, answer.warnings, report, beside, code)

    def _code(self, answer: Restoration) -> bytes:
        from mystyle_cli.restore.saved import code_bytes

        return code_bytes(self.profile, answer, aligned=self.settings.aligned)

    def _beside(self, job: Job, answer: Restoration) -> list[tuple[Target, Callable[[], Picture]]]:
        """Return the places and pictures of other answers, and last of the map of what is open."""
        from mystyle_cli.restore.variants import heat

        *places, last = job.beside
        beside: list[tuple[Target, Callable[[], Picture]]] = [
            (target, partial(self._picture, job, other))
            for target, other in zip(places, answer.others, strict=False)  # some may be dropped
        ]
        # without the code: it would draw the answer
        glowing = partial(self._picture, job, replace(answer, pixels=heat(answer)), coded=False)
        return [*beside, (last, glowing)]

    def _picture(self, job: Job, answer: Restoration, *, coded: bool = True) -> Picture:
        assert answer.pixels is not None
        keeps = self.keep_code and coded
        origin = Origin(
            answer.beta,
            self.settings.drawn,
            hull=answer.alpha_plus is not None,
            code=self._code(answer) if keeps else b"",
            person=answer.person,
            year=self.settings.year,
        )
        marks = provenance(self.task, self.profile, origin, answer.id_score)
        filled = answer.located.mask if answer.located else None
        return finished(job, answer.pixels, marks, filled)


def told_open(answer: Restoration) -> str:
    """Return in words what answers to a photo leave open, and how many there are."""
    assert answer.openness is not None
    count = 1 + len(answer.others)
    dropped = answer.openness.dropped
    left = f"; {dropped} more explain it less well and are left out" if dropped else ""
    many = f"{count} answers explain it equally well" if count > 1 else "only this answer explains it"
    return f"{answer.openness.told}; {many}{left}"


def figures(damage: Damage, side: float, resolution: int) -> dict[str, object]:
    """Return what a photo had suffered, in its own pixels, by the names of the options.

    Args:
        side: of the face's crop on the photo, in pixels.
        resolution: R.
    """
    unit = side / resolution  # photo pixels for each of the crop's
    longer, shorter = (width * unit for width in damage.widths)
    blur, noise, quality, fine = damage.sigma * unit, damage.noise, damage.quality, damage.fine
    if fine is not None:
        noise, quality = fine.noise, fine.quality
        if fine.blur:
            blur = longer = shorter = fine.blur
    tone = None
    if damage.tone is not None:
        tone = "grey" if all(slope == 1 and not offset for slope, offset in damage.tone) else "toned"
    return {
        "blur": round(blur, 2),
        "blur_longest": round(longer, 2),
        "blur_shortest": round(shorter, 2),
        "noise": round(noise, 1),
        "jpeg": quality,
        "scale": round(max(1.0, side / damage.side), 2),
        "tone": tone,
    }


def told(damage: Damage, side: float, resolution: int) -> str:
    """Return the same in words."""
    found = figures(damage, side, resolution)
    words = []
    blur, longer, shorter = (float(str(found[name])) for name in ("blur", "blur_longest", "blur_shortest"))
    if blur:
        across = "" if longer < 1.3 * shorter else f" ({longer} x {shorter})"
        words.append(f"blur {blur} px{across}")
    if found["noise"]:
        words.append(f"noise {found['noise']}")
    if found["jpeg"] is not None:
        words.append(f"JPEG {found['jpeg']}")
    if damage.side < min(round(side), resolution):
        words.append(f"enlarged {found['scale']} times")
    if found["tone"]:
        words.append(str(found["tone"]))
    return f"found {', '.join(words)}" if words else "found no damage"
