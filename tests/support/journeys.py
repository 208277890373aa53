"""What journeys through the command line share: how the program is run, and its JSON read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from click.testing import Result

Run = Callable[..., Result]
"""Runs the program with some words on a copy of the tiny store, in an empty folder."""


def document(done: Result) -> dict[str, Any]:
    """Return the JSON document of a run that went well."""
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["schema"] == 2
    assert isinstance(found, dict)
    return found
