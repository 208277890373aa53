"""Repairing photos of a person by projection into their own space (sec. 3.3, B.2)."""
