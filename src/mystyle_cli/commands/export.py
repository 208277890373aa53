"""What leaves for elsewhere: a profile as one file, to and from other machines; its nets as ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mystyle_cli.errors import MystyleError, UsageError
from mystyle_cli.terminal.app import App, Command, pass_app
from mystyle_cli.terminal.options import overwrite_option, profile_argument
from mystyle_cli.terminal.outputs import Ground, Originals

if TYPE_CHECKING:
    from mystyle_cli.learn.exporting import Net


@click.command(
    "export",
    cls=Command,
    examples=(
        "mystyle profile export adele adele.mystyle",
        "mystyle profile export adele adele.mystyle --without-photos",
    ),
)
@profile_argument
@click.argument("file", metavar="FILE.mystyle", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--without-photos",
    is_flag=True,
    help="Leave out the faces and all that is said of photos: nothing can be learned anew from such a file.",
)
@overwrite_option
@pass_app
def export_profile(app: App, name: str, file: Path, without_photos: bool, overwrite: bool) -> None:
    """Write a whole profile into one file, for `profile import` on another machine.

    Whoever has the file can make pictures of the person, with or without the photos in it: give it to nobody
    who may not. It is readable by you alone. (Nets for other programs: mystyle export.)
    """
    from mystyle_cli.files.writing import write_result
    from mystyle_cli.store.archive import SUFFIX, pack

    if file.suffix != SUFFIX:
        raise UsageError(f"{file} does not end in {SUFFIX}", f"Call it {file.with_suffix(SUFFIX)}.")
    profile = app.profiles().open(name)
    ground = Ground(Originals.of([profile.path]), overwrite, "Use --overwrite, or another name.")
    ground.check(file)
    data = pack(profile, photos=not without_photos)
    try:
        write_result(file, data, private=True)
    except OSError as error:
        raise MystyleError(f"{file}: {error.strerror or error}", "Choose another place.") from error
    bare = without_photos or not profile.has_faces
    photos = "without photos" if bare else f"with {profile.manifest.counts['kept']} faces"
    app.console.info(f"'{name}' {photos}, {len(data) / 1e6:.1f} MB")
    app.console.result(str(file))
    app.console.document("profile export", {"name": name, "file": str(file), "bytes": len(data)})


@click.command(
    "import",
    cls=Command,
    examples=(
        "mystyle profile import adele.mystyle",
        "mystyle profile import adele.mystyle adele-2 --prior ./my-prior",
    ),
)
@click.argument("file", metavar="FILE.mystyle", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("name", metavar="[NAME]", required=False)
@click.option(
    "--prior",
    metavar="NAME|DIR",
    help="The prior that the profile was tuned from.  [default: the one that has its name here]",
)
@pass_app
def import_profile(app: App, file: Path, name: str | None, prior: str | None) -> None:
    """Make a profile of a file that `profile export` wrote.

    The file is looked through first: what is not exactly as `profile export` writes it is refused, and the
    store stays as it is. Without NAME the profile is called as the file is.
    """
    from mystyle_cli.files.paths import check_name
    from mystyle_cli.store.archive import import_profile as take

    name = check_name(file.stem if name is None else name)
    profile = take(app.profiles(), file, name, prior)
    app.console.info(f"'{profile.name}', {profile.manifest.counts['train']} anchors")
    app.console.info(f"consent: {profile.manifest.consent or 'nothing noted'}")
    app.console.result(str(profile.path))
    app.console.document(
        "profile import",
        {"name": profile.name, "folder": str(profile.path), "consent": profile.manifest.consent},
    )


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
def export(app: App, name: str, output: Path | None) -> None:
    """Write the person's nets as ONNX files.

    synthesis.onnx turns coefficients and anchors into pictures (with the identity matrix for anchors: codes),
    in float32 and, a second time, with weights in half precision; encoder, identity and matte are the
    prior's. Each is compared with torch, and parity.toml keeps the largest difference.
    """
    store = app.profiles()
    store.path(name)  # which raises where there is none, before torch is loaded
    from mystyle_cli.learn.learn import export, export_to

    if output is None:
        folder, nets = export(store, name)
    else:
        folder, nets = output, export_to(store.open(name), output)
    _show(app, folder, nets)


def _show(app: App, folder: Path, nets: list[Net]) -> None:
    for net in nets:
        said = f"at most {net.largest_difference:.1e} from torch" if net.largest_difference else "the prior's"
        app.console.info(f"{net.file}: {said}")
    app.console.result(str(folder))
    differences = {net.file: net.largest_difference for net in nets}
    app.console.document("export", {"folder": str(folder), "largest_difference": differences})
