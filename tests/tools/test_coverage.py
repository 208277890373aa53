"""The floors of coverage: rooms are added up rightly, and each way to break them is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools import coverage
from tools.coverage import by_room, faults


def file_of(lines: int, ran: int) -> dict[str, dict[str, int]]:
    """Return a file's entry in the report."""
    return {"summary": {"covered_lines": ran, "missing_lines": lines - ran}}


def test_files_are_added_up_by_room() -> None:
    """A room's files count together by their lines; what is in no room is a room of its own."""
    files = {
        "src/mystyle_cli/hull/hull.py": file_of(30, 30),
        "src\\mystyle_cli\\hull\\solve.py": file_of(10, 0),
        "src/mystyle_cli/hull/__init__.py": file_of(0, 0),
        "src/mystyle_cli/api.py": file_of(4, 1),
    }
    assert by_room({"files": files}) == {"hull": (40, 75.0), "mystyle_cli": (4, 25.0)}


def test_a_room_below_its_floor_is_told() -> None:
    """So are a room without a floor and a floor without a room; at the floor is not below it."""
    found = {"hull": (40, 75.0), "edit": (10, 80.0), "new": (5, 100.0)}
    told = faults(found, {"hull": 76, "edit": 80, "gone": 90})
    assert [line.split()[0] for line in told] == ["gone", "hull:", "new"]


def test_below_a_floor_the_command_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And not at it; floors that are set from the same run are kept by it."""
    monkeypatch.setattr(coverage, "FLOORS", tmp_path / "floors.toml")
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"files": {"src/mystyle_cli/hull/hull.py": file_of(40, 30)}}))
    for floor, code in ((75, 0), (76, 1)):
        coverage.FLOORS.write_text(f"[floors]\nhull = {floor}\n")
        monkeypatch.setattr("sys.argv", ["coverage", str(report)])
        assert coverage.main() == code
        assert bool(capsys.readouterr().err) == bool(code)
    monkeypatch.setattr("sys.argv", ["coverage", str(report), "--set"])
    assert coverage.main() == 0
    assert "hull = 72" in coverage.FLOORS.read_text()
