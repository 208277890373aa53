"""Photos of the demonstration people for benchmarks that need many."""

from __future__ import annotations

import numpy as np

from mystyle_cli.person.reference import HELD_OUT
from tools.figures.common import NAMES, profile_of


def good_faces(count: int) -> np.ndarray:
    """Return the first aligned faces float32 (count, 3, R, R) that curation keeps, of one person if they do.

    A person's photos that were set aside for checks come last.
    """
    found = [
        faces for name in NAMES for faces in (profile_of(name).faces(), profile_of(name).faces(HELD_OUT))
    ]
    faces = np.concatenate(found)
    if len(faces) < count:
        raise ValueError(f"there are {len(faces)} faces, not {count}")
    return faces[:count]
