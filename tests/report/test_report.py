"""Reports say what was found, in text and as data."""

from __future__ import annotations

import json
import math

import pytest

from mystyle_cli.report.report import Report, Table, Target, layout, to_data, to_text


@pytest.mark.parametrize(
    ("comparison", "below", "equal", "above"),
    [
        ("at least", False, True, True),
        ("at most", True, True, False),
        ("above", False, False, True),
        ("below", True, False, False),
    ],
)
def test_targets_compare(comparison: str, below: bool, equal: bool, above: bool) -> None:
    """Each comparison holds on its side of the bound, and at it where it says so."""
    met = [Target("t", value, comparison, 0.5).met for value in (0.4, 0.5, 0.6)]  # type: ignore[arg-type]
    assert met == [below, equal, above]


@pytest.mark.parametrize("comparison", ["at least", "at most", "above", "below"])
def test_what_was_not_measured_meets_no_target(comparison: str) -> None:
    """A NaN is a miss, whichever way the target points."""
    assert not Target("t", math.nan, comparison, 0.0).met  # type: ignore[arg-type]


def test_columns_line_up() -> None:
    """Figures stand to the right, words to the left, and every line of a column starts or ends alike."""
    lines = layout(["name", "id"], [["a", 0.5], ["longer", 10.25]]).splitlines()
    assert lines == ["name       id", "------  -----", "a         0.5", "longer  10.25"]


def test_missed_targets_are_loud() -> None:
    """The text shows a miss as such, and the report as a whole is not met."""
    report = Report("f", "title", [], [Target("x", 0.1, "at least", 0.2), Target("y", 0.3, "at least", 0.2)])
    assert not report.met
    text = to_text(report)
    assert "MISSED" in text
    assert "met" in text


def test_data_survives_json() -> None:
    """Numbers that JSON lacks become null; the rest comes back as it was."""
    table = Table("t", ["a", "b"], [["x", math.nan], ["y", 1.5], [None, math.inf]])
    report = Report("f", "title", [table], [Target("x", 0.3, "below", 0.2)], {"people": 2})
    data = json.loads(json.dumps(to_data(report), allow_nan=False))
    assert data["tables"][0]["rows"] == [["x", None], ["y", 1.5], [None, None]]
    assert data["targets"] == [{"name": "x", "found": 0.3, "wanted": "below 0.2", "met": False}]
    assert data["facts"] == {"people": 2}
    assert data["met"] is False
