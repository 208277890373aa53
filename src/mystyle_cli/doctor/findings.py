"""What an examination finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "problem"]  # all is well, worth knowing, or something has to be done


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    area: str  # what it belongs to: "program", "device", "disk", "prior", "profile", "licences"
    subject: str
    state: State
    text: str
    advice: str = ""  # what to do, "" when nothing has to be done


def ok(area: str, subject: str, text: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(area, subject, "ok", text)


def note(area: str, subject: str, text: str, advice: str = "") -> Finding:
    """Return a finding that is worth knowing."""
    return Finding(area, subject, "note", text, advice)


def problem(area: str, subject: str, text: str, advice: str) -> Finding:
    """Return a finding that something has to be done about."""
    return Finding(area, subject, "problem", text, advice)
