"""Whether a face is this person's, another's, or shows too little to tell (fig 12)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from mystyle_cli.person.profile import Profile

SAMPLE: Final = 24  # reference photos that are degraded for comparison
SPREADS: Final = 3.0  # standard deviations below their mean that a photo of the person may lie

# how much more like one person than another a face with a hole must be, by `id_as_damaged`. Of ada, marco and
# r0, with eyes and nose hidden, two of 96 choices are wrong, by .002 and .014
CLEARER: Final = 0.03

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Gate:
    """What ID scores mean on one photo."""

    theirs: float  # from here on the face is the person's; infinite where no score can show that
    others: float  # under this it is somebody else's. Between the two nobody can tell.


def open_gate(
    profile: Profile, side: float, hole: Floats, worsen: Callable[[Floats], Floats] | None = None
) -> Gate:
    """Return what ID scores mean for a face `side` pixels wide with a hole (R, R), 1 = not visible.

    Args:
        worsen: does to faces (B, 3, R, R) what was done to the photo, where it is more than that.

    A face that is small, or has a hole, scores lower whoever it is. What strangers reach does not rise with
    that, so where the prior states it, the same score shows that a face is the person's; but a face is
    somebody else's only below what nearly all photos of the person would then reach.

    A prior that states nothing has one limit for both: the profile's own, lowered by what the same
    degradation takes from the person's own photos, and never above what nearly all of them would then reach.
    """
    resolution, limit = profile.manifest.prior.resolution, profile.id_threshold
    stated = profile.prior.identity_limits
    hidden = bool((hole > 0).any())
    if small_side(side, resolution) >= resolution // 2 and not hidden:
        return Gate(limit, limit)
    if worsen is None and not hidden:
        veiled = _small_scores(profile, small_side(side, resolution))
    else:
        veiled = _scores(profile, worsen or (lambda faces: degrade(faces, side, hole)))
    reached = float(veiled.mean() - SPREADS * veiled.std())
    if stated is not None:
        return Gate(limit if side >= stated.least_side else np.inf, min(limit, reached))
    clear = _small_scores(profile, resolution)
    lowered = min(limit - max(float(clear.mean() - veiled.mean()), 0.0), reached)
    return Gate(lowered, lowered)


# what a profile's photos score at a side, seen once for many photos
_SMALL: Final[WeakKeyDictionary[Profile, dict[int, Floats]]] = WeakKeyDictionary()


def _small_scores(profile: Profile, side: int) -> Floats:
    """Return the ID scores (B,) of a sample of the person's photos made small to a side, 1 to R."""
    known = _SMALL.setdefault(profile, {})
    if side not in known:
        nothing = np.zeros((profile.manifest.prior.resolution,) * 2, np.float32)
        known[side] = _scores(profile, lambda faces: degrade(faces, side, nothing))
    return known[side]


def _scores(profile: Profile, worsen: Callable[[Floats], Floats]) -> Floats:
    """Return the ID scores (B,) of a sample of the person's photos, worsened; none is held against itself."""
    count = len(profile.photos())
    rows = np.unique(np.linspace(0, count - 1, min(SAMPLE, count)).round().astype(int))
    others = [[int(row)] for row in rows] if count > 1 else None
    return profile.id_score(worsen(profile.faces(rows=rows.tolist())), others)


def id_as_damaged(profile: Profile, seen: Floats, worsen: Callable[[Floats], Floats]) -> float:
    """Return the ID score of a face by the person's photos with the same damage.

    That tells people apart who are known: what damage takes from a face, it takes from all alike. It shows of
    nobody that they are a stranger, for damaged faces are like each other.

    Args:
        seen: (1, 3, R, R) in [-1, 1], as the ID score is told of it.
        worsen: does to faces (B, 3, R, R) what was done to the photo.
    """
    from mystyle_cli.person.score import embed_pictures, id_scores

    prior = profile.prior
    return float(id_scores(prior.embed(seen), embed_pictures(prior, worsen(profile.faces())))[0])


def small_side(side: float, resolution: int) -> int:
    """Return the side in pixels, 1 to R, of what a crop shows of a face, given its own."""
    return min(max(round(side), 1), resolution)


def degrade(faces: Floats, side: float, hole: Floats) -> Floats:
    """Do to faces (B, 3, R, R) what was done to the photo, and bring them back to R as the photo was.

    Args:
        side: of the photo's crop in its pixels; one above R takes nothing away.
    """
    from mystyle_cli.photos.pixels import area_kernel, linear_kernel
    from mystyle_cli.projection.degradations import EDGE, continued

    resolution = faces.shape[-1]
    if (hole > 0).any():
        faces = continued(faces, hole > EDGE)
    if (small := small_side(side, resolution)) < resolution:
        there_and_back = linear_kernel(small, resolution) @ area_kernel(resolution, small)
        faces = np.asarray(there_and_back @ faces @ there_and_back.T, np.float32)
    return faces
