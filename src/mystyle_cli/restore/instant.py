"""Instant restore: one pass of the person's own net in place of a search, without torch (sec. 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mystyle_cli.errors import UsageError
from mystyle_cli.person.instant import open_instant
from mystyle_cli.progress import Progress, Step
from mystyle_cli.restore.projection import Projection
from mystyle_cli.restore.views import view_of

if TYPE_CHECKING:
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.restore.locate import Located
    from mystyle_cli.restore.restore import RestoreSettings, TaskName


class InstantEngine:
    """Answers in one pass. Takes the place of `restore.Engine`.

    Args:
        profile: the person, with a net that fits their generator.
        settings: how photos are restored; of the projection only beta counts.

    Raises:
        ProfileError: the person has no such net.
        UsageError: another space than P_beta+ is asked for.
    """

    def __init__(self, profile: Profile, settings: RestoreSettings) -> None:
        from mystyle_cli.person.rendering import open_renderer
        from mystyle_cli.prior.batches import at_once

        if settings.domain_prior or settings.projection.space != "p+":
            raise UsageError("an instant answer is a code of P_beta+", "Use --space p+, or --quality full.")
        self.profile, self.settings, self.projection = profile, settings, settings.projection
        self.resolution = profile.manifest.prior.resolution
        self.at_once = at_once(self.resolution, settings.batch)
        self.net = open_instant(profile, settings.device)
        self.renderer = open_renderer(profile, "auto", settings.device)

    @property
    def notice(self) -> str:
        """Why the pictures are not rendered by the exported generator, or ""."""
        return self.renderer.notice

    def answer(self, located: Sequence[Located], task: TaskName, progress: Progress) -> Projection:
        """Return the net's answers; no loss is measured, and the faces stay where they are."""
        view = view_of(located, task, self.resolution)
        alpha_plus = self.net.alpha_plus(view, self.projection.beta)
        w_plus = (alpha_plus @ self.profile.anchors().astype(np.float64)).astype(np.float32)
        images = self.renderer.render(w_plus)
        progress(Step("instant", len(located), len(located)))
        count = len(located)
        return Projection(
            alpha_plus=alpha_plus,
            w_plus=w_plus,
            images=images,
            losses=np.full(count, np.nan, np.float32),
            history=np.zeros((0, count), np.float32),
            steps=np.zeros(count, np.int64),
            motions=np.zeros((count, 4), np.float32),
        )
