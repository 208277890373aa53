"""Whose a damaged face is, of several people: by their clear photos, and by photos damaged as it is.

Every held-out photo of each person, damaged, is held against the reference sets of two people at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.find.gate import degrade
from mystyle_cli.person.profile import Profile
from mystyle_cli.person.reference import HELD_OUT
from mystyle_cli.person.score import embed_pictures, id_scores
from mystyle_cli.report.report import Cell, Report, Table
from mystyle_cli.restore.trials import BOX, MOUTH, hole_mask
from mystyle_cli.store.store import Store
from tools.figures.common import NAMES as DEMONSTRATION
from tools.figures.restore import NAMES, STORE

Floats = NDArray[np.float32]
WHO: Final = NAMES if len(NAMES) > 1 else tuple(DEMONSTRATION)
COLUMNS: Final = ["damage", "person", "by clear photos, %", "by photos damaged alike, %"]


def make() -> Report:
    """Ask of each pair of people whose the photos of the first are."""
    people = [Store(STORE).open(name) for name in WHO]
    crop, side = people[0].prior.crop, people[0].prior.resolution
    whole = np.zeros((side, side), np.float32)

    def hiding(box: tuple[tuple[float, float], tuple[float, float]]) -> Callable[[Floats], Floats]:
        hole = (hole_mask(side, crop, box) > 0).astype(np.float32)
        return lambda faces: degrade(faces, side, hole)

    damages: dict[str, Callable[[Floats], Floats]] = {
        "eyes and nose hidden": hiding(BOX),
        "mouth hidden": hiding(MOUTH),
        "enlarged 8 times": lambda faces: degrade(faces, side / 8, whole),
        "enlarged 4 times": lambda faces: degrade(faces, side / 4, whole),
    }
    rows = [row for name, worsen in damages.items() for row in _rows(name, people, worsen)]
    return Report(
        "whose",
        f"whose a damaged face is ({', '.join(WHO)}, two at a time)",
        [Table("share of the held-out photos that are told right", COLUMNS, rows)],
        [],
        {"photos": f"{sum(len(person.photos(HELD_OUT)) for person in people)} held out"},
    )


def _rows(name: str, people: Sequence[Profile], worsen: Callable[[Floats], Floats]) -> list[list[Cell]]:
    prior = people[0].prior
    seen = [prior.embed(worsen(person.faces(HELD_OUT))) for person in people]
    right: dict[str, list[list[float]]] = {person.name: [] for person in people}
    for references in (
        [person.reference_embeddings() for person in people],
        [embed_pictures(prior, worsen(person.faces())) for person in people],
    ):
        shares: dict[str, list[float]] = {person.name: [] for person in people}
        for own, other in permutations(range(len(people)), 2):
            mine, theirs = (id_scores(seen[own], references[whose]) for whose in (own, other))
            shares[people[own].name].append(100 * float((mine > theirs).mean()))
        for who, found in shares.items():
            right[who].append(found)
    return [[name, who, *(float(np.mean(found)) for found in each)] for who, each in right.items()]
