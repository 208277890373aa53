"""`mystyle upscale`: small photos made large (sec. 5.2.2)."""

from __future__ import annotations

from pathlib import Path

import click

from mystyle_cli.commands.app import App, Command, pass_app
from mystyle_cli.commands.options import BatchOptions, batch_options, profile_argument
from mystyle_cli.commands.restoring import (
    UNMARKED,
    UNUSED,
    QualityOptions,
    SearchOptions,
    keep_code_option,
    quality_options,
    run_restore,
    save_codes_option,
    search_options,
)
from mystyle_cli.config import BETA_UPSCALE


@click.command(
    "upscale",
    cls=Command,
    unused=(*UNUSED, UNMARKED),
    examples=(
        "mystyle upscale adele in.png --beta 0.05",
        "mystyle upscale adele album --recursive -o large",
        "mystyle upscale adele - < in.png > out.png",
        "mystyle upscale adele in.png --instant     # at once, or --quality fast",
    ),
)
@profile_argument
@batch_options
@quality_options
@save_codes_option
@keep_code_option
@search_options(BETA_UPSCALE)
@pass_app
def command(
    app: App,
    name: str,
    batch: BatchOptions,
    effort: QualityOptions,
    codes: Path | None,
    keep_code: bool,
    search: SearchOptions,
) -> int:
    """Enlarge photos of the person.

    How many times follows from the size of the face in the photo: it becomes as large as the profile's
    generator draws. Around the face the photo is enlarged by Lanczos; behind it, too, if the profile's prior
    has a matte net, which tells the person from what is behind them.
    """
    return run_restore(
        app, name, "upscale", batch, search, codes=codes, quality=effort.chosen, keep_code=keep_code
    )
