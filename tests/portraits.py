"""Photos of faces for tests: the demonstration's, and real portraits beside the checkout if there are any."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]


def demonstration() -> list[Path]:
    """Return photos of the first demonstration person, empty where they are not there."""
    folders = sorted(path for path in (ROOT / "profiles").glob("*/photos") if path.is_dir())
    return sorted(folders[0].iterdir()) if folders else []


def real() -> list[Path]:
    """Return the real portraits, which are no part of the project; empty where they are not there."""
    return sorted((ROOT.parent / "shared" / "portraits").glob("*.jpg"))
