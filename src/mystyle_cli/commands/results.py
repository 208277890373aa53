"""`mystyle inspect` and `verify`: what results say of themselves, and whether it is true."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from mystyle_cli.batch.ledger import SOME_FAILED
from mystyle_cli.errors import MystyleError, UsageError
from mystyle_cli.terminal.app import App, Command, pass_app
from mystyle_cli.terminal.console import finite
from mystyle_cli.terminal.options import backend_option, bundle

if TYPE_CHECKING:
    from mystyle_cli.photos.marks import Provenance
    from mystyle_cli.photos.signing import Signature
    from mystyle_cli.restore.claims import Evidence
    from mystyle_cli.sample.claims import Claim
    from mystyle_cli.sample.rendering import Backend

WORDS: Final = {
    "trainedAlgorithmicMedia": "made by AI alone",
    "compositeWithTrainedAlgorithmicMedia": "a photo that AI has worked on",
}

FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(
    "inspect",
    cls=Command,
    examples=("mystyle inspect out.png", "mystyle --json inspect results/*.png"),
)
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(dir_okay=False, path_type=Path)
)
@pass_app
def inspect(app: App, files: tuple[Path, ...]) -> int:
    """Show what pictures say of how they were made.

    What mystyle wrote into a picture is read back: AI-made or not (IPTC digital source type), profile,
    command, dilation, seed, ID score, versions, and whether its code is in it. Anyone can take it out or
    write it: that it is there proves nothing, and neither does that it is not. A signed record (C2PA) is
    read where c2pa-python is installed: whether anything was changed since, and who says to have signed it.
    """
    results, failures = [], []
    for path in files:
        try:
            results.append(_look(app, path))
        except MystyleError as error:
            app.console.error(error.message, error.hint)
            failures.append({"file": str(path), "error": error.message, "hint": error.hint})
    app.console.document("inspect", {"results": results, "failures": failures}, ok=not failures)
    if not failures:
        return 0
    return SOME_FAILED if results else MystyleError.exit_code


def _look(app: App, path: Path) -> dict[str, object]:
    """Show what one picture says; returns its part of the JSON document."""
    from mystyle_cli.photos.marks import read_marks, read_source_type
    from mystyle_cli.photos.signing import read_signature

    marks, source, signature = read_marks(path), read_source_type(path), read_signature(path)
    if marks is None:
        app.console.show(f"{path}: says nothing of mystyle")
    else:
        app.console.show(f"{path}:")
    if source:
        app.console.show(f"  {'source type':<12} {_shown(source)} ({WORDS.get(source, 'in other words')})")
    for title, value in (_facts(marks) if marks else {}).items():
        app.console.show(f"  {title:<12} {_shown(value)}")
    if signature is not None:
        app.console.show(f"  {'signature':<12} {_shown(_told(signature))}")
    body: dict[str, object] = {
        "file": str(path),
        "digital_source_type": source or None,
        "signature": None if signature is None else asdict(signature),
        "mystyle": None,
    }
    if marks is not None:
        record = {**asdict(marks), "code": bool(marks.code)}
        if marks.beta is not None:
            record["beta"] = finite(marks.beta) if finite(marks.beta) is not None else "none"
        body["mystyle"] = record
    return body


def _told(signature: Signature) -> str:
    from mystyle_cli.installing import install_command

    if signature.state == "unread":
        return f"C2PA; what reads it is not installed: {install_command('c2pa-python')}"
    if signature.state == "broken":
        return "C2PA, which does not hold: the picture was changed since, or its record was"
    made = f", {signature.source_type}" if signature.source_type else ""
    who = f"{signature.signer or 'somebody'}, by a certificate of {signature.issuer or 'somebody'}"
    return f"C2PA, unchanged since it was signed by {who}, which nobody has checked{made}"


def _facts(marks: Provenance) -> dict[str, str]:
    day = f", {marks.created}" if marks.created else ""
    facts = {"made by": f"mystyle {marks.version}{day}", "command": marks.command}
    facts |= {"profile": marks.profile, "prior": marks.prior}
    if marks.person:
        facts["person"] = marks.person
    if marks.generator:
        facts["generator"] = marks.generator[:12]
    if marks.beta is not None:
        facts["beta"] = "none" if finite(marks.beta) is None else f"{marks.beta:g}"
    if marks.year is not None:
        facts["year"] = str(marks.year)
    if marks.seed is not None:
        facts["seed"] = str(marks.seed)
    if marks.id_score is not None:
        facts["ID"] = f"{marks.id_score:.3f}"
    if marks.code:
        facts["code"] = "kept: mystyle verify can draw the face again"
    if marks.drawn is not None and marks.drawn.count > 1:
        facts["pictures"] = str(marks.drawn.count)
    return facts


def _shown(text: str) -> str:
    """Return what stands in anybody's file as a terminal may show it."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


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
def verify(app: App, file: Path, name: str | None, evidence: EvidenceOptions, backend: Backend) -> int:
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
    if name is None and ", " in marks.profile:  # no profile can be called so
        raise UsageError(
            f"{file} shows several people, each drawn by their own profile, and holds no code of them",
            "Make it again from the photo, and compare.",
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
    part = "" if claim.part == "whole" else " in the middle of its face"
    if claim.largest is None:
        return "it has another size than what was drawn"
    if claim.lossless:
        return f"no pixel{part} differs by more than {claim.largest} of 255"
    square = f"no square of 8 x 8 pixels{part} differs in brightness by more than {claim.square:.1f}"
    return f"{square} of 255 on average"
