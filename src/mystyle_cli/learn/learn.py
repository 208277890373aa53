"""From a folder of photos to a profile: curate, find anchors, tune, measure; resumable. Source: sec. 3.1."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mystyle_cli.errors import MystyleError, ProfileError, RankError, UsageError, reason_of
from mystyle_cli.files.documents import Number
from mystyle_cli.files.writing import sweep
from mystyle_cli.learn.dating import write_dates, years_in
from mystyle_cli.learn.merging import refuse_unlike, shared_consent
from mystyle_cli.learn.settings import STAGES, LearnSettings, check_roles
from mystyle_cli.learn.stages import Stages
from mystyle_cli.progress import Progress, silent
from mystyle_cli.store.draft import Draft, intact

if TYPE_CHECKING:
    from mystyle_cli.curate.dates import Dates
    from mystyle_cli.learn.estimate import Estimate
    from mystyle_cli.learn.exporting import Net
    from mystyle_cli.learn.handed import Handed
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.prior.registry import Prior
    from mystyle_cli.store.store import Store

__all__ = [
    "LearnSettings",
    "Learned",
    "assist",
    "date",
    "estimate",
    "export",
    "ingest",
    "learn",
    "merge",
    "retune",
]


@dataclass(frozen=True)
class Learned:
    """What learning made.

    Args:
        worked: the stages that this command did; the others were found done.
        warnings: what the set of photos lacks, one sentence each.
        seconds: time by stage, over all commands that took part.
    """

    profile: Profile
    worked: tuple[str, ...]
    warnings: tuple[str, ...]
    seconds: Mapping[str, float]


def learn(
    store: Store,
    name: str,
    photos: Sequence[Path],
    prior: Prior,
    settings: LearnSettings | None = None,
    progress: Progress = silent,
) -> Learned:
    """Make a profile of photos, bad ones left out. Interrupted at any point, the same call goes on.

    Raises:
        ModelError: the prior lacks what learning needs; no photo has been looked at then.
        ProfileError: too few usable photos, a profile of this name made of others, or the profile is locked.
        ConsentError: the consent noted in the profile has ended, and the settings note no other.
        KeyboardInterrupt: after the state was saved.

    Source: sec. 3.1.
    """
    check_roles(prior)
    with store.locked(name):
        stages = Stages(store.draft(name), prior, settings or LearnSettings(), progress)
        if stages.draft.current is not None and not stages.settings.consent:
            stages.draft.current.require_consent(name)
        try:
            handed = stages.curate_all(photos)
        except MystyleError:
            stages.draft.discard_empty()  # so that a refused album leaves no folder
            raise
        return _dated(store, _finish(store, name, stages, handed), stages.settings.dates)


def merge(
    store: Store,
    name: str,
    members: Sequence[str],
    settings: LearnSettings | None = None,
    progress: Progress = silent,
) -> Learned:
    """Make one profile of several people's: one generator tuned on all of them, a hull for each.

    Interrupted at any point, the same call goes on from where it stopped. The members stay as they are; what
    they agreed to is taken over, with the earliest of the days on which it ends.

    Args:
        members: names of profiles of one person each, all tuned from one prior.
        settings: how to learn; what they say of curation, anchors and consent does not count.

    Raises:
        UsageError: these are not several people, or the new profile is one of them.
        ProfileError: there is no such member, one cannot be merged, there is a profile of that name with
            others in it, or it is locked.
        ConsentError: the consent noted in a member has ended.
        KeyboardInterrupt: after the state was saved.

    Source: fig 13.
    """
    people = [store.open(member) for member in members]
    refuse_unlike(name, people)
    consent, until = shared_consent(people)
    settings = replace(settings or LearnSettings(), consent=consent, consent_until=until)
    prior = people[0].prior
    check_roles(prior)
    with store.locked(name):
        stages = Stages(store.draft(name), prior, settings, progress)
        if stages.draft.current is not None and not consent:
            stages.draft.current.require_consent(name)
        try:
            handed = stages.take_over(people)
        except MystyleError:
            stages.draft.discard_empty()
            raise
        return _finish(store, name, stages, handed)


def ingest(
    store: Store,
    name: str,
    photos: Sequence[Path],
    settings: LearnSettings | None = None,
    progress: Progress = silent,
) -> Learned:
    """Add photos to a profile; it stays as it is until everything that depends on them is made anew.

    Args:
        photos: picture files; those seen before are passed over.

    Raises:
        ProfileError: there is no such profile, it holds several people, or it is locked.
        KeyboardInterrupt: after the state was saved.
    """
    with store.locked(name):
        profile = store.open(name)
        _refuse_several(profile)
        check_roles(profile.prior)
        stages = Stages(store.draft(name), profile.prior, settings or LearnSettings(), progress)
        learned = _finish(store, name, stages, stages.curate_more(profile, photos))
        return _dated(store, _dated(store, learned, years_in(photos, learned.profile)), stages.settings.dates)


def date(store: Store, name: str, dates: Dates) -> Learned:
    """Write down in which years a profile's photos were taken; nothing else of it changes.

    Raises:
        ProfileError: there is no such profile, it holds several people, it is locked, or learning of it was
            interrupted.
        UsageError: the list contradicts itself.
    """
    with store.locked(name):
        profile = store.open(name)
        _refuse_several(profile)
        return _dated(store, Learned(profile, (), (), {}), dates)


def _refuse_several(profile: Profile) -> None:
    if profile.people:
        raise ProfileError(
            f"profile '{profile.name}' holds several people, whose photos come from profiles of their own",
            f"Add them there, and merge again: mystyle ingest {profile.people[0]} PHOTOS; "
            f"mystyle profile merge {profile.name} {' '.join(profile.people)}",
        )


def _dated(store: Store, learned: Learned, dates: Dates | None) -> Learned:
    """Return what was learned with the years that a list says."""
    if dates is None:
        return learned
    profile = learned.profile
    said = write_dates(store, profile, dates)
    profile = store.open(profile.name, profile.prior)
    return replace(learned, profile=profile, warnings=(*learned.warnings, *said))


def retune(
    store: Store, name: str, settings: LearnSettings | None = None, progress: Progress = silent
) -> Learned:
    """Tune a profile that is not tuned yet, or tune it anew; what settings say of curation does not count.

    The first of several processes does so while the others `assist` it.

    Raises:
        ProfileError: there is no such profile, or it is locked.
        RankError: another process ended, or works on something else; the profile is as it was.
        KeyboardInterrupt: after the state was saved.
    """
    with (settings or LearnSettings()).ranks.leading(), store.locked(name):
        profile = store.open(name)
        stages = Stages(store.draft(name), profile.prior, settings or LearnSettings(), progress)
        return _finish(store, name, stages, stages.keep_curation(profile))


def assist(store: Store, name: str, settings: LearnSettings) -> None:
    """Take part in what the first of several processes does with `retune`, and leave the profile to it.

    Raises:
        MystyleError: as `retune`; the first process has been told why.
    """
    ranks = settings.ranks
    try:
        if ranks.answer(settings.device.kind):
            profile = store.open(name)
            stages = Stages(Draft(profile.path, read_only=True), profile.prior, settings, silent)
            stages.assist(stages.keep_curation(profile))
    except RankError:
        raise
    except Exception as error:
        ranks.fail(reason_of(error))
        raise


def estimate(store: Store, name: str, settings: LearnSettings | None = None) -> Estimate:
    """Tell what tuning a profile will take on this machine; nothing is changed. Raises ProfileError."""
    from mystyle_cli.learn.estimate import estimate_tuning

    settings = settings or LearnSettings()
    profile = store.open(name)
    stages = Stages(Draft(profile.path, read_only=True), profile.prior, settings, silent)
    taken = stages.steps_taken(stages.keep_curation(profile))
    instant = settings.instant is not None
    return estimate_tuning(stages.prior, len(profile.photos()), settings.tuning, instant, taken)


def export(store: Store, name: str) -> tuple[Path, list[Net]]:
    """Export a tuned profile to ONNX with all that belongs to it, into a folder of its own inside.

    Raises:
        ProfileError: there is no such profile, it is not tuned, or learning was interrupted or is under way.
        ModelError: an exported net answers otherwise than torch.
    """
    from mystyle_cli.learn.exporting import export_inputs, export_stage
    from mystyle_cli.person.layout import FOLDER, GENERATOR

    with store.locked(name):
        profile, draft = store.open(name), store.draft(name)
        if draft.learning:  # a commit would put half of it in place
            raise ProfileError(
                f"learning of profile '{name}' was interrupted", "Finish it: give the same command again."
            )
        started = time.monotonic()
        generator = profile.generator(), profile.manifest.digests()[GENERATOR]
        files, facts, nets = export_stage(draft, profile.prior, generator, profile.anchors(), True)
        inputs = export_inputs(profile.prior.digest, generator[1], True)
        draft.finish("export", inputs, files, {"seconds": round(time.monotonic() - started, 2), **facts})
        now = datetime.now(UTC).isoformat(timespec="seconds")
        draft.commit(replace(profile.manifest, changed=now, stages=draft.stages(), files=draft.files()))
        return profile.path / FOLDER, nets


def export_to(profile: Profile, folder: Path) -> list[Net]:
    """Export a tuned profile and its anchors to a folder of their own; the profile stays as it is.

    Interrupted, the same call goes on.

    Raises:
        UsageError: the folder holds anything but what an interrupted export left.
        ProfileError: the profile is not tuned, or the folder cannot be written to.
        ModelError: an exported net answers otherwise than torch.
    """
    from mystyle_cli.learn.exporting import export_nets
    from mystyle_cli.person.files import write_whole
    from mystyle_cli.person.layout import ANCHORS, FOLDER, GENERATOR, PARITY, data_name, read_data

    sweep(folder)
    there = {path.name for path in folder.iterdir()} if folder.exists() else set()
    ours = all(name == ANCHORS or data_name(f"{FOLDER}/{name}") for name in there)
    # the anchors are written first and the record last
    begun = ours and PARITY not in there
    if there and not (begun and intact(folder, {ANCHORS: profile.manifest.digests()[ANCHORS]})):
        raise UsageError(f"{folder} is not empty", "Use another folder.")

    def write(name: str, data: bytes) -> Path:
        write_whole(folder / name, data)
        return folder / name

    generator, digest = profile.generator(), profile.manifest.digests()[GENERATOR]
    profile.anchors()  # which sees to it that they are whole
    write(ANCHORS, read_data(profile.path, ANCHORS))
    return export_nets(profile.prior, generator, profile.anchors(), write, generator_sha256=digest)


def _finish(store: Store, name: str, stages: Stages, handed: Handed) -> Learned:
    advice = handed.advice  # now, while the draft has the photos where they were not curated just now
    stages.finish(handed)
    profile = store.open(name, stages.prior)
    seconds = {
        stage: float(profile.manifest.fact(stage, "seconds", Number(0)))
        for stage in STAGES
        if stage in profile.manifest.stages
    }
    return Learned(profile, tuple(stages.worked), advice, seconds)
