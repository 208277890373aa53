"""`mystyle invert`: a photo as the person's own space can show it (sec. 3.3 without degradation)."""

from __future__ import annotations

from pathlib import Path

import click

from mystyle_cli.commands.app import App, Command, pass_app
from mystyle_cli.commands.options import BatchOptions, batch_options, profile_argument
from mystyle_cli.commands.restoring import (
    UNMARKED,
    UNUSED,
    SearchOptions,
    keep_code_option,
    run_restore,
    save_codes_option,
    search_options,
)
from mystyle_cli.config import BETA_INVERT


@click.command(
    "invert",
    cls=Command,
    unused=(*UNUSED, UNMARKED),
    examples=(
        "mystyle invert adele in.jpg -o out.png",
        "mystyle invert adele album -r -o inverted --beta 0.1",
        "mystyle invert adele in.jpg -o out.png --save-codes codes   # then: edit adele in.jpg --codes codes",
    ),
)
@profile_argument
@batch_options
@save_codes_option
@keep_code_option
@search_options(BETA_INVERT)
@pass_app
def command(
    app: App, name: str, batch: BatchOptions, codes: Path | None, keep_code: bool, search: SearchOptions
) -> int:
    """Reproduce photos inside the person's own space.

    Shows what the profile can express: the closer to the photo, the better it knows the person.
    """
    return run_restore(app, name, "invert", batch, search, codes=codes, keep_code=keep_code)
