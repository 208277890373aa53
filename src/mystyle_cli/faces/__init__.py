"""Faces on a photo: found, aligned, described, laid back."""
