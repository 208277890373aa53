"""Photos of faces for tests: the demonstration's, and real portraits beside the checkout if there are any."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

import numpy as np

from mystyle_cli.faces.align import FFHQ, align
from mystyle_cli.faces.faces import find_faces
from mystyle_cli.photos.decode import decode

ROOT = Path(__file__).parents[2]
DEMONSTRATION = ROOT / "profiles" / "photos"


def real() -> list[Path]:
    """Return the real portraits, which are no part of the project; empty where they are not there."""
    return sorted((ROOT.parent / "shared" / "portraits").glob("*.jpg"))


def planted(person: str) -> dict[str, str]:
    """Return the verdict that every planted photo of a demonstration person should get."""
    found: dict[str, str] = tomllib.loads((DEMONSTRATION / f"{person}.toml").read_text("utf-8"))["planted"]
    return found


def expected(person: str) -> dict[str, str]:
    """Return the verdict that every photo of a demonstration person should get."""
    return {path.name: "kept" for path in sorted((DEMONSTRATION / person).iterdir())} | planted(person)


def clear(person: str, number: int = 0) -> Path:
    """Return one of the good photos of a demonstration person, on which they are alone."""
    others = planted(person)
    return [path for path in sorted((DEMONSTRATION / person).iterdir()) if path.name not in others][number]


@cache
def aligned(number: int, size: int) -> np.ndarray:
    """Return the face uint8 (size, size, 3) of one of four photos of a demonstration person, ada."""
    photo = decode(clear("ada", number % 4)).pixels
    return align(photo, find_faces(photo)[0].landmarks, size, FFHQ).pixels
