"""`mystyle verify`: whether a result is what it says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from mystyle_cli.errors import MystyleError, UsageError
from mystyle_cli.terminal.app import App, Command, pass_app
from mystyle_cli.terminal.options import backend_option, bundle

if TYPE_CHECKING:
    from mystyle_cli.photos.marks import Provenance
    from mystyle_cli.restore.claims import Evidence
    from mystyle_cli.sample.claims import Claim
    from mystyle_cli.sample.rendering import Backend

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(frozen=True)
class EvidenceOptions:
    """The files that a result is compared with, besides itself."""

    photo: Path | None
    mask: Path | None
    code: Path | None

    def read(self, file: Path, marks: Provenance) -> Evidence:
        """Read them.

        Raises:
            DecodeError: the photo or the mask cannot be read.
            UsageError: one of them is of no use to such a result, or the mask is none.
        """
        from mystyle_cli.find.locate import mask_of
        from mystyle_cli.photos.decode import decode
        from mystyle_cli.restore.claims import Evidence

        if marks.command == "sample" and (self.photo or self.mask or self.code):
            raise UsageError(f"{file} is a sample, made of no photo", "Leave out --photo, --mask and --code.")
        if self.mask and (marks.command != "inpaint" or self.photo is None):
            raise UsageError(
                "--mask does nothing here: it belongs to the photo of an inpainted result",
                "Leave it out, or give that photo, too: --photo FILE.",
            )
        photo = decode(self.photo) if self.photo else None
        return Evidence(photo, mask_of(decode(self.mask)) if self.mask else None, self.code)


evidence_options: Final = bundle(
    "evidence",
    EvidenceOptions,
    (
        click.option("--photo", type=FILE, metavar="FILE", help="The photo that it was made from."),
        click.option("--mask", type=FILE, metavar="FILE", help="What of that photo `inpaint` filled."),
        click.option(
            "--code",
            type=FILE,
            metavar="FILE",
            help="What --save-codes kept of that photo.  [default: what --keep-code wrote into the picture]",
        ),
    ),
)


@click.command(
    "verify",
    cls=Command,
    examples=(
        "mystyle verify adele.sample-7.png",
        "mystyle verify shared.jpg --profile adele",
        "mystyle verify out.png     # made with --keep-code: the middle of its face",
        "mystyle verify out.png --photo in.png     # all of it",
        "mystyle verify out.png --photo in.png --mask hole.png --code codes/in.safetensors",
    ),
)
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--profile", "name", metavar="NAME", help="The profile now.  [default: as the picture says]")
@evidence_options
@backend_option
@pass_app
def command(app: App, file: Path, name: str | None, evidence: EvidenceOptions, backend: Backend) -> int:
    """Draw a result again, and see whether it is what it says.

    A sample says its seed, and with the same profile the same picture comes of it. A photo that was worked
    on is drawn again from its code, which `--keep-code` wrote into it or `--save-codes` beside it: all of it
    with the photo that it was made from; without, the middle of a face that was inverted or edited.
    It is compared pixel by pixel where it is a PNG, but for what compression changes where it is a JPEG or
    WebP; smaller changes are not seen there. Exit code 1: the picture is not what it says. (A profile's own
    files: mystyle profile verify.)
    """
    from mystyle_cli.photos.marks import read_marks
    from mystyle_cli.restore.claims import check_restored
    from mystyle_cli.sample.claims import check_sample

    marks = read_marks(file)
    if marks is None:
        raise UsageError(
            f"{file} says nothing of mystyle, so there is nothing to verify",
            "Give a result as mystyle wrote it; programs that pass pictures on often drop what they say.",
        )
    read = evidence.read(file, marks)
    profile = app.profiles().open(name or marks.profile)
    renderer = app.open_renderer(profile, backend)
    if marks.command == "sample":
        claim = check_sample(file, marks, profile, renderer)
    else:
        claim = check_restored(file, marks, profile, renderer, read)
    _show(app, file, profile.name, claim)
    return 0 if claim.holds else MystyleError.exit_code


def _show(app: App, file: Path, profile: str, claim: Claim) -> None:
    verdict = "is what it says" if claim.holds else "is not what it says"
    app.console.show(f"{file}: {verdict} ({_reason(claim)})")
    if claim.part == "face":
        app.console.info("only the middle of its face was compared; --photo FILE compares the rest, too")
    app.console.document(
        "verify",
        {
            "file": str(file),
            "profile": profile,
            "compared": claim.part,
            "largest_difference": claim.largest,
            "largest_square": claim.square,
            "lossless": claim.lossless,
        },
        ok=claim.holds,
    )


def _reason(claim: Claim) -> str:
    """Return what was compared, in a few words."""
    part = "" if claim.part == "whole" else " in the middle of its face"
    if claim.largest is None:
        return "it has another size than what was drawn"
    if claim.lossless:
        return f"no pixel{part} differs by more than {claim.largest} of 255"
    square = f"no square of 8 x 8 pixels{part} differs in brightness by more than {claim.square:.1f}"
    return f"{square} of 255 on average"
