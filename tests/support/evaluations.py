"""Evaluations, studies and refinements as small as they can be, for tests of what is done with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from mystyle_cli.analysis import judge, study
from mystyle_cli.baselines.untuned import DomainPrior
from mystyle_cli.experiments import bench
from mystyle_cli.tuning import refining


def describe_quickly(images: np.ndarray, crop: object) -> np.ndarray:
    """Describe faces (B, 3, R, R) by a few of their pixels; dlib takes a tenth of a second a face."""
    return images[:, :, ::8, ::8].reshape(len(images), -1)


def measure_quickly(setattr: Callable[[object, str, object], None]) -> None:
    """Let evaluations take few pictures, and searches and tunings of theirs few steps.

    Args:
        setattr: Python's own, or a patch's.
    """
    for one in (bench, judge):
        setattr(one, "describe_faces", describe_quickly)
    least = {"photos": 1, "pairs": 3, "points": 3, "samples": 6, "sizes": (3,), "passes": 1, "walks": 2}
    setattr(bench, "QUICK", replace(bench.QUICK, **least, steps=2))  # type: ignore[arg-type]
    setattr(bench, "PAPER", replace(bench.PAPER, walks=30))
    setattr(study, "DomainPrior", partial(DomainPrior, steps=3))
    setattr(refining, "RefineSettings", partial(refining.RefineSettings, steps=8))
