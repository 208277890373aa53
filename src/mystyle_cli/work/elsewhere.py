"""`tune --on` and `evaluate --on`: long work on people, each of them in a process of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mystyle_cli.engines.engine import Demand, Opener, Seat, Spread
from mystyle_cli.errors import MystyleError
from mystyle_cli.progress import Progress, Step
from mystyle_cli.terminal.app import App, choose_device
from mystyle_cli.terminal.learning import TuningOptions

if TYPE_CHECKING:
    from mystyle_cli.engines.engine import Work
    from mystyle_cli.engines.named import Where
    from mystyle_cli.experiments.bench import Protocol
    from mystyle_cli.learn.learn import Learned
    from mystyle_cli.store.found import Found


@dataclass(frozen=True)
class Retuned:
    """What tuning did, but for the profile."""

    worked: tuple[str, ...]
    warnings: tuple[str, ...]
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class OpenTuning:
    """Makes tuning ready, in whatever process.

    Args:
        root: of the store, absolute.
        device: `--device`.
    """

    root: Path
    device: str
    tuning: TuningOptions

    def open(self, seat: Seat) -> Work:
        """Return what tunes profiles by their names."""
        from mystyle_cli.store.store import Store

        settings, store = self.tuning.settings(choose_device(self.device, seat.tell)), Store(self.root)

        def tune(names: Sequence[str]) -> Iterator[Retuned]:
            from mystyle_cli.learn.learn import retune

            for name in names:
                learned = retune(store, name, settings, seat.progress)
                yield Retuned(learned.worked, learned.warnings, dict(learned.seconds))

        return tune


def tune_on(app: App, name: str, on: Where, tuning: TuningOptions) -> Learned:
    """Tune a profile wherever that is wanted; raises MystyleError as tuning does."""
    from mystyle_cli.learn.learn import Learned

    store = app.profiles()
    with app.console.progress() as progress:
        opener = OpenTuning(store.root.absolute(), app.device, tuning)
        ((_, told),) = _spread(app, on, opener, [[name]], progress)
    if isinstance(told, MystyleError):
        raise told
    return Learned(store.open(name), told.worked, told.warnings, told.seconds)


@dataclass(frozen=True)
class OpenMeasuring:
    """Makes experiments on people ready, in whatever process.

    Args:
        people: all that are evaluated together.
        device: `--device`.
        experiments: their names.
        folder: where what they find is kept, absolute.
        judge: a file, see `OutsideJudge`.
    """

    people: tuple[Found, ...]
    device: str
    experiments: tuple[str, ...]
    protocol: Protocol
    folder: Path
    judge: Path | None

    def open(self, seat: Seat) -> Work:
        """Return what measures people by their names."""
        from mystyle_cli.analysis.outside import OutsideJudge
        from mystyle_cli.evaluation.evaluation import measure
        from mystyle_cli.evaluation.registry import choose

        device = choose_device(self.device, seat.tell)
        people = {one.name: one.open().on(device) for one in self.people}
        experiments = choose(self.experiments, paper=True)
        outside = None if self.judge is None else OutsideJudge(self.judge)

        def measure_all(names: Sequence[str]) -> Iterator[None]:
            for name in names:
                others = [one for other, one in people.items() if other != name]
                profile = people[name]
                measure(profile, others, experiments, self.protocol, self.folder, seat.progress, outside)
                yield None

        return measure_all


def measure_on(app: App, on: Where, opener: OpenMeasuring, progress: Progress) -> dict[str, MystyleError]:
    """Measure people side by side; returns why some could not be, by name."""
    lost = {}
    chunks = [[one.name] for one in opener.people]
    for number, (name, told) in enumerate(_spread(app, on, opener, chunks, progress)):
        progress(Step("people", number + 1, len(chunks)))
        if isinstance(told, MystyleError):
            lost[name] = told
    return lost


def _spread(
    app: App, on: Where, opener: Opener, chunks: Sequence[Sequence[str]], progress: Progress
) -> Iterator[tuple[str, Any]]:
    from mystyle_cli.nets.providers import cuda_devices

    app.refuse_unless_retried("")  # no run is kept of these
    engine = on.open()
    app.console.info(f"on {engine.name}")
    demand = Demand(gpu=app.device in ("auto", "cuda") and cuda_devices() > 0)
    yield from Spread(engine, demand, here=Seat(app.console.hear, progress)).over(opener, chunks)
