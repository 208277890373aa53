"""Whole photos repaired by projection into the person's own space, and pasted back (sec. 3.3, B.2)."""
