"""Which person the photos are of, and which face of each photo is theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.curate.identity import Embed, Identities, Matrix, belonging, groups, person
from mystyle_cli.curate.settings import CurateSettings
from mystyle_cli.nets.memory import at_once
from mystyle_cli.photos.pixels import Pixels, to_unit

_RIVAL = 0.6  # size of the second group, over the first, from which the choice is worth a warning


@dataclass(frozen=True)
class Row:
    """A described face."""

    photo: int  # index of its photo; below 0 for known faces and the reference
    candidate: int  # index among the photo's faces
    descriptor: NDArray[np.float64]  # dlib's (128,)
    crop: Pixels = field(repr=False)  # uint8 (R, R, 3)
    good: bool  # nothing is wrong with it


@dataclass(frozen=True)
class Choice:
    """The person's face on each photo."""

    rows: tuple[Row, ...]  # every described face: those of the photos, then the known ones
    similarity: Matrix  # (n, n) between them
    anchors: tuple[int, ...]  # indices of the known faces among them
    chosen: dict[int, int]  # photo -> row, for photos that show the person
    near: NDArray[np.float64]  # (n,) similarity of each row to the person, NaN where there is no person
    limit: float  # the similarity that was asked for
    warnings: tuple[str, ...]

    def row(self, photo: int) -> int | None:
        """Return the row of a photo that is, or is most like, the person; None where none was described."""
        if photo in self.chosen:
            return self.chosen[photo]
        mine = [i for i, row in enumerate(self.rows) if row.photo == photo]
        return max(mine, key=lambda i: (np.nan_to_num(self.near[i], nan=0.0), -i)) if mine else None

    def candidate(self, photo: int) -> int:
        """Return which of a photo's faces its verdict is about."""
        row = self.row(photo)
        return 0 if row is None else self.rows[row].candidate

    def scores(self, photo: int) -> dict[str, float]:
        """Return the identity score of that face, if there is one."""
        row = self.row(photo)
        return {} if row is None or np.isnan(self.near[row]) else {"identity": float(self.near[row])}


def choose(
    rows: Sequence[Row],
    known: Sequence[Row],
    reference: Sequence[Row],
    settings: CurateSettings,
    embed: Embed | None,
) -> Choice:
    """Settle who the person is, by known faces or the one of `--reference`, and find them on every photo."""
    everyone = (*rows, *known, *reference)
    if not everyone:
        return Choice((), np.zeros((0, 0)), (), {}, np.zeros(0), settings.same_person, ())
    who = identities(everyone, embed)
    similarity = who.similarity(who)
    anchors = tuple(range(len(rows), len(rows) + len(known)))
    usable = [i for i, row in enumerate(rows) if row.good]
    group, warnings = _start(similarity, usable, anchors, len(everyone) - 1 if reference else None, settings)
    if not group:
        near = np.full(len(everyone), np.nan)
        return Choice(everyone, similarity, anchors, {}, near, settings.same_person, warnings)
    pool = [*usable, *anchors]
    inner = similarity[np.ix_(pool, pool)]
    start = [pool.index(i) for i in group]
    slack = settings.slack_dlib if embed is None else settings.slack
    theirs, limit = person(inner, [everyone[i].photo for i in pool], settings.same_person, slack, start)
    members = [pool[i] for i in theirs.values()] or group
    near, _ = belonging(similarity, members, settings.same_person, slack)
    chosen = {photo: pool[i] for photo, i in theirs.items() if photo >= 0}
    return Choice(everyone, similarity, anchors, dict(sorted(chosen.items())), near, limit, warnings)


def identities(rows: Sequence[Row], embed: Embed | None) -> Identities:
    """Collect the descriptors of faces, and embed their crops."""
    own = None
    if embed is not None:
        batch = at_once(rows[0].crop.shape[0], 32)
        parts = [rows[start : start + batch] for start in range(0, len(rows), batch)]
        own = np.concatenate(
            [embed(to_unit(np.stack([row.crop for row in part]))) for part in parts], dtype=np.float64
        )
    return Identities(np.stack([row.descriptor for row in rows]), own)


def _start(
    similarity: Matrix,
    usable: list[int],
    anchors: tuple[int, ...],
    reference: int | None,
    settings: CurateSettings,
) -> tuple[list[int], tuple[str, ...]]:
    if anchors:
        return list(anchors), ()
    if not usable:
        return [], ()
    alike = groups(similarity[np.ix_(usable, usable)], settings.same_person)
    people = [[usable[i] for i in group] for group in alike]
    if reference is not None:
        best = max(people, key=lambda group: float(similarity[reference, group].mean()))
        if float(similarity[reference, best].max()) < settings.same_person:
            return [], ("no photo shows the person of the reference",)
        return best, ()
    if len(people) > 1 and len(people[1]) >= max(2.0, _RIVAL * len(people[0])):
        counts = f"{len(people[0])} and {len(people[1])} photos"
        return people[0], (
            f"two people are about equally frequent ({counts}): name the one with --reference PHOTO",
        )
    if len(people) > 2 and len(people[0]) == 1:
        return people[0], ("no two photos show the same person: name the right one with --reference PHOTO",)
    return people[0], ()
