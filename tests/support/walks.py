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


def rooms_passed(
    work: Callable[[], Made], walker: str, stations: set[str], instead: Mapping[CodeType, str] | None = None
) -> tuple[list[str], Made]:
    """Do some work; return the rooms that its walker asked, each as often as it came back to it.

    Args:
        work: what to do, in this thread.
        walker: the room whose calls count; what is asked further below does not.
        stations: the rooms that count; the others are ground.
        instead: functions of tests that stand for a room's.
    """
    passed: list[str] = []
    rooms: dict[CodeType, str] = dict(instead or {})

    def room_of(code: CodeType) -> str:
        if code not in rooms:
            path = Path(code.co_filename)
            inside = path.is_relative_to(SOURCE) and path.parent != SOURCE
            rooms[code] = path.relative_to(SOURCE).parts[0] if inside else ""
        return rooms[code]

    def asked(code: CodeType) -> bool:
        """Tell whether a function of a station was called; attributes of its answers are no questions."""
        return room_of(code) in stations and ("." not in code.co_qualname or code in (instead or {}))

    def called(frame: FrameType, event: str, _: object) -> None:
        if event != "call" or not asked(frame.f_code):
            return
        caller = frame.f_back
        while caller is not None and not room_of(caller.f_code):  # libraries between
            caller = caller.f_back
        room = room_of(frame.f_code)
        if caller is not None and room_of(caller.f_code) == walker and passed[-1:] != [room]:
            passed.append(room)

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        made = work()
    finally:
        sys.setprofile(before)
    return passed, made
