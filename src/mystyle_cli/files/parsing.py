"""TOML and JSON that was read from files: bounded before it is parsed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from mystyle_cli.errors import one_line

DEEPEST: Final = 16  # containers within each other that a document of the program's never reaches

# characters in a line; the longest that the program writes is a note on consent
LONGEST_LINE: Final = 64 << 10

LARGEST: Final = 1 << 53  # the largest whole number, which floats hold exactly
DOTS: Final = 256  # dots in a line of TOML outside of strings; each may open a table within another
SHOWN: Final = 40  # characters of a value that a message repeats

# a string or comment of TOML
_QUOTED: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"""'
    r"|'''.*?'''"
    r'|"(?:[^"\\\n]++|\\.)*+"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*",
    re.DOTALL,
)

HALF: Final = re.compile("[\ud800-\udfff]")  # what JSON can spell and no text can hold
_STRING: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)  # a string of JSON


class DocumentError(ValueError):
    """A document is not what it should be; the message is a clause that names the field."""


def toml_of(data: bytes) -> dict[str, Any]:
    """Parse TOML; raises DocumentError where it is none, or has lines or brackets beyond all bounds."""
    import tomllib

    text = _text(data)
    bare = _QUOTED.sub(" ", text)
    _refuse_deep(bare)
    if max(line.count(".") for line in bare.split("\n")) > DOTS:
        raise DocumentError(f"a line of it has more than {DOTS} dots")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise DocumentError(one_line(error)) from error


def json_of(data: bytes | str) -> Any:
    """Parse JSON; raises DocumentError where it is none, or has brackets beyond all bounds."""
    import json

    text = _decoded(data) if isinstance(data, bytes) else data
    _refuse_deep(_STRING.sub(" ", text))
    try:
        return json.loads(text, parse_constant=_refuse_constant)  # NaN and Infinity
    except (ValueError, RecursionError) as error:
        raise DocumentError(one_line(error)) from error


def lines_of(data: bytes) -> list[str]:
    """Return the lines of a text, empty ones too; raises DocumentError where one is too long."""
    return _text(data).split("\n")


def _refuse_constant(name: str) -> None:
    raise DocumentError(f"{name} stands where a number should")


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DocumentError(f"it is no text in UTF-8 (at byte {error.start:,})") from error


def _text(data: bytes) -> str:
    """Return bytes as text whose lines are bounded; its size the reader of the file has bounded."""
    text = _decoded(data)
    longest = max(map(len, text.split("\n")))
    if longest > LONGEST_LINE:
        raise DocumentError(f"a line of it has {longest:,} characters, more than {LONGEST_LINE:,}")
    return text


def _refuse_deep(text: str) -> None:
    """Refuse brackets within each other beyond bounds; the text has no strings any more."""
    depth = 0
    for bracket in re.finditer(r"[\[\]{}]", text):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > DEEPEST:
            raise DocumentError(f"it has more than {DEEPEST} brackets within each other")


def shown(value: object) -> str:
    """Return a value of a document as a message repeats it."""
    if isinstance(value, str):
        return repr(value if len(value) <= SHOWN else f"{value[:SHOWN]}...")
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) > LARGEST:
        return "a huge number"
    return repr(value) if isinstance(value, int | float) else f"a {type(value).__name__}"
