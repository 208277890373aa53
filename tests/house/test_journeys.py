"""Every command, and every option of it, is gone through as people use it: on the command line, to an end."""

from __future__ import annotations

from pathlib import Path

from tests.support.journeys import EVERYWHERE, all_options, commands, declared

TESTS = Path(__file__).parents[1]


def test_every_option_has_a_journey() -> None:
    """As click knows them, and as journeys declare them, each of which fails where it did not type one."""
    gone = set(declared(TESTS))
    there = all_options() | {(name, "") for name, _ in commands()} | {(EVERYWHERE, "")}
    assert sorted(there - gone) == []
    assert sorted(gone - there) == []
