"""Whether codes lie where they must, and a profile with many dependent anchors to try it on (eq 2, B.5)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mystyle_cli.errors import ProfileError
from mystyle_cli.hull.hull import combine
from mystyle_cli.hull.solve import nearest_alpha
from mystyle_cli.person.layout import ANCHORS, GENERATOR, PHOTOS, read_data
from mystyle_cli.person.reference import TRAIN, png_of, write_records
from mystyle_cli.person.score import synthesise

if TYPE_CHECKING:
    from mystyle_cli.curate.records import PhotoRecord
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.store.store import Store


def excess(alpha: npt.NDArray[np.float64], beta: float | None) -> float:
    """Return how far the worst of some coefficients lies outside A_beta, 0 where all lie inside.

    Args:
        alpha: (..., N).
        beta: the dilation; None bounds nothing but the sum.

    Source: eq 2.
    """
    wide = np.asarray(alpha, np.float64)
    sums = float(np.abs(wide.sum(axis=-1) - 1.0).max())
    return sums if beta is None else max(sums, float((-beta - wide).max()), 0.0)


def outside_the_others(anchors: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return how far each anchor (N, w_dim) lies outside the hull of the others: (N,), 0 inside.

    The unit is the mean distance of the anchors from their mean.

    Source: B.5, by which those inside may be left out.
    """
    points = np.asarray(anchors, np.float64)
    unit = np.linalg.norm(points - points.mean(axis=0), axis=-1).mean()
    gaps = []
    for index, anchor in enumerate(points):
        others = np.delete(points, index, axis=0)  # (N - 1, w_dim)
        nearest = combine(nearest_alpha(anchor, others, beta=0.0), others)  # (w_dim,)
        gaps.append(np.linalg.norm(anchor - nearest) / unit)
    return np.array(gaps)


def with_many_anchors(profile: Profile, store: Store, name: str, count: int, seed: int = 0) -> Profile:
    """Make a profile of `count` anchors out of a tuned one: its own, and mixtures of them.

    The mixtures lie in the hull of the others, so their anchors are dependent; a tenth of them are
    repetitions. Their faces are what G_p makes of them.

    Args:
        profile: a tuned profile.
        store: where the new one will be.
        name: of the new one.
        count: anchors wanted, more than the profile has.
        seed: of the mixtures.

    Raises:
        ProfileError: the profile has as many anchors already, or the name is taken.
    """
    own = profile.anchors()
    extra = count - len(own)
    if extra < 1 or name in store.names():
        raise ProfileError(f"no profile '{name}' of {count} anchors can be made", "Choose another.")
    rng = np.random.default_rng(seed)
    mixtures = rng.dirichlet(np.full(len(own), 0.3), extra)  # (extra, N)
    mixtures[: extra // 10] = np.eye(len(own))[rng.integers(0, len(own), extra // 10)]
    codes = (mixtures @ own.astype(np.float64)).astype(np.float32)
    faces = synthesise(profile.generator(), codes)
    with store.locked(name):
        return _write(profile, store, name, codes, faces)


def _write(
    profile: Profile, store: Store, name: str, codes: npt.NDArray[np.float32], faces: npt.NDArray[np.float32]
) -> Profile:
    """Write the profile with these anchors and faces added."""
    from mystyle_cli.photos.pixels import to_pixels

    draft = store.draft(name)
    train, photos = list(profile.photos()), {}
    for record in train:
        photos[str(record.face)] = read_data(profile.path, str(record.face))
    for number, pixels in enumerate(to_pixels(faces)):
        face = f"faces/m{number:04d}.png"
        photos[face] = png_of(pixels)
        train.append(_record(train[0], face, number))
    files: dict[str, str] = {}
    for face, data in photos.items():
        files |= draft.write(face, data)
    files |= draft.write(PHOTOS, write_records(train))
    anchors = np.concatenate([profile.anchors(), codes])
    names = {"names": json.dumps([record.sha256 for record in train])}
    files |= draft.write_tensors(ANCHORS, {"anchors": anchors}, names)
    files |= draft.write(GENERATOR, read_data(profile.path, GENERATOR))
    counts = {**profile.manifest.counts, "train": len(train), "held_out": 0}
    draft.finish("copy", "many anchors", files, {"seconds": 0.0})
    draft.commit(replace(profile.manifest, counts=counts, files={"copy": files}))
    return store.open(name, profile.prior)


def _record(like: PhotoRecord, face: str, number: int) -> PhotoRecord:
    return replace(like, sha256=f"{number:064x}", file=f"mixture-{number:04d}", face=face, split=TRAIN)
