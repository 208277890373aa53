"""The engines of several people: each opened once, as long as there is memory for them beside each other."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from mystyle_cli.nets.memory import free_memory, used_memory
from mystyle_cli.restore.engine import Answering, open_engine

if TYPE_CHECKING:
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.restore.task import RestoreSettings

SPARE: Final = 3  # of the largest engine's memory must be free so many times, before another one is opened
UNKNOWN: Final = 4  # engines that are kept where nothing tells how much memory there is


class Engines:
    """What answers for each profile; where memory is short, what was used longest ago goes."""

    def __init__(self, settings: RestoreSettings) -> None:
        self.settings = settings
        self._open: OrderedDict[str, Answering] = OrderedDict()
        self._largest = 0  # bytes that one took

    def of(self, profile: Profile) -> Answering:
        """Return what answers for a profile, which may be of several people.

        Raises:
            MystyleError: the profile is damaged, or has no net for an instant or fast answer.
        """
        name = profile.name
        if name not in self._open:
            self._make_room(profile)
            before = used_memory()
            self._open[name] = open_engine(profile, self.settings)
            self._largest = max(self._largest, used_memory() - before)
        self._open.move_to_end(name)
        return self._open[name]

    def _make_room(self, profile: Profile) -> None:
        while self._open and self._short():
            self._open.popitem(last=False)
            profile.device.give_back()

    def _short(self) -> bool:
        free = free_memory()
        return len(self._open) >= UNKNOWN if free is None else free < SPARE * self._largest
