"""Edits over a range of poses (fig 10), and what happens at the limit (app. B.4, fig 14)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from mystyle_cli.analysis.properties import properties_of
from mystyle_cli.baselines.adversarial import DiffAugment
from mystyle_cli.baselines.pivotal import PivotSettings, find_pivot
from mystyle_cli.edit.directions import find_direction
from mystyle_cli.edit.edit import AtLimit
from mystyle_cli.edit.photos import EditSettings, edit_photos
from mystyle_cli.experiments.enhancement import DOMAIN, OURS, methods_told
from mystyle_cli.experiments.experiment import (
    Experiment,
    Measured,
    Values,
    failures_in,
    mean_of,
    means_of,
    sheet_of,
    spread_of,
)
from mystyle_cli.find.locate import Subject
from mystyle_cli.photos.pixels import to_pixels, to_unit
from mystyle_cli.progress import Step
from mystyle_cli.report.report import Cell, Curve, Plot, Report, Table, Target
from mystyle_cli.restore.trials import Answers

if TYPE_CHECKING:
    from mystyle_cli.baselines.baseline import Baseline
    from mystyle_cli.experiments.bench import Bench

# of yaw, in its units of about 10 degrees: the paper's range of 40 to either side
STRENGTHS: Final = (-4.0, -2.0, 0.0, 2.0, 4.0)

POLICIES: Final[tuple[AtLimit, ...]] = ("stop", "project", "continue")
PHOTOS: Final = 6  # held-out photos that are edited at most


def edited(bench: Bench, policy: AtLimit) -> Answers:
    """Return our edits along yaw, uint8 (B, S, R, R, 3)."""
    given = bench.photos.first(PHOTOS)
    settings = EditSettings(at_limit=policy)
    search = replace(settings.restore.projection, steps=bench.protocol.steps)
    inversion = replace(settings.restore, projection=search, aligned=True, force=True)
    settings = replace(settings, restore=inversion)
    direction = find_direction(bench.profile.prior, "yaw")
    photos = [Subject(photo, name=name) for photo, name in zip(given.crops, given.names, strict=True)]
    edits = [[(direction, strength)] for strength in STRENGTHS]
    found = edit_photos(bench.profile, photos, edits, settings, bench.progress)
    made = [
        np.stack([frame.face for frame in photo.frames]) if photo.error is None else None for photo in found
    ]
    return Answers.of(made, np.repeat(given.crops[:, None], len(STRENGTHS), axis=1))


def scored(bench: Bench, answers: Answers) -> tuple[Values, Values]:
    """Return ID and measured yaw (B, S) of edited crops (B, S, R, R, 3); NaN where a photo failed."""
    shape = answers.pixels.shape
    flat = answers.pixels.reshape(-1, *shape[2:])
    ids = bench.profile.id_score(to_unit(flat)).reshape(shape[:2])
    yaw = properties_of(flat, bench.profile.prior.crop)["yaw"].reshape(shape[:2])
    return answers.told(ids), answers.told(yaw)


def reach_of(yaw: Values) -> float:
    """Return how far heads turn (B, S) from the first strength to the last."""
    return mean_of(np.abs(yaw[:, -1] - yaw[:, 0]))


def measure_limits(bench: Bench) -> Measured:
    """Edit held-out photos by each policy at the limit.

    Returns:
        id, yaw (policies, B, S); the yaw as landmarks show it, in distances of the outer eye corners.
    """
    ids, yaws, sheets = [], [], {}
    for policy in POLICIES:
        answers = edited(bench, policy)
        scores, yaw = scored(bench, answers)
        ids.append(scores)
        yaws.append(yaw)
        sheets[f"limit-{policy}"] = sheet_of(answers.pixels)
    return Measured({"id": np.stack(ids), "yaw": np.stack(yaws)}, sheets)


def tell_limits(measured: Mapping[str, Measured]) -> Report:
    """Lay fig 14 out."""
    rows: list[list[Cell]] = []
    curves, ids, reach = [], {}, {}
    for place, policy in enumerate(POLICIES):
        scores, yaw = (
            np.concatenate([found.values[kind][place] for found in measured.values()])
            for kind in ("id", "yaw")
        )
        ends = scores[:, [0, -1]]
        ids[policy], reach[policy] = mean_of(ends), reach_of(yaw)
        middle, failed = scores[:, len(STRENGTHS) // 2], failures_in(scores[:, 0])
        rows.append([policy, spread_of(middle), spread_of(ends), reach[policy], failed])
        spread = [float(np.nanstd(column)) if np.isfinite(column).any() else 0.0 for column in scores.T]
        curves.append(Curve(policy, STRENGTHS, means_of(scores.T).tolist(), spread))
    return Report(
        "limits",
        "stop, project back or go on at the limit (fig 14)",
        [
            Table(
                "yaw from one side to the other",
                ["at the limit", "ID in the middle", "ID at the ends", "yaw reached", "failed"],
                rows,
            )
        ],
        [
            Target("ID at the ends, projected over going on", ids["project"] - ids["continue"], "above", 0.0),
            Target("yaw reached, projected over stopping", reach["project"] - reach["stop"], "above", 0.0),
        ],
        plots=[Plot("Fig 14: identity along an edit", "yaw, steps of about 10 degrees", "ID", curves)],
        findings=[
            f"From end to end the nose moves by {reach['project']:.2f} of the eyes' distance where edits are "
            f"projected back, and by {reach['stop']:.2f} where they stop."
        ],
    )


EDITORS: Final = (DOMAIN, DiffAugment.name, OURS)  # methods of fig 10; all but ours invert as PTI does


def pivoted(bench: Bench, method: Baseline) -> Answers:
    """Return edits by PTI with a method's generator, uint8 (B, S, R, R, 3)."""
    generator = bench.trained(method).generator
    direction, made = find_direction(bench.profile.prior, "yaw"), []
    photos = bench.held_out[:PHOTOS]
    for number, photo in enumerate(to_unit(photos)):
        pivot = find_pivot(generator, bench.judge.perceptual, photo)
        edits = pivot.edited(direction, STRENGTHS).clip(-1, 1)
        made.append(to_pixels(edits) if np.isfinite(edits).all() else None)
        bench.progress(Step(f"PTI, {method.name}", number + 1, len(photos)))
    return Answers.of(made, np.repeat(photos[:, None], len(STRENGTHS), axis=1))


def measure_poses(bench: Bench) -> Measured:
    """Turn held-out photos by every method that edits, each inverted and tuned as its authors do.

    Returns:
        id, yaw (methods, B, S).
    """
    count = min(len(bench.held_out), PHOTOS)
    found: dict[str, Values] = {
        kind: np.full((len(EDITORS), count, len(STRENGTHS)), np.nan) for kind in ("id", "yaw")
    }
    sheets = {}
    for method in bench.methods:
        if method.name not in EDITORS:
            continue
        answers = edited(bench, "project") if method.name == OURS else pivoted(bench, method)
        row = EDITORS.index(method.name)
        found["id"][row], found["yaw"][row] = scored(bench, answers)
        sheets[f"poses-{row}"] = sheet_of(answers.pixels)
    return Measured(found, sheets)


def tell_poses(measured: Mapping[str, Measured]) -> Report:
    """Lay fig 10 out."""
    rows: list[list[Cell]] = []
    curves, means = [], {}
    for place, name in enumerate(EDITORS):
        scores, yaw = (
            np.concatenate([found.values[kind][place] for found in measured.values()])
            for kind in ("id", "yaw")
        )
        if name != OURS and not np.isfinite(scores).any():
            continue  # the prior lacks what the method needs
        means[name], ends = mean_of(scores), scores[:, [0, -1]]
        failed = failures_in(scores[:, 0])
        rows.append([name, spread_of(scores), spread_of(ends), reach_of(yaw), failed])
        curves.append(Curve(name, STRENGTHS, means_of(scores.T).tolist()))
    rivals = {name: value for name, value in means.items() if name != OURS}
    targets, findings = [], [f"Turned heads score ID {means[OURS]:.2f}."]
    if rivals:
        best = max(rivals, key=lambda name: rivals[name])
        targets = [Target(f"ID over {best}", means[OURS] - rivals[best], "above", 0.0)]
        findings = [f"Turned heads score ID {means[OURS]:.2f}, by {best} {rivals[best]:.2f}."]
    return Report(
        "poses",
        "heads turned (fig 10)",
        [
            Table(
                "five poses of each photo", ["method", "ID", "ID at the ends", "yaw reached", "failed"], rows
            ),
            methods_told(list(means), PivotSettings()),
        ],
        targets,
        plots=[Plot("Fig 10: identity over poses", "yaw, steps of about 10 degrees", "ID", curves)],
        findings=findings,
    )


EXPERIMENTS: Final = (
    Experiment(
        "poses",
        "Do turned heads stay the person?",
        measure_poses,
        tell_poses,
        held_out=1,
        methods=EDITORS,
    ),
    Experiment("limits", "How far can an edit go?", measure_limits, tell_limits, held_out=1),
)
