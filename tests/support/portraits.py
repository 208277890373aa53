"""Photos of faces for tests: the demonstration's, and real portraits beside the checkout if there are any."""

from __future__ import annotations

import tomllib
from pathlib import Path

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
