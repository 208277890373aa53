"""Which photos of a set add most, which add little or hurt, and whether more are needed (sec. 4.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from mystyle_cli.analysis.metrics import lpips
from mystyle_cli.analysis.properties import TURN, properties_of
from mystyle_cli.errors import ProfileError
from mystyle_cli.hull.solve import nearest_alpha
from mystyle_cli.person.reference import HELD_OUT
from mystyle_cli.person.score import id_scores, synthesise
from mystyle_cli.photos.pixels import to_pixels
from mystyle_cli.progress import Progress, Step, silent

if TYPE_CHECKING:
    from mystyle_cli.curate.records import PhotoRecord
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.photos.pixels import Pixels

Floats = npt.NDArray[np.float32]
Column = npt.NDArray[np.float64]

SHARES: Final = (0.25, 0.5, 0.75, 1.0)  # of the set, on which what a photo misses is measured
DRAWS: Final = 3  # subsets of each share
NAMED: Final = 5  # photos of each kind that are named

# share of what is missed that the set's second half won, above which more photos are worth taking
RISING: Final = 0.03

SPREADS: Final = 2.5  # standard deviations below the set's mean ID at which a photo is doubtful
RARE: Final = 0.08  # share of the set below which a pose or an expression is rare


@dataclass(frozen=True)
class Advice:
    """What a set of photos has and lacks."""

    misses: Column  # (N,) LPIPS between each photo and what the others' hull shows in its place
    ids: Column  # (N,) ID of each photo to the others
    curve: Mapping[int, float]  # by number of photos, what photos outside of them miss on average
    adding: tuple[int, ...]  # numbers of the photos that nothing else replaces, most first
    repeating: tuple[int, ...]  # of those that others replace best
    doubtful: tuple[int, ...]  # of those that look least like the others, or could not be learned
    sentences: tuple[str, ...]  # all of it in words
    files: tuple[str, ...]  # names of the photos, in their order
    faces: Pixels  # uint8 (N, R, R, 3)


def advise(profile: Profile, seed: int = 0, progress: Progress = silent) -> Advice:
    """Look at a profile's photos one by one, and at subsets of them; nothing is tuned.

    What a photo misses is measured on the code of P_0 of other photos that is nearest to its own.

    Args:
        profile: the person, tuned, with their photos.
        seed: of the subsets.
        progress: told of every photo.
    """
    train, held_out = profile.photos(), profile.photos(HELD_OUT)
    if len(train) == 1:
        raise ProfileError(
            f"{profile.name} has one photo: there is none to compare it with",
            f"Add photos: mystyle ingest {profile.name} PHOTO...",
        )
    faces = np.concatenate([profile.faces(), profile.faces(HELD_OUT)])  # (N + H, 3, R, R)
    codes = profile.anchors()
    if len(held_out) and "encoder" in profile.prior.roles:
        codes = np.concatenate([codes, profile.prior.encode(faces[len(train) :])])
    missed = _Missed(profile, faces[: len(codes)], codes, len(train))
    alone = np.array([missed.by([row], _without(len(train), row), progress)[0] for row in range(len(train))])
    embeddings = profile.reference_embeddings()
    ids = id_scores(embeddings, embeddings, [[row] for row in range(len(train))]).astype(np.float64)
    made = synthesise(missed.generator, profile.anchors()).clip(-1, 1)
    learned = lpips(missed.perceptual, made, faces[: len(train)])
    doubtful = _doubtful(ids, np.asarray(learned, np.float64))
    order = [int(row) for row in np.argsort(-alone, kind="stable") if int(row) not in doubtful]
    named = min(NAMED, len(order) // 2)  # none is called both
    adding, repeating = order[:named], order[::-1][:named]
    curve = _curve(missed, alone, seed, progress)
    crops = to_pixels(faces[: len(train)])
    found = properties_of(crops, profile.prior.crop)
    sentences = (
        *_amount(curve),
        *_gaps(found),
        *_photos(adding, train, "add most: nothing else shows what they do"),
        *_photos(repeating, train, "add least: others show the same"),
        *_photos(doubtful, train, "may hurt: they look least like the others, or could not be learned"),
    )
    return Advice(
        alone,
        ids,
        curve,
        tuple(adding),
        tuple(repeating),
        tuple(doubtful),
        sentences,
        tuple(record.file for record in train),
        crops,
    )


def _without(count: int, row: int) -> list[int]:
    return [other for other in range(count) if other != row]


class _Missed:
    """What the hull of some photos cannot show of others."""

    def __init__(self, profile: Profile, faces: Floats, codes: Floats, count: int) -> None:
        self.faces, self.codes, self.count = faces, codes, count
        self.generator, self.perceptual = profile.generator(), profile.prior.perceptual()

    def by(self, photos: Sequence[int], rows: Sequence[int], progress: Progress = silent) -> Column:
        """Return the LPIPS between photos and the nearest codes in P_0 of other ones, `rows`."""
        anchors = self.codes[list(rows)].astype(np.float64)
        nearest = nearest_alpha(self.codes[list(photos)], anchors, 0.0) @ anchors  # (P, w_dim)
        made = synthesise(self.generator, nearest.astype(np.float32)).clip(-1, 1)
        progress(Step("advise", photos[0] + 1, max(self.count, photos[0] + 1)))
        return np.asarray(lpips(self.perceptual, made, self.faces[list(photos)]), np.float64)


def _curve(missed: _Missed, alone: Column, seed: int, progress: Progress) -> dict[int, float]:
    """Return what photos outside of subsets miss, by the subsets' size.

    Args:
        alone: (N,), what each photo misses of all others: what counts for the whole set where no photo is
            held out.
    """
    random, found, count = np.random.default_rng(seed), {}, len(alone)
    outside = list(range(count, len(missed.codes)))
    for share in SHARES:
        size = max(3, round(share * count))
        values = []
        for _ in range(DRAWS if size < count else 1):
            rows = sorted(random.permutation(count)[:size].tolist())
            asked = outside or [row for row in range(count) if row not in rows]
            if asked:
                values.append(missed.by(asked, rows, progress).mean())
        found[size] = float(np.mean(values) if values else alone.mean())
    return found


def _amount(curve: Mapping[int, float]) -> list[str]:
    """Say whether more photos are needed."""
    sizes = sorted(curve)
    if len(sizes) < 2:
        return ["There are too few photos to tell what more would give."]
    last, before = sizes[-1], sizes[-1] / 2
    half = min(sizes[:-1], key=lambda size: abs(size - before))
    won = 1 - curve[last] / curve[half]
    change = f"from {half} to {last} photos, what it cannot show of others fell by {won:.0%}"
    if won > RISING:
        return [f"More photos will help: {change}."]
    return [f"More photos of the same kind will change little: {change}."]


def _gaps(found: Mapping[str, Column]) -> list[str]:
    """Name poses and expressions that the set has hardly any of."""
    yaw, count = found["yaw"] - np.median(found["yaw"]), len(found["yaw"])
    looks = {
        "the head turned to the left of the picture": yaw < -1.5 * TURN,
        "the head turned to the right of the picture": yaw > 1.5 * TURN,
        "an open mouth": found["mouth"] > 0.08,
        "light from the left": found["light"] < -0.1,
        "light from the right": found["light"] > 0.1,
    }
    rare = [f"{what} ({int(shown.sum())} of {count})" for what, shown in looks.items() if shown.mean() < RARE]
    return [f"Hardly any photo shows {', '.join(rare)}: such photos would add most."] if rare else []


def _photos(rows: Sequence[int], records: Sequence[PhotoRecord], what: str) -> list[str]:
    names = ", ".join(records[row].file for row in rows)
    return [f"These {what}: {names}."] if rows else []


def _doubtful(ids: Column, learned: Column) -> list[int]:
    """Return photos far below the set's own ID, or far above its own LPIPS, worst first."""
    low = ids < ids.mean() - SPREADS * ids.std()
    poor = learned > learned.mean() + SPREADS * learned.std()
    rows = np.flatnonzero(low | poor)
    return [int(row) for row in rows[np.argsort(ids[rows], kind="stable")]]
