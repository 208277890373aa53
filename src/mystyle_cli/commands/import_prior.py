"""`mystyle prior import` and `mystyle prior remove`: priors of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from mystyle_cli.errors import ModelError
from mystyle_cli.terminal.app import App, Command, pass_app
from mystyle_cli.terminal.console import confirm_removal
from mystyle_cli.terminal.options import bundle

if TYPE_CHECKING:
    from mystyle_cli.faces.align import Crop
    from mystyle_cli.foreign.making import Parts

_file = click.Path(exists=True, dir_okay=False, path_type=Path)


class NamedFile(click.ParamType):  # type: ignore[type-arg]  # older clicks know no generic ones
    """A file, with a name before it where one is wanted: `smile=smile.pt` or `directions.pt`."""

    name = "[name=]file"

    def convert(
        self, value: str, param: click.Parameter | None, context: click.Context | None
    ) -> tuple[str, Path]:
        """Parse what was typed."""
        title, equals, path = value.partition("=")
        if not equals or Path(value).is_file():  # a file's own name may hold a `=`
            title, path = "", value
        if not Path(path).is_file():
            self.fail(f"file {path} does not exist", param, context)
        return title, Path(path)


class CropNumbers(click.ParamType):  # type: ignore[type-arg]  # older clicks know no generic ones
    """The crop of a prior's pictures: `0.58,0.054`."""

    name = "scale,down"

    def convert(self, value: str, param: click.Parameter | None, context: click.Context | None) -> Crop:
        """Parse what was typed."""
        from mystyle_cli.faces.align import Crop

        try:
            scale, down = map(float, value.split(","))
            return Crop(scale, down)
        except ValueError as error:
            self.fail(f"{value!r} is no crop SCALE,DOWN such as 0.58,0.054: {error}", param, context)


@dataclass(frozen=True)
class FilesOptions:
    """What a prior is made of; see `making.Parts`, which has the same names."""

    generator: Path
    encoder: Path | None
    identity: Path | None
    perceptual: Path | None
    mapping: str | None
    directions: tuple[tuple[str, Path], ...]
    crop: Crop | None
    licence: str  # terms of all these files

    def parts(self) -> Parts:
        """Return the files as the core takes them."""
        from mystyle_cli.foreign.making import Parts

        files = [self.generator, self.encoder, self.identity, self.perceptual]
        files += [path for _, path in self.directions]
        return Parts(
            self.generator,
            self.encoder,
            self.identity,
            self.perceptual,
            self.mapping,
            self.directions,
            licences={path.name: self.licence for path in files if path is not None and self.licence},
            crop=self.crop,
        )


files_options: Final = bundle(
    "files",
    FilesOptions,
    (
        click.option(
            "--generator",
            type=_file,
            required=True,
            metavar="FILE",
            help="StyleGAN2: NVIDIA's .pkl, rosinality's .pt, what MyStyle or PTI saved, or safetensors.",
        ),
        click.option(
            "--encoder", type=_file, metavar="FILE", help="Photo to code: HyperStyle's W encoder, e4e, pSp."
        ),
        click.option(
            "--identity", type=_file, metavar="FILE", help="Recognition net: ArcFace IR-SE-50, or ONNX."
        ),
        click.option("--perceptual", type=_file, metavar="FILE", help="AlexNet or VGG trunk for LPIPS."),
        click.option(
            "--mapping",
            metavar="FILE|NAME",
            help="Take the mapping network from this generator; MyStyle's own files lack it.",
        ),
        click.option(
            "--direction",
            "directions",
            type=NamedFile(),
            multiple=True,
            metavar="[NAME=]FILE",
            help="Direction of editing; may be repeated.",
        ),
        click.option(
            "--crop",
            type=CropNumbers(),
            metavar="SCALE,DOWN",
            help="Square that the generator's pictures show, in sides of the FFHQ square: how large, and how "
            "much lower. Default 1,0: FFHQ's own.",
        ),
        click.option("--licence", default="", metavar="TEXT", help="Terms of the files, noted in the prior."),
    ),
)


@click.command(
    "import",
    cls=Command,
    examples=(
        "mystyle prior import ffhq --generator ffhq.pkl --encoder faces_w_encoder.pt "
        "--perceptual alexnet-owt-7be5be79.pth",
        "mystyle prior import tuned --generator mystyle_model.pt --mapping ffhq",
    ),
)
@click.argument("name", metavar="NAME")
@files_options
@click.option("--overwrite", is_flag=True, help="Replace the imported prior of that name.")
@pass_app
def import_prior(app: App, name: str, files: FilesOptions, overwrite: bool) -> None:
    """Make a prior of a StyleGAN2 generator and its companions.

    The files are read without running anything in them, and converted: they may be deleted afterwards.
    """
    from mystyle_cli.foreign import importing

    with app.console.progress() as progress:
        made = importing.import_prior(name, files.parts(), overwrite=overwrite, progress=progress)
    for note in made.notes:
        app.console.info(note)
    app.console.result(str(made.path))
    body = {"name": made.path.name, "folder": str(made.path), "dialect": made.dialect, "notes": made.notes}
    app.console.document("prior import", body)


@click.command("remove", cls=Command, examples=("mystyle prior remove ffhq --yes",))
@click.argument("name", metavar="NAME")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Remove it although profiles were tuned from it.")
@pass_app
def remove(app: App, name: str, yes: bool, force: bool) -> None:
    """Remove an imported prior for good."""
    from mystyle_cli.foreign.importing import remove_prior
    from mystyle_cli.prior.registry import imported_priors

    if name in imported_priors():
        if (users := _users(app, name)) and not force:
            raise ModelError(
                f"prior {name} is what these profiles were tuned from: {', '.join(users)}",
                "Delete them first, or say --force: they cannot be used without it.",
            )
        if not yes:
            confirm_removal(f"prior {name}")
    folder, left = remove_prior(name)
    app.console.info(f"removed {folder}")
    for path in left:
        app.console.warn(f"left where it is, for it was not imported: {path}")
    body = {"name": name, "folder": str(folder), "left": [str(path) for path in left]}
    app.console.document("prior remove", body)


def _users(app: App, name: str) -> list[str]:
    """Return the profiles of the store that need a prior: they name it, or the folder where it lies."""
    from mystyle_cli.files.paths import priors_root

    folder = str((priors_root() / name).resolve())
    marks = {entry.name: entry.manifest.prior for entry in app.profiles().entries() if entry.manifest}
    return sorted(profile for profile, mark in marks.items() if mark.place in (name, folder))
