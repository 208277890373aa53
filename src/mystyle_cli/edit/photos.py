"""Editing whole photos: invert, edit the code, paste the edited face back (sec. 3.4)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mystyle_cli.config import BETA_EDIT
from mystyle_cli.edit.edit import AtLimit, Edited, edit
from mystyle_cli.edit.refined import Refined, Refiner, saved, searched
from mystyle_cli.errors import MystyleError, ProfileError, UsageError, check_choice, contained
from mystyle_cli.find.locate import Subject, seen_faces
from mystyle_cli.hull import hull
from mystyle_cli.person.layout import GENERATOR
from mystyle_cli.progress import Progress, silent
from mystyle_cli.projection.settings import HULL
from mystyle_cli.restore.betas import open_betas
from mystyle_cli.restore.engine import Engine
from mystyle_cli.restore.restore import restore_with
from mystyle_cli.restore.task import Dilation, Restoration, RestoreSettings
from mystyle_cli.restore.whole import Whole
from mystyle_cli.sample.rendering import Renderer, TorchRenderer

if TYPE_CHECKING:
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.prior.directions import Direction
    from mystyle_cli.prior.registry import Prior
    from mystyle_cli.restore.saved import SavedCode
    from mystyle_cli.sample.rendering import Backend

Floats = npt.NDArray[np.float32]
Strengths = Sequence[tuple["Direction", float]]


@dataclass(frozen=True)
class EditSettings:
    """How photos are edited.

    Args:
        restore: how they are inverted; its beta bounds the inversion, and an edit may use as much.
        at_limit: what to do where an edit would need more; see `edit`.
    """

    restore: RestoreSettings = field(default_factory=lambda: RestoreSettings().dilated(BETA_EDIT, BETA_EDIT))
    at_limit: AtLimit = "project"

    def __post_init__(self) -> None:
        check_choice("at_limit", self.at_limit, AtLimit)


def settings_for(beta: Dilation, at_limit: AtLimit, restore: RestoreSettings) -> EditSettings:
    """Return settings that invert within the dilation that the edit may use, so that it starts inside."""
    return EditSettings(restore=restore.dilated(beta, BETA_EDIT), at_limit=at_limit)


@dataclass(frozen=True)
class EditTask:
    """What is done to photos."""

    edits: Sequence[Strengths]  # (direction, strength) applied together each; several make a sweep
    settings: EditSettings = field(default_factory=EditSettings)
    # tunes the generator on each photo before it draws the edits; None leaves it as it is
    refiner: Refiner | None = None

    def __post_init__(self) -> None:
        """Refuse to do nothing."""
        if not self.edits or not all(self.edits):
            raise UsageError("there is nothing to edit", "Give a direction and a strength.")

    def refined(self, inversion: Restoration, code_of: str, progress: Progress) -> Refined | None:
        """Return the generator tuned on a photo, where that is asked for; see `Refiner.refine`."""
        return self.refiner.refine(inversion, code_of, progress) if self.refiner else None


@dataclass(frozen=True)
class Frame:
    """A photo, edited once.

    Args:
        strengths: by direction, as asked for.
        reached: by direction, as measured on the edited code; see `Edited`.
        face: uint8 (R, R, 3), the edited face.
        edited: its code and how far the edit went.
        paste: lays the face over the photo.
    """

    strengths: dict[str, float]
    reached: dict[str, float]
    face: Pixels
    edited: Edited
    id_score: float
    paste: Callable[[], Pixels] = field(repr=False)

    @cached_property
    def pixels(self) -> Pixels:
        """The whole photo, uint8 (H, W, 3), made when it is asked for: a strip of faces needs none."""
        return self.paste()


@dataclass(frozen=True)
class EditedPhoto:
    """What became of one photo.

    Args:
        error: why there is no result, or None.
        inversion: the photo as the person's space shows it, unedited.
        frames: one for each edit that was asked for.
        refined: the generator that was tuned on the photo and drew it; None where it was the person's own.
    """

    name: str
    error: MystyleError | None = None
    inversion: Restoration | None = None
    frames: tuple[Frame, ...] = ()
    aligned: bool = False
    refined: Refined | None = None

    def code(self, profile: Profile) -> bytes:
        """Return what the first frame was drawn from, as `restore.saved.code_bytes` writes it.

        Raises:
            UsageError: it was drawn by a generator tuned on the photo, so that a code is not enough.
        """
        from mystyle_cli.restore.saved import code_bytes

        assert self.inversion is not None
        if self.refined is not None:
            raise UsageError(
                f"{self.name}: no code alone draws what was refined", "Leave one of the two out."
            )
        frame = self.frames[0]
        drawn = replace(self.inversion, alpha_plus=frame.edited.alpha_plus, id_score=frame.id_score)
        return code_bytes(profile, drawn, aligned=self.aligned)


def edit_photos(
    profile: Profile,
    subjects: Sequence[Subject],
    edits: Sequence[Strengths],
    settings: EditSettings | None = None,
    progress: Progress = silent,
    refiner: Refiner | None = None,
) -> list[EditedPhoto]:
    """Edit photos of a person.

    Args:
        edits: each a list of (direction, strength), applied together; several edits make a sweep.
        refiner: tunes the generator on each photo before it draws the edits; None leaves it as it is.

    Returns:
        One result per subject, in their order, each with one frame per edit.

    Raises:
        UsageError: there is no edit, or it is asked for with the domain prior, which has no hull.
    """
    settings = settings or EditSettings()
    engine = edit_engine(profile, settings)
    return edit_with(engine, subjects, EditTask(edits, settings, refiner), progress)


def edit_engine(profile: Profile, settings: EditSettings) -> Engine:
    """Return what all photos of a run share; raises UsageError where the space is none of the person's."""
    engine = Engine(profile, settings.restore)
    if engine.projection.space not in HULL:
        raise UsageError("edits are steps in the person's own space", "Use space p+, p or near.")
    return engine


def edit_with(
    engine: Engine, subjects: Sequence[Subject], task: EditTask, progress: Progress = silent
) -> list[EditedPhoto]:
    """Edit photos with an engine that is ready; see `edit_photos`."""
    inversions = restore_with(engine, subjects, "invert", progress)
    renderer = TorchRenderer(engine.generator)
    edited = []
    for inversion in inversions:
        error = inversion.error
        if error is None:
            try:
                found_with = task.settings.restore.dilated(inversion.beta, BETA_EDIT)
                one = engine.of(inversion.person).profile
                refined = task.refined(inversion, searched(one, found_with), progress)
                edited.append(_edit_one(one, renderer, inversion, task, refined))
                continue
            except Exception as fault:  # what goes wrong with one photo is in its own result
                error = contained(inversion.name, fault)
        edited.append(EditedPhoto(inversion.name, error))
    return edited


def check_backend(backend: Backend, saved: bool, refine: bool = False) -> None:
    """Refuse to search, or to tune, with a net that has no gradients; raises UsageError."""
    if backend == "onnx" and refine:
        raise UsageError("tuning on a photo needs torch", "Leave out the backend, or refining.")
    if backend == "onnx" and not saved:
        raise UsageError("finding a photo's code needs torch", "Give a saved code, or leave the backend out.")


def edit_saved(
    profile: Profile,
    renderer: Renderer,
    subject: Subject,
    code: SavedCode,
    task: EditTask,
    progress: Progress = silent,
) -> EditedPhoto:
    """Edit a photo whose code was saved; nothing is searched, so that the exported net is enough.

    Raises:
        DecodeError: the photo cannot be read.
        UsageError: the code is another photo's.
    """
    restore = replace(task.settings.restore, aligned=code.aligned)
    own = replace(task, settings=replace(task.settings, restore=restore))
    inversion, betas = code.inversion(profile, subject), open_betas(profile, restore)
    beta = betas.of("invert", _input_id(profile, inversion) if betas.choices else math.nan)
    inversion = replace(inversion, beta=beta, warnings=(*inversion.warnings, *betas.notices))
    refined = task.refined(inversion, saved(inversion), progress)
    return _edit_one(profile, renderer, inversion, own, refined)


def _input_id(profile: Profile, inversion: Restoration) -> float:
    """Return the ID score of a photo as it was, of which only the code was kept."""
    located = inversion.located
    assert located is not None
    seen = seen_faces(located.photo, located.mask, [located.quad], profile.manifest.prior.resolution)
    return float(profile.id_score(seen)[0])


def sweep_edits(direction: Direction, strengths: Sequence[float], with_: Strengths = ()) -> list[Strengths]:
    """Return the edits of a sweep: each strength of one direction, the others held."""
    return [[*with_, (direction, strength)] for strength in strengths]


def _edit_one(
    profile: Profile,
    renderer: Renderer,
    inversion: Restoration,
    task: EditTask,
    refined: Refined | None = None,
) -> EditedPhoto:
    assert inversion.alpha_plus is not None
    anchors = profile.anchors()
    if len(anchors) == 1:
        raise ProfileError(
            f"{profile.name} has one photo: there is nothing to mix, and so no way to edit",
            f"Add photos: mystyle ingest {profile.name} PHOTO...",
        )
    results = [
        edit(anchors, inversion.alpha_plus, strengths, inversion.beta, task.settings.at_limit)
        for strengths in task.edits
    ]
    alphas = np.stack([result.alpha_plus for result in results])  # (K, num_ws, N)
    codes = hull.combine(alphas, anchors.astype(np.float64), inversion.slack)  # (K, num_ws, w_dim)
    images = (refined.renderer if refined else renderer).render(codes.astype(np.float32))
    if not np.isfinite(images).all():
        raise UsageError(f"{inversion.name}: nothing can be drawn so far away", "Give a smaller strength.")
    images = profile.refuse_odd(GENERATOR, images).clip(-1, 1)
    scores = profile.id_score(images)
    aligned = task.settings.restore.aligned
    frames = tuple(
        _frame(profile.prior, inversion, strengths, result, image, float(score), aligned)
        for strengths, result, image, score in zip(task.edits, results, images, scores, strict=True)
    )
    if refined is not None and (notices := refined.notices(inversion)):
        inversion = replace(inversion, warnings=(*inversion.warnings, *notices))
    return EditedPhoto(inversion.name, None, inversion, frames, aligned, refined)


def _frame(
    prior: Prior,
    inversion: Restoration,
    strengths: Strengths,
    edited: Edited,
    image: Floats,
    score: float,
    aligned: bool,
) -> Frame:
    """Paste an edited face where the unedited one was; both outlines show, so that nothing old stays."""
    located = inversion.located
    assert located is not None
    whole = Whole(prior, "edit", aligned)
    wanted: dict[str, float] = {}
    reached: dict[str, float] = {}
    for (direction, strength), measured in zip(strengths, edited.reached, strict=True):
        wanted[direction.name] = wanted.get(direction.name, 0.0) + strength
        reached[direction.name] = reached.get(direction.name, 0.0) + measured

    def paste() -> Pixels:
        return whole.lay(located, image, inversion.factor)

    return Frame(wanted, reached, whole.face(located, image), edited, score, paste)
