"""`mystyle inpaint`: the hidden part of a face filled in (sec. 5.2.1)."""

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
from mystyle_cli.commands.subjects import mask_companions
from mystyle_cli.config import BETA_INPAINT


@click.command(
    "inpaint",
    cls=Command,
    unused=(*UNUSED, UNMARKED),
    examples=(
        "mystyle inpaint adele in.png --mask hole.png -o out.png",
        "mystyle inpaint adele album --mask masks -o filled     # masks/a.png for album/a.jpg",
        "mystyle inpaint adele in.png --mask hole.png --instant     # at once, or --quality fast",
    ),
)
@profile_argument
@batch_options
@click.option(
    "--mask",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="FILE|DIR",
    help="Picture of the photo's size, white where to fill; or a folder with one for each photo.",
)
@quality_options
@save_codes_option
@keep_code_option
@search_options(BETA_INPAINT)
@pass_app
def command(
    app: App,
    name: str,
    batch: BatchOptions,
    mask: Path,
    effort: QualityOptions,
    codes: Path | None,
    keep_code: bool,
    search: SearchOptions,
) -> int:
    """Fill in the hidden part of photos of the person.

    Nothing outside the mask changes, not by one bit.
    """
    masks = mask_companions(mask)
    return run_restore(app, name, "inpaint", batch, search, masks, codes, effort.chosen, keep_code)
