"""What the personal prior is compared with: the domain prior, and no prior at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from mystyle_cli.photos.pixels import Pixels, resize
from mystyle_cli.progress import Progress, silent
from mystyle_cli.restore.restore import restore
from mystyle_cli.restore.task import Quality, RestoreSettings, Start, TaskName, default_settings

if TYPE_CHECKING:
    from mystyle_cli.find.locate import Subject
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.restore.task import Restoration

Task = Literal["upscale", "inpaint"]

DOMAIN_STEPS: Final = 90
"""Steps of the domain prior where none are given; by then its loss is near the personal prior's."""


def comparison_settings(
    task: TaskName,
    base: RestoreSettings | None = None,
    *,
    start: Start = "auto",
    quality: Quality = "full",
) -> RestoreSettings:
    """Return settings for degraded aligned crops of the person: nobody is refused, so none is left out.

    Args:
        task: for its beta.
        base: what to start from; None takes the task's defaults, with the two below.
        start: of the search.
        quality: of the answer.
    """
    chosen = base or replace(default_settings(task, quality), start=start)
    return replace(chosen, aligned=True, force=True)


def personal(
    profile: Profile,
    subjects: Sequence[Subject],
    task: Task,
    settings: RestoreSettings,
    progress: Progress = silent,
) -> list[Restoration]:
    """Return the personal prior's answers, as the commands give them.

    Raises:
        MystyleError: one of the photos failed.
    """
    return _answers(profile, subjects, task, replace(settings, domain_prior=False), progress)


def domain(
    profile: Profile,
    subjects: Sequence[Subject],
    task: Task,
    settings: RestoreSettings,
    progress: Progress = silent,
) -> list[Restoration]:
    """Return the domain prior's answers: the same projection with G_d in W+, blended in the same way.

    It stands in for the paper's "Domain Prior" (sec. 5.2), whose nets exist for photographs only.

    Raises:
        MystyleError: one of the photos failed.
    """
    search = replace(settings.projection, steps=settings.projection.steps or DOMAIN_STEPS)
    return _answers(
        profile, subjects, task, replace(settings, projection=search, domain_prior=True), progress
    )


def _answers(
    profile: Profile, subjects: Sequence[Subject], task: Task, settings: RestoreSettings, progress: Progress
) -> list[Restoration]:
    found = restore(profile, subjects, task, settings, progress)
    for answer in found:
        if answer.error is not None:
            raise answer.error
    return found


def lanczos(small: Pixels, resolution: int) -> Pixels:
    """Enlarge crops (B, h, h, 3) without any prior."""
    return np.stack([resize(crop, (resolution, resolution), "lanczos") for crop in small])


def pictures(answers: Sequence[Restoration]) -> Pixels:
    """Return the pictures uint8 (B, R, R, 3) of answers to aligned crops.

    Raises:
        MystyleError: there is none for one of them.
    """
    found = []
    for answer in answers:
        if answer.error is not None:
            raise answer.error
        assert answer.pixels is not None
        found.append(answer.pixels)
    return np.stack(found)
