"""What the paper does not tell: how long a result takes, and how many photos are refused."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from mystyle_cli.experiments.cases import SMALL
from mystyle_cli.experiments.experiment import Experiment, Measured
from mystyle_cli.instant.net import instant_state
from mystyle_cli.report.report import Cell, Report, Table
from mystyle_cli.restore.task import Quality

if TYPE_CHECKING:
    from mystyle_cli.experiments.bench import Bench

QUALITIES: Final[tuple[Quality, ...]] = ("instant", "fast", "full")
PHOTOS: Final = 4  # held-out photos that are timed


def measure(bench: Bench) -> Measured:
    """Count the photos that were refused, add up what learning took, and time answers.

    Returns:
        kept, refused, learned (1,), in seconds, and seconds (qualities,) a photo, NaN where there is no net,
        or a photo failed.
    """
    profile = bench.profile
    kept = sum(record.kept for record in profile.records)
    stages = profile.manifest.stages.values()
    learned = sum(float(stage.get("seconds", 0.0)) for stage in stages)
    seconds = np.full(len(QUALITIES), np.nan)
    photos = bench.photos.first(PHOTOS)
    has_net = instant_state(profile.manifest) == "fresh"
    for place, quality in enumerate(QUALITIES if photos.names else ()):
        if quality != "full" and not has_net:
            continue
        settings = bench.settings(SMALL.task, quality, space=None)
        SMALL.answered(profile, photos.first(1), settings)  # what is loaded once is no photo's time
        start = time.perf_counter()
        answers = SMALL.answered(profile, photos, settings, bench.progress)
        if not answers.failed:  # a failure may be quick
            seconds[place] = (time.perf_counter() - start) / len(photos.names)
    return Measured(
        {
            "kept": np.array([kept], np.float64),
            "refused": np.array([len(profile.records) - kept], np.float64),
            "learned": np.array([learned]),
            "seconds": seconds,
        }
    )


def tell(measured: Mapping[str, Measured]) -> Report:
    """Lay it out."""
    rows: list[list[Cell]] = []
    findings = []
    for name, found in measured.items():
        kept, refused, learned = (float(found.values[kind][0]) for kind in ("kept", "refused", "learned"))
        share = refused / max(1.0, kept + refused)
        rows.append([name, int(kept + refused), int(refused), learned, *found.values["seconds"].tolist()])
        findings.append(f"{name}: {share:.0%} of {kept + refused:.0f} photos were refused.")
    columns = [
        "person",
        "photos",
        "refused",
        "learning, s",
        *(f"{quality}, s a photo" for quality in QUALITIES),
    ]
    return Report(
        "cost",
        "time to a result, photos refused",
        [Table("on this machine, as busy as it was", columns, rows)],
        findings=findings,
    )


EXPERIMENTS: Final = (
    Experiment(
        "cost",
        "How long does it take, and which share of photos is of use?",
        measure,
        tell,
        own=True,
        timed=True,
    ),
)
