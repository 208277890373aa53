"""`mystyle sample`: new pictures of a person (app. B.1)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mystyle_cli.errors import UsageError
from mystyle_cli.terminal.app import App, Command, Unused, pass_app
from mystyle_cli.terminal.batch import Picture, check_stream, marked, seal_for, write
from mystyle_cli.terminal.inputs import STREAM
from mystyle_cli.terminal.marking import provenance
from mystyle_cli.terminal.options import (
    Beta,
    Marking,
    backend_option,
    choose_seed,
    format_option,
    mark_option,
    marking_of,
    no_mark_option,
    overwrite_option,
    profile_argument,
    quality_option,
    seed_option,
    warn_unmarked,
)
from mystyle_cli.terminal.outputs import (
    FORMAT,
    QUALITY,
    Ground,
    Originals,
    Target,
    names_folder,
    needs_folder,
    refuse_idle,
    target_for,
)

if TYPE_CHECKING:
    from mystyle_cli.sample.rendering import Backend, Renderer
    from mystyle_cli.sample.samples import Sampler


@click.command(
    "sample",
    cls=Command,
    examples=(
        "mystyle sample adele -n 16 --seed 7 -o samples",
        "mystyle sample adele -n 9 --grid grid.png",
        "mystyle sample adele --sampler uniform --beta 0.02 -o one.png",
    ),
    unused=(
        Unused(
            ("anchors",),
            lambda values: values["sampler"] == "uniform",
            "--sampler uniform mixes all photos",
            "Leave it out, or use --sampler anchors.",
        ),
        Unused(
            ("beta",),
            lambda values: values["sampler"] == "anchors",
            "a mix of anchors never leaves P_0",
            "Leave it out, or use --sampler uniform.",
        ),
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
@mark_option
@no_mark_option
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
    format_name: str | None,
    quality: int | None,
    overwrite: bool,
    mark: Marking | None,
    no_mark: bool,
    backend: Backend,
) -> None:
    """Make new pictures of the person.

    Picture i is drawn with seed + i, so a picture can be had again alone: --seed 12 -n 1.
    """
    if beta is None:
        raise UsageError("an unbounded hull cannot be sampled", "Give a number, such as --beta 0.02.")
    marking = marking_of(mark, no_mark)
    warn_unmarked(app.console, marking)
    first = choose_seed(app.console, seed)
    seeds = range(first, first + count)
    singles = _places(name, seeds, output, format_name or FORMAT, grid)
    sheet = target_for(Path(grid)) if grid else None
    wanted = [*singles, *([sheet] if sheet else [])]
    refuse_idle(singles, format_name, None)
    refuse_idle(wanted, None, quality)
    check_stream(app.console, singles)
    profile = app.profiles().open(name).on(app.wanted_device())
    originals = Originals.of([profile.path])
    Ground(originals, overwrite).check_all(target.path for target in wanted if target.path is not None)
    seal = seal_for(marking)
    from mystyle_cli.photos.marks import Drawn
    from mystyle_cli.photos.pixels import Sheet
    from mystyle_cli.sample.samples import draw_parts

    resolution = profile.manifest.prior.resolution
    laid = Sheet(count, (resolution, resolution)) if sheet else None
    renderer = app.open_renderer(profile, backend)
    results: list[dict[str, object]] = []
    scores: list[float] = []
    with app.console.progress() as progress:
        for part in draw_parts(profile, renderer, seeds, sampler, beta, anchors, progress):
            for index, seed in enumerate(part.seeds):
                score, drawn = float(part.id_scores[index]), Drawn(sampler, anchors)
                marks = provenance("sample", profile, beta, seed, id_score=score, drawn=drawn)
                target = singles[len(results)] if singles else None
                if target:
                    picture = marked(Picture(part.pixels[index], marks), marking, seal)
                    write(app.console, target, picture, quality or QUALITY, originals)
                    _name(app, target)
                if laid:
                    laid.add(part.pixels[index])
                scores.append(score)
                results.append(
                    {
                        "output": target.name if target else None,
                        "seed": seed,
                        "id": score,
                        "alpha": part.alphas[index].tolist(),
                    }
                )
    if sheet and laid:
        marks = provenance("sample", profile, beta, first, drawn=Drawn(sampler, anchors, count))
        picture = marked(Picture(laid.pixels, marks), marking, seal)
        write(app.console, sheet, picture, quality or QUALITY, originals)
        _name(app, sheet)
    _account(app, renderer, results, scores, sheet)


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


def _name(app: App, target: Target) -> None:
    """Tell where a picture was written."""
    if target.path is not None:
        app.console.result(target.name)


def _account(
    app: App,
    renderer: Renderer,
    results: list[dict[str, object]],
    scores: list[float],
    sheet: Target | None,
) -> None:
    """Say how much the pictures look like the person."""
    if len(scores) == 1:
        app.console.info(f"1 picture, ID {scores[0]:.3f}")
    else:
        mean = sum(scores) / len(scores)
        app.console.info(f"{len(scores)} pictures, ID {mean:.3f} (lowest {min(scores):.3f})")
    app.console.document(
        "sample",
        {
            "ok": True,
            "backend": renderer.backend,
            "provider": renderer.place,
            "grid": sheet.name if sheet else None,
            "results": results,
        },
    )
