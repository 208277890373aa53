"""What hides a part of a face, told by the prior's own net: glasses, hands, masks, things held before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.curate.settings import CurateSettings
from mystyle_cli.photos.pixels import Pixels, to_unit
from mystyle_cli.prior.registry import FACE_PARTS

Cover = Callable[[NDArray[np.float32]], NDArray[np.float32]]

_MIRRORED = [
    FACE_PARTS.index(part.replace("left", "right") if "left" in part else part.replace("right", "left"))
    for part in FACE_PARTS
]
_EYES, _CHEEKS = ("left eye", "right eye"), ("left cheek", "right cheek")


def hidden_parts(crop: Pixels, cover: Cover) -> dict[str, float]:
    """Return how much of each part of a face is hidden, in [0, 1], as the scores `hidden left eye` and so on.

    The net sees the crop and its mirror image, and the mean of both answers counts.

    Args:
        cover: float32 (B, 3, R, R) in [-1, 1] -> (B, parts), the prior's role.
    """
    plain, mirrored = cover(to_unit(np.stack([crop, crop[:, ::-1]])))
    mean = (plain + mirrored[_MIRRORED]) / 2
    return {_score(part): float(share) for part, share in zip(FACE_PARTS, mean, strict=True)}


def was_judged(scores: Mapping[str, float]) -> bool:
    """Tell whether a face's scores hold what the net said."""
    return _score(FACE_PARTS[0]) in scores


def degrees(scores: Mapping[str, float], settings: CurateSettings) -> dict[str, float]:
    """Return each part's hidden share over the share that may be hidden: above 1 is too much."""
    share = {part: scores[_score(part)] for part in FACE_PARTS}
    limits = dict.fromkeys(("nose", "mouth"), settings.largest_hidden)
    over = {part: share[part] / limits.get(part, settings.largest_hidden_side) for part in FACE_PARTS}
    both = sum(share[eye] for eye in _EYES) / len(_EYES) / settings.largest_hidden_eyes
    return over | {eye: max(over[eye], both) for eye in _EYES}


def too_hidden(scores: Mapping[str, float], settings: CurateSettings) -> list[str]:
    """Return the parts of which too much is hidden."""
    found = degrees(scores, settings)
    return [part for part in FACE_PARTS if found[part] > 1]


def explain(parts: Sequence[str]) -> str:
    """Return a sentence that names the hidden parts, what usually hides them and what to do; "" for none."""
    eyes = [part for part in _EYES if part in parts]
    cheeks = [part for part in _CHEEKS if part in parts]
    names: list[str] = []
    if eyes:
        names.append("both eyes" if len(eyes) == 2 else f"the eye on the {eyes[0].split()[0]}")
    names += [f"the {part}" for part in ("nose", "mouth") if part in parts]
    if cheeks:
        names.append("both cheeks" if len(cheeks) == 2 else f"the cheek on the {cheeks[0].split()[0]}")
    if not names:
        return ""
    if len(eyes) == 2 and "mouth" not in parts:
        usual = "dark glasses"
    elif "mouth" in parts:
        usual = "a hand, a mask or something held"
    else:
        usual = "hair, a hand or something held"
    told = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    verb = "is" if len(parts) == 1 else "are"
    return f"{told} {verb} hidden, as by {usual}: choose a photo that shows the whole face"


def _score(part: str) -> str:
    return f"hidden {part}"
