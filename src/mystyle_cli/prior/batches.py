"""How many pictures are put through a net together."""

from __future__ import annotations

from typing import Final

PIXELS: Final = 1 << 22
"""Pixels at once, four pictures of 1024: more make no net faster and only take memory."""


def at_once(resolution: int, most: int) -> int:
    """Return how many pictures of a size go through a net together.

    Args:
        resolution: edge length of the pictures.
        most: where memory is no matter.
    """
    return max(1, min(most, PIXELS // resolution**2))
