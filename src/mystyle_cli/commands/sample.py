"""`mystyle sample`: new pictures of a person (app. B.1)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mystyle_cli.commands.app import App, Command, pass_app
from mystyle_cli.commands.batch import Picture, check_stream, write
from mystyle_cli.commands.inputs import STREAM
from mystyle_cli.commands.marking import provenance
from mystyle_cli.commands.options import (
    Beta,
    backend_option,
    choose_seed,
    format_option,
    overwrite_option,
    profile_argument,
    quality_option,
    seed_option,
)
from mystyle_cli.commands.outputs import Ground, Originals, Target, names_folder, needs_folder, target_for
from mystyle_cli.errors import UsageError

if TYPE_CHECKING:
    from mystyle_cli.person.rendering import Backend
    from mystyle_cli.person.samples import Sampler, Samples


@click.command(
    "sample",
    cls=Command,
    examples=(
        "mystyle sample adele -n 16 --seed 7 -o samples",
        "mystyle sample adele -n 9 --grid grid.png",
        "mystyle sample adele --sampler uniform --beta 0.02 -o one.png",
    ),
)
@profile_argument
@click.option("-n", "--count", type=click.IntRange(1), default=1, show_default=True, help="Pictures.")
@click.option("-o", "--output", metavar="FILE|DIR|-", help="Where single pictures go.")
@click.option("--grid", metavar="FILE", help="All pictures as one; without -o only this is written.")
@click.option(
    "--sampler",
    type=click.Choice(["anchors", "uniform"]),
    default="anchors",
    show_default=True,
    help="Mix a few of the person's photos, or draw uniformly from the whole dilated hull.",
)
@click.option("--anchors", type=click.IntRange(1), default=3, show_default=True, help="Photos in a mix.")
@click.option(
    "--beta",
    type=Beta(),
    metavar="NUMBER",
    default=0.0,
    show_default=True,
    help="Dilation for --sampler uniform.",
)
@seed_option
@format_option
@quality_option
@overwrite_option
@backend_option
@pass_app
def command(
    app: App,
    name: str,
    count: int,
    output: str | None,
    grid: str | None,
    sampler: Sampler,
    anchors: int,
    beta: float | None,
    seed: int | None,
    format_name: str,
    quality: int,
    overwrite: bool,
    backend: Backend,
) -> None:
    """Make new pictures of the person.

    Picture i is drawn with seed + i, so a picture can be had again alone: --seed 12 -n 1.
    """
    if beta is None:
        raise UsageError("an unbounded hull cannot be sampled", "Give a number, such as --beta 0.02.")
    first = choose_seed(app.console, seed)
    seeds = range(first, first + count)
    singles = _places(name, seeds, output, format_name, grid)
    sheet = target_for(Path(grid)) if grid else None
    check_stream(app.console, singles)
    profile = app.profiles().open(name)
    originals = Originals.of([profile.path])
    wanted = [*singles, *([sheet] if sheet else [])]
    Ground(originals, overwrite).check_all(target.path for target in wanted if target.path is not None)
    renderer = app.open_renderer(profile, backend)
    from mystyle_cli.person.samples import draw_with
    from mystyle_cli.photos.grid import grid as lay_out

    with app.console.progress() as progress:
        samples = draw_with(profile, renderer, seeds, sampler, beta, anchors, progress)
    marks = [provenance("sample", profile, beta, seed) for seed in seeds]
    for target, pixels, mark in zip(singles, samples.pixels, marks, strict=False):
        write(app.console, target, Picture(pixels, mark), quality, originals)
    if sheet:
        write(app.console, sheet, Picture(lay_out(samples.pixels), marks[0]), quality, originals)
    _show(app, samples, singles, sheet)


def _places(name: str, seeds: range, output: str | None, format_name: str, grid: str | None) -> list[Target]:
    """Return a place for each single picture, none when only the grid is wanted."""
    if output == STREAM:
        if grid or len(seeds) > 1:
            what = f"{len(seeds)} results" if len(seeds) > 1 else "a picture and --grid"
            raise UsageError(f"{what} cannot go to standard output", "Use -o FOLDER.")
        return [Target(None, target_for(Path(f"{STREAM}.{format_name}")).format)]
    if output is None and grid:
        return []
    folder = Path(output or ".")
    if output and not names_folder(output):
        if len(seeds) > 1:
            raise needs_folder(output, f"{len(seeds)} results")
        return [target_for(folder)]
    return [target_for(folder / f"{name}.sample-{seed}.{format_name}") for seed in seeds]


def _show(app: App, samples: Samples, singles: list[Target], sheet: Target | None) -> None:
    scores = samples.id_scores
    if len(scores) == 1:
        app.console.info(f"1 picture, ID {scores[0]:.3f}")
    else:
        app.console.info(f"{len(scores)} pictures, ID {scores.mean():.3f} (lowest {scores.min():.3f})")
    for target in [*singles, *([sheet] if sheet else [])]:
        if target.path is not None:
            app.console.result(target.name)
    app.console.document(
        "sample",
        {
            "ok": True,
            "backend": samples.backend,
            "provider": samples.place,
            "grid": sheet.name if sheet else None,
            "results": [
                {
                    "output": singles[index].name if singles else None,
                    "seed": samples.seeds[index],
                    "id": float(score),
                    "alpha": samples.alphas[index].tolist(),
                }
                for index, score in enumerate(scores)
            ],
        },
    )
