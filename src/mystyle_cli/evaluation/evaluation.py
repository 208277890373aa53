"""Experiments on people, kept in a folder of their own, so that a killed run goes on to the same tables."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from mystyle_cli import __version__
from mystyle_cli.errors import MystyleError, ProfileError, UsageError, reason_of
from mystyle_cli.experiments.bench import Bench, Protocol
from mystyle_cli.experiments.experiment import Experiment, Measured, read_measured
from mystyle_cli.files.owned import Layout, Owned
from mystyle_cli.files.reading import read_file
from mystyle_cli.files.tensors import read_tensors
from mystyle_cli.files.writing import TEMPORARY
from mystyle_cli.person.reference import HELD_OUT, png_of, read_pixels
from mystyle_cli.progress import Progress, Step, silent
from mystyle_cli.report.page import Chapter, to_page
from mystyle_cli.report.plots import to_svg
from mystyle_cli.report.report import Report, to_csv, to_data

if TYPE_CHECKING:
    from mystyle_cli.analysis.outside import OutsideJudge
    from mystyle_cli.experiments.bench import Arrays
    from mystyle_cli.person.profile import Profile

MARKER: Final = ".mystyle"
_DIGEST: Final = "[0-9a-f]{24}"
_NAME: Final = r"[\w-]{1,80}"
# the names given in a folder of results; it shows photos of the person and is for its owner only
LAYOUT: Final = Layout(
    files=re.compile(
        rf"{re.escape(MARKER)}|report\.html|results\.json|tables/{_NAME}\.csv|plots/{_NAME}\.svg"
        rf"|parts/{_NAME}\.(json|png)|weights/{_DIGEST}\.safetensors"
    ),
    folders=frozenset(["tables", "plots", "parts", "weights"]),
    private=True,
)

MARK: Final = b'made_by = "mystyle"\nkind = "evaluation"\n'

LONGEST_MARK: Final = 4096  # bytes of a marker that are looked at

# bytes that files have at most, by their ending
LARGEST: Final = {".json": 64 << 20, ".png": 256 << 20, ".safetensors": 2 << 30}


class Folder:
    """A folder of results, in which what was measured before is found again.

    Args:
        path: made where it is not there, taken where it is empty; one that mystyle did not make is refused.
        store: the folder of profiles, in which no results lie.

    Raises:
        UsageError: something else is there, or it lies among profiles.
    """

    def __init__(self, path: Path, store: Path) -> None:
        self.path = path
        self.owned = Owned(path.parent, path.name, LAYOUT)
        if store.resolve() in (path.resolve(), *path.resolve().parents):
            raise UsageError(f"{path} lies among the profiles", "Give a folder elsewhere with -o.")
        try:
            if not self._is_ours():
                self.owned.write(MARKER, MARK)
            for name in LAYOUT.folders:
                self.owned.content(name)  # a link in its place is refused now, not after all work
        except OSError as error:
            raise UsageError(
                f"{path} cannot hold results: {reason_of(error)}", "Give another folder with -o."
            ) from error

    def _is_ours(self) -> bool:
        """Tell whether the folder is one of results already; False where it may become one.

        Raises:
            UsageError: it holds what mystyle did not write there.
        """
        if self.owned.has(MARKER):
            if read_file(self.path / MARKER, LONGEST_MARK, self.path) == MARK:
                return True
        elif not os.path.lexists(self.path) or (self.owned.exists() and not self._strangers()):
            return False
        raise UsageError(
            f"{self.path} is no folder of results of mystyle's",
            "Give another folder with -o, or move it away.",
        )

    def _strangers(self) -> list[str]:
        """Return what is in the folder besides a marker that a killed command was writing."""
        halves = (TEMPORARY.fullmatch(name) for name in os.listdir(self.path))
        return [half[0] if half else "" for half in halves if not half or half["name"] != MARKER]

    def read(self, name: str) -> bytes:
        """Return a file of results.

        Raises:
            OSError: it is not there, or is no regular file of a likely size.
        """
        return read_file(self.path / name, LARGEST[Path(name).suffix], self.path)

    def tensors(self, key: str, make: Callable[[], Arrays]) -> Arrays:
        """Return the weights of a key, made by `make` unless an interrupted run has kept them."""
        from safetensors.numpy import save

        name = f"weights/{_digest(key)}.safetensors"
        with suppress(ValueError, OSError):  # missing or damaged: they only save time
            found, notes = read_tensors(self.path / name, LARGEST[".safetensors"], self.path)
            if notes == {"key": key}:
                return found
        made = make()
        self.owned.write(name, save(dict(made), metadata={"key": key}))
        return made

    def forget_weights(self) -> None:
        """Remove the weights that were kept for the case of an interruption."""
        self.owned.clear("weights")


@dataclass(frozen=True)
class Skipped:
    """An experiment that could not be made on a person, and why."""

    experiment: str
    person: str
    reason: str
    failed: bool = False  # it was begun; else it lacks people or photos


@dataclass(frozen=True)
class Evaluation:
    """What experiments found out."""

    chapters: tuple[Chapter, ...]  # one for each experiment
    skipped: tuple[Skipped, ...]  # what could not be made
    folder: Path  # where everything is

    @property
    def reports(self) -> list[Report]:
        """The reports alone."""
        return [chapter.report for chapter in self.chapters]

    @property
    def failures(self) -> list[Skipped]:
        """What was begun and failed."""
        return [one for one in self.skipped if one.failed]

    @property
    def page(self) -> Path:
        """The page to open in a browser."""
        return self.folder / "report.html"


def evaluate(
    people: Sequence[Profile],
    experiments: Sequence[Experiment],
    protocol: Protocol,
    folder: Path,
    progress: Progress = silent,
    judge: OutsideJudge | None = None,
    lost: Mapping[str, MystyleError] = MappingProxyType({}),
) -> Evaluation:
    """Make experiments on people. Interrupted at any point, the same call goes on to the same tables.

    An experiment that fails on a person is told, and ends no other.

    Args:
        people: tuned profiles of one prior, with their photos.
        folder: where results go, and what was measured before is found.
        judge: from outside, beside dlib and the prior's own identity net.
        lost: why the work on some of them, by name, is not tried again.

    Raises:
        ProfileError: a profile is not tuned, lacks its photos, or is of another prior.
        UsageError: the folder is not mystyle's, or a person is named twice.
    """
    _refuse_unfit(people)
    place = Folder(folder, people[0].path.parent)
    chapters, skipped = [], []
    for number, experiment in enumerate(experiments):
        progress(Step("evaluate", number, len(experiments)))
        measured = {}
        for profile in people:
            others = [other for other in people if other is not profile]
            reason = _lacks(experiment, profile, others)
            if reason:
                skipped.append(Skipped(experiment.name, profile.name, reason))
                continue
            bench = Bench(profile, protocol, others, progress, place, judge if experiment.judged else None)
            try:
                if profile.name in lost:
                    raise lost[profile.name]
                measured[profile.name] = _measured(place, experiment, bench)
            except MystyleError as error:
                skipped.append(Skipped(experiment.name, profile.name, f"it failed: {error.message}", True))
        if measured:
            chapters.append(_told(experiment, measured))
    progress(Step("evaluate", len(experiments), len(experiments)))
    found = Evaluation(tuple(chapters), tuple(skipped), folder)
    _write(place, found, people, protocol, judge)
    place.forget_weights()
    return found


def measure(
    profile: Profile,
    others: Sequence[Profile],
    experiments: Sequence[Experiment],
    protocol: Protocol,
    folder: Path,
    progress: Progress = silent,
    judge: OutsideJudge | None = None,
) -> None:
    """Make experiments on one person of several and keep what they find, for `evaluate` to tell of all.

    What fails is left to `evaluate`, and so are experiments that take the time.

    Args:
        others: of the people that are evaluated together, all but this one, in their order.
    """
    place = Folder(folder, profile.path.parent)
    for experiment in experiments:
        if not experiment.timed and not _lacks(experiment, profile, others):
            bench = Bench(profile, protocol, others, progress, place, judge if experiment.judged else None)
            with suppress(MystyleError):
                _measured(place, experiment, bench)


def _told(experiment: Experiment, measured: Mapping[str, Measured]) -> Chapter:
    pictures = {
        f"{name}: {what}": pixels
        for name, found in measured.items()
        for what, pixels in found.pictures.items()
    }
    return Chapter(experiment.tell(measured), experiment.question, pictures)


def _refuse_unfit(people: Sequence[Profile]) -> None:
    """Refuse profiles that cannot be measured, or not together."""
    refuse_repeated([profile.name for profile in people])
    for profile in people:
        profile.require_faces()
        profile.generator()  # which says what to do where it is not tuned
        if profile.manifest.prior.sha256 != people[0].manifest.prior.sha256:
            raise ProfileError(
                f"profiles '{people[0].name}' and '{profile.name}' have different priors",
                "Evaluate profiles of one prior together.",
            )


def refuse_repeated(names: Sequence[str]) -> None:
    """Refuse a person who is named twice: nobody is compared with themselves.

    Raises:
        UsageError: one is.
    """
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"'{name}' is named twice", "Name each profile once.")


def _lacks(experiment: Experiment, profile: Profile, others: Sequence[Profile]) -> str:
    """Return what an experiment lacks on a person, or ""."""
    held_out = len(profile.photos(HELD_OUT))
    if held_out < experiment.held_out:
        return f"it needs {experiment.held_out} held-out photos, and there are {held_out}"
    if len(others) < experiment.others:
        return f"it needs {experiment.others + 1} people"
    if len(profile.photos()) < 3:
        return "it needs three photos"
    return ""


def _measured(place: Folder, experiment: Experiment, bench: Bench) -> Measured:
    """Return what an experiment found on a person, measured now or before."""
    name = f"{experiment.name}-{_key(experiment, bench)}"
    kept = None if experiment.timed else _kept(place, name)
    if kept is not None:
        return kept
    found = experiment.measure(bench)
    for what, pixels in found.pictures.items():
        place.owned.write(f"parts/{name}-{what}.png", png_of(pixels))
    # the values last: where they are there, everything is
    place.owned.write(f"parts/{name}.json", found.to_bytes())
    again = _kept(place, name)
    assert again is not None
    return again


def _kept(place: Folder, name: str) -> Measured | None:
    """Return what was measured before, or None where it is not there, or not whole."""
    try:
        values, names = read_measured(place.read(f"parts/{name}.json"))
        pictures = {what: read_pixels(place.path / f"parts/{name}-{what}.png", place.path) for what in names}
    except (ValueError, OSError, MystyleError):
        return None
    return Measured(values, pictures)


def _key(experiment: Experiment, bench: Bench) -> str:
    """Return the digest of all that a result depends on."""
    people = [bench.profile, *bench.others[: experiment.others]]
    known = [[one.manifest.digests(), one.manifest.identity, one.manifest.stages] for one in people]
    methods = [name for name in bench.protocol.methods or () if name in experiment.methods]
    facts = [
        __version__,
        [one.name for one in people],
        experiment.name,
        experiment.version,
        asdict(replace(bench.protocol, methods=tuple(methods) or None)),
        bench.profile.manifest.prior.sha256,
        known,
    ]
    if bench.outside is not None:
        facts.append(bench.outside.digest)
    return _digest(json.dumps(facts, sort_keys=True, default=str))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _write(
    place: Folder,
    found: Evaluation,
    people: Sequence[Profile],
    protocol: Protocol,
    judge: OutsideJudge | None,
) -> None:
    """Write tables, plots, the page, and all figures as one document."""
    for chapter in found.chapters:
        report = chapter.report
        for number, table in enumerate(report.tables):
            place.owned.write(f"tables/{report.name}-{number + 1}.csv", to_csv(table).encode())
        for number, plot in enumerate(report.plots):
            place.owned.write(f"plots/{report.name}-{number + 1}.svg", to_svg(plot).encode())
    names = ", ".join(profile.name for profile in people)
    lead = [finding for report in found.reports for finding in report.findings]
    place.owned.write("report.html", to_page(f"How good is {names}?", lead, found.chapters).encode())
    facts = {
        "people": [profile.name for profile in people],
        "prior": people[0].manifest.prior.name,
        "protocol": asdict(protocol),
        "judge": None if judge is None else judge.digest,
        "reports": [to_data(report) for report in found.reports],
        "skipped": [asdict(one) for one in found.skipped],
    }
    place.owned.write("results.json", (json.dumps(facts, indent=1) + "\n").encode())
