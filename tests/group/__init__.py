"""Tests of several people in one picture."""
