"""Evaluations of profiles."""
