"""The demonstration people, as benchmarks work on them: learned once, kept in benchmarks/store."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from mystyle_cli.analysis.truths import Truths, read_truths
from mystyle_cli.learn import learn
from mystyle_cli.person.profile import Profile
from mystyle_cli.person.reference import HELD_OUT
from mystyle_cli.person.store import Store
from mystyle_cli.prior.registry import open_prior

PHOTOS: Final = Path(__file__).parents[1] / "profiles/photos"
STORE: Final = Path(os.environ.get("MYSTYLE_STORE", Path(__file__).parent / "store"))
NAMES: Final = ("ada", "marco")


@cache
def person(name: str) -> Profile:
    """Return a person, learned where the store does not have them."""
    store, prior = Store(STORE), open_prior()
    if name not in store.names():
        photos = sorted(path for path in (PHOTOS / name).iterdir() if path.is_file())
        learn(store, name, photos, prior)
    return store.open(name, prior)


@cache
def truths(name: str) -> Truths:
    """Return a person's photos that no profile has seen."""
    return read_truths(PHOTOS / f"{name}-held-out", open_prior().resolution)


def good_faces(count: int) -> np.ndarray:
    """Return the first aligned faces float32 (count, 3, R, R) that curation keeps, of one person if they do.

    A person's photos that were set aside for checks come last.
    """
    found = [faces for name in NAMES for faces in (person(name).faces(), person(name).faces(HELD_OUT))]
    faces = np.concatenate(found)
    if len(faces) < count:
        raise ValueError(f"there are {len(faces)} faces, not {count}")
    return faces[:count]
