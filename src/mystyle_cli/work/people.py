"""`profile create --each`: a folder a person, each learned as `profile create` learns one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mystyle_cli.batch.errands import Became, Cost, Done, Errand, LeftOut
from mystyle_cli.batch.ledger import Ledger
from mystyle_cli.batch.running import Asked, Order
from mystyle_cli.errors import UsageError, contained
from mystyle_cli.files.paths import check_name
from mystyle_cli.nets.memory import peak_memory
from mystyle_cli.nets.processors import threads
from mystyle_cli.terminal.app import App, choose_device
from mystyle_cli.terminal.inputs import Input, pictures_of
from mystyle_cli.terminal.learning import TuningOptions, photo_summary, result_lines
from mystyle_cli.terminal.outputs import Place, Target

if TYPE_CHECKING:
    from mystyle_cli.engines.engine import Seat, Work
    from mystyle_cli.engines.named import Where
    from mystyle_cli.learn.learn import Learned
    from mystyle_cli.learn.settings import LearnSettings
    from mystyle_cli.store.store import Store

COMMAND: Final = "profile create --each"


@dataclass(frozen=True)
class Folders:
    """The people that are to be learned, and how.

    Args:
        folder: of folders of photos, each called as its person is to be.
        held_out: share of the usable photos that is kept out of learning.
        tune: whether to tune, too.
        replace: whether profiles that are there are learned anew.
    """

    folder: Path
    recursive: bool
    prior: str
    held_out: float
    tune: bool
    consent: str
    until: str
    replace: bool
    tuning: TuningOptions

    def errands(self, root: Path) -> list[Errand]:
        """Return an errand for each person.

        Args:
            root: of the store.

        Raises:
            UsageError: there is no folder with photos, or one is called as no profile can be, or two are
                called alike.
        """
        if not self.folder.is_dir():
            raise UsageError(f"{self.folder} is no folder", "Give a folder of folders, one a person.")
        inner = [path for path in sorted(self.folder.iterdir()) if path.is_dir() and path.name[0] != "."]
        folders = [path for path in inner if pictures_of(path, self.recursive)]
        if not folders:
            raise UsageError(
                f"{self.folder} has no folder with photos in it", "Give a folder of folders, one a person."
            )
        names = [check_name(path.name) for path in folders]
        alike = {name.casefold() for name in names}
        if len(alike) < len(names):
            raise UsageError(f"in {self.folder} two people are called alike", "Give them names of their own.")
        return [
            Errand(number, Input(path, Path(path.name), from_folder=True), Place(Target(root / name, "png")))
            for number, (path, name) in enumerate(zip(folders, names, strict=True))
        ]


@dataclass(frozen=True)
class OpenLearning:
    """Makes the learning of people ready, in whatever process.

    Args:
        root: of the store, absolute.
        device: `--device`.
    """

    people: Folders
    root: Path
    device: str

    def open(self, seat: Seat) -> Work:
        """Open the prior, and return what learns people."""
        from mystyle_cli.prior.registry import open_prior
        from mystyle_cli.store.store import Store

        people, begun = self.people, time.perf_counter()
        start, store = open_prior(people.prior), Store(self.root)
        settings = self._settings(seat)
        opening = time.perf_counter() - begun

        def learn_all(errands: Sequence[Errand]) -> Iterator[Became]:
            from mystyle_cli.learn.learn import learn

            for errand in errands:
                begun, folder = time.perf_counter(), errand.item.path
                assert folder is not None
                photos = [item.path for item in pictures_of(folder, people.recursive) if item.path]
                try:
                    known = replace(settings, regions=dict.fromkeys(photos, ()))
                    learned = learn(store, folder.name, photos, start, known, seat.progress)
                except Exception as error:
                    yield contained(folder.name, error)
                    continue
                cost = Cost(time.perf_counter() - begun, opening, peak_memory(), threads())
                yield _done(learned, cost) if learned.worked else LeftOut()

        return learn_all

    def _settings(self, seat: Seat) -> LearnSettings:
        from mystyle_cli.curate.settings import CurateSettings

        people = self.people
        return replace(
            people.tuning.settings(choose_device(self.device, seat.tell), tune=people.tune),
            curation=CurateSettings(held_out=people.held_out),
            consent=people.consent,
            consent_until=people.until,
            replace=people.replace,
        )


def _done(learned: Learned, cost: Cost) -> Done:
    """Return what is told of a person."""
    profile = learned.profile
    results = profile.manifest.results
    lines = [f"{profile.name}: {photo_summary(profile.records)}", *result_lines(results)]
    report: dict[str, object] = {
        "name": profile.name,
        "tuned": profile.tuned,
        "counts": dict(profile.manifest.counts),
        "stages_worked": list(learned.worked),
        "results": {line: dict(figures) for line, figures in results.items()},
        "advice": list(learned.warnings),
    }
    return Done("\n".join(lines), learned.warnings, report, cost=cost)


def learn_each(app: App, people: Folders, on: Where | None, *, dry_run: bool) -> int:
    """Learn all people of a folder; returns the exit code.

    Raises:
        MystyleError: of what all of them need, such as the prior.
    """
    from mystyle_cli.prior.registry import open_prior

    store = app.profiles()
    prior = open_prior(people.prior)  # what can be refused is, before anything is begun
    errands = people.errands(store.root)
    ledger = Ledger(app.console, [errand.item for errand in errands], "people")
    pace = prior.digest, people.tune, people.tuning
    what = replace(people, folder=Path(), replace=False), prior.digest
    asked = Asked(app, COMMAND, what, pace)
    order = Order(on, asked, [str(people.folder)], str(store.root), 1)
    if dry_run:
        ledger.foretell(order, 0 if people.replace else _there(store, errands, tuned=people.tune))
    else:
        opener = OpenLearning(people, store.root.absolute(), app.device)
        with app.console.progress() as ledger.progress:
            ledger.hand_out(order, lambda noting: opener, ([errand] for errand in errands))
    ledger.conclude(COMMAND)
    return ledger.exit_code


def _there(store: Store, errands: Sequence[Errand], *, tuned: bool) -> int:
    """Return how many of the people are learned already."""
    ready = {"ready"} if tuned else {"ready", "untuned"}
    known = {entry.name for entry in store.entries() if entry.state in ready}
    return sum(errand.item.relative.name in known for errand in errands)
