"""What `invert`, `inpaint` and `upscale` share: their options, and photos in, repaired photos out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mystyle_cli.commands.app import App
from mystyle_cli.commands.batch import Job, Picture, run_batch
from mystyle_cli.commands.inputs import PICTURES
from mystyle_cli.commands.marking import provenance
from mystyle_cli.commands.options import (
    BatchOptions,
    beta_option,
    bundle,
    choose_seed,
    warn_unbounded,
)
from mystyle_cli.errors import MystyleError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mystyle_cli.person.profile import Profile
    from mystyle_cli.restore.locate import Subject
    from mystyle_cli.restore.projection import SpaceName
    from mystyle_cli.restore.restore import Restoration, RestoreSettings, Start, TaskName


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
                "--steps", type=click.IntRange(1), help="Steps of the search.  [default: enough to settle]"
            ),
            click.option(
                "--seed", type=click.IntRange(0), help="Repeats a random start.  [default: drawn and printed]"
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
                type=click.Choice(["centre", "encoder", "random"]),
                default="centre",
                show_default=True,
                help="Where the search begins; random starts show how much a photo leaves open.",
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


@dataclass(frozen=True)
class Companions:
    """Files that belong to inputs: one for all, or a folder with one of each input's name.

    Args:
        place: the file or folder.
        endings: of the files that count, lower case.
        what: for messages.
    """

    place: Path
    endings: frozenset[str]
    what: str

    def of(self, job: Job) -> Path:
        """Return an input's companion.

        Raises:
            UsageError: the folder has none of its name, or several.
        """
        if not self.place.is_dir():
            return self.place
        wanted = job.item.relative.with_suffix("")
        folder = self.place / wanted.parent
        found = [
            path
            for path in (sorted(folder.iterdir()) if folder.is_dir() else [])
            if path.stem == wanted.name and path.suffix.lower() in self.endings
        ]
        if len(found) != 1:
            number = "no" if not found else "more than one"
            raise UsageError(
                f"{job.item.name}: {number} {self.what} called {wanted}.* in {self.place}",
                f"Put exactly one {self.what} of that name there.",
            )
        return found[0]


class RestoreWork:
    """One task of the restoring engine as the work of a batch.

    Args:
        app: what the options of every command said.
        profile: the person.
        task: invert, inpaint or upscale.
        settings: how to search.
        masks: where inpaint's masks are.
        landmarks: where face points are, or None.
    """

    def __init__(
        self,
        app: App,
        profile: Profile,
        task: TaskName,
        settings: RestoreSettings,
        masks: Companions | None,
        landmarks: Companions | None,
    ) -> None:
        self.app, self.profile, self.task, self.settings = app, profile, task, settings
        self.masks, self.landmarks = masks, landmarks
        self.name: str = task

    def run(self, jobs: Sequence[Job]) -> list[Restoration | MystyleError]:
        """Restore a few photos at once; one whose mask or points cannot be read fails alone."""
        from mystyle_cli.restore.restore import restore

        subjects = [self._subject(job) for job in jobs]
        good = [subject for subject in subjects if not isinstance(subject, MystyleError)]
        with self.app.console.progress() as progress:
            found = iter(restore(self.profile, good, self.task, self.settings, progress) if good else ())
        answers: list[Restoration | MystyleError] = []
        for subject in subjects:
            answer = subject if isinstance(subject, MystyleError) else next(found)
            answers.append(answer if isinstance(answer, MystyleError) else answer.error or answer)
        return answers

    def _subject(self, job: Job) -> Subject | MystyleError:
        from mystyle_cli.photos.decode import decode
        from mystyle_cli.restore.locate import Subject, mask_of

        try:
            mask = mask_of(decode(self.masks.of(job))) if self.masks else None
            points = read_landmarks(self.landmarks.of(job)) if self.landmarks else None
        except MystyleError as error:
            return error
        return Subject(job.photo, mask, points, job.item.name)

    def picture(self, job: Job, answer: Restoration) -> Picture:
        """Return the whole photo, with its opacity and EXIF data where its size is still the same."""
        assert answer.pixels is not None
        same = answer.pixels.shape == job.photo.pixels.shape
        marks = provenance(self.name, self.profile, self.settings.projection.beta, self.settings.seed)
        return Picture(answer.pixels, marks, job.photo.alpha if same else None, job.photo.exif)

    def summary(self, job: Job, answer: Restoration) -> str:
        """Say how much the result looks like the person, and what it took."""
        for warning in answer.warnings:
            self.app.console.warn(f"{job.item.name}: {warning}")
        size = f", {answer.factor:.3g} times" if self.name == "upscale" else ""
        return (
            f"{job.item.name}: ID {answer.id_score:.3f} (input {answer.input_id:.3f}), "
            f"dilation {answer.least_dilation:.4f}, {answer.steps} steps{size}"
        )

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
            "seed": self.settings.seed,
            "warnings": list(answer.warnings),
        }


def run_restore(
    app: App,
    name: str,
    task: TaskName,
    batch: BatchOptions,
    search: SearchOptions,
    masks: Companions | None = None,
) -> int:
    """Restore all inputs of a command.

    Returns:
        The exit code.
    """
    warn_unbounded(app.console, search.beta)
    profile = app.profiles().open(name)
    settings = settings_of(app, task, batch, search)
    points = (
        Companions(search.landmarks, frozenset({".npy", ".txt"}), "file of points")
        if search.landmarks
        else None
    )
    return run_batch(app.console, batch, RestoreWork(app, profile, task, settings, masks, points))


def _seed(app: App, search: SearchOptions) -> int:
    """Return the seed; without one, only a random start draws and prints one."""
    return choose_seed(app.console, search.seed) if search.start == "random" else search.seed or 0


def settings_of(app: App, task: TaskName, batch: BatchOptions, search: SearchOptions) -> RestoreSettings:
    """Return the core's settings for what was typed."""
    from mystyle_cli.restore.restore import default_settings

    settings = default_settings(task)
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
        seed=_seed(app, search),
        device=app.choose_device(),
        batch=batch.batch,
    )


def mask_companions(place: Path) -> Companions:
    """Return where masks are found."""
    return Companions(place, PICTURES, "mask")


def read_landmarks(path: Path) -> NDArray[np.float64]:
    """Read 68 face points from .npy or from lines of `x y`.

    Raises:
        UsageError: the file does not hold 68 pairs of numbers.
    """
    import numpy as np

    try:
        if path.suffix.lower() == ".npy":
            points = np.load(path, allow_pickle=False)
        else:
            points = np.array(
                [line.replace(",", " ").split() for line in path.read_text("utf-8").splitlines() if line]
            )
        found = np.asarray(points, np.float64)
        if found.shape != (68, 2) or not np.isfinite(found).all():
            raise ValueError(f"its shape is {found.shape}")
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} does not hold 68 points: {error}", "Write 68 lines of `x y`.") from error
    return found


def finite(value: float) -> float | None:
    """Return a number that JSON has: None for those that are not finite."""
    import math

    return float(value) if math.isfinite(value) else None
