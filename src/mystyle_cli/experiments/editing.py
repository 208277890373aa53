"""Edits over a range of poses (fig 10), and what happens at the limit (app. B.4, fig 14)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from mystyle_cli.analysis.properties import properties_of
from mystyle_cli.baselines.adversarial import DiffAugment
from mystyle_cli.baselines.pivotal import find_pivot
from mystyle_cli.edit.directions import find_direction
from mystyle_cli.edit.edit import AtLimit
from mystyle_cli.edit.photos import EditSettings, edit_photos
from mystyle_cli.experiments.enhancement import DOMAIN, OURS
from mystyle_cli.experiments.experiment import Experiment, Measured, Values, spread_of
from mystyle_cli.find.locate import Subject
from mystyle_cli.photos.pixels import grid, to_pixels, to_unit
from mystyle_cli.progress import Step
from mystyle_cli.report.report import Cell, Curve, Plot, Report, Table, Target

if TYPE_CHECKING:
    from mystyle_cli.baselines.baseline import Baseline
    from mystyle_cli.experiments.bench import Bench
    from mystyle_cli.photos.pixels import Pixels

STRENGTHS: Final = (-4.0, -2.0, 0.0, 2.0, 4.0)
"""Of yaw, in its units of about 10 degrees: the paper's range of 40 to either side."""

POLICIES: Final[tuple[AtLimit, ...]] = ("stop", "project", "continue")
PHOTOS: Final = 6
"""Held-out photos that are edited at most."""


def edited(bench: Bench, policy: AtLimit) -> Pixels:
    """Return our edits along yaw, uint8 (B, S, R, R, 3)."""
    settings = EditSettings(at_limit=policy)
    search = replace(settings.restore.projection, steps=bench.protocol.steps)
    inversion = replace(settings.restore, projection=search, aligned=True, force=True)
    settings = replace(settings, restore=inversion)
    direction = find_direction(bench.profile.prior, "yaw")
    photos = [
        Subject(photo, name=name)
        for photo, name in zip(bench.held_out[:PHOTOS], bench.names[:PHOTOS], strict=True)
    ]
    edits = [[(direction, strength)] for strength in STRENGTHS]
    made = edit_photos(bench.profile, photos, edits, settings, bench.progress)
    for photo in made:
        if photo.error is not None:
            raise photo.error
    return np.stack([[frame.face for frame in photo.frames] for photo in made])


def scored(bench: Bench, made: Pixels) -> tuple[Values, Values]:
    """Return ID and measured yaw (B, S) of edited crops (B, S, R, R, 3)."""
    flat = made.reshape(-1, *made.shape[2:])
    ids = bench.profile.id_score(to_unit(flat)).astype(np.float64)
    yaw = properties_of(flat, bench.profile.prior.crop)["yaw"]
    return ids.reshape(made.shape[:2]), yaw.reshape(made.shape[:2])


def measure_limits(bench: Bench) -> Measured:
    """Edit held-out photos by each policy at the limit.

    Returns:
        id, yaw (policies, B, S); the yaw as landmarks show it, in distances of the outer eye corners.
    """
    ids, yaws, sheets = [], [], {}
    for policy in POLICIES:
        made = edited(bench, policy)
        scores, yaw = scored(bench, made)
        ids.append(scores)
        yaws.append(yaw)
        sheets[f"limit-{policy}"] = grid(made.reshape(-1, *made.shape[2:]), made.shape[1])
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
        ids[policy], reach[policy] = float(ends.mean()), float(np.abs(yaw[:, -1] - yaw[:, 0]).mean())
        rows.append([policy, spread_of(scores[:, len(STRENGTHS) // 2]), spread_of(ends), reach[policy]])
        curves.append(Curve(policy, STRENGTHS, scores.mean(axis=0).tolist(), scores.std(axis=0).tolist()))
    return Report(
        "limits",
        "stop, project back or go on at the limit (fig 14)",
        [
            Table(
                "yaw from one side to the other",
                ["at the limit", "ID in the middle", "ID at the ends", "yaw reached"],
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


EDITORS: Final = (DOMAIN, DiffAugment.name, OURS)
"""Methods of fig 10; all but ours invert as PTI does."""


def pivoted(bench: Bench, method: Baseline) -> Pixels:
    """Return edits by PTI with a method's generator, uint8 (B, S, R, R, 3)."""
    generator = bench.trained(method).generator
    direction, made = find_direction(bench.profile.prior, "yaw"), []
    photos = to_unit(bench.held_out[:PHOTOS])
    for number, photo in enumerate(photos):
        pivot = find_pivot(generator, bench.judge.perceptual, photo)
        made.append(to_pixels(pivot.edited(direction, STRENGTHS).clip(-1, 1)))
        bench.progress(Step(f"PTI, {method.name}", number + 1, len(photos)))
    return np.stack(made)


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
        made = edited(bench, "project") if method.name == OURS else pivoted(bench, method)
        row = EDITORS.index(method.name)
        found["id"][row], found["yaw"][row] = scored(bench, made)
        sheets[f"poses-{row}"] = grid(made.reshape(-1, *made.shape[2:]), made.shape[1])
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
        if not np.isfinite(scores).any():
            continue
        means[name] = float(scores.mean())
        reach = float(np.abs(yaw[:, -1] - yaw[:, 0]).mean())
        rows.append([name, spread_of(scores), spread_of(scores[:, [0, -1]]), reach])
        curves.append(Curve(name, STRENGTHS, scores.mean(axis=0).tolist()))
    rivals = {name: value for name, value in means.items() if name != OURS}
    best = max(rivals, key=lambda name: rivals[name])
    return Report(
        "poses",
        "heads turned (fig 10)",
        [Table("five poses of each photo", ["method", "ID", "ID at the ends", "yaw reached"], rows)],
        [Target(f"ID over {best}", means[OURS] - rivals[best], "above", 0.0)],
        plots=[Plot("Fig 10: identity over poses", "yaw, steps of about 10 degrees", "ID", curves)],
        findings=[f"Turned heads score ID {means[OURS]:.2f}, by {best} {rivals[best]:.2f}."],
    )


EXPERIMENTS: Final = (
    Experiment("poses", "fig 10", "Do turned heads stay the person?", measure_poses, tell_poses, held_out=1),
    Experiment("limits", "fig 14", "How far can an edit go?", measure_limits, tell_limits, held_out=1),
)
