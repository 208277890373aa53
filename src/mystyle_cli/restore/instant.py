"""Instant restore: the person's own net and a few steps in place of a search, without torch (sec. 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.person.instant import LOSS, open_instant
from mystyle_cli.person.profile import GENERATOR
from mystyle_cli.progress import Progress, Step
from mystyle_cli.restore.projection import Projection
from mystyle_cli.restore.steps import STEPS, improve
from mystyle_cli.restore.views import degraded_photo, view_of

if TYPE_CHECKING:
    from mystyle_cli.onnx.gradient import Degraded
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.restore.locate import Located
    from mystyle_cli.restore.restore import RestoreSettings, TaskName


Array = NDArray[np.float64]
FloatArray = NDArray[np.float32]


class InstantEngine:
    """Answers without torch. Takes the place of `restore.Engine`.

    Args:
        profile: the person, with a net that fits their generator.
        settings: how photos are restored, with codes of P_beta+; of the projection only beta counts.

    Raises:
        ProfileError: the person has no such net.
    """

    def __init__(self, profile: Profile, settings: RestoreSettings) -> None:
        from mystyle_cli.onnx.gradient import open_gradient
        from mystyle_cli.person.rendering import open_renderer
        from mystyle_cli.prior.batches import at_once

        self.profile, self.settings, self.projection = profile, settings, settings.projection
        self.resolution = profile.manifest.prior.resolution
        self.at_once = at_once(self.resolution, settings.batch)
        self.net = open_instant(profile)
        self.gradient = open_gradient(profile.file(LOSS), profile.anchors(), profile.device)
        self.renderer = open_renderer(profile)

    @property
    def notice(self) -> str:
        """Why the pictures are not rendered by the exported generator, or ""."""
        return self.renderer.notice

    def save_memory(self) -> bool:
        """Say that one photo takes what it takes."""
        return False

    def answer(self, located: Sequence[Located], task: TaskName, progress: Progress) -> Projection:
        """Return codes a few steps from the net's answers; the faces stay where they are."""
        first = self.net.alpha_plus(view_of(located, task, self.resolution), self.projection.beta)
        found = []
        for number, (item, start) in enumerate(zip(located, first, strict=True)):
            found.append(self._improved(degraded_photo(item, task, self.resolution), start, STEPS[task]))
            progress(Step("instant", number + 1, len(located)))
        alpha_plus = np.stack([alpha for alpha, _ in found])
        w_plus = (alpha_plus @ self.profile.anchors().astype(np.float64)).astype(np.float32)
        count, history = len(located), np.stack([losses for _, losses in found], axis=1)
        return Projection(
            alpha_plus=alpha_plus,
            w_plus=w_plus,
            images=self.profile.refuse_odd(GENERATOR, self.renderer.render(w_plus)),
            losses=np.full(count, np.nan, np.float32),
            history=history,
            steps=np.isfinite(history).sum(axis=0, dtype=np.int64),
            motions=np.zeros((count, 4), np.float32),
        )

    def _improved(self, photo: Degraded, start: Array, steps: int) -> tuple[Array, FloatArray]:
        """Take the steps; without a known pixel there is nothing to step towards."""
        if not photo.known.any():
            return start, np.full(steps, np.nan, np.float32)
        return improve(self.gradient, photo, start, self.projection.beta, steps)
