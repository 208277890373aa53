"""Photos that are worked on where they are not seen: what travels of an errand, and what comes back of it.

The driver is the counter: it reads each photo, and writes what comes back, by the rules of any result. What
works on it is a bench, with profiles in a hold.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

from mystyle_cli.batch.companions import Companions
from mystyle_cli.batch.errands import (
    Accepted,
    Answered,
    Became,
    Bench,
    Counter,
    Desks,
    Done,
    Errand,
    Made,
    Source,
)
from mystyle_cli.engines.engine import Seat, Work
from mystyle_cli.engines.shipping import Fetch, Hold, Label, Parcel, Put
from mystyle_cli.errors import MystyleError, UsageError, contained
from mystyle_cli.files.notes import LARGEST
from mystyle_cli.files.paths import nearest
from mystyle_cli.files.reading import Handed
from mystyle_cli.store.found import Found
from mystyle_cli.terminal.inputs import Input
from mystyle_cli.terminal.outputs import NONE, Place

MOST: Final = 64  # folders of photos, and of results, that are looked at
STORE: Final = "store"  # where profiles lie in a hold
PRIORS: Final = "priors"


@dataclass(frozen=True)
class ShippedDesks(Desks):
    """Desks whose work may be done where photos and profiles are not seen."""

    inputs: Sequence[Input] = ()  # as the driver has them: workers are not told
    results: Sequence[Place] = ()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "inputs": (), "results": ()}

    def places(self) -> list[Path]:
        """Return a photo of each folder of photos, and each folder that results go to, as far as it is there.

        Where there are many, some of them stand for all.
        """
        photos = {one.path.parent: one.path for one in self.inputs if one.path is not None}
        folders = {nearest(path.parent) for place in self.results for path in place.paths}
        beside = [companions.path for companions in self.opening.needs().companions]
        return [*islice(photos.values(), MOST), *islice(sorted(folders), MOST), *beside]

    def shipping(self) -> _Driver:
        """Return the driver's end of it."""
        return _Driver(self)


@dataclass(frozen=True)
class _Sent:
    """What travels of an errand."""

    accepted: Accepted
    photo: Parcel
    companions: Mapping[str, Parcel | MystyleError]  # by what they are, or why they are not there

    def source(self, fetch: Fetch) -> Source:
        """Return the photo and its companions; raises MystyleError where they are not what was sent."""
        handed = {
            what: one if isinstance(one, MystyleError) else _handed(one, fetch)
            for what, one in self.companions.items()
        }
        return _handed(self.photo, fetch), handed


def _handed(parcel: Parcel, fetch: Fetch) -> Handed:
    return Handed(Path(parcel.label.name), parcel.opened(fetch))


@dataclass(frozen=True)
class _Brought:
    """What comes back of one: files by the names that the errand has for them."""

    done: Done
    files: tuple[tuple[Label, bytes], ...]


@dataclass
class _Driver:
    """Sends errands, and writes what comes back of them."""

    desks: ShippedDesks
    _counter: Counter = field(init=False)
    _sent: dict[int, tuple[Accepted, Label] | Became] = field(default_factory=dict)  # by the errands' numbers
    _common: dict[Path, Parcel] = field(default_factory=dict)  # companions of all photos

    def __post_init__(self) -> None:
        self._counter = Counter(self.desks)

    def load(self, put: Put) -> _Load:
        """Return profiles, and the priors that no program comes with."""
        needs = self.desks.opening.needs()
        if needs.stays:
            raise UsageError(
                f"{needs.stays}, and not all machines of the cluster see it",
                "Put the store where all of them see it (--store), or leave --on out.",
            )
        profiles: dict[str, bytes] = {}
        priors: dict[str, _Prior] = {}
        for one in needs.people:
            profile = one.open()
            profiles |= {f"{STORE}/{one.name}/{name}": data for name, data in profile.read_files().items()}
            if not profile.prior.bundled and one.prior not in priors:
                files = profile.prior.read_files()
                parcels = [Parcel.sent(f"{PRIORS}/{one.prior}/{name}", files[name], put) for name in files]
                priors[one.prior] = _Prior(profile.manifest.prior.place, tuple(parcels))
        desks = replace(self.desks, originals=NONE, noting=None)  # which are the counter's
        sent = tuple(Parcel.sent(name, data, put) for name, data in profiles.items())
        return _Load(desks, sent, priors)

    def pack(self, items: Sequence[Errand], put: Put) -> list[_Sent]:
        """Return what is to be worked on; of the rest it is known what became of it."""
        packed = []
        for errand, taken in zip(items, self._counter.take(items), strict=True):
            became: Accepted | Became = taken
            if isinstance(became, Accepted):
                try:
                    packed.append(self._packed(became, put))
                    self._sent[errand.number] = became, packed[-1].photo.label
                    continue
                except Exception as error:
                    became = contained(errand.item.name, error)
            self._sent[errand.number] = became
        return packed

    def _packed(self, accepted: Accepted, put: Put) -> _Sent:
        item = accepted.errand.item
        assert item.path is not None  # no stream is worked on elsewhere
        photo = _read(item.path, put)
        companions = self.desks.opening.needs().companions
        return _Sent(accepted, photo, {one.what: self._companion(one, accepted, put) for one in companions})

    def _companion(self, companions: Companions, accepted: Accepted, put: Put) -> Parcel | MystyleError:
        """Send a companion, one that all photos have once; or say why there is none."""
        try:
            path = companions.of(accepted.errand.item)
            if path != companions.path:
                return _read(path, put)
            if path not in self._common:
                self._common[path] = _read(path, put)
            return self._common[path]
        except MystyleError as error:
            return error

    def unpack(self, items: Sequence[Errand], answers: Iterable[Any]) -> Iterator[Became]:
        """Write what came back, and yield what became of errands."""
        brought = iter(answers)
        for errand in items:
            sent = self._sent.pop(errand.number)
            if not isinstance(sent, tuple):
                yield sent
                continue
            accepted, photo = sent
            yield self._counter.give(accepted, partial(_made, accepted, photo, next(brought, None)))


def _read(path: Path, put: Put) -> Parcel:
    """Send a file; raises DecodeError as reading a photo does."""
    from mystyle_cli.photos.decode import read_file

    return Parcel.sent(str(path), read_file(path), put)


def _made(accepted: Accepted, photo: Label, brought: object) -> Made:
    """Return what came back of a photo, after seeing that each file is one that it may have.

    Raises:
        MystyleError: why there is nothing, or something else is there.
    """
    if isinstance(brought, MystyleError):
        raise brought
    name, allowed = accepted.errand.item.name, {str(target.path): target for target in accepted.files}
    if not isinstance(brought, _Brought) or not isinstance(brought.done, Done):
        raise MystyleError(f"{name}: nothing came back that a result is made of", _ODD)
    files = []
    for label, data in brought.files:
        target = allowed.pop(label.name, None)
        if target is None:
            raise MystyleError(f"{name}: {label.name!r} came back, which is no result of it", _ODD)
        if label.size > LARGEST:
            raise MystyleError(f"{name}: {label.size:,} bytes came back for {label.name}", _ODD)
        files.append((target, label.checked(data)))
    if missing := [path for path in accepted.needed if str(path) in allowed]:
        raise MystyleError(f"{name}: {missing[0]} has not come back", _ODD)
    return Made(brought.done, files, photo.sha256)


_ODD: Final = "Look at that machine, or use --on local."


@dataclass(frozen=True)
class _Prior:
    """A prior, for machines that have it not."""

    place: str  # the name or folder by which it is found where it is
    parcels: tuple[Parcel, ...]

    def is_there(self, digest: str) -> bool:
        """Tell whether this machine has it."""
        from mystyle_cli.prior.registry import open_prior

        try:
            return open_prior(self.place).digest == digest
        except MystyleError:
            return False


@dataclass(frozen=True)
class _Load:
    """What a worker needs for all photos."""

    desks: Desks
    profiles: tuple[Parcel, ...]
    priors: Mapping[str, _Prior]  # by their digests

    def opener(self, hold: Hold) -> _Away:
        """Put into a hold what is not on this machine."""
        lacking = {digest: one for digest, one in self.priors.items() if not one.is_there(digest)}
        folder = hold.keep([*self.profiles, *(part for one in lacking.values() for part in one.parcels)])
        people: list[Found] = [
            one.moved(folder / STORE, folder / PRIORS / one.prior if one.prior in lacking else None)
            for one in self.desks.opening.needs().people
        ]
        return _Away(replace(self.desks, opening=self.desks.opening.moved(people)), hold.fetch)


@dataclass(frozen=True)
class _Away:
    """Opens a bench without a counter, for photos that are sent to it."""

    desks: Desks
    fetch: Fetch

    def open(self, seat: Seat) -> Work:
        """Return what works on photos that were sent."""
        bench = Bench(self.desks, seat)

        def work(sent: Sequence[_Sent]) -> Iterator[_Brought | MystyleError]:
            answers = bench.work([(one.accepted, partial(one.source, self.fetch)) for one in sent])
            for one, answered in zip(sent, answers, strict=True):
                yield _brought(bench, one.accepted.errand, answered)

        return work


def _brought(bench: Bench, errand: Errand, answered: Answered) -> _Brought | MystyleError:
    begun = time.perf_counter()
    try:
        made = bench.made(answered)
        files = tuple((Label.of(str(target.path), data), data) for target, data in made.files)
    except Exception as error:
        return contained(errand.item.name, error)
    return _Brought(bench.costed(made.done, begun), files)
