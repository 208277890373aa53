"""From a decoded photo to what the core works on: its mask and face points found beside it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from mystyle_cli.batch.errands import Job
from mystyle_cli.errors import DecodeError, MystyleError, UsageError, contained, reason_of
from mystyle_cli.terminal.inputs import PICTURES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mystyle_cli.find.locate import Subject
    from mystyle_cli.find.region import Region


class Answered(Protocol):
    """An answer of the core, which may say instead why there is none."""

    @property
    def error(self) -> MystyleError | None:
        """Why there is no result."""


Answer = TypeVar("Answer", bound=Answered)


@dataclass(frozen=True)
class Companions:
    """Files that belong to inputs: one for all, or a folder with one of each input's name."""

    path: Path
    endings: frozenset[str]  # of the files that count, lower case
    what: str

    def of(self, job: Job) -> Path:
        """Return an input's companion; raises UsageError where a folder has none of its name, or several."""
        if not self.path.is_dir():
            return self.path
        wanted = job.item.relative.with_suffix("")
        folder = self.path / wanted.parent
        there = [
            file
            for file in (sorted(folder.iterdir()) if folder.is_dir() else [])
            if file.suffix.lower() in self.endings
        ]
        # inputs that differ only in their ending have companions that keep it: a.jpg.png
        matching = [file for file in there if file.stem == job.item.relative.name]
        matching = matching or [file for file in there if file.stem == wanted.name]
        if len(matching) != 1:
            number = "no" if not matching else "more than one"
            raise UsageError(
                f"{job.item.name}: {number} {self.what} called {wanted}.* in {self.path}",
                f"Put exactly one {self.what} of that name there.",
            )
        return matching[0]


@dataclass(frozen=True)
class SubjectReader:
    """Makes subjects of jobs."""

    masks: Companions | None = None
    landmarks: Companions | None = None
    region: Region | None = None
    transparent: bool = False  # where nothing else says what to fill, what is transparent is filled

    def read(self, job: Job) -> Subject:
        """Return the subject of a job; raises MystyleError where its mask or points cannot be read."""
        from mystyle_cli.find.locate import Subject, mask_of
        from mystyle_cli.find.region import mask_of_opacity
        from mystyle_cli.photos.decode import decode

        mask = mask_of(decode(self.masks.of(job))) if self.masks else None
        if self.transparent and not (self.masks or self.region) and job.photo.alpha is not None:
            mask = mask_of_opacity(job.photo.alpha)
        points = read_landmarks(self.landmarks.of(job)) if self.landmarks else None
        return Subject(job.photo, mask, points, job.item.name, self.region)


def answer_each(
    jobs: Sequence[Job], reader: SubjectReader, core: Callable[[Sequence[Subject]], Sequence[Answer]]
) -> list[Answer | MystyleError]:
    """Hand what can be read to the core together; return an answer or an error for every job, in order.

    Raises:
        MystyleError: of what all jobs need, such as the profile.
    """
    subjects: list[Subject | MystyleError] = []
    for job in jobs:
        try:
            subjects.append(reader.read(job))
        except Exception as error:
            subjects.append(contained(job.item.name, error))
    answers = iter(_together([one for one in subjects if not isinstance(one, MystyleError)], core))
    return [one if isinstance(one, MystyleError) else next(answers) for one in subjects]


def _together(
    subjects: Sequence[Subject], core: Callable[[Sequence[Subject]], Sequence[Answer]]
) -> list[Answer | MystyleError]:
    """Return an answer or an error for each; where work on some at once fails, each is tried alone."""
    if not subjects:
        return []
    try:
        return [answer.error or answer for answer in core(subjects)]
    except (MystyleError, ImportError):  # of what all of them need
        raise
    except Exception as error:
        if len(subjects) == 1:
            return [contained(subjects[0].name, error)]
    return [answer for subject in subjects for answer in _together([subject], core)]


def mask_companions(path: Path) -> Companions:
    """Return where masks are found."""
    return Companions(path, PICTURES, "mask")


def landmark_companions(path: Path | None) -> Companions | None:
    """Return where face points are found, if anywhere."""
    return Companions(path, frozenset({".npy", ".txt"}), "file of points") if path else None


def code_companions(path: Path) -> Companions:
    """Return where saved codes are found."""
    return Companions(path, frozenset({".safetensors"}), "saved code")


def read_landmarks(path: Path) -> NDArray[np.float64]:
    """Read 68 face points from .npy or from lines of `x y`.

    Raises:
        DecodeError: the file cannot be read.
        UsageError: it does not hold 68 pairs of numbers.
    """
    import numpy as np

    from mystyle_cli.photos.decode import read_file

    try:
        data = read_file(path)
        if path.suffix.lower() == ".npy":
            numbers = np.load(io.BytesIO(data), allow_pickle=False)
        else:
            numbers = np.array(
                [line.replace(",", " ").split() for line in data.decode("utf-8").splitlines() if line]
            )
        points = np.asarray(numbers, np.float64)
        if points.shape != (68, 2) or not np.isfinite(points).all():
            raise ValueError(f"its shape is {points.shape}")
    except DecodeError:
        raise
    except Exception as error:  # numpy raises several kinds on a damaged header
        raise UsageError(
            f"{path} does not hold 68 points: {reason_of(error)}", "Write 68 lines of `x y`."
        ) from error
    return points
