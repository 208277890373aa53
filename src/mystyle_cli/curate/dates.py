"""When photos were taken, as a list that somebody wrote says it: a table of names and years, or days."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from mystyle_cli.config import EARLIEST_YEAR, LATEST_YEAR
from mystyle_cli.curate.records import PhotoRecord
from mystyle_cli.errors import UsageError, one_line
from mystyle_cli.files.parsing import DocumentError, lines_of, shown
from mystyle_cli.files.reading import read_file

LARGEST: Final = 16 << 20  # bytes of the largest list
MOST: Final = 200_000  # photos on it
NAMED: Final = 3  # names that a sentence lists

NOT_KNOWN: Final = "none"  # in a year's place: whatever the photo itself says is wrong

# a year alone, or a day with the year first or last; a time may follow
_DAY: Final = re.compile(
    r"(?:(?P<first>\d{4})(?:[-:./]\d{1,2}){0,2}|(?:\d{1,2}[-./]){1,2}(?P<last>\d{4}))(?:[ T][\d:.,+\-Z ]*)?"
)
_FORM: Final = "Write a photo a line: its name, a comma or tab, and the year or day: a.jpg,1998"


@dataclass(frozen=True)
class Dates:
    """What a list says.

    Args:
        years: by the photo's name or sha256, as they were written; None for a photo whose year is not known.
        told_by: what to call the list in messages.
    """

    years: Mapping[str, int | None]
    told_by: str

    def applied(self, records: Sequence[PhotoRecord]) -> tuple[tuple[PhotoRecord, ...], list[str]]:
        """Return the records with the years that are said, and sentences on names that are no photo's.

        A name may have folders in front, as in the records or more of them; without, it must be one photo's.

        Raises:
            UsageError: two names are of one photo, and their years differ.
        """
        index = _Index(records)
        found: dict[int, int | None] = {}
        unknown: list[str] = []
        several: list[str] = []
        for name, year in self.years.items():
            rows = index.rows(name)
            if len({records[row].sha256 for row in rows}) > 1:
                several.append(name)
                continue
            for row in rows:
                if row in found and found[row] != year:
                    raise UsageError(
                        f"{self.told_by}: {shown(name)} is a photo that has another year under another name",
                        "Name it once.",
                    )
                found[row] = year
            if not rows:
                unknown.append(name)
        dated = tuple(
            replace(record, year=found[row]) if row in found else record for row, record in enumerate(records)
        )
        said = [
            f"{self.told_by}: {what}: {_listed(names)}"
            for what, names in (
                ("no photo of the profile is called", unknown),
                ("more than one photo is called so, write their folders, too", several),
            )
            if names
        ]
        return dated, said


class _Index:
    """Finds records by the names of their photos."""

    def __init__(self, records: Sequence[PhotoRecord]) -> None:
        self.parts = [_parts(record.file) for record in records]
        self.by_digest: dict[str, list[int]] = {}
        self.by_last: dict[str, list[int]] = {}
        for row, record in enumerate(records):
            self.by_digest.setdefault(record.sha256, []).append(row)
            if self.parts[row]:
                self.by_last.setdefault(self.parts[row][-1], []).append(row)

    def rows(self, name: str) -> list[int]:
        """Return which records a name can be of: one that is called exactly so, else as far as both say."""
        if name.casefold() in self.by_digest:
            return self.by_digest[name.casefold()]
        wanted = _parts(name)
        alike = []
        for row in self.by_last.get(wanted[-1], []) if wanted else []:
            least = min(len(wanted), len(self.parts[row]))
            if wanted[-least:] == self.parts[row][-least:]:
                alike.append(row)
        return [row for row in alike if self.parts[row] == wanted] or alike


def _parts(name: str) -> tuple[str, ...]:
    """Return the folders and the name of a file, however its letters are composed and its slashes lean."""
    spelled = unicodedata.normalize("NFC", name).replace("\\", "/")
    return tuple(part for part in spelled.split("/") if part not in ("", "."))


def read_dates(path: Path) -> Dates:
    """Read a list of photos' years: lines of `name,year` (or a day), separated by commas or tabs.

    A first line without a year counts as the heading; a line without a date says nothing.

    Raises:
        UsageError: it cannot be read, or a line of it is none.
    """
    try:
        lines = lines_of(read_file(path, LARGEST))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}", _FORM) from error
    except DocumentError as error:
        raise UsageError(f"{path} is no list of photos' years: {error}", _FORM) from error
    years: dict[str, int | None] = {}
    where: dict[str, int] = {}
    for number, name, day in _rows(path, lines):
        year = _year(day)
        if year is None and day.casefold() != NOT_KNOWN:
            if not where and number == 1:
                continue  # the heading
            raise UsageError(
                f"{path}, line {number}: {shown(day)} is no day and no year from {EARLIEST_YEAR} to "
                f"{LATEST_YEAR}",
                _FORM,
            )
        if name in years and years[name] != year:
            raise UsageError(
                f"{path}, line {number}: {shown(name)} has another year in line {where[name]}", "Keep one."
            )
        if len(years) == MOST:
            raise UsageError(f"{path} has more than {MOST:,} photos", "Give it in parts.")
        years[name], where[name] = year, number
    if not years:
        raise UsageError(f"{path} names no photo", _FORM)
    return Dates(years, path.name)


def _rows(path: Path, lines: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Yield the number of each line that says something, the name and the date."""
    lines = [lines[0].removeprefix("\ufeff"), *lines[1:]]
    reader = csv.reader(lines, delimiter=_between(lines), strict=True)
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise UsageError(f"{path}, line {reader.line_num}: {error}", _FORM) from error
        if cells is None:
            return
        cells = [cell.strip() for cell in cells]
        if not any(cells):
            continue
        if len(cells) < 2 or any(cells[2:]) or not cells[0]:
            raise UsageError(f"{path}, line {reader.line_num}: is not a name and a year", _FORM)
        if cells[1]:
            yield reader.line_num, cells[0], cells[1]


def _between(lines: Sequence[str]) -> str:
    """Return what stands before the date in the first lines: a tab, a comma or a semicolon."""
    first = [line for line in lines[:8] if line.strip()][:2]
    for mark in ("\t", ",", ";"):
        if any(mark in line and _year(line.rpartition(mark)[2].strip(' "')) for line in first):
            return mark
    return "\t" if any("\t" in line for line in first) else ","


def _year(day: str) -> int | None:
    """Return the year of a day as it was written; None where it is none."""
    found = _DAY.fullmatch(day) if day.isascii() else None
    year = int(found["first"] or found["last"]) if found else 0
    return year if EARLIEST_YEAR <= year <= LATEST_YEAR else None


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(shown(one_line(name)) for name in names[:NAMED]) + more
