"""An album from the page through the same core as `mystyle profile create`: first looked at, then learned."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mystyle_cli.config import TUNE_BATCH, TUNE_RATE
from mystyle_cli.errors import UsageError
from mystyle_cli.progress import Progress
from mystyle_cli.serve.uploads import Uploads
from mystyle_cli.terminal.learning import (
    TuningOptions,
    estimate_lines,
    photo_summary,
    result_lines,
    unnoted,
)

if TYPE_CHECKING:
    from mystyle_cli.learn.learn import Learned
    from mystyle_cli.learn.settings import LearnSettings
    from mystyle_cli.nets.device import Device
    from mystyle_cli.store.store import Store


@dataclass(frozen=True)
class Plan:
    """Who is to be learned, and how."""

    name: str
    consent: str
    until: str
    prior: str
    passes: int
    keep: tuple[str, ...] = ()  # sha256 of photos that are kept by hand
    leave: tuple[str, ...] = ()  # and of those that are left out

    def settings(self, device: Device, *, tune: bool, replace: bool) -> LearnSettings:
        """Return the core's settings."""
        options = TuningOptions(self.passes, TUNE_BATCH, TUNE_RATE, "auto", 0, False, False, False)
        return dataclasses.replace(
            options.settings(device, tune=tune),
            keep=self.keep,
            consent=self.consent,
            consent_until=self.until,
            replace=replace,
        )


class School:
    """Learns one person at a time from the album that was uploaded."""

    def __init__(self, store: Store, device: Device, uploads: Uploads) -> None:
        self.store, self.device, self.uploads = store, device, uploads
        self.plan: Plan | None = None  # of the album that has been looked at
        self.files: dict[str, Path] = {}  # its photos by sha256

    def check(self, plan: Plan) -> None:
        """Refuse (MystyleError), before any photo is looked at, what would be refused, and a name taken."""
        self.store.folder(plan.name)
        if plan.name in self.store.names() and (self.plan is None or self.plan.name != plan.name):
            raise UsageError(
                f"there is a profile '{plan.name}' already",
                "Choose another name; `mystyle ingest` adds photos to a profile.",
            )
        if plan.until and not plan.consent:
            raise UsageError("--until says when a consent ends, and there is none", "Say who agreed, too.")

    def look(self, plan: Plan, progress: Progress) -> dict[str, object]:
        """Judge every photo and say what tuning will take, as `--no-tune` and `--dry-run` do."""
        from mystyle_cli.learn.learn import estimate
        from mystyle_cli.photos.decode import digests_of

        self.files = {digest: path for path, digest in digests_of(self.uploads.paths()).items()}
        learned = self._learn(plan, progress, tune=False)
        self.plan = plan
        told = estimate(self.store, plan.name, plan.settings(self.device, tune=True, replace=False))
        return self._told(learned, plan) | {"estimate": estimate_lines(told), "advice": list(told.advice)}

    def finish(self, keep: tuple[str, ...], leave: tuple[str, ...], progress: Progress) -> dict[str, object]:
        """Learn the person from the photos that were looked at, with verdicts of one's own."""
        if self.plan is None:
            raise UsageError("no album has been looked at", "Give the photos first.")
        plan = dataclasses.replace(self.plan, keep=keep, leave=leave)
        learned = self._learn(plan, progress, tune=True)
        self.forget()
        return self._told(learned, plan)

    def forget(self) -> None:
        """Remove the album."""
        self.plan, self.files = None, {}
        self.uploads.clear()

    def _learn(self, plan: Plan, progress: Progress, *, tune: bool) -> Learned:
        from mystyle_cli.learn.learn import learn
        from mystyle_cli.prior.registry import open_prior

        photos = [path for digest, path in self.files.items() if digest not in plan.leave]
        again = self.plan is not None  # looked at before, here: other verdicts replace it
        settings = plan.settings(self.device, tune=tune, replace=again)
        return learn(self.store, plan.name, photos, open_prior(plan.prior), settings, progress)

    def _told(self, learned: Learned, plan: Plan) -> dict[str, object]:
        profile = learned.profile
        warnings = [*learned.warnings, *([] if profile.manifest.consent else [unnoted(plan.name)])]
        return {
            "name": profile.name,
            "summary": photo_summary(profile.records),
            "results": result_lines(profile.manifest.results),
            "warnings": warnings,
            "photos": [record.to_json() for record in profile.records],
        }
