"""Two profiles on the same photos: which one is better, and whether that is more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from mystyle_cli.errors import ProfileError
from mystyle_cli.experiments.bench import Bench, Truth, judge_pictures
from mystyle_cli.experiments.cases import CASES, Case, Photos
from mystyle_cli.experiments.experiment import Values, failures_in, mean_of
from mystyle_cli.person.reference import HELD_OUT
from mystyle_cli.photos.pixels import to_pixels
from mystyle_cli.progress import Progress, silent
from mystyle_cli.report.report import Cell, Report, Table

if TYPE_CHECKING:
    from mystyle_cli.experiments.bench import Protocol
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.photos.pixels import Pixels

# what is compared, and which way is better. The references differ between profiles; the truth does not.
FIGURES: Final = {
    "truth_id": ("ID to the truth", 1),
    "dlib_truth": ("dlib to the truth", -1),
    "lpips": ("LPIPS", -1),
}

# how sure the verdict is: with that chance no difference is seen in any figure where there is none
SURE: Final = 0.95


def shared_photos(first: Profile, second: Profile, most: int) -> Photos:
    """Return photos that either holds out and none has learned from.

    Raises:
        ProfileError: there is none, or the profiles' priors are not the same.
    """
    if first.manifest.prior.sha256 != second.manifest.prior.sha256:
        raise ProfileError(
            f"profiles '{first.name}' and '{second.name}' have different priors, whose crops differ",
            "Compare profiles of one prior.",
        )
    learned = {record.sha256 for profile in (first, second) for record in profile.photos()}
    found: dict[str, tuple[str, Pixels]] = {}
    for profile in (first, second):
        crops = to_pixels(profile.faces(HELD_OUT))
        for record, crop in zip(profile.photos(HELD_OUT), crops, strict=True):
            if record.sha256 not in learned:
                found.setdefault(record.sha256, (record.file, crop))
    if not found:
        raise ProfileError(
            f"no photo is held out by '{first.name}' or '{second.name}' and unknown to both",
            "Make both from the same photos with the same --held-out and --seed.",
        )
    chosen = [found[key] for key in sorted(found)][:most]
    return Photos(np.stack([crop for _, crop in chosen]), [name for name, _ in chosen])


def compare(first: Profile, second: Profile, protocol: Protocol, progress: Progress = silent) -> Report:
    """Restore the same photos by both and compare photo by photo; one that fails by either is counted.

    Args:
        first, second: tuned profiles of one person and one prior.
        protocol: how many photos at most.
        progress: told of every step.

    Raises:
        ProfileError: no photo is unknown to both; see `shared_photos`.
    """
    photos = shared_photos(first, second, protocol.photos)
    rows: list[list[Cell]] = []
    verdicts: list[int] = []
    for case in CASES:
        scores = [_scores(profile, photos, case, protocol, progress) for profile in (first, second)]
        for name, (title, sign) in FIGURES.items():
            one, other = (score[name] for score in scores)
            change, doubt = difference(one, other, len(CASES) * len(FIGURES))
            verdict = verdict_of(change, doubt, sign)
            verdicts.append(verdict)
            says = {0: "no difference", 1: f"{second.name} better", -1: f"{first.name} better"}[verdict]
            failed = [failures_in(score) for score in (one, other)]
            rows.append([case.name, title, mean_of(one), mean_of(other), change, doubt, says, *failed])
    names = [first.name, second.name]
    failures = [f"failed, {name}" for name in names]
    columns = ["what", "figure", *names, "difference", "± in doubt", "", *failures]
    return Report(
        "comparison",
        f"{first.name} and {second.name} on {len(photos.names)} photos that neither has learned from",
        [Table("means over the photos", columns, rows)],
        findings=[_verdict(verdicts, first.name, second.name)],
    )


def difference(one: Values, other: Values, tests: int = 1) -> tuple[float, float]:
    """Return the mean of paired differences other - one, and within how much of it the true mean lies.

    Args:
        one, other: (B,), figures of the same photos; a pair without one of them does not count.
        tests: comparisons that are made together and share the doubt (Bonferroni).

    Returns:
        The mean, NaN without a pair, and half of the confidence interval by Student's t; infinite for one.
    """
    from scipy.stats import t

    apart = np.asarray(other, np.float64) - np.asarray(one, np.float64)
    apart = apart[np.isfinite(apart)]
    if len(apart) < 2:
        return mean_of(apart), float("inf")
    error = float(apart.std(ddof=1) / np.sqrt(len(apart)))
    return float(apart.mean()), error * float(t.ppf(1 - (1 - SURE) / 2 / tests, len(apart) - 1))


def verdict_of(change: float, doubt: float, sign: int) -> int:
    """Return 1 where the second is better, -1 where the first is, 0 where that is in doubt.

    Args:
        change: the second's figure less the first's.
        doubt: by how much that may be chance.
        sign: 1 where a larger figure is better, -1 where a smaller one is.
    """
    return int(np.sign(change)) * sign if abs(change) > doubt else 0


def _verdict(verdicts: Sequence[int], first: str, second: str) -> str:
    better, worse = sum(v > 0 for v in verdicts), sum(v < 0 for v in verdicts)
    if not better and not worse:
        return f"No figure tells {first} and {second} apart."
    return f"{second} is better in {better} and {first} in {worse} of {len(verdicts)} figures."


def _scores(
    profile: Profile, photos: Photos, case: Case, protocol: Protocol, progress: Progress
) -> dict[str, Values]:
    """Return what a profile's answers score on photos; NaN where there is none."""
    bench = Bench(profile, protocol, progress=progress)
    answers = case.answered(profile, photos, bench.settings(case.task, space=None), progress)
    scores = judge_pictures(bench, answers.pixels, Truth.of(profile, photos.crops))
    return {name: answers.told(column) for name, column in scores.items()}
