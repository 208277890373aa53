"""Many inputs: handed out a few at a time, wherever they are worked on; what came of each, told in order."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING

from mystyle_cli.batch.errands import Became, Desks, Done, Errand, Opening, seal_for
from mystyle_cli.batch.ledger import Failure, Ledger
from mystyle_cli.batch.running import HERE, Asked, Order
from mystyle_cli.batch.shipping import ShippedDesks
from mystyle_cli.errors import DecodeError, FaceError, UsageError
from mystyle_cli.terminal.console import Console, is_closed
from mystyle_cli.terminal.inputs import Input, expand, left_out
from mystyle_cli.terminal.options import BatchOptions, warn_unmarked
from mystyle_cli.terminal.outputs import (
    FORMAT,
    NONE,
    Naming,
    Originals,
    Place,
    Target,
    plan,
    refuse_idle,
    split,
    target_for,
)

if TYPE_CHECKING:
    from mystyle_cli.batch.watching import Watch
    from mystyle_cli.engines.named import Where
    from mystyle_cli.engines.runs import Noting


@contextmanager
def open_batch(
    console: Console,
    options: BatchOptions,
    command: str,
    originals: Originals = NONE,
    codes: Path | None = None,
    size: tuple[int, int] | None = None,
    watch: Watch | None = None,
    variants: int = 1,
    asked: Asked | None = None,
) -> Iterator[Batch]:
    """Plan where the results of all inputs go; at the end, say what came of them.

    Args:
        originals: what no result may replace besides the inputs.
        codes: the folder in which the command keeps codes, if any.
        size: height and width of every result, where that is known; None: about those of its photo.
        watch: yields the inputs as they come; an interruption ends that, as it should.
        variants: results of each input.
        asked: what the run is known by that is kept where `--on` says where work runs.

    Raises:
        UsageError: inputs and outputs do not fit together; nothing has been done then.
    """
    if options.overwrite and options.skip_existing:
        raise UsageError("--overwrite and --skip-existing contradict each other", "Give one of them.")
    warn_unmarked(console, options.marking)
    if watch is not None:
        batch: Batch = WatchingBatch(console, options, command, originals, codes, watch)
    else:
        batch = _planned(console, options, command, originals, codes, size, variants)
    batch.asked = asked
    with console.progress() as batch.progress:
        try:
            yield batch
        except KeyboardInterrupt:
            if watch is None:
                raise
    batch.conclude(command)


def _planned(
    console: Console,
    options: BatchOptions,
    command: str,
    originals: Originals,
    codes: Path | None,
    size: tuple[int, int] | None,
    variants: int,
) -> Batch:
    """Return a batch of inputs that are all there, with a place for each result."""
    inputs = expand(options.inputs, options.recursive)
    if others := left_out(options.inputs, options.recursive):
        console.warn(others)
    ending = options.format_name or FORMAT
    if options.naming:
        inputs = options.naming.without_results(inputs, options.output, command, f".{ending}")
    originals |= Originals.of(item.path for item in inputs if item.path is not None)
    places = plan(inputs, options.output, command, ending, originals, codes, options.naming)
    if variants > 1:
        places = split(inputs, places, variants, originals)
    targets = [place.target for place in places]
    refuse_idle(targets, options.format_name, options.jpeg_quality)
    check_stream(console, targets, inputs)
    return Batch(console, options, inputs, places, originals, size)


class Batch(Ledger):
    """Inputs on their way, and what came of them; `open_batch` makes it."""

    def __init__(
        self,
        console: Console,
        options: BatchOptions,
        inputs: Sequence[Input],
        places: Sequence[Place],
        originals: Originals,
        size: tuple[int, int] | None,
    ) -> None:
        super().__init__(console, inputs, "photos")
        self.options, self.seal = options, seal_for(options.marking)
        self.places, self.originals, self.size = places, originals, size
        self.asked: Asked | None = None  # what a run that is kept is known by

    def work(self, opening: Opening) -> None:
        """Have all inputs worked on, a few photos at a time, wherever that is; tell of them in their order.

        Raises:
            MystyleError: of what all inputs need.
        """
        options = self.options
        if options.on is not None and options.on != HERE:
            self._refuse_elsewhere(options.on)
        order = Order(options.on, self.asked, options.inputs, options.output, options.batch)
        if options.dry_run:
            left = [item for item, place in zip(self.inputs, self.places, strict=True) if self._lacks(place)]
            self.foretell(order, len(self.inputs) - len(left), sum(map(_size, left)))
        else:
            self.hand_out(order, partial(self._desks, opening), self._errands())

    def _lacks(self, place: Place) -> bool:
        """Tell whether what belongs there is to be made."""
        return self.options.overwrite or not all(map(os.path.lexists, place.needed))

    def _desks(self, opening: Opening, noting: Noting | None) -> Desks:
        given = self.options, opening, self.originals, self.size, self.seal, noting
        return ShippedDesks(*given, inputs=self.inputs, results=self.places)

    def _refuse_elsewhere(self, where: Where) -> None:
        """Refuse (UsageError) what only this process can do."""
        streams = any(item.path is None for item in self.inputs)
        if streams or any(place.target.path is None for place in self.places):
            raise UsageError(
                f"--on {where.name}: standard input and output are this process's", "Leave --on out."
            )
        if self.seal is not None and where.kind != "local":
            raise UsageError(
                f"--on {where.name}: the key that signs does not leave this machine", "Use --on local."
            )

    def _errands(self) -> Iterator[list[Errand]]:
        """Yield what is to be done, as many photos at a time as are worked on together."""
        yield from self._grouped(self.inputs, self.places)

    def _grouped(self, inputs: Sequence[Input], places: Sequence[Place]) -> Iterator[list[Errand]]:
        pairs = zip(inputs, places, strict=True)
        numbers = count(self._next)
        while group := list(islice(pairs, self.options.batch)):
            yield [Errand(next(numbers), item, place, self._gives_way(item, place)) for item, place in group]

    def _gives_way(self, item: Input, place: Place) -> bool:
        """Tell whether what is in a result's place came of what its input was before."""
        return False


class WatchingBatch(Batch):
    """Inputs that come while others are worked on, each handed out once."""

    def __init__(
        self,
        console: Console,
        options: BatchOptions,
        command: str,
        originals: Originals,
        codes: Path | None,
        watch: Watch,
    ) -> None:
        ending = options.format_name or FORMAT
        for option, typed in (("--on", options.on is not None), ("--dry-run", options.dry_run)):
            if typed:
                raise UsageError(
                    f"--watch works in this process, until Ctrl-C: {option} does nothing", "Leave one out."
                )
        refuse_idle([target_for(Path(f"a.{ending}"))], options.format_name, options.jpeg_quality)
        options = replace(options, skip_existing=not options.overwrite)
        super().__init__(console, options, [], [], originals, None)
        self.command, self.codes, self.watch = command, codes, watch
        self._told = [0, 0]  # failures and skipped inputs that were noted

    def _errands(self) -> Iterator[list[Errand]]:
        """Yield what has come, a few photos at a time, until it is interrupted."""
        for new in self.watch.rounds():
            self.inputs = [*self.inputs, *new]
            self.originals |= Originals.of(item.path for item in new if item.path is not None)
            planned = [(item, place) for item in new if (place := self._place(item)) is not None]
            self._note()
            yield from self._grouped([item for item, _ in planned], [place for _, place in planned])

    def _settle(self, errand: Errand, became: Became) -> None:
        """Do as any batch does, and note it."""
        super()._settle(errand, became)
        if isinstance(became, Done):
            self.watch.note(errand.item, errand.place.target.path)
        self._note()

    def _place(self, item: Input) -> Place | None:
        """Choose where a photo's result goes: by its whole name where another's has the usual one."""
        try:
            place = self._planned(item, self.options.naming)
            path = place.target.path
            if path is not None and self.watch.notes.made_of(path, item) is False:
                place = self._planned(item, Naming("{name}{ext}"))
        except UsageError as error:
            self.failed.append(Failure(item, error))
            return None
        return place

    def _planned(self, item: Input, naming: Naming | None) -> Place:
        options = self.options
        ending = options.format_name or FORMAT
        (place,) = plan([item], options.output, self.command, ending, self.originals, self.codes, naming)
        return place

    def _gives_way(self, item: Input, place: Place) -> bool:
        """Tell whether what is there is the result of what the photo was before."""
        path = place.target.path
        return path is not None and self.watch.notes.made_of(path, item) is True

    def _note(self) -> None:
        """Tell of what failed since, and note it, unless that may be different another time."""
        failures, skipped = self.failed[self._told[0] :], self.skipped[self._told[1] :]
        self._told = [len(self.failed), len(self.skipped)]
        for failure in failures:
            self._tell_of(failure)
            if isinstance(failure.error, DecodeError | FaceError | UsageError):
                self.watch.note(failure.item, None)
            else:
                self.watch.forget(failure.item)
        for item in skipped:
            self.watch.note(item, None)

    def account(self) -> None:
        """Count; what failed was told when it did."""
        counts = [f"{len(self.done)} done"]
        counts += [f"{len(self.skipped)} skipped"] if self.skipped else []
        counts += [f"{len(self.failed)} failed"] if self.failed else []
        self.console.info(f"{len(self.inputs)} photos came: {', '.join(counts)}")


def _size(item: Input) -> int:
    """Return how many bytes an input's file has; none where it has gone meanwhile, or is none."""
    try:
        status = None if item.path is None else item.path.stat()
    except OSError:
        return 0
    return status.st_size if status is not None and stat.S_ISREG(status.st_mode) else 0


def check_stream(console: Console, targets: Sequence[Target], inputs: Sequence[Input] = ()) -> None:
    """Refuse before any work what could not be read for it, or written after it."""
    if any(item.path is None for item in inputs) and is_closed(sys.stdin):
        raise UsageError("standard input is closed", "Feed it a picture (< in.png), or name files.")
    if any(target.path is None for target in targets):
        if is_closed(sys.stdout):
            raise UsageError("standard output is closed", "Redirect it (> out.png) or use -o FILE.")
        if console.json:
            raise UsageError("--json and the picture would both go to standard output", "Use -o FILE.")
        if sys.stdout.isatty():
            raise UsageError(
                "a picture cannot be shown in a terminal", "Redirect it (> out.png) or use -o FILE."
            )
