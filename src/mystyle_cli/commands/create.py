"""`mystyle profile create`: from a folder of photos to a profile, resumable at any point."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from mystyle_cli.commands.app import App, Command, pass_app
from mystyle_cli.commands.estimating import dry_run_option, show_estimate
from mystyle_cli.commands.inputs import expand_paths, left_out
from mystyle_cli.commands.learning import UNTUNED, TuningOptions, show_learned, tuning_options
from mystyle_cli.commands.options import Number, profile_argument, recursive_option
from mystyle_cli.config import DEFAULT_PRIOR


@click.command(
    "create",
    cls=Command,
    unused=(UNTUNED,),
    examples=(
        "mystyle profile create adele ./photos",
        "mystyle profile create adele ./photos --reference adele.jpg   # photos also show other people",
        "mystyle profile create adele ./photos --no-tune && mystyle tune adele --device cuda",
    ),
)
@profile_argument
@click.argument("photos", nargs=-1, required=True, metavar="PHOTOS...")
@recursive_option
@click.option(
    "--reference",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="PHOTO",
    help="A photo of the person, alone.  [default: whoever is in most photos]",
)
@click.option(
    "--held-out",
    type=Number(0, 0.5),
    default=0.1,
    show_default=True,
    help="Share of the usable photos that is kept out of learning, to judge by.",
)
@click.option("--no-tune", is_flag=True, help="Stop before tuning; `mystyle tune` does it later.")
@click.option(
    "--prior", default=DEFAULT_PRIOR, show_default=True, metavar="NAME|DIR", help="Generator to start from."
)
@click.option(
    "--consent", default="", metavar="TEXT", help="Note who agreed to this and when; kept in the profile."
)
@click.option("--replace", is_flag=True, help="Learn anew if the profile is there already.")
@dry_run_option
@tuning_options
@pass_app
def create(
    app: App,
    name: str,
    photos: tuple[str, ...],
    recursive: bool,
    reference: Path | None,
    held_out: float,
    no_tune: bool,
    prior: str,
    consent: str,
    replace: bool,
    dry_run: bool,
    tuning: TuningOptions,
) -> None:
    """Learn a person from photos: choose, find anchors, tune.

    PHOTOS are files, folders or patterns; about 100 photos of different days, poses and light are best. They
    are never changed. Interrupted at any point, the same command goes on from where it stopped.
    """
    paths = expand_paths(photos, recursive)
    if others := left_out(photos, recursive):
        app.console.warn(others)
    from mystyle_cli.curate.settings import CurateSettings
    from mystyle_cli.learn import learn
    from mystyle_cli.prior.registry import open_prior

    settings = dataclasses.replace(
        tuning.settings(app.choose_device(), tune=not no_tune),
        curation=CurateSettings(held_out=held_out),
        reference=reference,
        consent=consent,
        replace=replace,
    )
    if dry_run:  # as if every photo were kept
        from mystyle_cli.curate.advice import held_out_of
        from mystyle_cli.person.estimate import estimate_tuning

        count, instant = len(paths) - held_out_of(len(paths), held_out), settings.instant is not None
        estimate = estimate_tuning(open_prior(prior).on(settings.device), count, settings.tuning, instant)
        show_estimate(app, "profile create", estimate)
        return
    with app.console.progress() as progress:
        learned = learn(app.profiles(), name, paths, open_prior(prior), settings, progress)
    show_learned(app, "profile create", learned)
