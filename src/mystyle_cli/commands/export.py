"""`mystyle export`: a person's generator and its helpers as ONNX files, for use without torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mystyle_cli.commands.app import App, Command, pass_app
from mystyle_cli.commands.options import profile_argument

if TYPE_CHECKING:
    from mystyle_cli.person.exporting import Net


@click.command(
    "export",
    cls=Command,
    examples=(
        "mystyle export adele",
        "mystyle export adele -o adele-nets   # for another machine or program; the profile stays as it is",
    ),
)
@profile_argument
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write the files there, anchors included.  [default: into the profile]",
)
@pass_app
def command(app: App, name: str, output: Path | None) -> None:
    """Write the person's nets as ONNX files.

    synthesis.onnx turns coefficients and anchors into pictures (with the identity matrix for anchors: codes),
    in float32 and, a second time, with weights in half precision; encoder, identity and matte are the
    prior's. Each is compared with torch, and parity.toml keeps the largest difference.
    """
    from mystyle_cli.learn import export, export_to

    if output is None:
        folder, nets = export(app.profiles(), name)
    else:
        folder, nets = output, export_to(app.profiles().open(name), output)
    _show(app, folder, nets)


def _show(app: App, folder: Path, nets: list[Net]) -> None:
    for net in nets:
        said = f"at most {net.largest_difference:.1e} from torch" if net.largest_difference else "the prior's"
        app.console.info(f"{net.file}: {said}")
    app.console.result(str(folder))
    differences = {net.file: net.largest_difference for net in nets}
    app.console.document("export", {"ok": True, "folder": str(folder), "largest_difference": differences})
