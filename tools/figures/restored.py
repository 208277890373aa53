"""Held-out photos restored with the personal prior, with the domain prior and with none (sec. 5.2, fig 9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from mystyle_cli.baselines.untuned import DomainPrior, MyStyle
from mystyle_cli.experiments.cases import Case, Photos
from mystyle_cli.experiments.enhancement import MARGINS
from mystyle_cli.progress import Progress, silent
from mystyle_cli.report.report import Target
from mystyle_cli.restore.trials import comparison_settings, pictures

if TYPE_CHECKING:
    from mystyle_cli.analysis.judge import Judge, Scores, Truths
    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.restore.task import Restoration, RestoreSettings

METHODS: Final = ("input", "domain prior", "personal prior", "truth")


@dataclass(frozen=True)
class Enhancement:
    """One case over held-out photos of one person.

    Args:
        case: what was taken from them.
        pictures: per method, uint8 (B, R, R, 3), what a person is shown.
        scores: per method.
        answers: the personal prior's, for their codes.
    """

    case: Case
    pictures: Mapping[str, Pixels]
    scores: Mapping[str, Scores]
    answers: Sequence[Restoration]


def enhance(
    judge: Judge,
    truths: Truths,
    case: Case,
    settings: RestoreSettings | None = None,
    progress: Progress = silent,
) -> Enhancement:
    """Degrade held-out photos, restore them with both priors, and judge the answers.

    Both searches begin at a mean, the anchors' or `w_avg` (B.3); the instant net has no part in this.

    Args:
        judge: of the person.
        truths: their held-out photos.
        case: what is taken from them.
        settings: None takes the task's defaults.
        progress: told of every step of both projections.

    Raises:
        MystyleError: a photo could not be restored.
    """
    profile, photos = judge.profile, Photos(truths.crops, [path.name for path in truths.paths])
    chosen = replace(comparison_settings(case.task, settings), start="centre")
    given = case.subjects(photos, truths.crop)
    theirs, ours = (
        method.restore(profile, method.train(profile, 0), given, case.task, chosen, progress)
        for method in (DomainPrior(), MyStyle())
    )
    shown = (case.left(photos, truths.crop), pictures(theirs), pictures(ours), truths.crops)
    made = dict(zip(METHODS, shown, strict=True))
    return Enhancement(case, made, {name: judge.score(found, truths) for name, found in made.items()}, ours)


def targets(runs: Sequence[Enhancement]) -> list[Target]:
    """Return what must hold for one case, over all people's photos together.

    Args:
        runs: the same case for each person.
    """
    task = runs[0].case.task

    def all_of(method: str, figure: str) -> np.ndarray:
        return np.concatenate([getattr(run.scores[method], figure) for run in runs])

    ours, theirs = METHODS[2], METHODS[1]
    gain = all_of(ours, "id") - all_of(theirs, "id")
    nearer = all_of(ours, "dlib") < all_of(theirs, "dlib")
    closer = all_of(theirs, "lpips").mean() - all_of(ours, "lpips").mean()
    back, domain_back = (float(np.nanmean(all_of(name, "trait"))) for name in (ours, theirs))
    over_domain, _ = MARGINS[task]
    return [
        Target(f"{task}: ID higher by", float(gain.mean()), "at least", over_domain),
        Target(f"{task}: share of photos nearer by dlib", float(nearer.mean()), "at least", 0.9),
        Target(f"{task}: LPIPS lower by", float(closer), "above", 0.0),
        Target(f"{task}: share of the trait back, personal prior", back, "at least", 0.5),
        Target(f"{task}: share of the trait back, domain prior", domain_back, "below", 0.25),
    ]
