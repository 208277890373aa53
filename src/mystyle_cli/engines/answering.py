"""What a worker in another process does, whatever engine carries its chunks: open once, answer, tell."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field

from mystyle_cli.engines.engine import Chunk, Note, Opener, Outcome, Seat, Work
from mystyle_cli.errors import MystyleError, contained


@dataclass
class Answering:
    """A worker's answers; the opener is opened for the first chunk."""

    opener: Opener
    notes: list[Note] = field(default_factory=list)  # that are told with the next outcome
    _work: Work | None = None

    def open(self) -> Exception | None:
        """Open what all items need, if it is not open; returns what was raised."""
        try:
            if self._work is None:
                self._work = self.opener.open(Seat(self.notes.append))
        except Exception as error:
            return told(error)
        return None

    def outcome(self, chunk: Chunk) -> Outcome:
        """Return what came of a chunk, whole."""
        failure, answers = self.open(), ()
        if failure is None:
            assert self._work is not None
            try:
                answers = tuple(self._work(chunk.items))
            except Exception as error:
                failure = told(error)
        notes, self.notes[:] = tuple(self.notes), []
        return Outcome(chunk.number, answers, error=failure, notes=notes)


def told(error: Exception) -> MystyleError:
    """Return an error of all items as it travels: with where it arose, which `--debug` shows."""
    found = contained("a worker", error)
    found.add_note("".join(traceback.format_exception(error)))
    return found
