"""Who is on the faces: similarities, and the largest group of faces that agree on one person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]  # similarities among n faces are (n, n) and symmetric
Embed = Callable[[NDArray[np.float32]], NDArray[np.floating[Any]]]

# Mean squared distance of dlib descriptors of different people. 1 - d^2 / this is then a cosine in effect: 1
# for the same picture, about 0 for strangers, and dlib's own threshold of 0.6 comes out at 0.5.
_STRANGERS = 0.72
_NEAREST = 5  # members that a face is compared with: a person with and without a beard is still one person
_FENCE = 4.0  # robust standard deviations that a member may lie below the others
_ENOUGH = 12  # members from which their own agreement counts fully; few say little about what is usual
_ROUNDS = 5
_GAP = 0.12  # a gap in the merges this wide says more than the usual threshold
_GAP_RANGE = (0.2, 0.75)  # where such a gap may lie


@dataclass(frozen=True)
class Identities:
    """Descriptors of n faces."""

    dlib: Matrix  # float64 (n, 128), dlib's descriptors
    own: Matrix | None  # (n, D) unit rows of the prior's identity net, or None

    def similarity(self, other: Identities) -> Matrix:
        """Return (n, m): 1 for the same picture, about 0 for strangers; the mean over the nets at hand."""
        squares = (
            (self.dlib**2).sum(1)[:, None] + (other.dlib**2).sum(1)[None, :] - 2 * self.dlib @ other.dlib.T
        )
        dlib = 1 - np.maximum(squares, 0) / _STRANGERS
        if self.own is None or other.own is None:
            return np.asarray(dlib)
        return np.asarray((dlib + self.own @ other.own.T) / 2)

    def take(self, index: Sequence[int]) -> Identities:
        """Return some of the faces."""
        chosen = list(index)
        return Identities(self.dlib[chosen], None if self.own is None else self.own[chosen])


def nearness(similarity: Matrix) -> NDArray[np.float64]:
    """Return for each row (n, m) its mean similarity to the members nearest to it, (n,)."""
    count = min(_NEAREST, similarity.shape[1])
    return np.asarray(np.sort(similarity, axis=1)[:, -count:].mean(1))


def groups(similarity: Matrix, threshold: float) -> list[list[int]]:
    """Group faces by average linkage, largest group first; the result does not depend on the faces' order.

    Merging stops at `threshold`, unless the merges show a clear gap elsewhere: on some people and some
    cameras every similarity is shifted.

    Args:
        threshold: similarity below which groups stay apart.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    count = len(similarity)
    if count < 2:
        return [[face] for face in range(count)]
    tree = linkage(1 - similarity[np.triu_indices(count, 1)], "average")  # (n - 1, 4), a merge a row
    stop = _gap((1 - tree[:, 2]).tolist(), threshold)
    labels = fcluster(tree, 1 - stop, "distance")  # (n,)
    members = sorted(np.flatnonzero(labels == label).tolist() for label in set(labels.tolist()))
    return sorted(members, key=lambda group: (-len(group), -float(similarity[np.ix_(group, group)].mean())))


def belonging(
    similarity: Matrix, members: Sequence[int], threshold: float, slack: float
) -> tuple[NDArray[np.float64], float]:
    """Return each face's nearness to the members (n,), itself left out, and the least that belongs.

    The limit lies in the widest gap between the faces' nearness, unless that lets in a face far below the
    members; where there is no clear gap it follows the members' own agreement.

    Args:
        members: the faces that are this person's.
        threshold: similarity that always is asked for.
        slack: how far below the others a member may lie, at least.
    """
    others = similarity[:, list(members)].copy()
    others[list(members), range(len(members))] = -np.inf
    near = np.array(
        [nearness(row[np.isfinite(row)][None])[0] if np.isfinite(row).any() else 1.0 for row in others]
    )
    inner = near[list(members)]
    middle = float(np.median(inner))
    steps = np.sort(near[near <= middle])
    gaps = np.diff(steps)
    if gaps.size and gaps.max() >= _GAP:
        limit = max(middle - slack, float(steps[gaps.argmax()] + steps[gaps.argmax() + 1]) / 2)
    else:
        width = 1.4826 * float(np.median(np.abs(inner - middle)))  # a standard deviation, from the median one
        limit = middle - max(_FENCE * width, slack)
    trust = min(1.0, len(members) / _ENOUGH)
    return near, max(threshold, threshold + trust * (limit - threshold))


def person(
    similarity: Matrix, photos: Sequence[int], threshold: float, slack: float, group: Sequence[int]
) -> tuple[dict[int, int], float]:
    """Settle which face of each photo is the person's, starting from a group of faces.

    Faces that agree with the group join it and those that do not leave it, until nothing changes.

    Args:
        photos: for each face the photo it is on; a photo shows a person once.
        group: the faces to start from.

    Returns:
        photo -> face, and the similarity that was asked for.
    """
    members = list(group)
    chosen: dict[int, int] = {}
    limit = threshold
    for _ in range(_ROUNDS):
        near, limit = belonging(similarity, members, threshold, slack)
        chosen = {}
        for face in map(int, np.flatnonzero(near >= limit)):
            photo = photos[face]
            if photo not in chosen or near[face] > near[chosen[photo]]:
                chosen[photo] = face
        now = sorted(chosen.values())
        if now == members or not now:
            break
        members = now
    return chosen, limit


def _gap(levels: list[float], threshold: float) -> float:
    """Return where to stop: in the widest gap between merges if it is clear, else at the threshold."""
    low, high = _GAP_RANGE
    steps = sorted([low, high, *(level for level in levels if low < level < high)])
    widths = np.diff(steps)
    inner = [i for i in range(len(widths)) if steps[i] > low or any(level <= low for level in levels)]
    if not inner:
        return threshold
    best = max(inner, key=lambda i: (widths[i], -abs((steps[i] + steps[i + 1]) / 2 - threshold)))
    if widths[best] < _GAP or steps[best] < threshold < steps[best + 1]:
        return threshold
    return float(steps[best] + steps[best + 1]) / 2
