"""`mystyle profile create`, `ingest` and `tune`: from photos to a profile, resumable at any point."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from mystyle_cli.config import DEFAULT_PRIOR
from mystyle_cli.errors import UsageError
from mystyle_cli.ranks import Ranks
from mystyle_cli.terminal.app import App, Command, Unused, pass_app
from mystyle_cli.terminal.inputs import expand_paths, left_out
from mystyle_cli.terminal.learning import (
    TUNING,
    UNTUNED,
    TuningOptions,
    ask_consent,
    consent_option,
    dry_run_option,
    show_estimate,
    show_learned,
    tuning_options,
    unnoted,
    until_option,
)
from mystyle_cli.terminal.options import (
    Number,
    bundle,
    on_option,
    profile_argument,
    profile_names,
    recursive_option,
)

if TYPE_CHECKING:
    from mystyle_cli.curate.dates import Dates
    from mystyle_cli.engines.named import Where
    from mystyle_cli.photos.tags import Box


@dataclass(frozen=True)
class AlbumOptions:
    """Where photos of the person are: files, folders or patterns, as typed."""

    photos: tuple[str, ...]
    recursive: bool
    from_tags: str | None  # the name of the person, as an album's program has noted it in or beside photos
    dates: Path | None  # the list of photos' years, or None

    def refuse_none(self) -> None:
        """Refuse to work on no photos; raises UsageError."""
        if not self.photos:
            raise UsageError("no photos are named", "Name files, folders or patterns after the profile.")

    def paths(self, app: App) -> Mapping[Path, tuple[Box, ...]]:
        """Return the photos, and where the person is tagged on each; what is left out of folders is said.

        Raises:
            UsageError: none is tagged with the name.
        """
        paths = expand_paths(self.photos, self.recursive)
        if self.from_tags is None:
            if others := left_out(self.photos, self.recursive):
                app.console.warn(others)
            return dict.fromkeys(paths, ())
        from mystyle_cli.curate.tagged import find_tagged

        with app.console.progress() as progress:
            tagged = find_tagged(paths, self.from_tags, progress)
        located = sum(map(bool, tagged.values()))
        app.console.info(
            f"{len(tagged)} of {len(paths)} photos are tagged {self.from_tags}, {located} of them say where"
        )
        return tagged

    def years(self) -> Dates | None:
        """Return the years that the list says; raises UsageError where it is none."""
        from mystyle_cli.curate.dates import read_dates

        return None if self.dates is None else read_dates(self.dates)


album_options: Final = bundle(
    "album",
    AlbumOptions,
    (
        click.argument("photos", nargs=-1, metavar="PHOTOS..."),
        recursive_option,
        click.option(
            "--from-tags",
            metavar="NAME",
            help="Only photos on which NAME is tagged (by digiKam, Lightroom, Picasa, Apple Photos, Immich, "
            "Windows), and of several faces the one that is.",
        ),
        click.option(
            "--dates",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            metavar="FILE",
            help="When photos were taken, for --year: lines of NAME,YEAR (or a day), by comma or tab.  "
            "[default: as the photos themselves say]",
        ),
    ),
)
no_tune_option: Final = click.option(
    "--no-tune", is_flag=True, help="Stop before tuning; `mystyle tune` does it later."
)


@dataclass(frozen=True)
class PersonOptions:
    """Who is learned, and from which prior."""

    reference: Path | None
    keep: tuple[Path, ...]
    held_out: float
    no_tune: bool
    prior: str
    consent: str | None  # what the person agreed to; None asks on a terminal
    until: str  # the consent's last day, ISO 8601; "" has no end
    replace: bool


person_options: Final = bundle(
    "person",
    PersonOptions,
    (
        click.option(
            "--reference",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            metavar="PHOTO",
            help="A photo of the person, alone.  [default: whoever is in most photos]",
        ),
        click.option(
            "--keep",
            multiple=True,
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            metavar="PHOTO",
            help="Keep this one of PHOTOS, whatever is wrong with it, if it shows a face; may be repeated.",
        ),
        click.option(
            "--held-out",
            type=Number(0, 0.5),
            default=0.1,
            show_default=True,
            help="Share of the usable photos that is kept out of learning, to judge by.",
        ),
        no_tune_option,
        click.option(
            "--prior",
            default=DEFAULT_PRIOR,
            show_default=True,
            metavar="NAME|DIR",
            help="Generator to start from.",
        ),
        consent_option,
        until_option,
        click.option("--replace", is_flag=True, help="Learn anew if the profile is there already."),
    ),
)


each_option: Final = click.option(
    "--each",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    is_eager=True,  # NAME and PHOTOS are read with a view to it
    help="In place of NAME and PHOTOS: a folder a person, called as each is to be.",
)


@click.command(
    "create",
    cls=Command,
    unused=(
        UNTUNED,
        Unused(
            ("reference", "keep", "from_tags", "dates"),
            lambda values: values["each"] is not None,
            "with --each there are several people",
            "Leave it out, or create them one by one.",
        ),
        Unused(
            ("on",),
            lambda values: values["each"] is None,
            "one person is learned in this process",
            "Leave it out, or give --each DIR, a folder a person.",
        ),
    ),
    examples=(
        "mystyle profile create adele ./photos",
        "mystyle profile create adele ./photos --reference adele.jpg   # photos also show other people",
        'mystyle profile create adele ./photos --consent "Adele, by letter, 2026-11-02" --until 2028-12-31',
        "mystyle profile create adele ./photos --keep photos/dark.jpg   # though it was refused",
        "mystyle profile create adele ./scans --dates years.csv   # then: restore adele old.jpg --year 1998",
        'mystyle profile create adele ./album -r --from-tags "Adele Smith"',
        "mystyle profile create adele ./photos --no-tune && mystyle tune adele --device cuda",
        "mystyle profile create --each clients --on local:2     # clients/adele, clients/ben ...",
    ),
)
@profile_argument
@album_options
@each_option
@on_option
@person_options
@dry_run_option
@tuning_options
@pass_app
def create(
    app: App,
    name: str,
    album: AlbumOptions,
    each: Path | None,
    on: Where | None,
    person: PersonOptions,
    dry_run: bool,
    tuning: TuningOptions,
) -> int:
    """Learn a person from photos: choose, find anchors, tune.

    PHOTOS are files, folders or patterns; about 100 photos of different days, poses and light are best. They
    are never changed. Interrupted at any point, the same command goes on from where it stopped. On a terminal
    it asks once who agreed to this; in scripts say so with --consent.

    With --each many people are learned, each as alone; who is learned already stays as they are, and what
    --consent says is noted of all. With --on several are learned at a time.
    """
    if each is not None:
        return _create_each(app, name, album, each, on, person, dry_run=dry_run, tuning=tuning)
    album.refuse_none()
    paths, years = album.paths(app), album.years()
    consent = None if dry_run else ask_consent(app, name, person.consent, person.until)
    from mystyle_cli.prior.registry import open_prior

    start, store = open_prior(person.prior), app.profiles()
    store.folder(name)  # what can be refused is, before torch is loaded
    from mystyle_cli.curate.settings import CurateSettings
    from mystyle_cli.learn.learn import learn

    settings = dataclasses.replace(
        tuning.settings(app.choose_device(), tune=not person.no_tune),
        curation=CurateSettings(held_out=person.held_out),
        regions=paths,
        reference=person.reference,
        keep=kept_by_hand(person.keep, list(paths)),
        consent=consent or "",
        consent_until=person.until,
        replace=person.replace,
        dates=years,
    )
    if dry_run:  # as if every photo were kept
        from mystyle_cli.curate.advice import held_out_of
        from mystyle_cli.learn.estimate import estimate_tuning

        count, instant = len(paths) - held_out_of(len(paths), person.held_out), settings.instant is not None
        estimate = estimate_tuning(start.on(settings.device), count, settings.tuning, instant)
        show_estimate(app, "profile create", estimate)
        return 0
    with app.console.progress() as progress:
        learned = learn(store, name, list(paths), start, settings, progress)
    show_learned(app, "profile create", learned)
    return 0


def _create_each(
    app: App,
    name: str,
    album: AlbumOptions,
    each: Path,
    on: Where | None,
    person: PersonOptions,
    *,
    dry_run: bool,
    tuning: TuningOptions,
) -> int:
    """Learn a folder of people; returns the exit code."""
    from mystyle_cli.work.people import Folders, learn_each

    if name or album.photos:
        raise UsageError("--each stands in the place of NAME and PHOTOS", "Leave out one of the two.")
    if person.until and not person.consent:
        raise UsageError("--until says when a consent ends, and there is none", "Give --consent TEXT, too.")
    if not person.consent and not dry_run:
        app.console.warn(unnoted("NAME"))
    people = Folders(
        each,
        album.recursive,
        person.prior,
        person.held_out,
        not person.no_tune,
        person.consent or "",
        person.until,
        person.replace,
        tuning,
    )
    return learn_each(app, people, on, dry_run=dry_run)


def kept_by_hand(keep: Sequence[Path], photos: Sequence[Path]) -> tuple[str, ...]:
    """Return the digests of photos to be kept; raises UsageError where one is not among the others."""
    from mystyle_cli.photos.decode import digests_of

    known = set(digests_of(photos).values()) if keep else set()
    for path, digest in digests_of(keep).items():
        if digest not in known:
            raise UsageError(f"--keep {path} is none of the photos", "Name it among PHOTOS, too.")
    return tuple(digests_of(keep).values())


@click.command(
    "merge",
    cls=Command,
    unused=(UNTUNED,),
    examples=(
        "mystyle profile merge family ada ben",
        "mystyle profile merge family ada ben && mystyle upscale family album -o large",
    ),
)
@profile_argument
@click.argument("members", nargs=-1, required=True, metavar="MEMBER...", shell_complete=profile_names)
@click.option("--replace", is_flag=True, help="Merge anew if the profile is there already, of other people.")
@no_tune_option
@tuning_options
@pass_app
def merge(
    app: App, name: str, members: tuple[str, ...], replace: bool, no_tune: bool, tuning: TuningOptions
) -> None:
    """Make one profile of several people's.

    MEMBER... are profiles that exist, of one person each and of one prior; they stay as they are. Their
    photos and anchors are taken over, and one generator is tuned on all of them; each keeps a space of their
    own in it, and a photo is worked on in that of the one whom it shows. What they agreed to is taken over,
    too, until the earliest of the days on which it ends. Interrupted, the same command goes on from where it
    stopped; when photos were added to a member, it takes them over.
    """
    from mystyle_cli.learn.learn import merge

    settings = tuning.settings(app.choose_device(), tune=not no_tune)
    settings = dataclasses.replace(settings, replace=replace)
    with app.console.progress() as progress:
        learned = merge(app.profiles(), name, members, settings, progress)
    show_learned(app, "profile merge", learned)


@click.command(
    "ingest",
    cls=Command,
    unused=(
        UNTUNED,
        Unused(
            ("seed",),
            lambda values: values["no_tune"],
            "new photos are divided by the seed that the profile was made with",
            "Leave it out, or give it to `mystyle tune` later.",
        ),
        Unused(
            (*TUNING, "no_tune", "recursive", "from_tags"),
            lambda values: not values["photos"],
            "without photos nothing is judged or tuned",
            "Leave it out, or name photos.",
        ),
    ),
    examples=(
        "mystyle ingest adele ./new-photos",
        "mystyle ingest adele one.jpg two.heic --no-tune",
        "mystyle ingest adele --dates years.csv     # when its photos were taken; nothing is tuned",
        'mystyle ingest adele ./album -r --from-tags "Adele Smith"',
    ),
)
@profile_argument
@album_options
@no_tune_option
@tuning_options
@pass_app
def ingest(app: App, name: str, album: AlbumOptions, no_tune: bool, tuning: TuningOptions) -> None:
    """Add photos to a profile.

    Photos that the profile has seen are left out; the new ones are judged against the person it knows, and
    the generator is tuned again. With --dates and no photos the years of those that it has are written down,
    and nothing else is done.
    """
    years = album.years()
    if years is None:
        album.refuse_none()
    paths = album.paths(app) if album.photos else {}
    store = app.profiles()
    store.path(name)  # which raises where there is none, before torch is loaded
    from mystyle_cli.learn.learn import date, ingest

    if years is not None and not album.photos:
        show_learned(app, "ingest", date(store, name, years))
        return
    settings = tuning.settings(app.choose_device(), tune=not no_tune)
    settings = dataclasses.replace(settings, regions=paths, dates=years)
    with app.console.progress() as progress:
        learned = ingest(store, name, list(paths), settings, progress)
    show_learned(app, "ingest", learned)


@click.command(
    "tune",
    cls=Command,
    together=True,
    unused=(
        Unused(
            ("dry_run",),
            lambda values: Ranks.of_environment().several,
            "what is told is what one process takes",
            "Give it without torchrun.",
        ),
        Unused(
            ("on",),
            lambda values: values["dry_run"] or Ranks.of_environment().several,
            "what is told, or done by several processes, is this machine's",
            "Leave it out.",
        ),
    ),
    examples=(
        "mystyle tune adele --dry-run     # memory and time, before anything starts",
        "mystyle tune adele --passes 30 --device cuda",
        "torchrun --nproc-per-node 2 -m mystyle_cli tune adele --batch 12   # two graphics cards",
    ),
)
@profile_argument
@dry_run_option
@on_option
@tuning_options
@pass_app
def tune(app: App, name: str, dry_run: bool, on: Where | None, tuning: TuningOptions) -> None:
    """Tune a profile's generator to its photos.

    Each photo's anchor is made to give back that photo (sec. 3.1, eq 1 of the paper). Interrupted, the same
    command goes on from where it stopped. Several processes, started by torchrun, share every step's photos.
    """
    store = app.profiles()
    store.path(name)  # which raises where there is none, before torch is loaded
    if on is not None:
        from mystyle_cli.work.elsewhere import tune_on

        show_learned(app, "tune", tune_on(app, name, on, tuning))
        return
    from mystyle_cli.learn.learn import assist, estimate, retune

    settings = dataclasses.replace(tuning.settings(app.choose_device()), ranks=app.ranks)
    if not settings.ranks.first:
        assist(store, name, settings)
        return
    if dry_run:
        show_estimate(app, "tune", estimate(store, name, settings))
        return
    with app.console.progress() as progress:
        learned = retune(store, name, settings, progress)
    show_learned(app, "tune", learned)
