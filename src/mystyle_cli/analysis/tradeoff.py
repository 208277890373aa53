"""The prior-expressiveness trade-off that beta controls (sec. 4.1, fig 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from mystyle_cli.analysis.metrics import lpips
from mystyle_cli.progress import Progress, silent
from mystyle_cli.projection.degradations import Identity
from mystyle_cli.projection.projection import Problem, project
from mystyle_cli.projection.settings import ProjectionSettings

if TYPE_CHECKING:
    from mystyle_cli.analysis.judge import Judge

BETAS: Final = (0.0, 0.02, 0.05, 0.1, None)
"""From the hull itself to unbounded."""


@dataclass(frozen=True)
class Inversions:
    """Held-out photos inverted with one beta.

    Args:
        beta: the dilation, None unbounded.
        id_error: (B,), 1 less the ID score of the inversion.
        lpips: (B,), to the photo.
        alpha_plus: (B, num_ws, N).
    """

    beta: float | None
    id_error: npt.NDArray[np.float64]
    lpips: npt.NDArray[np.float64]
    alpha_plus: npt.NDArray[np.float64]


def sweep_beta(
    judge: Judge,
    images: npt.NDArray[np.float32],
    betas: Sequence[float | None] = BETAS,
    settings: ProjectionSettings | None = None,
    progress: Progress = silent,
) -> list[Inversions]:
    """Invert photos into P_beta+ for each beta.

    Args:
        judge: of the person.
        images: (B, 3, R, R), photos that the profile has not seen.
        betas: dilations.
        settings: all else of the projection; None takes the defaults.
        progress: told of every step.
    """
    profile, settings = judge.profile, settings or ProjectionSettings()
    generator, anchors = profile.generator(), profile.anchors()
    found = []
    for beta in betas:
        chosen = replace(settings, beta=beta)
        problem = Problem(generator, anchors, images, Identity(), judge.perceptual)
        result = project(problem, chosen, progress)
        assert result.alpha_plus is not None  # the space is the person's
        made = result.images.clip(-1, 1)
        errors = 1.0 - np.asarray(profile.id_score(made), np.float64)
        distances = np.asarray(lpips(judge.perceptual, made, images), np.float64)
        found.append(Inversions(beta, errors, distances, result.alpha_plus))
    return found
