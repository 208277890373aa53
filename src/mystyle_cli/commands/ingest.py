"""`mystyle ingest`: more photos for a person who is known already."""

from __future__ import annotations

import click

from mystyle_cli.commands.app import App, Command, Unused, pass_app
from mystyle_cli.commands.inputs import expand_paths, left_out
from mystyle_cli.commands.learning import UNTUNED, TuningOptions, show_learned, tuning_options
from mystyle_cli.commands.options import profile_argument, recursive_option


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
    ),
    examples=("mystyle ingest adele ./new-photos", "mystyle ingest adele one.jpg two.heic --no-tune"),
)
@profile_argument
@click.argument("photos", nargs=-1, required=True, metavar="PHOTOS...")
@recursive_option
@click.option("--no-tune", is_flag=True, help="Stop before tuning; `mystyle tune` does it later.")
@tuning_options
@pass_app
def command(
    app: App, name: str, photos: tuple[str, ...], recursive: bool, no_tune: bool, tuning: TuningOptions
) -> None:
    """Add photos to a profile.

    Photos that the profile has seen are left out; the new ones are judged against the person it knows, and
    the generator is tuned again.
    """
    paths = expand_paths(photos, recursive)
    if others := left_out(photos, recursive):
        app.console.warn(others)
    from mystyle_cli.learn import ingest

    settings = tuning.settings(app.choose_device(), tune=not no_tune)
    with app.console.progress() as progress:
        learned = ingest(app.profiles(), name, paths, settings, progress)
    show_learned(app, "ingest", learned)
