"""Which dilation serves a person's own photos best: some of those held out restored with each (fig 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.find.locate import Located, as_photo, place, seen_faces, whole_quad
from mystyle_cli.nets.cost import plan_search
from mystyle_cli.person.score import id_scores, perceptual_distances
from mystyle_cli.photos.pixels import to_unit
from mystyle_cli.progress import Progress, Step, silent
from mystyle_cli.projection.codes import spread_of
from mystyle_cli.projection.projection import Problem, project
from mystyle_cli.restore.betas import GRID, MEASURED, curve, table_of
from mystyle_cli.restore.given import Given, targets_of, view_of
from mystyle_cli.restore.task import default_settings
from mystyle_cli.restore.trials import subjects
from mystyle_cli.restore.whole import Whole

if TYPE_CHECKING:
    from torch import Tensor

    from mystyle_cli.find.locate import Subject
    from mystyle_cli.instant.net import InstantNet
    from mystyle_cli.nets.generator import Generator
    from mystyle_cli.nets.perceptual import Perceptual
    from mystyle_cli.person.reference import Pictures
    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.prior.registry import Prior
    from mystyle_cli.restore.task import TaskName

FloatArray = NDArray[np.float32]

# held-out photos that are restored, at most; those of a larger set are taken evenly from it
PHOTOS: Final = 6

STEPS: Final = 8  # of each search from the instant net's answer; what beta costs and gains shows by then


@dataclass(frozen=True)
class Restorer:
    """What restores photos while a person is learned."""

    prior: Prior
    generator: Generator
    perceptual: Perceptual
    anchors: FloatArray  # (N, w_dim)
    references: FloatArray  # (N, D), the reference set's identity embeddings
    instant: InstantNet

    def locate(self, subject: Subject) -> Located:
        """Place an aligned crop, and see how like the person it is as it is given."""
        photo = as_photo(subject.photo)
        located = place(
            subject.name, photo, whole_quad(photo, subject.name), self.prior.resolution, subject.mask
        )
        seen = seen_faces(photo, located.mask, [located.quad], self.prior.resolution)
        return replace(located, id_score=float(id_scores(self.prior.embed(seen), self.references)[0]))

    def answer(self, given: Sequence[Given], beta: float, at_once: int) -> FloatArray:
        """Return the finished faces (B, 3, R, R), NaN where the search came upon no number."""
        whole = Whole(self.prior, given[0].task, aligned=True)
        settings = replace(default_settings(given[0].task).projection, beta=beta, steps=STEPS)
        spread = self._spread if settings.space == "near" else None
        made: list[FloatArray] = []
        for start in range(0, len(given), at_once):
            part = given[start : start + at_once]
            first = self.instant.alpha_plus(view_of(part), beta)
            problem = Problem(self.generator, self.anchors, *targets_of(part), self.perceptual, spread=spread)
            found = project(problem, settings, silent, first)
            made += [whole.meet(item, image) for item, image in zip(part, found.images, strict=True)]
        return np.stack(made)

    @cached_property
    def _spread(self) -> Tensor | None:
        """How people's codes spread, once for all searches."""
        return spread_of(self.generator)


@dataclass(frozen=True)
class Measured:
    """What came of photos with every beta of the grid, in one of the three ways."""

    id_errors: NDArray[np.float64]  # (len(GRID), P), of the answers; infinite where there was none
    lpips: NDArray[np.float64]  # (len(GRID), P), from the answers to the truth, the same
    id_scores: NDArray[np.float64]  # (P,) of the photos as they were given


def measure_betas(restorer: Restorer, crops: Pixels, progress: Progress = silent) -> dict[TaskName, Measured]:
    """Restore aligned photos, uint8 (P, R, R, 3), none of them learned from, with every beta of the grid."""
    generator, tasks = restorer.generator, MEASURED
    plan = plan_search(generator, restorer.perceptual, len(crops), restorer.prior.device)
    generator.synthesis.recompute = plan.recompute
    truths, names = to_unit(crops), [str(row) for row in range(len(crops))]
    measured: dict[TaskName, Measured] = {}
    for task in tasks:
        located = [restorer.locate(one) for one in subjects(crops, task, names, restorer.prior.crop)]
        given = [Given(one, task, restorer.prior.resolution) for one in located]
        rows = []
        for beta in GRID:
            rows.append(_errors(restorer, restorer.answer(given, beta, plan.at_once), truths))
            progress(Step("betas", len(measured) * len(GRID) + len(rows), len(tasks) * len(GRID)))
        id_errors, distances = np.stack(rows, axis=1)  # (len(GRID), P) each
        measured[task] = Measured(id_errors, distances, np.array([one.id_score for one in located]))
    generator.synthesis.recompute = False  # later stages go on with the same generator, and have room
    return measured


def beta_curves(
    restorer: Restorer, held_out: Pictures, progress: Progress = silent
) -> dict[str, dict[str, float]]:
    """Ask a person's held-out photos which beta suits them: a table a task, see `restore.betas.curve`."""
    rows = np.linspace(0, len(held_out) - 1, min(len(held_out), PHOTOS)).round().astype(int)
    measured = measure_betas(restorer, held_out.pixels[rows].transpose(0, 2, 3, 1), progress)
    return {
        table_of(task): curve(found.id_errors, found.lpips, found.id_scores)
        for task, found in measured.items()
    }


def _errors(restorer: Restorer, made: FloatArray, truths: FloatArray) -> NDArray[np.float64]:
    """Return the ID errors and the LPIPS of faces to the truths, (2, P); infinite where there is no face."""
    sound = np.isfinite(made.reshape(len(made), -1)).all(axis=1)
    made = np.where(sound.reshape(-1, 1, 1, 1), made, np.float32(0))
    scores = id_scores(restorer.prior.embed(made), restorer.references)
    distances = perceptual_distances(restorer.perceptual, made, truths)
    return np.where(sound, np.stack([1.0 - scores, distances]).astype(np.float64), np.inf)
