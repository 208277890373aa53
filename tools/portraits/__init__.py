"""Rendered people: a procedural head, its photographs, and the nets trained on them."""
