"""Generators tuned on one photo each, kept in the person's profile: a few, private, and gone with it.

They are no part of the profile: no table lists them, an exported file has none, and each can be made again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mystyle_cli.errors import MystyleError
from mystyle_cli.files.reading import read_file
from mystyle_cli.person.layout import GENERATOR, REFINED, deleting, largest, marked, owned
from mystyle_cli.person.manifest import read_manifest
from mystyle_cli.store.store import Store

if TYPE_CHECKING:
    from mystyle_cli.person.profile import Profile

MOST: Final = 16  # files of one person; the oldest go first
MOST_BYTES: Final = 256 << 20  # what they take together; one that is larger by itself is not kept


class KeptRefinements:
    """What is kept for one profile, by the names of `person.layout.refined_name`."""

    def __init__(self, profile: Profile) -> None:
        self.profile, self._own = profile, owned(profile.path)

    def read(self, name: str) -> bytes | None:
        """Return what was kept under a name; None where nothing is that can be read."""
        try:
            return read_file(self.profile.path / name, largest(name), self.profile.path)
        except OSError:
            return None

    def write(self, name: str, data: bytes) -> str:
        """Keep something, and let go what there is no room for; returns why it is not kept, "" where it is.

        That is no error, for a profile may be read-only, or another command's.
        """
        if len(data) > MOST_BYTES:
            return f"it takes more than {MOST_BYTES >> 20} MB"
        try:
            with Store(self.profile.path.parent).locked(self.profile.name):
                if not self._is_the_same():
                    return "the profile has changed meanwhile"
                self._make_room(name, len(data))
                self._own.write(name, data)
        except MystyleError as error:
            return error.message
        except OSError as error:
            return error.strerror or str(error)
        return ""

    def _is_the_same(self) -> bool:
        """Tell whether the profile is still there, and its generator the one that was tuned."""
        folder = self.profile.path
        if folder.is_symlink() or not marked(folder) or deleting(folder):
            return False
        return read_manifest(folder).digests().get(GENERATOR) == self._generator

    @property
    def _generator(self) -> str | None:
        return self.profile.manifest.digests().get(GENERATOR)

    def _make_room(self, name: str, size: int) -> None:
        """Remove those of other generators, and the oldest until a new one of so many bytes fits in."""
        there = [found for found in self._own.content(REFINED).files if found != name]
        kind = name.partition("-")[0]
        here = {found: (self.profile.path / found).lstat() for found in there if found.startswith(kind)}
        kept = sorted(here, key=lambda found: (here[found].st_mtime_ns, found), reverse=True)
        room = MOST_BYTES - size
        for number, found in enumerate(kept):
            room -= here[found].st_size
            if number >= MOST - 1 or room < 0:
                here.pop(found)
        for found in there:
            if found not in here:
                self._own.remove(found)
