"""The reference set from its anchors, before and after tuning (app. C.3, fig 17)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from mystyle_cli.analysis.metrics import lpips
from mystyle_cli.experiments.experiment import Experiment, Measured, Values, spread_of
from mystyle_cli.person.score import embed_pictures, peak_signal_to_noise, synthesise
from mystyle_cli.photos.pixels import grid, to_pixels
from mystyle_cli.report.report import Cell, Report, Table, Target

if TYPE_CHECKING:
    from mystyle_cli.experiments.bench import Bench

SHOWN: Final = 8
KINDS: Final = ("id", "lpips", "psnr")


def measure(bench: Bench) -> Measured:
    """Give the reference set back from its anchors with G_d and G_p.

    Returns:
        before, after (3, N): ID, LPIPS and PSNR of each picture to its own photo.
    """
    profile = bench.profile
    anchors, photos = profile.anchors(), profile.faces()
    own = embed_pictures(profile.prior, photos)
    found: dict[str, Values] = {}
    rows = [to_pixels(photos[:SHOWN])]
    for name, generator in (("before", profile.prior.generator()), ("after", profile.generator())):
        made = synthesise(generator, anchors).clip(-1, 1)
        same = (embed_pictures(profile.prior, made) * own).sum(axis=1)
        distances = lpips(bench.judge.perceptual, made, photos)
        found[name] = np.stack([same, distances, peak_signal_to_noise(made, photos)]).astype(np.float64)
        rows.append(to_pixels(made[:SHOWN]))
    return Measured(found, {"reconstruction": grid(np.concatenate(rows), len(rows[0]))})


def tell(measured: Mapping[str, Measured]) -> Report:
    """Lay fig 17 out."""
    rows: list[list[Cell]] = []
    targets = []
    for name, found in measured.items():
        before, after = found.values["before"], found.values["after"]
        for kind, values in (("before", before), ("after", after)):
            rows.append([name, kind, *(spread_of(column) for column in values)])
        gains = after.mean(axis=1) - before.mean(axis=1)
        targets += [
            Target(f"{name}: ID after tuning, higher by", float(gains[0]), "above", 0.0),
            Target(f"{name}: LPIPS after tuning, lower by", float(-gains[1]), "above", 0.0),
        ]
    mean = float(np.mean([found.values["after"][0].mean() for found in measured.values()]))
    return Report(
        "reconstruction",
        "the reference set before and after tuning (fig 17)",
        [
            Table(
                "photos given back from their anchors", ["person", "tuning", "ID", "LPIPS", "PSNR, dB"], rows
            )
        ],
        targets,
        {"photos": sum(found.values["after"].shape[1] for found in measured.values())},
        findings=[f"The tuned generator gives the photos back with ID {mean:.2f} of 1."],
    )


EXPERIMENTS: Final = (
    Experiment(
        "reconstruction",
        "Has the generator learned the photos?",
        measure,
        tell,
        own=True,
    ),
)
