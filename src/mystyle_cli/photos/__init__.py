"""Pixels: files of any kind decoded, encoded, marked."""
