"""Whole photos in, whole photos out: all tasks with one engine and one loop (sec. 3.3).

For each photo: find the person's face, align it, project it, blend it and paste it back. What fails for one
photo is told in its own result and stops no other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
import numpy.typing as npt

from mystyle_cli.errors import MystyleError, NotThisPersonError, UsageError, contained, ran_out
from mystyle_cli.faces.align import cut_out
from mystyle_cli.find.gate import Gate, open_gate
from mystyle_cli.find.locate import Located, Subject, locate
from mystyle_cli.hull import hull
from mystyle_cli.photos.pixels import to_unit
from mystyle_cli.progress import Progress, silent
from mystyle_cli.projection.settings import Projection
from mystyle_cli.restore import composite, variants
from mystyle_cli.restore.engine import Answering, open_engine
from mystyle_cli.restore.estimates import Estimator, worsened
from mystyle_cli.restore.given import Given
from mystyle_cli.restore.scratches import scratches_of
from mystyle_cli.restore.task import Restoration, RestoreSettings, TaskName, default_settings
from mystyle_cli.restore.whole import Whole

if TYPE_CHECKING:
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.projection.damage import Damage

Floats = npt.NDArray[np.float32]
Item = TypeVar("Item")
Made = TypeVar("Made")

ENLARGED: Final = 1.05
"""How many times smaller than it is drawn a face must be, so that restoring makes its photo larger."""

SMALLEST: Final = 4  # side in pixels of the smallest crop that says anything


@dataclass(frozen=True)
class Drawn:
    """A face that was drawn, on its way to the whole photo."""

    whole: Whole
    given: Given  # where the search found it
    image: Floats  # (3, R, R) in [-1, 1], as it meets its photo
    told: Restoration  # all but the pixels
    others: tuple[Drawn, ...] = ()  # further faces that explain the photo as well
    dropped: int = 0  # how many more were drawn that do not

    def lay(self, factor: float, share: Floats | None = None) -> Pixels:
        """Return the whole photo with the face, uint8 (H, W, 3); see `Whole.lay`."""
        return self.whole.lay(self.given.located, self.image, factor, self.given.damage, share)


def restore(
    profile: Profile,
    subjects: Sequence[Subject],
    task: TaskName,
    settings: RestoreSettings | None = None,
    progress: Progress = silent,
) -> list[Restoration]:
    """Restore photos of a person.

    Args:
        subjects: the photos; for "inpaint" each with its mask.

    Returns:
        One result per subject, in their order; a photo that failed says why in `error`.

    Raises:
        ProfileError: the profile is not tuned, or damaged, or has no net for an instant or fast answer.
    """
    engine = open_engine(profile, settings or default_settings(task))
    return restore_with(engine, subjects, task, progress)


def restore_with(
    engine: Answering, subjects: Sequence[Subject], task: TaskName, progress: Progress = silent
) -> list[Restoration]:
    """Restore photos with an engine that is ready, fewer at once where memory runs out; see `restore`."""
    return _in_parts(engine, subjects, lambda part: _restore_batch(engine, part, task, progress))


def draw(engine: Answering, given: Sequence[Given], progress: Progress = silent) -> list[Drawn | Restoration]:
    """Draw located faces of one person; what failed says why in `error`."""
    return _in_parts(engine, given, lambda part: _answered_apart(engine, part, progress))


def _in_parts(
    engine: Answering, items: Sequence[Item], work: Callable[[Sequence[Item]], list[Made]]
) -> list[Made]:
    """Return what work makes of items, of fewer at once where memory runs out."""
    results: list[Made] = []
    while len(results) < len(items):
        part = items[len(results) : len(results) + engine.at_once]
        try:
            results += work(part)
            continue
        except Exception as error:
            if not ran_out(error) or (len(part) == 1 and not engine.save_memory()):
                raise
            engine.at_once = math.ceil(len(part) / 2)
        engine.profile.device.give_back()  # outside, as the error holds what was computed
    return results


def _restore_batch(
    engine: Answering, subjects: Sequence[Subject], task: TaskName, progress: Progress
) -> list[Restoration]:
    """Locate, project together, and paste each; a photo that fails leaves the batch."""
    photos: list[Given | Restoration] = []
    for subject in subjects:
        try:
            photos.append(_given(engine, subject, task))
        except Exception as error:
            if ran_out(error) or isinstance(error, ImportError):
                raise
            photos.append(Restoration(subject.name, contained(subject.name or "the photo", error)))
    given = [photo for photo in photos if isinstance(photo, Given)]
    restored = {}  # by person, whose photos are searched together
    for person in dict.fromkeys(photo.located.person for photo in given):
        theirs = [photo for photo in given if photo.located.person == person]
        restored[person] = iter(_answered_apart(engine.of(person), theirs, progress))
    return [
        photo if isinstance(photo, Restoration) else _laid(next(restored[photo.located.person]))
        for photo in photos
    ]


def _laid(drawn: Drawn | Restoration) -> Restoration:
    """Lay a face over its photo, or return why there is none."""
    if isinstance(drawn, Restoration):
        return drawn
    try:
        made, *others = (replace(one.told, pixels=one.lay(one.told.factor)) for one in (drawn, *drawn.others))
        if not others and not drawn.dropped:
            return made
        openness = variants.openness([made, *others], drawn.whole.prior.crop, drawn.dropped)
        return replace(made, others=tuple(others), openness=openness)
    except Exception as error:
        if ran_out(error):
            raise
        return Restoration(drawn.told.name, contained(drawn.told.name, error))


def _answered_apart(
    engine: Answering, given: Sequence[Given], progress: Progress
) -> list[Drawn | Restoration]:
    """Answer together what gets the same dilation; returns results in the order of the faces."""
    rows: dict[float | None, list[int]] = {}
    for row, item in enumerate(given):
        rows.setdefault(engine.betas.of(item.task, item.located.id_score), []).append(row)
    results: dict[int, Drawn | Restoration] = {}
    for beta, alike in rows.items():
        answers = _answered(engine, [given[row] for row in alike], beta, progress)
        results |= dict(zip(alike, answers, strict=True))
    return [results[row] for row in range(len(given))]


def _answered(
    engine: Answering, given: Sequence[Given], beta: float | None, progress: Progress
) -> list[Drawn | Restoration]:
    """Project together and finish each; where that fails for all, each is tried alone."""
    try:
        projection = engine.answer(given, beta, progress)
    except Exception as error:
        # what every photo would meet again
        if ran_out(error) or isinstance(error, (MystyleError, ImportError)):
            raise
        if len(given) == 1:
            name = given[0].located.name
            return [Restoration(name, contained(name, error))]
        return [result for one in given for result in _answered(engine, [one], beta, progress)]
    results: list[Drawn | Restoration] = []
    for row, item in enumerate(given):
        try:
            if (masked := _masked(engine, item, projection, row)) is not None:
                results += _answered(engine, [masked], beta, progress)
                continue
            results.append(_varied(engine, item, beta, projection.one(row), progress))
        except Exception as error:
            if ran_out(error):
                raise
            results.append(Restoration(item.located.name, contained(item.located.name, error)))
    return results


def _masked(engine: Answering, given: Given, projection: Projection, row: int) -> Given | None:
    """Return a scratched photo with its scratches as its mask; None where it shows none, or has a mask."""
    if given.damage is None or given.located.mask is not None or not engine.settings.scratches:
        return None
    found = given.moved(projection.motions[row])
    changed = None if projection.refined is None else projection.refined[row]
    image = projection.images[row]
    mask = scratches_of(found.refined(changed), image, engine.profile.prior.crop)
    if mask is None:
        return None
    crop, hole = cut_out(given.located.photo.pixels, mask, given.located.quad, engine.resolution)
    located = replace(given.located, mask=mask, crop=crop, hole=hole)
    share = f"{hole.mean():.1%} of its crop"
    located = located.warned(f"scratches over the face, {share}, are filled; beside it they stay")
    return replace(given, located=located, damage=engine.estimator.of_photo(located))


def _varied(
    engine: Answering, given: Given, beta: float | None, found: Projection, progress: Progress
) -> Drawn:
    """Draw a face (`found` is of one row), and others that explain its photo as well."""
    drawn, asked = _finish(engine, given, beta, found, 0), engine.settings.variants - 1
    if not asked:
        return drawn
    batches, loss = engine.vary(given, found, beta, progress)
    others = [
        _finish(engine, given, beta, batch, row)
        for batch in batches
        for row, own in enumerate(batch.losses)
        if own <= variants.as_well(loss)  # not so where it is not finite
    ]
    return replace(drawn, others=tuple(others), dropped=asked - len(others))


def _given(engine: Answering, subject: Subject, task: TaskName) -> Given:
    """Return a face with what was done to it, which is estimated where it is to be restored."""
    if task != "restore":
        return Given(_locate(engine, subject, task), task, engine.resolution)
    try:
        located = _locate(engine, subject, task)
        estimator = engine.of(located.person).estimator
        damage = estimator.of_photo(located)
    except NotThisPersonError as error:
        located, damage = _doubtful(engine, subject, error)
        estimator = engine.of(located.person).estimator
    if damage.tone is not None and engine.settings.quality == "instant":
        raise UsageError(
            f"{located.name}: an instant answer cannot give a photo its colours back",
            "Use --quality fast or full.",
        )
    return Given(located, task, engine.resolution, damage, estimator.chroma)


def _doubtful(engine: Answering, subject: Subject, error: NotThisPersonError) -> tuple[Located, Damage]:
    """Return a face that is too damaged to show whose it is, with its damage.

    Raises:
        NotThisPersonError: photos of the person, so damaged, would be more like them.
    """
    located = _locate(engine, subject, "restore", force=True)
    engine, score = engine.of(located.person), located.id_score
    gate, damage = despite_damage(engine.profile, engine.estimator, located)
    if score < gate.others:
        raise error
    located = replace(located, warnings=located.photo.notes)
    if score >= gate.theirs:
        return located, damage
    who = engine.profile.who
    return located.warned(f"too damaged to show whether this is {who}: ID {score:.2f}"), damage


def despite_damage(profile: Profile, estimator: Estimator, located: Located) -> tuple[Gate, Damage]:
    """Return what ID scores mean on a face as damaged as it is, and its damage."""
    damage = estimator.of_photo(located)
    side = min(located.side, damage.effective_side(estimator.resolution))
    return open_gate(profile, side, located.hole, lambda faces: worsened(faces, damage)), damage


def _locate(engine: Answering, subject: Subject, task: TaskName, force: bool = False) -> Located:
    settings = engine.settings
    if task == "inpaint" and not subject.fills:
        raise UsageError(
            f"{subject.name or 'the photo'}: nothing says what is to be filled",
            "Give --mask FILE, --part eyes or --box x,y,width,height.",
        )
    located = locate(
        engine.profile,
        subject if task in ("inpaint", "restore") else replace(subject, mask=None, region=None),
        aligned=settings.aligned,
        force=force or settings.force,
        tiny=task in ("upscale", "restore"),
    )
    resolution = engine.resolution
    if task == "upscale" and not SMALLEST <= round(located.side) < resolution:
        raise UsageError(
            f"{located.name}: the face's crop is {located.side:.0f} px wide; "
            f"what can be upscaled is {SMALLEST} to {resolution - 1} px",
            "Use a larger photo."
            if located.side < SMALLEST
            else "It is as large as the profile can draw already; invert works on it, too.",
        )
    if task == "restore" and located.side < SMALLEST:
        raise UsageError(
            f"{located.name}: the face's crop is {located.side:.0f} px wide", "Use a larger photo."
        )
    if task in ("upscale", "restore"):
        _refuse_large_result(located, max(1.0, resolution / located.side))
    return located


def _refuse_large_result(located: Located, factor: float) -> None:
    from mystyle_cli.photos.pixels import LARGEST_PICTURE

    height, width = (round(side * factor) for side in located.photo.pixels.shape[:2])
    if height * width > LARGEST_PICTURE:
        raise UsageError(
            f"{located.name}: enlarged {factor:.3g} times it would be {width} x {height} pixels",
            "Cut the photo closer to the face.",
        )


def _limits(whole: Whole, given: Given) -> list[str]:
    """Return what of a damaged photo's face that is larger than it is drawn no code can mend, or is left."""
    fine = None if given.damage is None else given.damage.fine
    if fine is None:
        return []
    side, told = given.located.side, []
    if fine.blur:
        told.append(
            f"the face's crop is {side:.0f} px wide and the profile draws {given.resolution}: what is finer "
            f"than {side / given.resolution:.1f} px is not drawn, only made as sharp as the photo allows"
        )
    if fine.noise and whole.grained:
        told.append("the face keeps its noise, as the photo around it does; --grain none takes it out")
    return told


def _finish(engine: Answering, first: Given, beta: float | None, projection: Projection, row: int) -> Drawn:
    """Make one result meet its photo; how large it becomes follows from where the face was found at first.

    So a photo becomes as large whatever the quality: only some searches move the face.
    """
    settings = engine.settings
    whole = Whole(engine.profile.prior, first.task, settings.aligned, settings.keep_tone, settings.grain)
    changed = None if projection.refined is None else projection.refined[row]
    given = first.moved(projection.motions[row]).refined(changed)
    located, image = given.located, projection.images[row]
    if not np.isfinite(image).all():
        raise MystyleError(
            f"{located.name}: the search came upon a number that is not finite",
            "Try another --quality or --start.",
        )
    image = whole.meet(given, image)
    face = whole.face(located, image, given.damage)
    factor = engine.resolution / first.located.side if first.task in ("upscale", "restore") else 1.0
    if first.task == "restore" and factor < ENLARGED:
        factor = 1.0  # the face is about as large as it is drawn, or larger
    warnings = [*located.warnings, *engine.notices, *_limits(whole, given)]
    if first.task == "inpaint" and (outside := composite.hole_outside(located)) > 0.01:
        warnings.append(f"{outside:.0%} of the mask is not face and was only filled smoothly")
    id_score = float(engine.profile.id_score(to_unit(face)[None])[0])
    if unlike := engine.profile.unlike(id_score):
        warnings.append(unlike)
    alpha_plus = None if projection.alpha_plus is None else projection.alpha_plus[row]
    told = Restoration(
        name=located.name,
        face=face,
        located=located,
        alpha_plus=alpha_plus,
        w_plus=projection.w_plus[row],
        slack=None if projection.slack is None else projection.slack[row],
        id_score=id_score,
        input_id=located.id_score,
        beta=None if alpha_plus is None else hull.bound(beta),
        least_dilation=math.nan if alpha_plus is None else float(hull.least_dilation(alpha_plus).max()),
        loss=float(projection.losses[row]),
        steps=int(projection.steps[row]),
        factor=factor,
        damage=given.damage,
        year=None if alpha_plus is None else engine.span.year_of(alpha_plus),
        warnings=tuple(warnings),
    )
    return Drawn(whole, given, image, told)
