"""Clips among the inputs of `restore` and `upscale`: where their results go, and what came of each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mystyle_cli.batch.errands import TAKEN
from mystyle_cli.batch.ledger import Failure, Ledger
from mystyle_cli.errors import MystyleError, UsageError, contained
from mystyle_cli.terminal.console import finite
from mystyle_cli.terminal.inputs import Input
from mystyle_cli.terminal.marking import Origin, provenance
from mystyle_cli.terminal.options import warn_unbounded, warn_unmarked
from mystyle_cli.terminal.outputs import Ground, Originals, names_folder, needs_folder
from mystyle_cli.terminal.searching import settings_of
from mystyle_cli.work.restoring import figures, told

if TYPE_CHECKING:
    from mystyle_cli.batch.asking import Ask
    from mystyle_cli.restore.engine import Answering
    from mystyle_cli.terminal.app import App
    from mystyle_cli.terminal.options import BatchOptions
    from mystyle_cli.terminal.searching import SearchOptions
    from mystyle_cli.video.video import ClipTask, MadeClip

CLIPS: Final = frozenset(
    (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".3gp", ".wmv")
)
"""How clips are called."""

WRITTEN: Final = frozenset((".mp4", ".m4v", ".mov", ".mkv"))
"""How results may be called."""


def are_clips(inputs: Sequence[str]) -> bool:
    """Tell whether clips are named; raises UsageError where photos are, too."""
    clips = [one for one in inputs if Path(one).suffix.lower() in CLIPS and not os.path.isdir(one)]
    if clips and len(clips) < len(inputs):
        other = next(one for one in inputs if one not in clips)
        raise UsageError(
            f"{clips[0]} is a clip and {other} is not",
            "Give clips to a command of their own, each by its name.",
        )
    return bool(clips)


def refuse_unfit(batch: BatchOptions, search: SearchOptions, ask: Ask, codes: bool) -> None:
    """Refuse options that do nothing for clips; raises UsageError."""
    repair = ask.repair
    unfit = {
        "--format": batch.format_name is not None,
        "--jpeg-quality": batch.jpeg_quality is not None,
        "--recursive": batch.recursive,
        "--watch": ask.watch,
        "--on": batch.on is not None,
        "--dry-run": batch.dry_run,
        "--variants": ask.variants > 1,
        "--keep-metadata": batch.keep_metadata,
        f"--mark {batch.mark}": batch.mark in ("visible", "c2pa"),
        "--aligned": search.aligned,
        "--landmarks": search.landmarks is not None,
        "--save-codes and --keep-code": codes,
        "--mask": ask.masks is not None,
        "--scratches": repair is not None and repair.scratches is not None,
        "--jpeg": repair is not None and repair.jpeg is not None,
    }
    for option, typed in unfit.items():
        if typed:
            raise UsageError(f"{option} does nothing for a clip", "Leave it out.")


@dataclass(frozen=True)
class _Place:
    item: Input
    path: Path


def plan(batch: BatchOptions, command: str) -> list[_Place]:
    """Choose where each clip's result goes; raises UsageError where they cannot all go there."""
    items = [Input(Path(one), Path(Path(one).name)) for one in dict.fromkeys(batch.inputs)]
    output, places = batch.output, []
    if output is not None and not names_folder(output) and len(items) > 1:
        raise needs_folder(output, f"{len(items)} results")
    for item in items:
        assert item.path is not None
        ending = item.path.suffix.lower()
        ending = ending if ending in WRITTEN else ".mkv"
        if batch.naming is not None:
            path = batch.naming.path(item, output, command, ending)
        elif output is None:
            path = item.path.with_name(f"{item.path.stem}.{command}{ending}")
        elif names_folder(output):
            path = Path(output) / f"{item.path.stem}{ending}"
        else:
            path = Path(output)
        if path.suffix.lower() not in WRITTEN:
            raise UsageError(f"{path}: cannot write a clip so", "End the name in .mp4, .mov or .mkv.")
        places.append(_Place(item, path))
    real = [os.path.realpath(place.path) for place in places]
    if len(set(real)) < len(real):
        raise UsageError("two clips would become one file", "Give them one by one; in --name use {name}.")
    return places


def run_clips(
    app: App, name: str | None, ask: Ask, batch: BatchOptions, search: SearchOptions, *, codes: bool
) -> int:
    """Restore all clips of a command, one after another; returns the exit code."""
    if name is None:
        raise UsageError("a clip is worked on for one person", "Name a profile.")
    refuse_unfit(batch, search, ask, codes)
    if batch.overwrite and batch.skip_existing:
        raise UsageError("--overwrite and --skip-existing contradict each other", "Give one of them.")
    warn_unmarked(app.console, batch.marking)
    warn_unbounded(app.console, search.beta)
    profile = search.whom(app.profiles().open(name))
    places = plan(batch, ask.task)
    originals = Originals.of([profile.path, *(Path(one) for one in batch.inputs)])
    for place in places:
        originals.refuse(place.path)
    ground = Ground(originals, batch.overwrite, TAKEN)

    @cache
    def engine() -> Answering:  # opened for the first clip that can be worked on
        from mystyle_cli.restore.engine import open_engine
        from mystyle_cli.video.video import SPACE

        device = app.choose_device(torch=ask.quality != "instant")
        searched = replace(search, space=search.space or SPACE)
        settings = settings_of(app, ask.task, batch, searched, ask.quality)
        if ask.repair is not None:
            settings = ask.repair.applied(settings)
        return open_engine(profile.on(device), settings)

    ledger = Ledger(app.console, [place.item for place in places], "clips")
    with app.console.progress() as ledger.progress:
        for place in places:
            ledger.tell()
            if batch.skip_existing and os.path.lexists(place.path):
                ledger.skipped.append(place.item)
                continue
            try:
                ground.check(place.path)
                _work(ledger, place, engine(), ask, batch)
            except Exception as error:
                ledger.failed.append(Failure(place.item, contained(place.item.name, error)))
    ledger.account()
    ledger.document(ask.task)
    return ledger.exit_code


def _work(ledger: Ledger, place: _Place, engine: Answering, ask: Ask, batch: BatchOptions) -> None:
    from mystyle_cli.projection.settings import HULL
    from mystyle_cli.video.video import restore_clip

    settings = engine.settings
    task: ClipTask = "restore" if ask.task == "restore" else "upscale"

    def comment(beta: float | None) -> str:
        hull = settings.projection.space in HULL
        person = engine.profile.person
        origin = Origin(beta, settings.drawn, hull=hull, person=person, year=settings.year)
        return provenance(task, engine.profile, origin, None).sentence()

    assert place.item.path is not None
    try:
        place.path.parent.mkdir(parents=True, exist_ok=True)
        made = restore_clip(
            engine,
            place.item.path,
            place.path,
            task,
            comment=None if batch.marking == "none" else comment,
            fresh=not batch.overwrite,
            progress=ledger.progress,
        )
    except OSError as error:
        raise MystyleError(
            f"{place.path}: {error.strerror or error}", "Choose another place with -o."
        ) from error
    _enter(ledger, place, made, engine)


def _enter(ledger: Ledger, place: _Place, made: MadeClip, engine: Answering) -> None:
    from mystyle_cli.terminal.outputs import Target

    resolution = engine.resolution
    found = ""
    report: dict[str, object] = {
        "person": engine.profile.person or None,
        "frames": made.frames,
        "frames_with_person": made.with_person,
        "id": finite(made.id_mean),
        "id_min": finite(made.id_min),
        "input_id": finite(made.input_id),
        "beta": made.beta,
        "least_dilation": finite(made.least_dilation),
        "factor": finite(made.factor),
        "seed": engine.settings.drawn,
        "warnings": list(made.warnings),
    }
    if made.damage is not None:
        found = f"; {told(made.damage, made.side, resolution)}"
        report["damage"] = figures(made.damage, made.side, resolution)
    summary = (
        f"{place.item.name}: {made.with_person} of {made.frames} frames, ID {made.id_mean:.3f}, least "
        f"{made.id_min:.3f} (input {made.input_id:.3f}), dilation {made.least_dilation:.4f}, "
        f"{made.factor:.3g} times{found}"
    )
    ledger.enter(place.item, Target(place.path, "png"), summary, made.warnings, report)
