"""From what a file's instructions made to plain values and tensors, in bounded work and memory."""

from __future__ import annotations

from typing import Any

from mystyle_cli.prior.checkpoints.limits import Budget, Refused
from mystyle_cli.prior.checkpoints.pickles import SCALARS, Span
from mystyle_cli.prior.checkpoints.records import Record
from mystyle_cli.prior.checkpoints.storages import View

SHOWN = 100  # characters of a key that a message repeats


class Finish:
    """Makes the content of one file.

    Every reference is followed as if it were a copy, so whoever walks the content later does no more work
    than was done here: a pickle that multiplies a list by naming it again and again runs out of its budget.

    Args:
        budget: charged for each value, and for tensors.
    """

    def __init__(self, budget: Budget) -> None:
        """Start at the top."""
        self._budget = budget
        self._trail: list[object] = []

    def content(self, value: object) -> Any:
        """The plain value.

        Raises:
            Refused: it is too deep, too large, or holds what is no value; the key is named.
        """
        try:
            return self._plain(value)
        except Refused as refusal:
            if not self._trail:
                raise
            key = ascii(".".join(map(str, self._trail)))[1:-1]
            raise Refused(f"{refusal.reason} (at {key[:SHOWN]})", refusal.hint) from refusal

    def _plain(self, value: Any) -> Any:
        self._budget.step()
        if type(value) in SCALARS:
            return value
        if isinstance(value, View):
            return value.tensor(self._budget)
        if isinstance(value, Span):
            return self._long(value)
        if len(self._trail) >= self._budget.limits.depth:
            raise Refused(
                f"nests values deeper than {self._budget.limits.depth} levels, as no checkpoint does"
            )
        if type(value) is dict:
            return {key: self._inside(key, item) for key, item in value.items()}
        if type(value) is list:
            return [self._inside(i, item) for i, item in enumerate(value)]
        if type(value) is tuple:
            return tuple(self._inside(i, item) for i, item in enumerate(value))
        if type(value) is set:
            self._budget.step(len(value))
            return set(value)
        if isinstance(value, Record):
            return Record(value.class_name, self._inside(value.class_name, value.state))
        raise Refused(f"holds a {type(value).__name__} where a value should be")

    def _inside(self, key: object, value: object) -> Any:
        self._trail.append(key)
        found = self._plain(value)
        self._trail.pop()
        return found

    def _long(self, span: Span) -> str | bytes:
        window = span.window.copy()
        self._budget.allocate(4 * window.left)  # a character may take four bytes
        data = window.take(window.left)
        try:
            return data if span.kind == "bytes" else data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Refused("is damaged: a text in it is none") from error
