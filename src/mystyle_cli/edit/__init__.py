"""Editing one property of a photo without leaving the person's own space (sec. 3.4, B.4)."""
