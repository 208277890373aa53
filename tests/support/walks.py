"""Which rooms of the house a piece of work passes, in which order."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import CodeType, FrameType
from typing import TypeVar

import mystyle_cli

SOURCE = Path(mystyle_cli.__file__).parent

Made = TypeVar("Made")


def walk(
    work: Callable[[], Made], walker: str, stations: set[str], instead: Mapping[CodeType, str] | None = None
) -> tuple[list[str], Made]:
    """Do some work; return what its walker asked of other rooms, in order: "find/locate".

    Functions count, as often as they are called; attributes and methods of what they returned are none.

    Args:
        work: what to do, in this thread.
        walker: the room whose calls count; what is asked further below does not.
        stations: the rooms that count; the others are ground.
        instead: functions of tests that stand for one of a room, and its name.
    """
    asked: list[str] = []
    names: dict[CodeType, tuple[str, str]] = {}  # room and function
    for code, name in (instead or {}).items():
        names[code] = (name.partition("/")[0], name)

    def name_of(code: CodeType) -> tuple[str, str]:
        if code not in names:
            path = Path(code.co_filename)
            inside = path.is_relative_to(SOURCE) and path.parent != SOURCE
            room = path.relative_to(SOURCE).parts[0] if inside else ""
            names[code] = room, f"{room}/{code.co_qualname}"
        return names[code]

    def called(frame: FrameType, event: str, _: object) -> None:
        room, name = name_of(frame.f_code)
        if event != "call" or room not in stations or "." in name or frame.f_code.co_name.startswith("<"):
            return
        caller = frame.f_back
        while caller is not None and not name_of(caller.f_code)[0]:  # libraries between
            caller = caller.f_back
        if caller is not None and name_of(caller.f_code)[0] == walker:
            asked.append(name)

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        made = work()
    finally:
        sys.setprofile(before)
    return asked, made
