"""The demonstration folders: what curation says of every planted photo, and of the good ones."""

from __future__ import annotations

from mystyle_cli.curate.records import PhotoRecord
from mystyle_cli.report.report import Cell, Report, Table, Target
from tools.figures.common import Person, people, profile_of


def make() -> Report:
    """Set every verdict on both folders against what the photo is."""
    tables, wrong, refused = [], 0, 0
    counts: dict[str, Cell] = {}
    for person in people():
        records = profile_of(person.name).records
        table, misjudged, lost = _judge(person, records)
        tables.append(table)
        wrong, refused = wrong + misjudged, refused + lost
        kept = sum(record.kept for record in records)
        counts[person.name] = f"{len(records)} photos, {kept} kept"
    return Report(
        "curation",
        "every planted photo and its verdict; no good photo refused",
        tables,
        [
            Target("planted photos with a wrong verdict or reason", wrong, "at most", 0),
            Target("good photos refused", refused, "at most", 0),
        ],
        counts,
    )


def _judge(person: Person, records: tuple[PhotoRecord, ...]) -> tuple[Table, int, int]:
    """Return the table, how many planted photos were misjudged, and how many good ones refused."""
    rows: list[list[Cell]] = []
    wrong = lost = 0
    for record in records:
        expected, found = person.planted.get(record.file), str(record.reason)
        if expected is None:
            if not record.kept:
                lost += 1
                rows.append([record.file, "(a good photo)", found, record.detail, "WRONG"])
            continue
        right = found == expected or _either_of_a_pair(expected, record, records)
        wrong += not right
        rows.append([record.file, expected, found, record.detail, "" if right else "WRONG"])
    return Table(person.name, ["photo", "planted as", "verdict", "why", ""], rows), wrong, lost


def _either_of_a_pair(expected: str, record: PhotoRecord, records: tuple[PhotoRecord, ...]) -> bool:
    """Tell whether a planted duplicate was kept because its twin was refused for it: the better one stays."""
    if expected != "duplicate" or not record.kept:
        return False
    return any(str(other.reason) == "duplicate" and record.file in other.detail for other in records)
