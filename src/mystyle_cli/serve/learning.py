"""An album from the page through the same core as `mystyle profile create`: first looked at, then learned."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mystyle_cli.config import TUNE_BATCH, TUNE_PASSES, TUNE_RATE
from mystyle_cli.errors import MystyleError, ProfileError, UsageError
from mystyle_cli.progress import Progress
from mystyle_cli.serve.uploads import Uploads
from mystyle_cli.terminal.learning import (
    TuningOptions,
    duration,
    photo_summary,
    result_lines,
    unnoted,
)

if TYPE_CHECKING:
    from mystyle_cli.learn.estimate import Estimate
    from mystyle_cli.learn.learn import Learned
    from mystyle_cli.learn.settings import LearnSettings
    from mystyle_cli.nets.device import Device
    from mystyle_cli.person.manifest import Manifest
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
        return dataclasses.replace(
            _options(self.passes).settings(device, tune=tune),
            keep=self.keep,
            consent=self.consent,
            consent_until=self.until,
            replace=replace,
        )


class School:
    """Learns one person at a time from the album that was uploaded."""

    def __init__(self, store: Store, device: Device, uploads: Uploads) -> None:
        self.store, self.device, self.uploads = store, device, uploads
        self.files: dict[str, Path] = {}  # the album's photos by sha256
        self._plan: Plan | None = None  # of the profile that was made by looking, and is not learned yet
        self._made: Manifest | None = None  # that profile; None where making it was broken off
        self._asked = False  # whether learning it was asked for
        self._busy = threading.Lock()

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Have the album for oneself; raises MystyleError where it is in use."""
        if not self._busy.acquire(blocking=False):
            raise MystyleError("a person is being learned from these photos", "Wait, or cancel that.")
        try:
            yield
        finally:
            self._busy.release()

    def check(self, plan: Plan) -> None:
        """Refuse (MystyleError), before any photo is looked at, what would be refused, and a name taken."""
        if self.store.folder(plan.name).name in self.store.names() and not self._begun(plan.name):
            raise UsageError(
                f"there is a profile '{plan.name}' already",
                "Choose another name; mystyle ingest adds photos to a profile.",
            )
        if plan.until and not plan.consent:
            raise UsageError("--until says when a consent ends, and there is none", "Say who agreed, too.")
        plan.settings(self.device, tune=True, replace=False)

    def _begun(self, name: str) -> bool:
        return self._plan is not None and self._plan.name == name

    def add(self, name: str, data: bytes) -> str:
        """Take a photo of the album; see `Uploads.add`."""
        with self._at_work():
            return self.uploads.add(name, data)

    def look(self, plan: Plan, progress: Progress) -> dict[str, object]:
        """Judge every photo and say what tuning will take, as `--no-tune` and `--dry-run` do.

        What is made so goes again unless `finish` follows.
        """
        from mystyle_cli.learn.learn import estimate
        from mystyle_cli.photos.decode import digests_of

        with self._at_work():
            again = self._begun(plan.name)
            if again:
                self._refuse_changed(plan.name)
            else:
                self._drop()
                self.check(plan)  # again, as others may have made one while this waited
            self.files = {digest: path for path, digest in digests_of(self.uploads.paths()).items()}
            self._plan, self._asked = plan, False
            if not again:
                self._made = None
            try:
                learned = self._learn(plan, progress, tune=False, replace=again)
                self._made = learned.profile.manifest
                settings = plan.settings(self.device, tune=True, replace=False)
                needed = estimate(self.store, plan.name, settings)
            except BaseException:
                self._remove()
                raise
            return self._told(learned) | {
                "how_long": f"Tuning takes {_how_long(needed)}; making the nets that answer comes after it.",
                "advice": list(needed.advice),
            }

    def finish(self, keep: tuple[str, ...], leave: tuple[str, ...], progress: Progress) -> dict[str, object]:
        """Learn the person from the photos that were looked at, with verdicts of one's own.

        Ended early, it leaves what `mystyle tune` goes on from.
        """
        with self._at_work():
            if self._plan is None:
                raise UsageError("no photos have been looked at", "Give the photos first.")
            plan, self._asked = dataclasses.replace(self._plan, keep=keep, leave=leave), True
            if keep or leave:  # other photos: a profile of them, to go on from, replaces the first
                self._refuse_changed(plan.name)
                self._made = self._learn(plan, progress, tune=False, replace=True).profile.manifest
            learned = self._learn(plan, progress, tune=True, replace=False)
            self._plan = None
            self._clear()
            return self._told(learned)

    def tune(self, name: str, progress: Progress) -> dict[str, object]:
        """Go on with a profile that is not tuned yet, as `mystyle tune` does."""
        from mystyle_cli.learn.learn import retune

        with self._at_work():
            begun = self._begun(name)
            self._asked |= begun
            learned = retune(self.store, name, _options(TUNE_PASSES).settings(self.device), progress)
            if begun:
                self._plan = None
                self._clear()
            return self._told(learned)

    def forget(self) -> None:
        """Remove the album, and the profile of it that nobody asked for; raises MystyleError in use."""
        with self._at_work():
            self._drop()
            self._clear()

    def throw_away(self) -> None:
        """Remove the album, and the profile of it, whatever was asked for; raises MystyleError in use."""
        with self._at_work():
            self._remove()
            self._clear()

    def _drop(self) -> None:
        """Let go of a profile that was made by looking; it stays only where learning it was asked for."""
        if self._asked:
            self._plan = None
        self._remove()

    def _remove(self) -> None:
        """Remove the profile that was made by looking."""
        plan, self._plan = self._plan, None
        if plan is not None and self._is_ours(plan.name):
            self.store.delete(plan.name)

    def _is_ours(self, name: str) -> bool:
        """Tell whether a profile is there, as looking left it."""
        there = self.store.folder(name).name in self.store.names()
        return there and self.store.entry(name).manifest == self._made

    def _refuse_changed(self, name: str) -> None:
        if not self._is_ours(name):
            raise ProfileError(
                f"profile '{name}' is not as it was when its photos were looked at", "Choose another name."
            )

    def _clear(self) -> None:
        self.files = {}
        self.uploads.clear()

    def _learn(self, plan: Plan, progress: Progress, *, tune: bool, replace: bool) -> Learned:
        from mystyle_cli.learn.learn import learn
        from mystyle_cli.prior.registry import open_prior

        photos = [path for digest, path in self.files.items() if digest not in plan.leave]
        settings = plan.settings(self.device, tune=tune, replace=replace)
        return learn(self.store, plan.name, photos, open_prior(plan.prior), settings, progress)

    def _told(self, learned: Learned) -> dict[str, object]:
        profile = learned.profile
        unsaid = [] if profile.manifest.consent else [unnoted(profile.name)]
        return {
            "name": profile.name,
            "summary": photo_summary(profile.records),
            "results": result_lines(profile.manifest.results),
            "warnings": [*learned.warnings, *unsaid],
            "photos": [record.to_json() for record in profile.records],
        }


def _how_long(needed: Estimate) -> str:
    return f"about {duration(needed.seconds)}" if needed.seconds is not None else "a time not measured"


def _options(passes: int) -> TuningOptions:
    """Return the command's own options, with so many passes."""
    return TuningOptions(
        passes=passes,
        tune_batch=TUNE_BATCH,
        learning_rate=TUNE_RATE,
        precision="auto",
        seed=0,
        no_export=False,
        no_instant=False,
        whole=False,
    )
