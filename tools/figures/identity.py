"""The identity net on people that it has never seen."""

from __future__ import annotations

import numpy as np

from mystyle_cli.prior.registry import open_prior
from mystyle_cli.report.report import Cell, Report, Table, Target
from tools.figures.common import spread
from tools.figures.renderer import area_under_curve
from tools.figures.strangers import draw_strangers
from tools.portraits import PRIOR


def make() -> Report:
    """Compare all pairs of photos of held-out people."""
    strangers = draw_strangers()
    rows = open_prior(PRIOR).embed(strangers.images)
    first, second = np.triu_indices(len(rows), 1)
    cosines = (rows[first] * rows[second]).sum(axis=1)
    same = strangers.people[first] == strangers.people[second]
    table: list[list[Cell]] = [
        ["same person", int(same.sum()), spread(cosines[same])],
        ["different people", int((~same).sum()), spread(cosines[~same])],
    ]
    return Report(
        "identity",
        "our identity net on people never seen",
        [Table("cosines", ["pairs", "number", "mean ± spread"], table)],
        [
            Target("mean cosine, same person", float(cosines[same].mean()), "at least", 0.7),
            Target("mean cosine, different people", float(cosines[~same].mean()), "at most", 0.2),
            Target("AUC of same and different people", area_under_curve(-cosines, same), "at least", 0.92),
        ],
        {"photos": len(rows), "people": len(set(strangers.people.tolist()))},
    )
