"""Clips: the person's face followed through them, restored with one look and laid back, sound as it was."""
