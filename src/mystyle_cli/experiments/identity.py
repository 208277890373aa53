"""Who is who: the wrong person's photo (fig 12), and people in one latent space (fig 13)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from mystyle_cli.experiments.bench import Bench
from mystyle_cli.experiments.cases import SMALL
from mystyle_cli.experiments.experiment import (
    Experiment,
    Measured,
    Values,
    failures_in,
    mean_of,
    spread_of,
)
from mystyle_cli.person.score import embed_pictures
from mystyle_cli.photos.pixels import grid, to_unit
from mystyle_cli.report.report import Cell, Curve, Plot, Report, Table, Target


def measure_wrong(bench: Bench) -> Measured:
    """Enlarge another person's held-out photos with this person's prior, and with their own.

    Returns:
        gate (B,): ID of the photos to this person's set; refused (B,); wrong, right (B,): ID of the answers
        to the true person's set, and taken (B,): of the wrong answers to this person's; NaN where one failed.
    """
    stranger = Bench(bench.others[0], bench.protocol, progress=bench.progress, shelf=bench.shelf)
    truths = stranger.held_out
    scores = bench.profile.id_score(to_unit(truths)).astype(np.float64)
    made = {
        name: SMALL.answered(by.profile, stranger.photos, by.settings(SMALL.task), bench.progress)
        for name, by in (("wrong", bench), ("right", stranger))
    }
    rows = {name: embed_pictures(bench.profile.prior, to_unit(one.pixels)) for name, one in made.items()}
    references = bench.others[0].reference_embeddings().T
    found: dict[str, Values] = {
        name: made[name].told((row @ references).max(axis=1)) for name, row in rows.items()
    }
    taken = made["wrong"].told((rows["wrong"] @ bench.profile.reference_embeddings().T).max(axis=1))
    refused = (scores < bench.profile.id_threshold).astype(np.float64)
    stack = np.stack([made["wrong"].pixels, made["right"].pixels, truths], axis=1)
    sheet = grid(stack.reshape(-1, *stack.shape[2:]), 6)
    return Measured(found | {"gate": scores, "refused": refused, "taken": taken}, {"wrong-person": sheet})


def tell_wrong(measured: Mapping[str, Measured]) -> Report:
    """Lay fig 12 out."""
    rows: list[list[Cell]] = [
        [
            name,
            len(found.values["gate"]),
            f"{found.values['refused'].mean():.0%}",
            *(spread_of(found.values[kind]) for kind in ("right", "wrong", "taken")),
            sum(failures_in(found.values[kind]) for kind in ("right", "wrong")),
        ]
        for name, found in measured.items()
    ]
    columns = [
        "prior of",
        "photos",
        "refused",
        "ID by their own prior",
        "by the wrong one",
        "to the wrong person",
        "failed",
    ]
    right, wrong = (
        np.concatenate([found.values[kind] for found in measured.values()]) for kind in ("right", "wrong")
    )
    refused = np.concatenate([found.values["refused"] for found in measured.values()])
    return Report(
        "wrong",
        "another person's photos (fig 12)",
        [Table("photos of another person, enlarged", columns, rows)],
        [
            Target("ID by their own prior over the wrong one", mean_of(right - wrong), "above", 0.0),
            Target("share of clear photos that the gate refuses", float(refused.mean()), "at least", 0.9),
        ],
        findings=[f"{refused.mean():.0%} of another person's photos are refused."],
    )


def measure_plane(bench: Bench) -> Measured:
    """Return the person's anchors (N, w_dim)."""
    return Measured({"anchors": bench.profile.anchors().astype(np.float64)})


def tell_plane(measured: Mapping[str, Measured]) -> Report:
    """Lay fig 13 out: anchors of several people on their two principal axes."""
    names = list(measured)
    anchors = [found.values["anchors"] for found in measured.values()]
    codes = np.concatenate(anchors)
    owner = np.repeat(np.arange(len(anchors)), [len(rows) for rows in anchors])
    centred = codes - codes.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:2]  # (2, w_dim)
    plane = centred @ axes.T  # (sum N, 2)
    curves = [
        Curve(name, plane[owner == row, 0].tolist(), plane[owner == row, 1].tolist())
        for row, name in enumerate(names)
    ]
    rows: list[list[Cell]] = []
    for row, name in enumerate(names):
        rows.append(
            [name, len(anchors[row]), *(_nearest_own(points, owner, row) for points in (plane, codes))]
        )
    kept = [_nearest_own(codes, owner, row) * len(anchors[row]) for row in range(len(names))]
    share = float(sum(kept) / len(codes))
    return Report(
        "plane",
        "anchors of several people (fig 13)",
        [
            Table(
                "anchors whose nearest other anchor is the same person's",
                ["person", "anchors", "in the plane", "in W"],
                rows,
            )
        ],
        [Target("share of anchors beside one of the same person, in W", share, "at least", 0.9)],
        plots=[Plot("Fig 13: anchors on two principal axes", "first", "second", curves, "points")],
        findings=[f"{share:.0%} of the anchors lie nearest to another of the same person."],
    )


def _nearest_own(points: np.ndarray, owner: np.ndarray, row: int) -> float:
    """Return the share of a person's points whose nearest other point is theirs too."""
    own = points[owner == row]
    distances = np.linalg.norm(own[:, None] - points[None], axis=-1)  # (N, sum N)
    distances[np.arange(len(own)), np.flatnonzero(owner == row)] = np.inf
    return float((owner[distances.argmin(axis=1)] == row).mean())


EXPERIMENTS: Final = (
    Experiment(
        "wrong",
        "What happens to somebody else's photo?",
        measure_wrong,
        tell_wrong,
        others=1,
        held_out=1,
    ),
    Experiment("plane", "Do people lie apart in the prior?", measure_plane, tell_plane, others=1),
)
