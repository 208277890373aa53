"""`mystyle verify`: whether a sample is what it says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mystyle_cli.commands.app import App, Command, pass_app
from mystyle_cli.commands.options import backend_option
from mystyle_cli.errors import MystyleError, UsageError

if TYPE_CHECKING:
    from mystyle_cli.person.claims import Claim
    from mystyle_cli.person.rendering import Backend


@click.command(
    "verify",
    cls=Command,
    examples=("mystyle verify adele.sample-7.png", "mystyle verify shared.jpg --profile adele"),
)
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--profile", "name", metavar="NAME", help="The profile now.  [default: as the picture says]")
@backend_option
@pass_app
def command(app: App, file: Path, name: str | None, backend: Backend) -> int:
    """Draw a sample again, and see whether it is what it says.

    A sample says its seed, and with the same profile the same picture comes of it: pixel by pixel where it is
    a PNG, but for what compression changes where it is a JPEG or WebP; smaller changes are not seen there. A
    picture made from a photo cannot be made again without the photo, and is refused. Exit code 1: the picture
    is not what it says. (A profile's own files: mystyle profile verify.)
    """
    from mystyle_cli.person.claims import check_claim
    from mystyle_cli.photos.marks import read_marks

    marks = read_marks(file)
    if marks is None:
        raise UsageError(f"{file} says nothing of mystyle, so there is nothing to verify", "")
    profile = app.profiles().open(name or marks.profile)
    claim = check_claim(file, profile, app.open_renderer(profile, backend))
    verdict = "is what it says" if claim.holds else "is not what it says"
    app.console.show(f"{file}: {verdict} ({_reason(claim)})")
    app.console.document(
        "verify",
        {
            "ok": claim.holds,
            "file": str(file),
            "profile": profile.name,
            "largest_difference": claim.largest,
            "largest_square": claim.square,
            "lossless": claim.lossless,
        },
    )
    return 0 if claim.holds else MystyleError.exit_code


def _reason(claim: Claim) -> str:
    """Return what was compared, in a few words."""
    if claim.largest is None:
        return "it has another size than what was drawn"
    if claim.lossless:
        return f"no pixel differs by more than {claim.largest} of 255"
    return (
        f"no square of 8 x 8 pixels differs in brightness by more than {claim.square:.1f} of 255 on average"
    )
