"""From a decoded photo to what the core works on: its mask and face points found beside it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from mystyle_cli.batch.companions import Companions
from mystyle_cli.batch.errands import Job
from mystyle_cli.errors import DecodeError, MystyleError, UsageError, contained, reason_of
from mystyle_cli.files.reading import Handed

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
class SubjectReader:
    """Makes subjects of jobs."""

    masks: Companions | None = None
    landmarks: Companions | None = None
    region: Region | None = None
    transparent: bool = False  # where nothing else says what to fill, what is transparent is filled

    @property
    def companions(self) -> tuple[Companions, ...]:
        """What is read of each photo besides itself."""
        return tuple(one for one in (self.masks, self.landmarks) if one is not None)

    def read(self, job: Job) -> Subject:
        """Return the subject of a job; raises MystyleError where its mask or points cannot be read."""
        from mystyle_cli.find.locate import Subject, mask_of
        from mystyle_cli.find.region import mask_of_opacity
        from mystyle_cli.photos.decode import decode

        mask = mask_of(decode(job.file(self.masks))) if self.masks else None
        if self.transparent and not (self.masks or self.region) and job.photo.alpha is not None:
            mask = mask_of_opacity(job.photo.alpha)
        points = read_landmarks(job.file(self.landmarks)) if self.landmarks else None
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


def read_landmarks(path: Path | Handed) -> NDArray[np.float64]:
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
