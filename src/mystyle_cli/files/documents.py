"""What documents hold: fields of declared kinds, read into plain values.

What a file may hold is declared once, as a `Record` of fields with their kinds and bounds. A record is read
from anything; what does not fit raises `DocumentError`, which names the field and never repeats more of it
than a line.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mystyle_cli.files.owned import inside
from mystyle_cli.files.parsing import HALF, LARGEST, SHOWN, DocumentError, shown

HUGE: Final = 1e30  # the largest number: it can be squared in double precision, and float32 holds it
MANY: Final = 100_000  # entries of a list or table


class Kind(ABC):
    """What a field holds."""

    @abstractmethod
    def read(self, value: object, name: str) -> Any:
        """Return a value after seeing that it fits; raises DocumentError where it does not."""


@dataclass(frozen=True)
class Text(Kind):
    """A string of characters that can be shown."""

    most: int = 200
    form: re.Pattern[str] | None = None  # which the whole must have, None for any
    what: str = "a text"  # that form, in words
    lines: bool = False  # line breaks may be in it, and whatever else somebody may have typed

    def read(self, value: object, name: str) -> str:
        if not isinstance(value, str):
            raise DocumentError(f"`{name}` is {shown(value)}, not {self.what}")
        if len(value) > self.most:
            raise DocumentError(f"`{name}` has {len(value):,} characters, more than {self.most:,}")
        if self.form is not None and self.form.fullmatch(value) is None:
            raise DocumentError(f"`{name}` is {shown(value)}, not {self.what}")
        if not self.lines and not value.isprintable():
            raise DocumentError(f"`{name}` is {shown(value)}, which cannot be shown")
        if self.lines and HALF.search(value):
            raise DocumentError(f"`{name}` holds half a character")
        return value


@dataclass(frozen=True)
class FileName(Kind):
    """The name of a file inside the folder that the document belongs to; see `owned.inside`."""

    def read(self, value: object, name: str) -> str:
        """Return the name; one that leads elsewhere raises `owned.UnsafeNameError`."""
        return inside(value)


@dataclass(frozen=True)
class Whole(Kind):
    """A whole number."""

    least: int = 0
    most: int = LARGEST

    def read(self, value: object, name: str) -> int:
        # Python's bools are ints, a document's are not
        if isinstance(value, bool) or not isinstance(value, int) or not self.least <= value <= self.most:
            raise DocumentError(
                f"`{name}` is {shown(value)}, not a whole number from {self.least:,} to {self.most:,}"
            )
        return value


@dataclass(frozen=True)
class Number(Kind):
    """A finite number."""

    least: float = -HUGE
    most: float = HUGE

    def read(self, value: object, name: str) -> float:
        """Return the number as it stands, whole or not."""
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not self.least <= value <= self.most
        ):
            bounds = "finite number" if self.most == HUGE else f"number from {self.least:g} to {self.most:g}"
            raise DocumentError(f"`{name}` is {shown(value)}, not a {bounds}")
        return value


@dataclass(frozen=True)
class Fact(Kind):
    """A text, number or flag, as tables of facts hold them."""

    def read(self, value: object, name: str) -> str | int | float | bool:
        if isinstance(value, str):
            return _FACT.read(value, name)
        return value if isinstance(value, bool) else _ANY.read(value, name)


_FACT: Final = Text(4096)
_ANY: Final = Number()


@dataclass(frozen=True)
class OneOf(Kind):
    """One of some words."""

    words: tuple[str, ...]

    def read(self, value: object, name: str) -> str:
        if not isinstance(value, str) or value not in self.words:
            raise DocumentError(f"`{name}` is {shown(value)}, not one of {', '.join(self.words)}")
        return value


@dataclass(frozen=True)
class Items(Kind):
    """A list."""

    of: Kind
    most: int = MANY

    def read(self, value: object, name: str) -> list[Any]:
        if not isinstance(value, list) or len(value) > self.most:
            raise DocumentError(f"`{name}` is {shown(value)}, not a list of at most {self.most:,}")
        return [self.of.read(item, f"{name}[{number}]") for number, item in enumerate(value)]


@dataclass(frozen=True)
class Table(Kind):
    """A table whose names are free."""

    of: Kind
    names: Kind = field(default_factory=Text)
    most: int = MANY

    def read(self, value: object, name: str) -> dict[str, Any]:
        if not isinstance(value, Mapping) or len(value) > self.most:
            raise DocumentError(f"`{name}` is {shown(value)}, not a table of at most {self.most:,}")
        return {
            self.names.read(key, f"a name in {name}"): self.of.read(item, f"{name}.{_key(key)}")
            for key, item in value.items()
        }


@dataclass(frozen=True)
class Record(Kind):
    """A table of known fields; others are left out, for later versions may write them."""

    needed: Mapping[str, Kind]  # fields that must be there
    free: Mapping[str, Kind] = field(default_factory=dict)  # fields that may be missing
    rest: Kind | None = None  # what other fields are, where they are kept

    def read(self, value: object, name: str = "") -> dict[str, Any]:
        if not isinstance(value, Mapping) or len(value) > MANY:
            raise DocumentError(f"`{name or 'the document'}` is {shown(value)}, not a table")
        missing = [key for key in self.needed if key not in value]
        if missing:
            raise DocumentError(f"it has no `{_inner(name, missing[0])}`")
        fields = {}
        for key, item in value.items():
            kind = self.needed.get(key) or self.free.get(key) or self.rest
            if kind is not None:
                fields[_KEY.read(key, f"a name in {name or 'it'}")] = kind.read(item, _inner(name, key))
        return fields


_KEY: Final = Text()
DIGEST: Final = Text(64, re.compile("[0-9a-f]{64}"), "a sha256 of 64 digits")


def _key(key: object) -> str:
    text = str(key)
    return text if len(text) <= SHOWN and text.isprintable() else shown(text)


def _inner(name: str, key: object) -> str:
    return f"{name}.{_key(key)}" if name else _key(key)


def finite(value: float) -> bool:
    """Tell whether a number can be written into a document and read again."""
    return math.isfinite(value) and abs(value) <= HUGE
