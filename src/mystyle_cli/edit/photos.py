"""Editing whole photos: invert, edit the code, paste the edited face back (sec. 3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mystyle_cli.config import BETA_EDIT
from mystyle_cli.edit.edit import AtLimit, Edited, edit
from mystyle_cli.errors import MystyleError, UsageError
from mystyle_cli.progress import Progress, silent
from mystyle_cli.restore import composite
from mystyle_cli.restore.locate import Subject
from mystyle_cli.restore.restore import Engine, Restoration, RestoreSettings, person_matte, restore_with

if TYPE_CHECKING:
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.photos.decode import Pixels
    from mystyle_cli.prior.directions import Direction
    from mystyle_cli.restore.projection import ProjectionSettings

Floats = npt.NDArray[np.float32]
Strengths = Sequence[tuple["Direction", float]]

RENDERED: int = 16
"""Pictures rendered at once."""


@dataclass(frozen=True)
class EditSettings:
    """How photos are edited.

    Args:
        restore: how they are inverted; its projection's beta bounds the inversion.
        beta: dilation that an edit may use, or None.
        at_limit: what to do where an edit would need more; see `edit`.
    """

    restore: RestoreSettings = field(default_factory=lambda: _with_beta(RestoreSettings(), BETA_EDIT))
    beta: float | None = BETA_EDIT
    at_limit: AtLimit = "project"


def _with_beta(settings: RestoreSettings, beta: float | None) -> RestoreSettings:
    projection: ProjectionSettings = replace(settings.projection, beta=beta)
    return replace(settings, projection=projection)


def settings_for(beta: float | None, at_limit: AtLimit, restore: RestoreSettings) -> EditSettings:
    """Return settings that invert within the dilation that the edit may use, so that it starts inside."""
    return EditSettings(restore=_with_beta(restore, beta), beta=beta, at_limit=at_limit)


@dataclass(frozen=True)
class Frame:
    """A photo, edited once.

    Args:
        strengths: by direction, as asked for.
        pixels: uint8 (H, W, 3), the whole photo.
        face: uint8 (R, R, 3), the edited face.
        edited: its code and how far the edit went.
        id_score: of the edited face.
    """

    strengths: dict[str, float]
    pixels: Pixels
    face: Pixels
    edited: Edited
    id_score: float


@dataclass(frozen=True)
class EditedPhoto:
    """What became of one photo.

    Args:
        name: of the photo.
        error: why there is no result, or None.
        inversion: the photo as the person's space shows it, unedited.
        frames: one for each edit that was asked for.
    """

    name: str
    error: MystyleError | None = None
    inversion: Restoration | None = None
    frames: tuple[Frame, ...] = ()


def edit_photos(
    profile: Profile,
    subjects: Sequence[Subject],
    edits: Sequence[Strengths],
    settings: EditSettings | None = None,
    progress: Progress = silent,
) -> list[EditedPhoto]:
    """Edit photos of a person.

    Args:
        profile: the person, tuned.
        subjects: the photos.
        edits: each a list of (direction, strength), applied together; several edits make a sweep.
        settings: None takes the defaults.
        progress: told of every step of the inversions.

    Returns:
        One result per subject, in their order, each with one frame per edit.

    Raises:
        UsageError: there is no edit, or it is asked for with the domain prior, which has no hull.
    """
    settings = settings or EditSettings()
    return edit_with(edit_engine(profile, settings), subjects, edits, settings, progress)


def edit_engine(profile: Profile, settings: EditSettings) -> Engine:
    """Return what all photos of a run share.

    Raises:
        UsageError: the space is none of the person's, so that there are no coefficients to edit.
    """
    engine = Engine(profile, settings.restore)
    if engine.anchors is None or engine.projection.space not in ("p+", "p"):
        raise UsageError("edits are steps in the person's own space", "Use space p+ or p.")
    return engine


def edit_with(
    engine: Engine,
    subjects: Sequence[Subject],
    edits: Sequence[Strengths],
    settings: EditSettings,
    progress: Progress = silent,
) -> list[EditedPhoto]:
    """Edit photos with an engine that is ready; see `edit_photos`."""
    if not edits or not all(edits):
        raise UsageError("there is nothing to edit", "Give a direction and a strength.")
    inversions = restore_with(engine, subjects, "invert", progress)
    return [_edit_one(engine, inversion, edits, settings) for inversion in inversions]


def sweep_edits(direction: Direction, strengths: Sequence[float], with_: Strengths = ()) -> list[Strengths]:
    """Return the edits of a sweep: each strength of one direction, the others held."""
    return [[*with_, (direction, strength)] for strength in strengths]


def _edit_one(
    engine: Engine, inversion: Restoration, edits: Sequence[Strengths], settings: EditSettings
) -> EditedPhoto:
    if inversion.error is not None or inversion.alpha_plus is None or engine.anchors is None:
        return EditedPhoto(inversion.name, inversion.error)
    results = [
        edit(engine.anchors, inversion.alpha_plus, strengths, settings.beta, settings.at_limit)
        for strengths in edits
    ]
    images = render(engine, np.stack([result.alpha_plus for result in results]))
    scores = engine.profile.id_score(images)
    frames = tuple(
        _frame(engine, inversion, strengths, result, image, float(score))
        for strengths, result, image, score in zip(edits, results, images, scores, strict=True)
    )
    return EditedPhoto(inversion.name, None, inversion, frames)


def render(engine: Engine, alpha_plus: npt.NDArray[np.float64]) -> Floats:
    """Return what G_p makes of coefficients (B, num_ws, N): (B, 3, R, R) in [-1, 1]."""
    import torch

    codes = np.asarray(alpha_plus @ np.asarray(engine.anchors, np.float64), np.float32)
    device = next(engine.generator.parameters()).device
    made = []
    with torch.no_grad():
        for first in range(0, len(codes), RENDERED):
            batch = torch.from_numpy(codes[first : first + RENDERED]).to(device)
            made.append(engine.generator.synthesis(batch, noise="const").float().clamp(-1, 1).cpu().numpy())
    return np.concatenate(made)


def _frame(
    engine: Engine,
    inversion: Restoration,
    strengths: Strengths,
    edited: Edited,
    image: Floats,
    score: float,
) -> Frame:
    """Paste an edited face where the unedited one was; both outlines show, so that nothing old stays."""
    from mystyle_cli.photos.decode import to_pixels

    located = inversion.located
    assert located is not None
    face = to_pixels(image)
    shown = person_matte(engine, image, located)
    pixels = composite.paste_face(located, face, shown, engine.settings.aligned)
    wanted: dict[str, float] = {}
    for direction, strength in strengths:
        wanted[direction.name] = wanted.get(direction.name, 0.0) + strength
    return Frame(wanted, pixels, face, edited, score)
