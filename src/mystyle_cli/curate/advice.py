"""The split of the kept photos, and warnings about a set without variety (paper, app. A.2, sec. 4.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from mystyle_cli.curate.checks import brightness, lab
from mystyle_cli.curate.records import PhotoRecord
from mystyle_cli.faces.align import Crop
from mystyle_cli.photos.pixels import Pixels

_FEW, _VERY_FEW = 40, 10
_LEAST_TURN = 6.0  # degrees, standard deviation of yaw
_LEAST_LIGHT = 0.04  # standard deviation of (left - right) / (left + right) brightness
_ONE_SHOOT = 9.0  # Lab units, median distance of the photos' corners
_LEAST_FOR_SPLIT = 10
_SIDE = 16  # pixels of the small copies on which light and surroundings are judged

# left top and right bottom, in sides of the FFHQ square
Part = tuple[tuple[float, float], tuple[float, float]]
_CHEEKS: tuple[Part, Part] = (((4 / 16, 5 / 16), (8 / 16, 13 / 16)), ((8 / 16, 5 / 16), (12 / 16, 13 / 16)))
_SURROUNDINGS: tuple[Part, Part] = (((0, 0), (3 / 16, 3 / 16)), ((13 / 16, 0), (1, 3 / 16)))  # upper corners


def held_out_of(total: int, share: float) -> int:
    """Return how many of some kept photos are held out: none of fewer than ten."""
    return round(share * total) if total >= _LEAST_FOR_SPLIT else 0


def split(
    records: Sequence[PhotoRecord], held_out: float, seed: int, earlier: Sequence[PhotoRecord] = ()
) -> list[PhotoRecord]:
    """Divide the kept photos into train and held-out.

    Who is held out depends on the seed and the photo's own digest alone, so photos added later do not
    reshuffle the others, and earlier decisions stand.

    Args:
        held_out: share of the kept photos, 0 to 1; see `held_out_of`.
        earlier: records of an existing profile, which count but are not changed.
    """
    before = [record for record in earlier if record.kept]
    kept = [record for record in records if record.kept]
    wanted = held_out_of(len(before) + len(kept), held_out)
    wanted = min(len(kept), max(0, wanted - sum(record.split == "held-out" for record in before)))
    lots = sorted(kept, key=lambda record: hashlib.sha256(f"{seed}:{record.sha256}".encode()).digest())
    chosen = {record.sha256 for record in lots[:wanted]}
    return [
        replace(record, split="held-out" if record.sha256 in chosen else "train") if record.kept else record
        for record in records
    ]


def advise(records: Sequence[PhotoRecord], faces: Mapping[str, Pixels], crop: Crop) -> list[str]:
    """Return warnings about what the kept photos lack, none for a good set; faces (R, R, 3) by sha256."""
    kept = [record for record in records if record.kept]
    if len(kept) < _VERY_FEW:
        few = "so few fill holes well, and enlarge little better than none"
        return [f"only {len(kept)} photos were kept: {few}; about 100 are best"]
    advice = []
    if len(kept) < _FEW:
        advice.append(f"{len(kept)} photos were kept: results improve up to about 100")
    yaw = np.array([record.scores["yaw"] for record in kept if "yaw" in record.scores])
    if yaw.size and yaw.std() < _LEAST_TURN:
        advice.append(
            "the head faces the same way on nearly all photos: add some turned to the left and the right"
        )
    pictures = [faces[record.sha256] for record in kept if record.sha256 in faces]
    if len(pictures) >= _VERY_FEW:
        boxes = [Image.fromarray(p).resize((_SIDE, _SIDE), Image.Resampling.BOX) for p in pictures]
        advice += _looks(np.stack([np.array(box) for box in boxes]), crop)
    return advice


def _looks(small: np.ndarray, crop: Crop) -> list[str]:
    """Judge light and surroundings on small copies (n, 16, 16, 3); the latter where the crop shows any."""
    advice = []
    luma = np.stack([brightness(picture) for picture in small])
    left, right = (luma[:, *_part(part, crop)].mean((1, 2)) for part in _CHEEKS)
    if ((left - right) / (left + right + 1e-6)).std() < _LEAST_LIGHT:
        advice.append("the light comes from the same side on nearly all photos: add some in other light")
    if all(_shown(part, crop) for part in _SURROUNDINGS):
        seen = [small[:, *_part(part, crop)].reshape(len(small), -1, 3) for part in _SURROUNDINGS]
        corners = lab(np.concatenate(seen, axis=1))  # (n, pixels, 3)
        apart = np.linalg.norm(corners[:, None] - corners[None, :], axis=-1).mean(-1)  # (n, n)
        if float(np.median(apart[np.triu_indices(len(small), 1)])) < _ONE_SHOOT:
            advice.append("the photos seem to come from one occasion: add some from other days and places")
    return advice


def _shown(part: Part, crop: Crop) -> bool:
    places = crop.from_ffhq(np.array(part))
    return bool((places >= 0).all() and (places <= 1).all())


def _part(part: Part, crop: Crop) -> tuple[slice, slice]:
    """Return the rows and columns that show a part of the FFHQ square on a small copy of the crop."""
    places = np.rint(crop.from_ffhq(np.array(part)).clip(0, 1) * _SIDE).astype(int)
    (left, top), (right, bottom) = places.tolist()
    return slice(top, max(bottom, top + 1)), slice(left, max(right, left + 1))
