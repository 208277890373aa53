"""How held-out photos are asked which dilation suits: where searches start, what is scored, who is apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mystyle_cli.learn import betas
from mystyle_cli.learn.betas import Restorer, beta_curves
from mystyle_cli.person.reference import Pictures
from mystyle_cli.photos.pixels import to_unit
from mystyle_cli.restore.betas import GRID, MEASURED
from mystyle_cli.restore.task import default_settings
from tests.support.tiny_store import make_store, picture

PHOTOS = 6


class Start:
    """In place of the instant net: an answer that nothing else gives, and another for each beta."""

    def __init__(self, layers: int, anchors: int) -> None:
        self.shape = layers, anchors

    def alpha_plus(self, seen: Any, beta: float | None) -> np.ndarray:
        """Return all of the second anchor but a little."""
        alpha = np.full((len(seen.sides), *self.shape), 0.01 + (beta or 0) / 10)
        alpha[..., 1] = 1 - alpha[..., 2:].sum(axis=-1) - alpha[..., 0]
        return alpha


def test_photos_are_asked_from_the_nets_answer_and_apart(
    tmp_path: Path, tiny_prior: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every search starts where the net says, where the command would search, knowing how people spread.

    The split is the median of photos' scores as they are given.
    """
    profile = make_store(tmp_path, tiny_prior).open("ada")
    prior, start = profile.prior, Start(profile.prior.num_ws, len(profile.anchors()))
    restorer = Restorer(
        prior,
        profile.generator(),
        prior.perceptual(),
        profile.anchors(),
        profile.reference_embeddings(),
        start,  # type: ignore[arg-type]
    )
    monkeypatch.setattr(betas, "STEPS", 1)
    project, seen, spaces = betas.project, [], []

    def searched(problem: Any, settings: Any, progress: Any, first: np.ndarray) -> Any:
        seen.append(settings.beta)
        spaces.append(settings.space)
        assert (problem.spread is not None) == (settings.space == "near")
        assert first[0, 0, 0] == 0.01 + settings.beta / 10
        return project(problem, settings, progress, first)

    monkeypatch.setattr(betas, "project", searched)
    crops = np.stack([picture(60 + number, 32) for number in range(PHOTOS)])
    found = beta_curves(restorer, Pictures.of(iter(crops), PHOTOS, 32))
    assert [beta for place, beta in enumerate(seen) if not place or beta != seen[place - 1]] == [*GRID] * 3
    searches = len(spaces) // 3
    asked = [task for task in MEASURED for _ in range(searches)]
    assert spaces == [default_settings(task).projection.space for task in asked]
    for table in found.values():
        assert (table["photos"], set(table) >= {"split", "atypical", "typical"}) == (PHOTOS, True)
    own = prior.embed(to_unit(crops)) @ profile.reference_embeddings().T
    assert found["beta_invert"]["split"] == pytest.approx(np.median(own.max(axis=1)), abs=2e-4)
