"""Which dilation suits a photo, as the person's own held-out photos tell. Source: fig 5, 18.

Learning restores some of them with every beta of the grid (`learn/betas.py`) and keeps in the profile, for
each task, how far the answers were from the person and from the truth, and what follows from that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from mystyle_cli.errors import ProfileError
from mystyle_cli.instant.net import instant_state
from mystyle_cli.restore.task import TaskName

if TYPE_CHECKING:
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.restore.task import RestoreSettings

Array = npt.NDArray[np.floating[Any]]

GRID: Final = (0.0, 0.02, 0.05, 0.1)  # the dilations that are compared
WORTH: Final = 0.005  # what a larger dilation must gain, in ID error and LPIPS together
LEAST_GROUP: Final = 3  # photos from which a group has a dilation of its own


@dataclass(frozen=True)
class Choice:
    """The dilation for one task."""

    typical: float  # for a photo that looks as the reference set does
    atypical: float  # for one that does not
    split: float = -math.inf  # the ID score of a photo, as it is given, under which it is atypical

    def of(self, id_score: float) -> float:
        """Return the dilation for a photo, given its ID score; one that was not measured is typical."""
        return self.atypical if id_score < self.split else self.typical


def choose(errors: Array, id_scores: Array) -> Choice:
    """Return which of `GRID` suits, all photos alike or those of low ID scores by themselves.

    Args:
        errors: (len(GRID), P), ID error and LPIPS together; infinite where there was no answer.
        id_scores: (P,) of the photos as they were given.
    """
    split = float(np.median(id_scores))
    low = id_scores < split
    if min(np.count_nonzero(low), np.count_nonzero(~low)) < LEAST_GROUP:
        best = _smallest(errors)
        return Choice(best, best)
    return Choice(_smallest(errors[:, ~low]), _smallest(errors[:, low]), split)


def _smallest(errors: Array) -> float:
    """Return the smallest dilation that is nearly as good as the best."""
    means = errors.mean(axis=1)
    return GRID[int(np.argmax(means <= means.min() + WORTH))]  # the first such, for the grid rises


def table_of(task: TaskName) -> str:
    """Return the name of a task's table in the profile's results."""
    return f"beta_{task}"


MEASURED: Final[tuple[TaskName, ...]] = ("invert", "inpaint", "upscale")
"""What held-out photos are asked for; what is damaged gets the dilation of what is small."""

TABLES: Final = tuple(table_of(task) for task in MEASURED)


def curve(id_errors: Array, lpips: Array, id_scores: Array) -> dict[str, float]:
    """Return what a profile keeps of a task: the mean figures for each dilation, and the choice.

    Args:
        id_errors: (len(GRID), P), of the answers; infinite where there was none.
        lpips: (len(GRID), P), from the answers to the truth.
        id_scores: (P,) of the photos as they were given.
    """
    choice, figures = choose(id_errors + lpips, id_scores), {}
    for name, values in (("id_error", id_errors), ("lpips", lpips)):
        for beta, row in zip(GRID, values, strict=True):
            figures[f"{name}_{beta:g}".replace(".", "_")] = round(float(row.mean()), 4)
    figures |= {"photos": float(id_errors.shape[1]), "typical": choice.typical}
    if math.isfinite(choice.split):
        figures |= {"atypical": choice.atypical, "split": round(choice.split, 4)}
    return figures


def choice_of(table: Mapping[str, float]) -> Choice:
    """Return the choice that a profile keeps; raises ValueError where it is none that `curve` writes."""
    typical, split = table.get("typical", math.nan), table.get("split")
    atypical = typical if split is None else table.get("atypical", math.nan)
    if not {typical, atypical} <= set(GRID):
        raise ValueError(f"its dilations are {typical} and {atypical}")
    return Choice(typical, atypical, -math.inf if split is None else split)


@dataclass(frozen=True)
class Betas:
    """Which dilation each photo of a command gets."""

    fixed: float | None  # the one for all photos, where no choice counts
    choices: Mapping[TaskName, Choice] = field(default_factory=dict)  # the profile's own, by task
    notices: tuple[str, ...] = ()

    def of(self, task: TaskName, id_score: float) -> float | None:
        """Return the dilation for a photo, given its ID score as it was; None is no bound."""
        choice = self.choices.get("upscale" if task == "restore" else task)
        return self.fixed if choice is None else choice.of(id_score)


def open_betas(profile: Profile, settings: RestoreSettings) -> Betas:
    """Return which dilations are used: the one that is asked for, or what the profile's own curve says.

    Raises:
        ProfileError: the profile has no such curve, though there are photos to make it of, or it is damaged.
    """
    fixed = settings.projection.beta
    if not settings.own_beta:
        return Betas(fixed)
    tables = {task: profile.manifest.results.get(table_of(task)) for task in MEASURED}
    found = {task: table for task, table in tables.items() if table is not None}
    if len(found) == len(tables):
        try:
            return Betas(fixed, {task: choice_of(table) for task, table in found.items()})
        except ValueError as error:
            raise ProfileError(
                f"what profile '{profile.name}' says of beta is damaged: {error}",
                "Restore it from a backup, or create the profile again.",
            ) from error
    if profile.manifest.members:
        several = f"{profile.name} holds several people and no curve of each one's beta: {fixed} is taken"
        return Betas(fixed, notices=(several,))
    instant = instant_state(profile.manifest) == "fresh"
    if instant and profile.manifest.counts.get("held_out", 0) and profile.has_faces:
        raise ProfileError(
            f"profile '{profile.name}' was made before its photos were asked which beta suits them",
            f"Ask them: mystyle tune {profile.name}, with the options of before; what is done is not done "
            "again. Or give a number.",
        )
    lack = "held-out photos" if instant else "net for instant answers that fits"
    without = f"{profile.name} has no {lack} to tell which beta suits: {fixed} is taken"
    return Betas(fixed, notices=(without,))
