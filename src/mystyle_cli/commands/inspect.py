"""`mystyle inspect`: what pictures say of how they were made."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from mystyle_cli.errors import MystyleError
from mystyle_cli.terminal.app import App, Command, pass_app
from mystyle_cli.terminal.batch import SOME_FAILED
from mystyle_cli.terminal.console import finite

if TYPE_CHECKING:
    from mystyle_cli.photos.marks import Provenance
    from mystyle_cli.photos.signing import Signature

WORDS: Final = {
    "trainedAlgorithmicMedia": "made by AI alone",
    "compositeWithTrainedAlgorithmicMedia": "a photo that AI has worked on",
}


@click.command(
    "inspect",
    cls=Command,
    examples=("mystyle inspect out.png", "mystyle --json inspect results/*.png"),
)
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(dir_okay=False, path_type=Path)
)
@pass_app
def command(app: App, files: tuple[Path, ...]) -> int:
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
    """Return what a seal says, for people."""
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
