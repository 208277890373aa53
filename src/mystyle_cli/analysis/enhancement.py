"""Enhancement with the personal prior, with the domain prior and with none (sec. 5.2, fig 9)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from mystyle_cli.analysis.baselines import (
    Task,
    comparison_settings,
    domain,
    lanczos,
    personal,
    pictures,
)
from mystyle_cli.progress import Progress, silent
from mystyle_cli.report.report import Target
from mystyle_cli.restore.trials import BOX, SMALL, Box, shrink, subjects

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mystyle_cli.analysis.judge import Judge, Scores, Truths
    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.restore.task import Restoration, RestoreSettings

MARGINS: Final[Mapping[Task, float]] = {"upscale": 0.16, "inpaint": 0.17}
"""How much higher the paper's ID is with the personal prior than with the domain prior. Source: fig 9."""

METHODS: Final = ("input", "domain prior", "personal prior", "truth")


@dataclass(frozen=True)
class Enhancement:
    """One task over held-out photos of one person.

    Args:
        task: "upscale" or "inpaint".
        pictures: per method, uint8 (B, R, R, 3), what a person is shown.
        scores: per method.
        alphas: the personal prior's answers, for their codes.
    """

    task: Task
    pictures: Mapping[str, Pixels]
    scores: Mapping[str, Scores]
    answers: Sequence[Restoration]


def enhance(
    judge: Judge,
    truths: Truths,
    task: Task,
    settings: RestoreSettings | None = None,
    progress: Progress = silent,
    *,
    small: int = SMALL,
    box: Box = BOX,
) -> Enhancement:
    """Degrade held-out photos, restore them with both priors, and judge the answers.

    Both searches begin at a mean, the anchors' or `w_avg` (B.3); the instant net has no part in this.

    Args:
        judge: of the person.
        truths: their held-out photos.
        task: "upscale" from a small photo, or "inpaint" a hole.
        settings: None takes the task's defaults.
        progress: told of every step of both projections.
        small: side in pixels of the small photos.
        box: the hole.

    Raises:
        MystyleError: a photo could not be restored.
    """
    chosen = replace(comparison_settings(task, settings), start="centre")
    names = [path.name for path in truths.paths]
    degraded = subjects(truths.crops, task, names, truths.crop, small=small, box=box)
    ours = personal(judge.profile, degraded, task, chosen, progress)
    theirs = domain(judge.profile, degraded, task, chosen, progress)
    if task == "upscale":
        shown = lanczos(shrink(truths.crops, small), truths.crops.shape[1])
    else:
        shown = np.stack([np.asarray(subject.photo) for subject in degraded])
    made = dict(zip(METHODS, (shown, pictures(theirs), pictures(ours), truths.crops), strict=True))
    return Enhancement(task, made, {name: judge.score(found, truths) for name, found in made.items()}, ours)


def targets(runs: Sequence[Enhancement]) -> list[Target]:
    """Return what must hold for one task, over all people's photos together.

    Args:
        runs: the same task for each person.
    """
    task = runs[0].task

    def all_of(method: str, figure: str) -> np.ndarray:
        return np.concatenate([getattr(run.scores[method], figure) for run in runs])

    ours, theirs = METHODS[2], METHODS[1]
    gain = all_of(ours, "id") - all_of(theirs, "id")
    nearer = all_of(ours, "dlib") < all_of(theirs, "dlib")
    closer = all_of(theirs, "lpips").mean() - all_of(ours, "lpips").mean()
    back, domain_back = (float(np.nanmean(all_of(name, "trait"))) for name in (ours, theirs))
    return [
        Target(f"{task}: ID higher by", float(gain.mean()), "at least", MARGINS[task]),
        Target(f"{task}: share of photos nearer by dlib", float(nearer.mean()), "at least", 0.9),
        Target(f"{task}: LPIPS lower by", float(closer), "above", 0.0),
        Target(f"{task}: share of the trait back, personal prior", back, "at least", 0.5),
        Target(f"{task}: share of the trait back, domain prior", domain_back, "below", 0.25),
    ]
