"""How far DiffAugment and Ojha et al. come with how many steps, on a demonstration person."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final

import numpy as np

from mystyle_cli.analysis.copies import Clusters
from mystyle_cli.baselines.adversarial import Adversarial, CrossDomain, DiffAugment
from mystyle_cli.baselines.baseline import Baseline
from mystyle_cli.baselines.untuned import MyStyle
from mystyle_cli.person.score import synthesise
from mystyle_cli.photos.pixels import grid, to_pixels
from mystyle_cli.report.report import Cell, Report, Table
from tools.figures.common import NAMES, profile_of, report_progress, save_picture

SAMPLES: Final = 128
SHOWN: Final = 16
COLUMNS: Final = ("method", "steps", "processor s", "ID", "diversity")
LONGER: Final = (1, 3)
"""How many times as many steps as in the settings."""


def make() -> Report:
    """Train both, and judge samples."""
    rows = [_row(MyStyle(), "as learned")]
    for method in (DiffAugment(), CrossDomain()):
        rows += [_row(*_lengthened(method, times)) for times in LONGER]
    return Report(
        "adversarial",
        "adversarial tuning by its length",
        [
            Table(
                f"{SAMPLES} samples of {NAMES[0]}",
                ["method", "steps", "processor s", "ID", "diversity"],
                rows,
            )
        ],
    )


def _lengthened(method: Adversarial, times: int) -> tuple[Adversarial, str]:
    steps = times * method.tuning.steps
    return replace(method, tuning=replace(method.tuning, steps=steps)), str(steps)


def _row(method: Baseline, steps: str) -> list[Cell]:
    profile, start = profile_of(NAMES[0]), time.process_time()
    trained = method.train(profile, 0, report_progress)
    seconds = time.process_time() - start
    images = synthesise(trained.generator, method.sample(profile, trained, SAMPLES, 0)).clip(-1, 1)
    scores = (profile.prior.embed(images).astype(np.float64) @ profile.reference_embeddings().T).max(axis=1)
    clusters = Clusters(profile.prior.perceptual(), profile.faces(), 0)
    clusters.add(images)
    name = f"adversarial-{method.name}-{steps}".lower().replace(" ", "-").replace(".", "")
    save_picture(name, grid(to_pixels(images[:SHOWN]), SHOWN // 2))
    diversity = float(np.nanmean(clusters.diversity()))
    return [method.name, steps, round(seconds), float(scores.mean()), diversity]
