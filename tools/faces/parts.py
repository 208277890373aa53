"""The parts of a face that cover is told of, as polygons over 68 landmarks."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from mystyle_cli.prior.registry import FACE_PARTS

_EYES = {"left eye": range(36, 42), "right eye": range(42, 48)}


def outlines(marks: np.ndarray) -> dict[str, np.ndarray]:
    """Return each part's polygon (n, 2), in the unit of the landmarks.

    Left and right are the picture's. A cheek is what lies between eye, nose, mouth and the middle of the
    jaw's edge: hair and beards reach over its outer half without hiding who it is.

    Args:
        marks: (68, 2).
    """
    eyes = {name: _grown(marks[list(lids)], 1.5) for name, lids in _EYES.items()}
    below = 0.22 * (marks[33] - marks[27])
    sides = {"left cheek": (36, 39, 31, 48, 3), "right cheek": (45, 42, 35, 54, 13)}
    cheeks = {
        name: np.stack(
            [
                marks[outer] + below,
                marks[inner] + below,
                marks[wing],
                marks[corner],
                (marks[corner] + marks[jaw]) / 2,
            ]
        )
        for name, (outer, inner, wing, corner, jaw) in sides.items()
    }
    nose = marks[[27, 31, 32, 33, 34, 35]]
    found = eyes | {"nose": nose, "mouth": _grown(marks[48:60], 1.15)} | cheeks
    return {name: found[name] for name in FACE_PARTS}


def shares(mask: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """Return how much of each part a mask hides, (parts,) in [0, 1].

    Args:
        mask: (R, R) in [0, 1], opacity of what lies over the face.
        marks: (68, 2) in crop sides.
    """
    size = len(mask)
    found = []
    for outline in outlines(marks * size).values():
        canvas = Image.new("1", (size, size))
        ImageDraw.Draw(canvas).polygon([(float(x), float(y)) for x, y in outline], fill=1)
        inside = np.array(canvas, bool)
        found.append(float(mask[inside].mean()) if inside.any() else 0.0)
    return np.array(found, np.float32)


def _grown(points: np.ndarray, factor: float) -> np.ndarray:
    """Return points moved away from their middle."""
    middle = points.mean(0)
    return middle + factor * (points - middle)
