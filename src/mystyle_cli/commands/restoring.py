"""What `invert`, `inpaint` and `upscale` share: their options, and photos in, repaired photos out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from mystyle_cli.commands.app import App, Unused
from mystyle_cli.commands.batch import Job, Picture, finished, run_batch
from mystyle_cli.commands.marking import provenance
from mystyle_cli.commands.options import (
    SEEDS,
    BatchOptions,
    beta_option,
    bundle,
    choose_seed,
    warn_unbounded,
)
from mystyle_cli.commands.outputs import Originals
from mystyle_cli.commands.subjects import Companions, SubjectReader, answer_each, landmark_companions
from mystyle_cli.errors import MystyleError, UsageError
from mystyle_cli.progress import Progress
from mystyle_cli.restore.faults import contained

if TYPE_CHECKING:
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.restore.projection import SpaceName
    from mystyle_cli.restore.restore import Quality, Restoration, RestoreSettings, Start, TaskName


@dataclass(frozen=True)
class SearchOptions:
    """How the person's space is searched.

    Args:
        beta: dilation; None is unbounded.
        steps: of the search; None is the core's own number.
        seed: what makes it repeatable; None draws one.
        space: of codes.
        start: where the search begins.
        aligned: inputs are aligned crops.
        landmarks: file or folder of face points.
        force: work on faces that are not this person's.
    """

    beta: float | None
    steps: int | None
    seed: int | None
    space: SpaceName
    start: Start
    aligned: bool
    landmarks: Path | None
    force: bool


def search_options(beta: float) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the options of a search, with a command's own default dilation."""
    return bundle(
        "search",
        SearchOptions,
        (
            beta_option(beta),
            click.option(
                "--steps", type=click.IntRange(1), help="Steps of the search.  [default: 25; in w and w+ 300]"
            ),
            click.option(
                "--seed",
                type=SEEDS,
                help="Repeats what --start random draws, the only chance in a search.  "
                "[default: drawn and printed]",
            ),
            click.option(
                "--space",
                type=click.Choice(["p+", "p", "w+", "w"]),
                default="p+",
                show_default=True,
                help="Codes to search: p+ and p keep to the person, w+ and w do not.",
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
        ),
    )


UNUSED: Final = (
    Unused(
        ("seed",),
        lambda values: values["start"] != "random",
        "only a random start draws anything, and every other search repeats itself",
        "Leave it out, or add --start random.",
    ),
    Unused(
        ("beta",),
        lambda values: values["space"] in ("w", "w+"),
        "only codes of the person's own space have a dilation",
        "Leave it out, or use --space p+ or p.",
    ),
    Unused(
        ("landmarks",),
        lambda values: values["aligned"],
        "an aligned crop shows where its face is",
        "Leave out one of --landmarks and --aligned.",
    ),
)
"""Options of a search that others leave without a use."""


@dataclass(frozen=True)
class QualityOptions:
    """How much is done for a result.

    Args:
        effort: instant, fast or full.
        instant: short for the first.
    """

    effort: Quality | None
    instant: bool

    @property
    def chosen(self) -> Quality:
        """What counts in the end.

        Raises:
            UsageError: the two contradict each other.
        """
        if self.instant and self.effort not in (None, "instant"):
            raise UsageError(
                f"--instant and --quality {self.effort} contradict each other", "Give one of them."
            )
        return "instant" if self.instant else self.effort or "full"


quality_options: Final = bundle(
    "effort",
    QualityOptions,
    (
        click.option(
            "--quality",
            "effort",
            type=click.Choice(["instant", "fast", "full"]),
            help="instant: the person's own nets, without torch; fast: a short search; full: a whole one.  "
            "[default: full]",
        ),
        click.option("--instant", is_flag=True, help="Short for --quality instant."),
    ),
)


save_codes_option: Final = click.option(
    "--save-codes",
    "codes",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep each photo's code there, so that `edit --codes DIR` need not search again.",
)


keep_code_option: Final = click.option(
    "--keep-code",
    is_flag=True,
    help="Keep the photo's code in the result, so that `mystyle verify` can draw it again. It says how the "
    "profile's photos are mixed, and holds the photo's digest.",
)

UNMARKED: Final = Unused(
    ("keep_code",),
    lambda values: values["no_mark"],
    "with --no-mark nothing is written into results",
    "Leave out one of --keep-code and --no-mark.",
)

LONGEST: Final = 60_000
"""Characters of a code that a JPEG has room for; its record ends at 65 533 bytes."""


def refuse_long_codes(profile: Profile, batch: BatchOptions) -> None:
    """Refuse to keep a code in a JPEG that has no room for it.

    Raises:
        UsageError: it has none.
    """
    endings = (f".{batch.format_name}", Path(batch.output or "").suffix.lower())
    photos = len(profile.photos())
    characters = photos * profile.manifest.prior.num_ws * 8 * 4 / 3
    if characters > LONGEST and {".jpg", ".jpeg"} & set(endings):
        raise UsageError(
            f"--keep-code: a JPEG has no room for a code of {photos} photos", "Use --format png or webp."
        )


class RestoreWork:
    """One task of the restoring engine as the work of a batch.

    Args:
        profile: the person.
        task: invert, inpaint or upscale.
        settings: how to search.
        reader: where masks and face points are.
        keep_code: results hold their codes.
    """

    def __init__(
        self,
        profile: Profile,
        task: TaskName,
        settings: RestoreSettings,
        reader: SubjectReader,
        keep_code: bool = False,
    ) -> None:
        from mystyle_cli.restore.restore import open_engine

        self.profile, self.task, self.settings = profile, task, settings
        self.reader, self.engine = reader, open_engine(profile, settings)
        self.name: str = task
        self.keep_code = keep_code

    def run(self, jobs: Sequence[Job], progress: Progress) -> list[Restoration | MystyleError]:
        """Restore a few photos at once."""
        from mystyle_cli.restore.restore import restore_with

        answers = answer_each(
            jobs, self.reader, lambda subjects: restore_with(self.engine, subjects, self.task, progress)
        )
        return [self._keep(job, answer) for job, answer in zip(jobs, answers, strict=True)]

    def _keep(self, job: Job, answer: Restoration | MystyleError) -> Restoration | MystyleError:
        """Write an answer's code where that is wanted; returns the answer, or why it could not be kept."""
        from mystyle_cli.restore.saved import save_code

        if isinstance(answer, MystyleError) or job.code is None:
            return answer
        try:
            save_code(job.code, self.profile, answer, aligned=self.settings.aligned)
        except Exception as error:
            return contained(job.item.name, error)
        return answer

    def picture(self, job: Job, answer: Restoration) -> Picture:
        """Return the whole photo."""
        assert answer.pixels is not None
        from mystyle_cli.restore.saved import code_bytes

        beta, hull = self.settings.projection.beta, answer.alpha_plus is not None
        marks = provenance(
            self.name,
            self.profile,
            beta,
            self.settings.drawn,
            hull=hull,
            id_score=answer.id_score,
            code=code_bytes(self.profile, answer, aligned=self.settings.aligned) if self.keep_code else b"",
        )
        return finished(job, answer.pixels, marks)

    def summary(self, job: Job, answer: Restoration) -> str:
        """Say how much the result looks like the person, and what it took."""
        size = f", {answer.factor:.3g} times" if self.name == "upscale" else ""
        dilation = "" if answer.alpha_plus is None else f"dilation {answer.least_dilation:.4f}, "
        return (
            f"{job.item.name}: ID {answer.id_score:.3f} (input {answer.input_id:.3f}), "
            f"{dilation}{answer.steps} steps{size}"
        )

    def warnings(self, answer: Restoration) -> Sequence[str]:
        """Return the core's own warnings."""
        return answer.warnings

    def report(self, job: Job, answer: Restoration) -> dict[str, object]:
        """Return every figure of the answer."""
        return {
            "id": finite(answer.id_score),
            "input_id": finite(answer.input_id),
            "beta": answer.beta,
            "least_dilation": finite(answer.least_dilation),
            "loss": finite(answer.loss),
            "steps": answer.steps,
            "factor": finite(answer.factor),
            "seed": self.settings.drawn,
            "warnings": list(answer.warnings),
        }


def run_restore(
    app: App,
    name: str,
    task: TaskName,
    batch: BatchOptions,
    search: SearchOptions,
    masks: Companions | None = None,
    codes: Path | None = None,
    quality: Quality = "full",
    keep_code: bool = False,
) -> int:
    """Restore all inputs of a command, and keep their codes in the folder `codes`, or in the results.

    Returns:
        The exit code.
    """
    from mystyle_cli.restore.projection import HULL

    if (codes is not None or keep_code) and search.space not in HULL:
        raise UsageError("only codes of the person's own space are saved", "Use --space p+ or p.")
    warn_unbounded(app.console, search.beta)
    profile = app.profiles().open(name).on(app.choose_device(torch=quality != "instant"))
    if keep_code:
        refuse_long_codes(profile, batch)
    settings = settings_of(app, task, batch, search, quality)
    reader = SubjectReader(masks, landmark_companions(search.landmarks))
    places = (search.landmarks, masks.place if masks else None)
    originals = Originals.of([profile.path, *(place for place in places if place is not None)])
    work = RestoreWork(profile, task, settings, reader, keep_code)
    return run_batch(app.console, batch, work, originals, codes)


def _seed(app: App, search: SearchOptions, quality: Quality) -> int:
    """Return the seed; without one, only a random start of a full search draws and prints one."""
    drawn = search.start == "random" and quality == "full"
    return choose_seed(app.console, search.seed) if drawn else 0


def settings_of(
    app: App, task: TaskName, batch: BatchOptions, search: SearchOptions, quality: Quality = "full"
) -> RestoreSettings:
    """Return the core's settings for what was typed."""
    from mystyle_cli.restore.restore import default_settings

    settings = default_settings(task, quality)
    projection = replace(
        settings.projection,
        beta=search.beta,
        space=search.space,
        steps=search.steps or settings.projection.steps,
    )
    return replace(
        settings,
        projection=projection,
        aligned=search.aligned,
        force=search.force,
        start=search.start,
        seed=_seed(app, search, quality),
        batch=batch.batch,
    )


def finite(value: float) -> float | None:
    """Return a number that JSON has: None for those that are not finite."""
    import math

    return float(value) if math.isfinite(value) else None
