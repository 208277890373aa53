"""What is asked of photos: where they are to be filled, and what is known of their damage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from mystyle_cli.batch.companions import Companions, mask_companions
from mystyle_cli.config import FACE_PARTS
from mystyle_cli.errors import UsageError
from mystyle_cli.terminal.options import Number, bundle

if TYPE_CHECKING:
    from mystyle_cli.batch.running import Asked
    from mystyle_cli.batch.watching import Watch
    from mystyle_cli.find.region import Box, Region
    from mystyle_cli.restore.task import Quality, RestoreSettings, TaskName
    from mystyle_cli.store.found import Found
    from mystyle_cli.terminal.app import App
    from mystyle_cli.terminal.console import Console
    from mystyle_cli.terminal.options import BatchOptions
    from mystyle_cli.terminal.searching import SearchOptions


@dataclass(frozen=True)
class Ask:
    """What is asked of photos."""

    task: TaskName
    quality: Quality = "full"
    masks: Companions | None = None  # where they are, of what is to be filled
    region: Region | None = None  # the same
    repair: RepairOptions | None = None  # of what is damaged
    watch: bool = False  # they are worked on as they come
    variants: int = 1  # answers to each photo

    def watching(self, console: Console, batch: BatchOptions, *further: object) -> Watch | None:
        """Return what looks for photos as they come, if that is asked for; raises UsageError.

        Args:
            further: what else decides the results, besides what is asked and where they go.
        """
        if not self.watch:
            return None
        if self.variants > 1:
            raise UsageError("--watch gives one answer to each photo", "Leave out --watch or --variants.")
        from mystyle_cli.batch.watching import Watch
        from mystyle_cli.engines.runs import fingerprint

        return Watch(console, batch, fingerprint(replace(self, watch=False), batch.made, *further))

    def asked(
        self,
        app: App,
        batch: BatchOptions,
        settings: RestoreSettings,
        profiles: Sequence[Found],
        search: SearchOptions,
        *further: object,
    ) -> Asked:
        """Return what a run of it is known by.

        Args:
            further: what else decides the results.
        """
        from mystyle_cli.batch.running import Asked
        from mystyle_cli.restore.task import search_steps

        beside = [path for path in (search.landmarks, self.masks.path if self.masks else None) if path]
        pace = settings.quality, settings.projection.space, self.variants, len(profiles)
        people = [(profile.prior, search_steps(settings, profile.photos)) for profile in profiles]
        what = replace(self, watch=False), batch.made, profiles, search, settings.drawn, *further
        return Asked(app, self.task, what, (*pace, *people), tuple(beside))

    def varied(self, variants: int | None) -> Ask:
        """Return the same with so many answers to each photo, where that was said."""
        return self if variants is None else replace(self, variants=variants)

    def applied(self, settings: RestoreSettings) -> RestoreSettings:
        """Return settings that heed it."""
        settings = replace(settings, variants=self.variants)
        return settings if self.repair is None else self.repair.applied(settings)


class Corners(click.ParamType):  # type: ignore[type-arg]  # older clicks know no generic ones
    """A box on a photo, as x,y,width,height in pixels."""

    name = "x,y,width,height"

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> tuple[int, ...]:
        """Parse what was typed."""
        try:
            left, top, width, height = (int(number) for number in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not x,y,width,height in whole pixels", param, context)
        if width < 1 or height < 1:
            self.fail(f"a box of {width} x {height} pixels is empty", param, context)
        return left, top, width, height


@dataclass(frozen=True)
class WhereOptions:
    """Where photos are filled."""

    mask: Path | None
    parts: tuple[str, ...]
    kept: tuple[str, ...]
    boxes: tuple[Box, ...]

    def ask(self, quality: Quality) -> Ask:
        """Return what is asked of photos; raises UsageError where parts are kept of nothing."""
        from mystyle_cli.find.region import Region

        said = bool(self.mask or self.parts or self.boxes)
        if self.kept and not said:
            raise UsageError(
                "--except keeps parts of what is filled", "Say what is: --part face --except eyes."
            )
        region = Region(self.parts, self.boxes, self.kept) if self.parts or self.boxes or self.kept else None
        return Ask("inpaint", quality, mask_companions(self.mask) if self.mask else None, region)


where_options: Final = bundle(
    "where",
    WhereOptions,
    (
        click.option(
            "--mask",
            type=click.Path(exists=True, path_type=Path),
            metavar="FILE|DIR",
            help="Picture of the photo's size, white where to fill; or a folder with one for each photo.",
        ),
        click.option(
            "--part",
            "parts",
            multiple=True,
            type=click.Choice(FACE_PARTS),
            help="Fill this part of the face, wherever it is; may be given again.",
        ),
        click.option(
            "--except",
            "kept",
            multiple=True,
            type=click.Choice(FACE_PARTS),
            help="Leave this part as it is, whatever else is to be filled; may be given again.",
        ),
        click.option(
            "--box",
            "boxes",
            multiple=True,
            type=Corners(),
            help="Fill this box, in pixels of the upright photo; may be given again.",
        ),
    ),
)


@dataclass(frozen=True)
class RepairOptions:
    """What is known of photos' damage, and how what is restored meets the rest; lengths are the photo's."""

    blur: float | None
    noise: float | None
    jpeg: int | None  # 0: none
    scale: float | None
    keep_tone: bool | None
    grain: str | None
    scratches: str | None
    mask: Path | None  # where photos are scratched

    def ask(self, quality: Quality) -> Ask:
        """Return what is asked of photos."""
        return Ask("restore", quality, mask_companions(self.mask) if self.mask else None, repair=self)

    def applied(self, settings: RestoreSettings) -> RestoreSettings:
        """Return settings that heed them."""
        from mystyle_cli.restore.estimates import Known

        known = Known(self.blur, self.noise, self.jpeg, self.scale)
        grain = None if self.grain is None else self.grain == "keep"
        look = self.scratches != "none"
        return replace(settings, known=known, scratches=look, keep_tone=self.keep_tone, grain=grain)


repair_options: Final = bundle(
    "repair",
    RepairOptions,
    (
        click.option(
            "--blur",
            type=Number(0),
            metavar="PX",
            help="How blurred photos are: standard deviation in their pixels.  [default: estimated]",
        ),
        click.option(
            "--noise",
            type=Number(0, 255),
            metavar="LEVEL",
            help="How noisy they are: standard deviation, of 255.  [default: estimated]",
        ),
        click.option(
            "--jpeg",
            type=click.IntRange(0, 100),
            metavar="QUALITY",
            help="At which quality they were a JPEG, before they were enlarged; 0: never.  "
            "[default: estimated]",
        ),
        click.option(
            "--scale",
            type=Number(1),
            metavar="TIMES",
            help="How many times they were enlarged since.  [default: estimated]",
        ),
        click.option(
            "--keep-tone/--colour",
            default=None,
            help="Leave grey and toned photos so, or give the face its colours.  [default: colours where the "
            "photo shows little else]",
        ),
        click.option(
            "--grain",
            type=click.Choice(["keep", "none"]),
            help="Whether the face gets the grain of its photo.  [default: keep; with --aligned none]",
        ),
        click.option(
            "--scratches",
            type=click.Choice(["find", "none"]),
            help="Whether scratches are looked for and filled.  [default: find; with --mask none]",
        ),
        click.option(
            "--mask",
            type=click.Path(exists=True, path_type=Path),
            metavar="FILE|DIR",
            help="Picture of the photo's size, white where it is scratched; or a folder of them.",
        ),
    ),
)
