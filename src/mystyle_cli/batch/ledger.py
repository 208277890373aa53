"""What came of inputs: handed out wherever that is wanted, accounted for in their order, told at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mystyle_cli.batch.errands import Became, Done, Errand, LeftOut
from mystyle_cli.batch.running import Forecast, Kept, Order, forecast, kept
from mystyle_cli.engines.engine import Demand, Note, Opener, Seat, Spread
from mystyle_cli.errors import MystyleError
from mystyle_cli.progress import Progress, Step, silent
from mystyle_cli.terminal.console import Console
from mystyle_cli.terminal.inputs import Input
from mystyle_cli.terminal.outputs import Target

if TYPE_CHECKING:
    from mystyle_cli.engines.runs import Noting

SOME_FAILED: Final = 3


@dataclass(frozen=True)
class Failure:
    """An input that gave no result."""

    item: Input
    error: MystyleError


class Ledger:
    """What came of inputs: done, failed, left out.

    Args:
        noun: what they are together, such as "photos".
    """

    def __init__(self, console: Console, inputs: Sequence[Input], noun: str) -> None:
        self.console, self.inputs, self.noun = console, inputs, noun
        self.progress: Progress = silent
        self.done: list[dict[str, object]] = []
        self.failed: list[Failure] = []
        self.skipped: list[Input] = []
        self.beside: dict[str, list[dict[str, str]]] = {}  # what else the JSON document says was left out
        self.run = ""  # the name of the run that is kept
        self.forecast: Forecast | None = None  # what the work would take, where nothing else is wanted
        self.left_out: list[Note] = []  # what workers told that is not of one input
        self._ahead: dict[int, tuple[Errand, Became]] = {}  # finished before others that come first
        self._next = 0  # the number of the errand that is told next

    @property
    def exit_code(self) -> int:
        """0 when nothing failed, the failures' own code when all failed alike, otherwise 3."""
        if not self.failed:
            return 0
        codes = {failure.error.exit_code for failure in self.failed}
        return codes.pop() if len(codes) == 1 and not self.done and not self.skipped else SOME_FAILED

    def tell(self) -> None:
        """Say how far it is."""
        if len(self.inputs) > 1:
            accounted = len(self.done) + len(self.failed) + len(self.skipped)
            self.progress(Step(self.noun, accounted, len(self.inputs)))

    def hand_out(
        self, order: Order, opener: Callable[[Noting | None], Opener], errands: Iterable[Sequence[Errand]]
    ) -> None:
        """Have errands done wherever that is wanted, and account for each, in the order of their numbers.

        Args:
            opener: makes what workers open, given where they note what they write.
            errands: those that are done together.

        Raises:
            MystyleError: of what all of them need.
            KeyboardInterrupt: somebody has cancelled the run.
        """
        if order.on is None or order.asked is None:
            self._spread(order, opener(None), errands, None)
            return
        run = order.asked.run(order.inputs, order.output)
        order.asked.app.refuse_unless_retried(run.name)
        self.run = run.name
        with kept(order.asked, run, order.on, len(self.inputs)) as keeping:
            self.console.info(f"run {run.name} on {order.on.name}")
            try:
                self._spread(order, opener(keeping.noting), errands, keeping)
            finally:
                keeping.end(len(self.inputs), len(self.done), len(self.skipped), len(self.failed))

    def _spread(
        self, order: Order, opener: Opener, errands: Iterable[Sequence[Errand]], keeping: Kept | None
    ) -> None:
        spread = Spread(order.where.open(), here=Seat(self.hear, self._step))
        if keeping is not None:
            spread.demand = keeping.asked.demand(spread.engine, order.together)
            spread.folder, spread.stopped = keeping.run.folder, keeping.run.stopped
        self.tell()
        with closing(spread.over(opener, errands)) as found:
            for errand, became in found:
                if keeping is not None and isinstance(became, Done):
                    keeping.count(became.cost)
                self._ahead[errand.number] = errand, became
                while self._next in self._ahead:
                    self._settle(*self._ahead.pop(self._next))
                    self._next += 1
                self.tell()

    def foretell(self, order: Order, there: int, photos: int | None = None) -> None:
        """Say what the work would take.

        Args:
            there: inputs whose results are there already.
            photos: bytes of the files of the others, where they are counted.
        """
        asked, engine = order.asked, order.where.open()
        demand = Demand() if asked is None else asked.demand(engine, order.together)
        seats = engine.seats(demand)
        before = None if asked is None else asked.measured(engine.threads(seats))
        self.forecast = forecast(before, order.where, seats, len(self.inputs) - there, there, photos)
        for line in self.forecast.lines():
            self.console.show(line)

    def hear(self, note: Note) -> None:
        """Say what a worker told, or keep it for the end."""
        if note.kind == "left out":
            self.left_out.append(note)
        else:
            self.console.hear(note)

    def _step(self, step: Step) -> None:
        self.progress(step)

    def _settle(self, errand: Errand, became: Became) -> None:
        """Account for an input."""
        if isinstance(became, LeftOut):
            self.skipped.append(errand.item)
        elif isinstance(became, Done):
            target = errand.place.target
            self.enter(errand.item, target, became.summary, became.warnings, became.report)
            for name in became.beside:
                self.console.result(name)
        else:
            self.failed.append(Failure(errand.item, became))

    def enter(
        self, item: Input, target: Target, summary: str, warnings: Sequence[str], report: Mapping[str, object]
    ) -> None:
        """Say that a result was written."""
        for warning in warnings:
            self.console.warn(f"{item.name}: {warning}")
        self.console.info(summary)
        if target.path is not None:
            self.console.result(target.name)
        self.done.append({"input": item.name, "output": target.name, **report})

    def conclude(self, command: str) -> None:
        """Say at the end what came of all, or would."""
        if self.forecast is not None:
            self.console.document(command, self.forecast.to_json())
            return
        self.account()
        self.document(command)

    def account(self) -> None:
        """List every failure at the end, and count when there was more than one input."""
        console = self.console
        for failure in self.failed:
            self._tell_of(failure)
        if len(self.inputs) == 1 and self.skipped:
            console.info(f"{self.skipped[0].name}: left out, its result is already there")
        if len(self.inputs) > 1:
            counts = [f"{len(self.done)} done"]
            counts += [f"{len(self.skipped)} skipped"] if self.skipped else []
            counts += [f"{len(self.failed)} failed"] if self.failed else []
            console.info(f"{len(self.inputs)} {self.noun}: {', '.join(counts)}")

    def _tell_of(self, failure: Failure) -> None:
        message = failure.error.message
        text = message if failure.item.name in message else f"{failure.item.name}: {message}"
        self.console.error(text, failure.error.hint, failure.error.__cause__)

    def document(self, command: str) -> None:
        """Print the JSON document, where it is wanted."""
        failures = [
            {
                "input": failure.item.name,
                "error": failure.error.message,
                "hint": failure.error.hint,
                "exit_code": failure.error.exit_code,
            }
            for failure in self.failed
        ]
        skipped = [item.name for item in self.skipped]
        body = {"results": self.done, "failures": failures, "skipped": skipped, **self.beside}
        if self.run:
            body["run"] = self.run
        self.console.document(command, body, ok=not failures and not any(self.beside.values()))
