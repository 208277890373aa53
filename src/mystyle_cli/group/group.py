"""Whole photos with several people in, whole photos out: every known face by its own person's profile.

For each photo: find all faces, tell whose they are, draw those of each person together, and lay them over the
photo, each where it is nearest. What nobody of the store is known for stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from mystyle_cli.errors import MystyleError, NoFaceError, NotThisPersonError, UsageError, contained, ran_out
from mystyle_cli.find.locate import Subject, as_photo
from mystyle_cli.group.engines import Engines
from mystyle_cli.group.places import Box, Place, find_places, part_of, share
from mystyle_cli.group.whose import Crowd, Found, Likeness, Verdict, each_person, tell_apart
from mystyle_cli.progress import Progress, silent
from mystyle_cli.restore.given import Given
from mystyle_cli.restore.restore import ENLARGED, SMALLEST, Drawn, draw
from mystyle_cli.restore.task import Restoration, RestoreSettings, TaskName

if TYPE_CHECKING:
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.photos.decode import Photo
    from mystyle_cli.photos.pixels import Pixels

TASKS: Final[tuple[TaskName, ...]] = ("restore", "upscale", "inpaint")


@dataclass(frozen=True)
class GroupFace:
    """What became of one face of a photo.

    Args:
        number: from 1 up, from the left.
        box: left, top, width and height on the photo.
        verdict: "done", or why it stayed as it is: "unknown"; "unsure", too little shows whose it is;
            "twice", a clearer face of the same person is there; "left", there is nothing to do; "failed".
        person: whose it is, or would be; "" where nobody's.
        profile: by whose profile it was worked on.
        restoration: the work, but for the whole photo; None where there is none.
        note: what else is to be said.
    """

    number: int
    box: Box
    verdict: Verdict
    person: str = ""
    profile: Profile | None = None
    input_id: float = math.nan
    restoration: Restoration | None = None
    note: str = ""


@dataclass(frozen=True)
class GroupRestoration:
    """What became of one photo of several people.

    Args:
        error: why there is no result, or None. Faces may be told of even then.
        pixels: uint8 (H, W, 3), the whole photo.
        faces: all that were found, from the left.
        factor: how much larger the result is than the photo.
        filled: uint8 (H, W) of the photo, 255 where it was filled, or None.
    """

    name: str
    error: MystyleError | None = None
    pixels: Pixels | None = None
    faces: tuple[GroupFace, ...] = ()
    factor: float = 1.0
    filled: Pixels | None = None
    warnings: tuple[str, ...] = ()


@dataclass
class _Plan:
    """A photo on its way."""

    name: str
    photo: Photo
    found: list[Found]
    masks: list[Pixels | None]
    given: dict[int, Given] = field(default_factory=dict)  # by row of `found`, what is to be drawn
    drawn: dict[int, Drawn] = field(default_factory=dict)
    failed: dict[int, MystyleError] = field(default_factory=dict)

    @property
    def places(self) -> list[Place]:
        return [one.place for one in self.found]


class Group:
    """Works on photos of several people, each with their own profile, opened once for all photos.

    Args:
        profiles: of one person or several each; their priors may differ.
        task: what is asked.
        settings: how; `force` works also on faces that are in doubt.
    """

    def __init__(self, profiles: Sequence[Profile], task: TaskName, settings: RestoreSettings) -> None:
        if task not in TASKS:
            raise UsageError(f"{task} works on one person", f"Use one of {', '.join(TASKS)}.")
        self.task, self.settings = task, settings
        self.whole = {profile.name: profile for profile in profiles}
        self.crowd = Crowd([], settings.known if task == "restore" else None)
        for profile in profiles:
            try:
                self.crowd.people += each_person([profile])
            except MystyleError as error:
                self.crowd.leave(profile.name, error)
        self.engines = Engines(settings)

    @property
    def gone(self) -> Mapping[str, MystyleError]:
        """The profiles that could not be used, and why."""
        return self.crowd.gone

    def restore(self, subjects: Sequence[Subject], progress: Progress = silent) -> list[GroupRestoration]:
        """Work on photos; returns a result for each, in their order. What fails for one stops no other.

        Raises:
            ProfileError: no profile can be used.
        """
        plans: list[_Plan | GroupRestoration] = []
        for subject in subjects:
            name = subject.name or "the photo"
            try:
                plans.append(self._plan(subject, name))
            except Exception as error:
                if ran_out(error) or isinstance(error, ImportError):
                    raise
                plans.append(GroupRestoration(name, contained(name, error)))
            self._refuse_nobody()
        self._draw([plan for plan in plans if isinstance(plan, _Plan)], progress)
        return [plan if isinstance(plan, GroupRestoration) else self._laid(plan) for plan in plans]

    def _refuse_nobody(self) -> None:
        if not self.crowd.people:
            raise next(iter(self.gone.values()))

    def _plan(self, subject: Subject, name: str) -> _Plan:
        """Find the faces of a photo and tell whose they are."""
        from mystyle_cli.faces.faces import why_unsearched

        photo = as_photo(subject.photo)
        if self.task == "inpaint" and not subject.fills:
            raise UsageError(
                f"{name}: nothing says what is to be filled",
                "Give --mask FILE, --part eyes or --box x,y,width,height.",
            )
        places = find_places(photo.pixels, tiny=self.task != "inpaint")
        if not places:
            why = why_unsearched(photo.pixels) or "no face was found"
            raise NoFaceError(f"{name}: {why}", "Give a photo with clearer faces.")
        masks = self._masks(subject, photo, places)
        likenesses = self.crowd.likenesses(photo, name, places, masks)
        found = tell_apart(places, likenesses, force=self.settings.force)
        plan = _Plan(
            name, photo, [self._worth(one, mask) for one, mask in zip(found, masks, strict=True)], masks
        )
        for row, one in enumerate(plan.found):
            if one.chosen is None:
                continue
            try:
                plan.given[row] = self._given(one.chosen)
            except MystyleError as error:
                plan.failed[row] = error
        return plan

    def _masks(self, subject: Subject, photo: Photo, places: Sequence[Place]) -> list[Pixels | None]:
        """Return what of each face is hidden: all scratches, or what of a hole is nearest to it."""
        if self.task == "upscale" or not subject.fills:
            return [None] * len(places)
        if self.task == "restore":
            return [subject.mask] * len(places)
        masks: list[Pixels | None] = []
        for place in places:
            mask = subject.mask
            if subject.region is not None:
                mask = subject.region.mask(photo.pixels.shape[:2], place.face.landmarks, mask)
            assert mask is not None
            part = part_of(mask, place, places)
            masks.append(part if part.any() else None)
        return masks

    def _worth(self, found: Found, mask: Pixels | None) -> Found:
        """Return a face that is to be worked on as one that is not, where there is nothing to do."""
        if found.chosen is None:
            return found
        located = found.chosen.located
        resolution = found.chosen.person.manifest.prior.resolution
        note = ""
        if self.task == "inpaint" and mask is None:
            note = "nothing of it is to be filled"
        elif self.task != "inpaint" and round(located.side) < SMALLEST:
            note = f"its crop is {located.side:.0f} px wide"
        elif self.task == "upscale" and round(located.side) >= resolution:
            note = f"it is as large as the profile can draw already, {located.side:.0f} px"
        return replace(found, verdict="left", chosen=None, note=note) if note else found

    def _given(self, chosen: Likeness) -> Given:
        resolution = chosen.person.manifest.prior.resolution
        if self.task != "restore":
            return Given(chosen.located, self.task, resolution)
        estimator = self.crowd.estimator(chosen.person)
        damage = chosen.damage or estimator.of_photo(chosen.located)
        if damage.tone is not None and self.settings.quality == "instant":
            raise UsageError(
                f"{chosen.located.name}: an instant answer cannot give a photo its colours back",
                "Use --quality fast or full.",
            )
        return Given(chosen.located, self.task, resolution, damage, estimator.chroma)

    def _draw(self, plans: Sequence[_Plan], progress: Progress) -> None:
        """Draw the faces of each person together, one profile after the other."""
        for profile in self.whole.values():
            theirs = [
                (plan, row)
                for plan in plans
                for row in plan.given
                if (chosen := plan.found[row].chosen) is not None and chosen.person.name == profile.name
            ]
            if not theirs:
                continue
            try:
                self._draw_of(profile, theirs, progress)
            except MystyleError as error:
                self.crowd.leave(profile.name, error)
                for plan, row in theirs:
                    if row not in plan.drawn:
                        plan.failed.setdefault(row, error)
        self._refuse_nobody()

    def _draw_of(self, profile: Profile, theirs: Sequence[tuple[_Plan, int]], progress: Progress) -> None:
        engine = self.engines.of(profile)
        for person in dict.fromkeys(plan.given[row].located.person for plan, row in theirs):
            mine = [(plan, row) for plan, row in theirs if plan.given[row].located.person == person]
            answers = draw(engine.of(person), [plan.given[row] for plan, row in mine], progress)
            for (plan, row), answer in zip(mine, answers, strict=True):
                if isinstance(answer, Drawn):
                    plan.drawn[row] = answer
                elif answer.error is not None:
                    plan.failed[row] = answer.error

    def _laid(self, plan: _Plan) -> GroupRestoration:
        """Lay the faces that were drawn over their photo."""
        faces = tuple(_face(plan, row) for row in range(len(plan.found)))
        if not plan.drawn:
            return GroupRestoration(plan.name, _nothing_done(plan, faces), faces=faces)
        factor = self._factor(plan)
        try:
            pixels = _composed(plan, factor)
        except Exception as error:
            if ran_out(error):
                raise
            return GroupRestoration(plan.name, contained(plan.name, error), faces=faces)
        filled = [plan.masks[row] for row in plan.drawn] if self.task == "inpaint" else []
        opaque = None
        for mask in filled:
            opaque = mask if opaque is None or mask is None else np.maximum(opaque, mask)
        return GroupRestoration(plan.name, None, pixels, faces, factor, opaque, plan.photo.notes)

    def _factor(self, plan: _Plan) -> float:
        """Return how much larger a photo becomes: until the smallest face is as large as it is drawn."""
        from mystyle_cli.photos.pixels import LARGEST_PICTURE

        if self.task == "inpaint":
            return 1.0
        factor = max(drawn.told.factor for drawn in plan.drawn.values())
        height, width = plan.photo.pixels.shape[:2]
        most = math.sqrt(LARGEST_PICTURE / (height * width))
        factor = min(factor, most)
        return factor if factor >= ENLARGED or self.task == "upscale" else 1.0


def _composed(plan: _Plan, factor: float) -> Pixels:
    """Return a photo with all that was drawn, which no order of them changes.

    Each is laid over the bare photo, where it is its own; what that changes is added up.
    """
    plain = _bare(next(iter(plan.drawn.values())), factor, scratched=True)
    total = plain.astype(np.int16)
    others = [one.place for row, one in enumerate(plan.found) if row not in plan.drawn]
    filled = False
    for row, drawn in plan.drawn.items():
        own, bare = plan.found[row].place, _bare(drawn, factor)
        known = [plan.found[other].place for other in plan.drawn if other != row]
        part = share(drawn.given.located.quad, drawn.image.shape[-1], own, known, others)
        total += drawn.lay(factor, part).astype(np.int16) - bare
        fill = bare.astype(np.int16) - plain
        if plan.masks[row] is None:  # its scratches were found, as those of others were
            there = np.asarray(fill.any(axis=-1), np.uint8)
            fill *= part_of(there, own, plan.places, factor)[..., None]
        elif filled:  # all have the same
            continue
        filled = True
        total += fill
    return np.asarray(total.clip(0, 255), np.uint8)


def _bare(drawn: Drawn, factor: float, *, scratched: bool = False) -> Pixels:
    """Return what a face is laid over, uint8 (H, W, 3), with its photo's scratches filled, or not."""
    located = drawn.given.located
    if scratched:
        located = replace(located, mask=None)
    return drawn.whole.bare(located, factor, drawn.given.damage)


def _face(plan: _Plan, row: int) -> GroupFace:
    found = plan.found[row]
    box = found.place.box(plan.photo.pixels.shape)
    score = math.nan if found.best is None else found.best.located.id_score
    if row in plan.failed:
        message = plan.failed[row].message.removeprefix(f"{plan.name}: ")
        return GroupFace(found.place.number, box, "failed", found.who, None, score, None, message)
    if found.chosen is None or row not in plan.drawn:
        return GroupFace(found.place.number, box, found.verdict, found.who, None, score, None, found.note)
    told = plan.drawn[row].told
    return GroupFace(
        found.place.number,
        box,
        "done",
        found.chosen.person.who,
        found.chosen.person,
        score,
        told,
        found.note,
    )


def _nothing_done(plan: _Plan, faces: Sequence[GroupFace]) -> MystyleError:
    """Return why nothing came of a photo."""
    failed = next(iter(plan.failed.values()), None)
    if failed is not None:
        return failed
    notes = "; ".join(f"face {face.number}: {face.note or face.verdict}" for face in faces)
    if any(face.verdict == "left" for face in faces):
        return UsageError(f"{plan.name}: there is nothing to do: {notes}", "Give a photo that needs it.")
    many = f"none of the {len(faces)} faces is" if len(faces) > 1 else "its face is not"
    return NotThisPersonError(
        f"{plan.name}: {many} anybody's of the store: {notes}", "Use --force to work on those in doubt, too."
    )
