"""What beta buys and costs: inversions of held-out photos (fig 5)."""

from __future__ import annotations

import numpy as np

from mystyle_cli.analysis.judge import Judge
from mystyle_cli.analysis.membership import excess
from mystyle_cli.analysis.report import Cell, Report, Table, Target
from mystyle_cli.analysis.tradeoff import BETAS, sweep_beta
from mystyle_cli.hull.hull import least_dilation
from mystyle_cli.projection.settings import ProjectionSettings
from tools.figures.common import people, profile_of, report_progress, spread, truths_of

PHOTOS = 12
SETTINGS = ProjectionSettings(steps=50)
"""More than by default: what each space can express shows once a search has settled."""


def make() -> Report:
    """Invert some of both people's held-out photos with every beta."""
    runs = {
        person.name: sweep_beta(
            Judge(profile_of(person.name)),
            truths_of(person.name).images[:PHOTOS],
            settings=SETTINGS,
            progress=report_progress,
        )
        for person in people()
    }
    rows: list[list[Cell]] = []
    errors, distances, outside = [], [], 0.0
    for place, beta in enumerate(BETAS):
        items = [found[place] for found in runs.values()]
        errors.append(np.concatenate([item.id_error for item in items]))
        distances.append(np.concatenate([item.lpips for item in items]))
        outside = max([outside, *(excess(item.alpha_plus, item.beta) for item in items)])
        used = np.concatenate([least_dilation(item.alpha_plus).max(axis=-1) for item in items])
        shown = "unbounded" if beta is None else f"{beta:g}"
        rows.append([shown, spread(errors[-1]), spread(distances[-1]), float(used.mean())])
    rising = np.array([error.mean() for error in errors])
    falling = np.array([distance.mean() for distance in distances])
    return Report(
        "beta",
        "prior against expressiveness (fig 5)",
        [Table("inversion in P_beta+", ["beta", "ID error", "LPIPS", "least dilation used"], rows)],
        [
            Target("ID error, unbounded less beta 0", float(rising[-1] - rising[0]), "above", 0.0),
            Target("LPIPS, beta 0 less unbounded", float(falling[0] - falling[-1]), "above", 0.0),
            Target("rank correlation of beta and ID error", _trend(rising), "at least", 0.8),
            Target("rank correlation of beta and LPIPS", _trend(falling), "at most", -0.8),
            Target("how far the worst code lies outside A_beta", outside, "at most", 1e-6),
        ],
        {"photos of each person": PHOTOS, "people": len(runs), "steps": SETTINGS.most_steps},
    )


def _trend(values: np.ndarray) -> float:
    """Return Spearman's correlation of the order of the betas with values."""
    ranks = np.argsort(np.argsort(values))
    return float(np.corrcoef(np.arange(len(values)), ranks)[0, 1])
