"""Rendered people: a procedural head, its photographs, and the nets trained on them."""

from typing import Final

PRIOR: Final = "portraits-128"
"""The prior of rendered people: the demonstration's, and that of every figure whose truth is known."""
