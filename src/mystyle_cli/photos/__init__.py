"""Pixels: decode and encode, faces and their alignment, pasting back, provenance marks."""
