"""`mystyle tune`: tune the generator of a profile that has its photos and anchors."""

from __future__ import annotations

import click

from mystyle_cli.commands.app import App, Command, pass_app
from mystyle_cli.commands.estimating import dry_run_option, show_estimate
from mystyle_cli.commands.learning import TuningOptions, show_learned, tuning_options
from mystyle_cli.commands.options import profile_argument


@click.command(
    "tune",
    cls=Command,
    examples=(
        "mystyle tune adele --dry-run     # memory and time, before anything starts",
        "mystyle tune adele --passes 30 --device cuda",
    ),
)
@profile_argument
@dry_run_option
@tuning_options
@pass_app
def command(app: App, name: str, dry_run: bool, tuning: TuningOptions) -> None:
    """Tune a profile's generator to its photos.

    Each photo's anchor is made to give back that photo (sec. 3.1, eq 1 of the paper). Interrupted, the same
    command goes on from where it stopped.
    """
    from mystyle_cli.learn import estimate, retune

    settings = tuning.settings(app.choose_device())
    if dry_run:
        show_estimate(app, "tune", estimate(app.profiles(), name, settings))
        return
    with app.console.progress() as progress:
        learned = retune(app.profiles(), name, settings, progress)
    show_learned(app, "tune", learned)
