"""People that no net has seen, rendered, found and aligned as any photo is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from mystyle_cli.photos.pixels import to_unit
from tools.portraits.dataset import HELD_OUT, SIZE, crop_portrait, render_photo

PEOPLE, PHOTOS, FIRST_PHOTO = 25, 3, 50


@dataclass(frozen=True)
class Strangers:
    """Aligned crops of people below `HELD_OUT`.

    Args:
        images: float32 (B, 3, R, R) in [-1, 1].
        people: int (B,).
        face: bool (B, R, R), inside the outline of brows and jaw.
    """

    images: np.ndarray
    people: np.ndarray
    face: np.ndarray


@cache
def draw_strangers() -> Strangers:
    """Render photos that are in no shard (photo numbers from 50) of people for validation only."""
    crops, people, faces = [], [], []
    step = HELD_OUT // PEOPLE
    for person in range(0, PEOPLE * step, step):
        for number in range(FIRST_PHOTO, FIRST_PHOTO + PHOTOS):
            row = crop_portrait(render_photo(person, number))
            if row is not None:
                crops.append(row["crops"])
                people.append(person)
                faces.append(_outline(row["landmarks"]))
    return Strangers(to_unit(np.stack(crops)), np.array(people), np.stack(faces))


def _outline(landmarks: np.ndarray) -> np.ndarray:
    """Return the polygon (R, R) along the jaw and back over the brows."""
    from mystyle_cli.curate.checks import polygon

    return polygon(np.concatenate([landmarks[:17], landmarks[26:16:-1]]), SIZE)
