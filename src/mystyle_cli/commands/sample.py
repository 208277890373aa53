"""`mystyle sample`: new pictures of a person (app. B.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from mystyle_cli.batch.batch import check_stream
from mystyle_cli.batch.errands import Picture, marked, seal_for, write
from mystyle_cli.errors import UsageError
from mystyle_cli.terminal.app import App, Command, Unused, pass_app
from mystyle_cli.terminal.inputs import STREAM
from mystyle_cli.terminal.marking import Origin, provenance
from mystyle_cli.terminal.options import (
    Beta,
    Marking,
    backend_option,
    bundle,
    choose_seed,
    format_option,
    jpeg_quality_option,
    mark_option,
    marking_of,
    no_mark_option,
    overwrite_option,
    person_option,
    profile_argument,
    seed_option,
    warn_unmarked,
    year_option,
)
from mystyle_cli.terminal.outputs import (
    FORMAT,
    JPEG_QUALITY,
    Ground,
    Originals,
    Target,
    names_folder,
    needs_folder,
    refuse_idle,
    target_for,
)

if TYPE_CHECKING:
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.person.years import Span
    from mystyle_cli.photos.pixels import Pixels, Sheet
    from mystyle_cli.sample.rendering import Backend, Renderer
    from mystyle_cli.sample.samples import Sampler, Samples


@dataclass(frozen=True)
class SampleOptions:
    """What is drawn, and where it goes."""

    count: int
    # file, folder or `-` for single pictures; None is this folder, or nowhere beside a sheet
    output: str | None
    grid: str | None
    sampler: Sampler
    anchors: int
    beta: float | None  # dilation, None where it is unbounded
    seed: int | None  # of the first picture, None to draw one
    person: str | None  # who of several people; None where the profile is of one
    year: int | None  # the photos nearest to it are mixed; None: all
    format_name: str | None  # suffix of results whose name is made up here; None is png
    jpeg_quality: int | None  # of webp, too; None is that of `outputs.JPEG_QUALITY`
    overwrite: bool
    mark: Marking | None
    no_mark: bool

    @property
    def dilation(self) -> float:
        """The dilation; raises UsageError where there is no bound."""
        if self.beta is None:
            raise UsageError("an unbounded hull cannot be sampled", "Give a number, such as --beta 0.02.")
        return self.beta


sample_options: Final = bundle(
    "options",
    SampleOptions,
    (
        click.option("-n", "--count", type=click.IntRange(1), default=1, show_default=True, help="Pictures."),
        click.option("-o", "--output", metavar="FILE|DIR|-", help="Where single pictures go."),
        click.option("--grid", metavar="FILE", help="All pictures as one; without -o only this is written."),
        click.option(
            "--sampler",
            type=click.Choice(["anchors", "uniform"]),
            default="anchors",
            show_default=True,
            help="Mix a few of the person's photos, or draw uniformly from the whole dilated hull.",
        ),
        click.option(
            "--anchors", type=click.IntRange(1), default=3, show_default=True, help="Photos in a mix."
        ),
        click.option(
            "--beta",
            type=Beta(),
            metavar="NUMBER",
            default=0.0,
            show_default=True,
            help="Dilation for --sampler uniform.",
        ),
        seed_option,
        person_option,
        year_option,
        format_option,
        jpeg_quality_option,
        overwrite_option,
        mark_option,
        no_mark_option,
    ),
)


@click.command(
    "sample",
    cls=Command,
    examples=(
        "mystyle sample adele -n 16 --seed 7 -o samples",
        "mystyle sample adele -n 9 --grid grid.png",
        "mystyle sample adele --sampler uniform --beta 0.02 -o one.png",
        "mystyle sample adele -n 9 --year 1998 --grid then.png     # as the person was about then",
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
@sample_options
@backend_option
@pass_app
def command(app: App, name: str, options: SampleOptions, backend: Backend) -> None:
    """Make new pictures of the person.

    Picture i is drawn with seed + i, so a picture can be had again alone: --seed 12 -n 1.
    """
    from mystyle_cli.sample.samples import draw_parts

    beta, marking = options.dilation, marking_of(options.mark, options.no_mark)
    warn_unmarked(app.console, marking)
    first = choose_seed(app.console, options.seed)
    seeds = range(first, first + options.count)
    singles = _places(name, seeds, options)
    sheet = target_for(Path(options.grid)) if options.grid else None
    wanted = [*singles, *([sheet] if sheet else [])]
    refuse_idle(singles, options.format_name, None)
    refuse_idle(wanted, None, options.jpeg_quality)
    check_stream(app.console, singles)
    profile = app.profiles().open(name).on(app.wanted_device()).one(options.person)
    work = SampleWork(app, profile, options, marking, singles, sheet)
    ground = Ground(work.originals, options.overwrite)
    ground.check_all(target.path for target in wanted if target.path is not None)
    work.lay_out()
    renderer = app.open_renderer(profile, backend)
    with app.console.progress() as progress:
        how = options.sampler, beta, options.anchors
        for part in draw_parts(profile, renderer, seeds, *how, progress, options.year):
            work.take(part)
    work.finish(first)
    work.account(renderer)


class SampleWork:
    """Pictures as they are drawn: each is written to its place, laid on the sheet and accounted for.

    Args:
        singles: a place for each single picture; none when only the sheet is wanted.
        sheet: the place of all pictures as one.
    """

    def __init__(
        self,
        app: App,
        profile: Profile,
        options: SampleOptions,
        marking: Marking,
        singles: Sequence[Target],
        sheet: Target | None,
    ) -> None:
        self.app, self.profile, self.options, self.marking = app, profile, options, marking
        self.singles, self.sheet = singles, sheet
        self.originals, self.seal = Originals.of([profile.path]), seal_for(marking)
        self.laid: Sheet | None = None
        self.results: list[dict[str, object]] = []
        self.span: Span | None = None  # which photos are mixed, once something was drawn
        self.scores: list[float] = []

    def lay_out(self) -> None:
        """Make room for the sheet, before any work; raises UsageError where it would be too large."""
        from mystyle_cli.photos.pixels import Sheet

        resolution = self.profile.manifest.prior.resolution
        if self.sheet:
            self.laid = Sheet(self.options.count, (resolution, resolution))

    def take(self, part: Samples) -> None:
        """Keep some pictures, the next ones."""
        if self.span is None:
            for notice in part.span.notices:
                self.app.console.warn(notice)
        self.span = part.span
        for row, seed in enumerate(part.seeds):
            score = float(part.id_scores[row])
            target = self.singles[len(self.results)] if self.singles else None
            if target:
                self._keep(target, part.pixels[row], seed, score)
            if self.laid:
                self.laid.add(part.pixels[row])
            if part.copies[row]:
                self.app.console.warn(
                    f"seed {seed} nearly copies the photo {part.copies[row]}; "
                    "leave it out where no photo is to be seen again"
                )
            self.scores.append(score)
            self.results.append(
                {
                    "output": target.name if target else None,
                    "seed": seed,
                    "id": score,
                    "copy_of": part.copies[row] or None,
                    "year": part.span.year_of(part.alphas[row]),
                    "alpha": part.alphas[row].tolist(),
                }
            )

    def finish(self, first: int) -> None:
        """Write the sheet, whose pictures have the seeds from the first on."""
        if self.sheet and self.laid:
            self._keep(self.sheet, self.laid.pixels, first)

    def _keep(self, target: Target, pixels: Pixels, seed: int, score: float | None = None) -> None:
        """Write a picture, or the sheet, which has no score of its own; say where."""
        from mystyle_cli.photos.marks import Drawn

        options = self.options
        assert self.span is not None
        count = 1 if score is not None else options.count
        drawn = Drawn(options.sampler, options.anchors, count, self.span.digest)
        origin = Origin(options.beta, seed, drawn=drawn, person=self.profile.person, year=options.year)
        marks = provenance("sample", self.profile, origin, score)
        picture = marked(Picture(pixels, marks), self.marking, self.seal)
        if target.path is not None:
            Ground(self.originals, options.overwrite).refuse(target.path)
        write(target, picture, options.jpeg_quality or JPEG_QUALITY, self.originals)
        if target.path is not None:
            self.app.console.result(target.name)

    def account(self, renderer: Renderer) -> None:
        """Say how much the pictures look like the person."""
        console, scores, span = self.app.console, self.scores, self.span
        assert span is not None
        told = "" if self.options.year is None else f"; mixed of {len(span.near)} of {span.count} photos"
        if len(scores) == 1:
            console.info(f"1 picture, ID {scores[0]:.3f}{told}")
        else:
            mean = sum(scores) / len(scores)
            console.info(f"{len(scores)} pictures, ID {mean:.3f} (lowest {min(scores):.3f}){told}")
        console.document(
            "sample",
            {
                "person": self.profile.person or None,
                "backend": renderer.backend,
                "provider": renderer.place,
                "grid": self.sheet.name if self.sheet else None,
                "results": self.results,
            },
        )


def _places(name: str, seeds: range, options: SampleOptions) -> list[Target]:
    output, grid, format_name = options.output, options.grid, options.format_name or FORMAT
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
