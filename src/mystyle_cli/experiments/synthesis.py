"""New pictures: identity, diversity, near-copies; other methods (sec. 5.1, C.5, C.7; fig 8, 20, 22)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from mystyle_cli.analysis.copies import Clusters, nearest_photos
from mystyle_cli.baselines.adversarial import CrossDomain, DiffAugment
from mystyle_cli.baselines.fitted import Restorer
from mystyle_cli.baselines.methods import BASELINES
from mystyle_cli.baselines.untuned import NearestAnchor
from mystyle_cli.experiments.enhancement import DOMAIN, OURS, SHIPPED, methods_told, told_of
from mystyle_cli.experiments.experiment import Experiment, Measured, Values, spread_of
from mystyle_cli.person.score import synthesise
from mystyle_cli.photos.pixels import grid, to_pixels
from mystyle_cli.progress import Step
from mystyle_cli.report.report import Cell, Report, Table, Target

if TYPE_CHECKING:
    from mystyle_cli.experiments.bench import Bench
    from mystyle_cli.photos.pixels import Pixels

BATCH: Final = 64  # pictures that are in memory at once
SHOWN: Final = 16  # pictures on a sheet
RESTORING: Final = (Restorer.name, NearestAnchor.name, SHIPPED)  # methods that only restore
ROWS: Final = tuple(method.name for method in BASELINES if method.name not in RESTORING)


def measure(bench: Bench) -> Measured:
    """Draw pictures by every method.

    Returns:
        id, held_out_id, nearest (methods, samples): ID to the set and to held-out photos, LPIPS to the
        nearest reference photo; judge, the outside judge's ID to the set, where there is one; diversity
        (methods, clusters): mean LPIPS of pairs in a cluster.
    """
    protocol, profile, judge = bench.protocol, bench.profile, bench.judge
    photos, count = profile.faces(), protocol.samples
    shape = (len(ROWS), count)
    kinds = ["id", "held_out_id", "nearest", *(["judge"] if bench.outside else [])]
    found: dict[str, Values] = {name: np.full(shape, np.nan) for name in kinds}
    found["diversity"] = np.full((len(ROWS), len(photos)), np.nan)
    sheets = {}
    for method in bench.methods:
        if method.name in RESTORING:
            continue
        row, trained = ROWS.index(method.name), bench.trained(method)
        codes = method.sample(profile, trained, count, protocol.seed)
        clusters = Clusters(judge.perceptual, photos, protocol.seed)
        shown: list[Pixels] = []
        for start in range(0, count, BATCH):
            images = synthesise(trained.generator, codes[start : start + BATCH]).clip(-1, 1)
            part = slice(start, start + len(images))
            rows = profile.prior.embed(images).astype(np.float64)
            found["id"][row, part] = (rows @ profile.reference_embeddings().T).max(axis=1)
            if len(bench.held_out):
                found["held_out_id"][row, part] = (rows @ bench.held_out_embeddings.T).max(axis=1)
            found["nearest"][row, part] = clusters.add(images)
            if bench.outside is not None:
                seen = bench.outside.describe(images, profile.prior.crop)
                found["judge"][row, part] = (seen @ bench.outside_references.T).max(axis=1)
            shown += list(to_pixels(images[: max(0, SHOWN - len(shown))]))
            bench.progress(Step(f"sample, {method.name}", part.stop, count))
        found["diversity"][row] = clusters.diversity()
        sheets[f"samples-{row}"] = grid(np.stack(shown), 8)
        if method.name == OURS:
            sheets["nearest"] = _beside_nearest(bench, np.stack(shown))
    return Measured(found, sheets)


def _beside_nearest(bench: Bench, shown: np.ndarray) -> np.ndarray:
    """Return samples, each with its nearest reference photo under it (fig 20)."""
    from mystyle_cli.photos.pixels import to_unit

    photos = to_pixels(bench.profile.faces())
    nearest = nearest_photos(bench.judge.perceptual, to_unit(shown), bench.profile.faces()).rows
    half = len(shown) // 2
    order = np.concatenate([shown[:half], photos[nearest[:half]], shown[half:], photos[nearest[half:]]])
    return grid(order, half)


# ID and diversity in fig 8; its diversity is a sum over layers of another net
PAPER: Final = {CrossDomain.name: (0.53, 2.42), DiffAugment.name: (0.76, 2.99), OURS: (0.79, 3.44)}


def tell(measured: Mapping[str, Measured]) -> Report:
    """Lay fig 8, 20 and 22 out."""
    rows: list[list[Cell]] = []
    ids: dict[str, float] = {}
    spreads: dict[str, float] = {}
    judged = told_of(measured, {"judge": "judge"})
    for row, name in enumerate(ROWS):
        columns = {
            kind: np.concatenate([found.values[kind][row] for found in measured.values()])
            for kind in ("id", "held_out_id", "nearest", "diversity", *judged)
        }
        if not np.isfinite(columns["id"]).any():
            continue
        ids[name], spreads[name] = float(np.nanmean(columns["id"])), float(np.nanmean(columns["diversity"]))
        low = float(np.nanmin(columns["nearest"]))
        cells = [spread_of(columns[kind]) for kind in ("id", "held_out_id", *judged, "diversity")]
        rows.append([name, *cells, low, *PAPER.get(name, (None, None))])
    columns_ = [
        "method",
        "ID",
        "ID, held-out photos",
        *judged.values(),
        "diversity",
        "least LPIPS to a photo",
        "ID in the paper",
        "diversity in the paper",
    ]
    targets = []
    for kind, of in (("ID", ids), ("diversity", spreads)):
        rivals = {name: value for name, value in of.items() if name not in (OURS, DOMAIN)}
        if rivals and OURS in of:
            best = max(rivals, key=lambda name: rivals[name])
            targets.append(Target(f"{kind} over {best}", of[OURS] - rivals[best], "above", 0.0))
    least = min(float(np.nanmin(found.values["nearest"][ROWS.index(OURS)])) for found in measured.values())
    return Report(
        "synthesis",
        "new pictures of the person (fig 8, 20, 22)",
        [Table("pictures drawn at random", columns_, rows), methods_told(list(ids))],
        targets,
        findings=[
            f"New pictures score ID {ids[OURS]:.2f}; the nearest to a photo is {least:.3f} LPIPS away."
        ],
    )


EXPERIMENTS: Final = (
    Experiment(
        "synthesis",
        "Do new pictures look like the person, differ from each other, and copy no photo?",
        measure,
        tell,
        own=True,
        methods=ROWS,
        judged=True,
    ),
)
