"""What `invert`, `inpaint`, `upscale`, `restore` and `edit` share: how the person's space is searched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from mystyle_cli.config import MOST_VARIANTS
from mystyle_cli.errors import UsageError
from mystyle_cli.terminal.app import App, Unused
from mystyle_cli.terminal.options import (
    SEEDS,
    BatchOptions,
    beta_option,
    bundle,
    choose_seed,
    person_option,
    year_option,
)

if TYPE_CHECKING:
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.projection.settings import SpaceName
    from mystyle_cli.restore.task import Dilation, Quality, RestoreSettings, Start, TaskName


@dataclass(frozen=True)
class SearchOptions:
    """How the person's space is searched."""

    beta: Dilation  # dilation; None is unbounded, "auto" the profile's own advice
    steps: int | None  # of the search; None is the core's own number
    seed: int | None  # what makes it repeatable; None draws one
    space: SpaceName | None  # None: the task's own
    start: Start
    aligned: bool
    landmarks: Path | None
    force: bool
    person: str | None  # who of several people; None leaves it to each photo
    year: int | None  # only photos of the person about then are mixed; None: all

    def whom(self, profile: Profile) -> Profile:
        """Return the profile of whom photos are said to show; of several people where nothing is said."""
        return profile if self.person is None else profile.one(self.person)


def search_options(beta: float) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the options of a search, with a command's own default dilation."""
    return bundle(
        "search",
        SearchOptions,
        (
            beta_option(beta),
            click.option(
                "--steps",
                type=click.IntRange(1),
                help="Steps of the search.  [default: 25; near with fewer than 24 photos: 40; w and w+: 300]",
            ),
            click.option(
                "--seed",
                type=SEEDS,
                help="Repeats what --start random and --variants draw, the only chance in a search.  "
                "[default: drawn and printed]",
            ),
            click.option(
                "--space",
                type=click.Choice(["p+", "p", "near", "w+", "w"]),
                help="Codes to search: p+ and p keep to what lies between the person's photos, near looks "
                "beside that, too; w+ and w know no person.  [default: near to enlarge and to fill; "
                "p+ to restore, invert and edit, for clips, instant answers and --keep-code]",
            ),
            click.option(
                "--start",
                type=click.Choice(["auto", "centre", "encoder", "random"]),
                default="auto",
                show_default=True,
                help="Where the search begins; auto: at the instant answer, or at the centre where the "
                "profile has no net for that. Random starts show how much a photo leaves open.",
            ),
            click.option(
                "--aligned", is_flag=True, help="Inputs are aligned square crops of the face already."
            ),
            click.option(
                "--landmarks",
                type=click.Path(exists=True, path_type=Path),
                metavar="FILE|DIR",
                help="68 face points for photos in which no face is found: .npy or lines of `x y`.",
            ),
            click.option("--force", is_flag=True, help="Work on a face even if it is not this person's."),
            person_option,
            year_option,
        ),
    )


# options of a search that others leave without a use
UNUSED: Final = (
    Unused(
        ("seed",),
        lambda values: values["start"] != "random" and not values.get("variants"),
        "only random starts and variants are drawn, and every other search repeats itself",
        "Leave it out, or add --start random or --variants.",
    ),
    Unused(
        ("beta",),
        lambda values: values["space"] in ("w", "w+"),
        "only codes of the person's own space have a dilation",
        "Leave it out, or use --space p+, p or near.",
    ),
    Unused(
        ("year",),
        lambda values: values["space"] in ("w", "w+"),
        "only codes of the person's own space are mixed of their photos",
        "Leave it out, or use --space p+, p or near.",
    ),
    Unused(
        ("landmarks",),
        lambda values: values["aligned"],
        "an aligned crop shows where its face is",
        "Leave out one of --landmarks and --aligned.",
    ),
)


@dataclass(frozen=True)
class QualityOptions:
    """How much is done for a result."""

    quality: Quality | None  # instant, fast or full; None is full
    instant: bool
    variants: int | None  # answers to each photo; None is one

    @property
    def chosen(self) -> Quality:
        """What counts in the end; raises UsageError where the two contradict each other."""
        if self.instant and self.quality not in (None, "instant"):
            raise UsageError(
                f"--instant and --quality {self.quality} contradict each other", "Give one of them."
            )
        return "instant" if self.instant else self.quality or "full"


quality_options: Final = bundle(
    "quality",
    QualityOptions,
    (
        click.option(
            "--quality",
            type=click.Choice(["instant", "fast", "full"]),
            help="instant: the person's own nets, without torch; fast: a short search; full: a whole one.  "
            "[default: full]",
        ),
        click.option("--instant", is_flag=True, help="Short for --quality instant."),
        click.option(
            "--variants",
            type=click.IntRange(2, MOST_VARIANTS),
            metavar="K",
            help="K answers that explain the photo equally well, OUT-1 and so on, and OUT-open, a map where "
            "they differ. Takes K searches or more.  [default: one answer]",
        ),
    ),
)


save_codes_option: Final = click.option(
    "--save-codes",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep each photo's code there, so that `edit --codes DIR` need not search again.",
)


def seed_of(app: App, search: SearchOptions, quality: Quality, *, varied: bool) -> int:
    """Return the seed; without one, only a random start of a full search and variants draw and print one."""
    drawn = varied or (search.start == "random" and quality == "full")
    return choose_seed(app.console, search.seed) if drawn else 0


def settings_of(
    app: App,
    task: TaskName,
    batch: BatchOptions,
    search: SearchOptions,
    quality: Quality = "full",
    *,
    varied: bool = False,
) -> RestoreSettings:
    """Return the core's settings for what was typed."""
    from mystyle_cli.restore.task import BETAS, default_settings

    settings = default_settings(task, quality, search.space).dilated(search.beta, BETAS[task])
    projection = replace(settings.projection, steps=search.steps or settings.projection.steps)
    return replace(
        settings,
        projection=projection,
        aligned=search.aligned,
        force=search.force,
        start=search.start,
        seed=seed_of(app, search, quality, varied=varied),
        batch=batch.batch,
        year=search.year,
    )
