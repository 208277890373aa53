"""Whether the tests run as many lines of each room as they did: floors in tests/house/coverage.toml.

    python -m tools.coverage build/coverage.json          # a table; 1 where a room has fallen below its floor
    python -m tools.coverage build/coverage.json --set    # floors anew: measured less MARGIN

`make coverage` writes the report and asks. The report is SlipCover's, which marks the bytecode of what is
imported and takes the marks out again that were seen, where a tracer of Python 3.11 slows every line of every
library. Counted is what runs in the tests' own processes; commands that are started as programs of their own
are not.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import tomli_w

FLOORS: Final = Path(__file__).resolve().parents[1] / "tests" / "house" / "coverage.toml"
TOP: Final = "mystyle_cli"
"""Stands for the modules that are in no room."""

MARGIN: Final = 3


def by_room(report: Mapping[str, Any]) -> dict[str, tuple[int, float]]:
    """Return the lines of each room that can run, and how many of 100 did.

    Args:
        report: as `slipcover --json` writes it.
    """
    lines, ran = Counter[str](), Counter[str]()
    for name, file in report["files"].items():
        inside = name.replace("\\", "/").rpartition(f"{TOP}/")[2]
        room = inside.partition("/")[0] if "/" in inside else TOP
        ran[room] += file["summary"]["covered_lines"]
        lines[room] += file["summary"]["covered_lines"] + file["summary"]["missing_lines"]
    return {room: (count, 100 * ran[room] / count) for room, count in sorted(lines.items()) if count}


def faults(found: Mapping[str, tuple[int, float]], floors: Mapping[str, float]) -> list[str]:
    """Return what is wrong: rooms below their floor, without one, and floors of no room."""
    told = [f"{room} has no floor: add it to {FLOORS.name}" for room in found.keys() - floors.keys()]
    told += [
        f"{room} is no room any more: take it out of {FLOORS.name}" for room in floors.keys() - found.keys()
    ]
    told += [
        f"{room}: {found[room][1]:.1f} % of the lines ran, the floor is {floor} %"
        for room, floor in floors.items()
        if room in found and found[room][1] < floor
    ]
    return sorted(told)


def main() -> int:
    """Print the table, and check or set the floors."""
    parser = argparse.ArgumentParser(prog="python -m tools.coverage", description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("--set", action="store_true", help="write floors from what was measured")
    args = parser.parse_args()
    found = by_room(json.loads(args.report.read_text("utf-8")))
    if args.set:
        anew = {room: math.floor(share) - MARGIN for room, (_, share) in found.items()}
        FLOORS.write_text(
            f"# Written by `python -m tools.coverage --set`.\n\n{tomli_w.dumps({'floors': anew})}"
        )
    floors = tomllib.loads(FLOORS.read_text("utf-8"))["floors"]
    print(f"{'room':16} {'lines':>6} {'ran, %':>7} {'floor':>6}")
    for room, (count, share) in found.items():
        print(f"{room:16} {count:6} {share:7.1f} {floors.get(room, '-'):>6}")
    wrong = faults(found, floors)
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
