"""From a decoded photo to what the core works on: its mask and face points found beside it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from mystyle_cli.errors import DecodeError, MystyleError, UsageError, contained, reason_of
from mystyle_cli.terminal.batch import Job
from mystyle_cli.terminal.inputs import PICTURES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mystyle_cli.find.locate import Subject


class Answered(Protocol):
    """An answer of the core, which may say instead why there is none."""

    @property
    def error(self) -> MystyleError | None:
        """Why there is no result."""


Answer = TypeVar("Answer", bound=Answered)


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
        there = [
            path
            for path in (sorted(folder.iterdir()) if folder.is_dir() else [])
            if path.suffix.lower() in self.endings
        ]
        # inputs that differ only in their ending have companions that keep it: a.jpg.png
        found = [path for path in there if path.stem == job.item.relative.name]
        found = found or [path for path in there if path.stem == wanted.name]
        if len(found) != 1:
            number = "no" if not found else "more than one"
            raise UsageError(
                f"{job.item.name}: {number} {self.what} called {wanted}.* in {self.place}",
                f"Put exactly one {self.what} of that name there.",
            )
        return found[0]


@dataclass(frozen=True)
class SubjectReader:
    """Makes subjects of jobs.

    Args:
        masks: where masks are, or None.
        landmarks: where face points are, or None.
    """

    masks: Companions | None = None
    landmarks: Companions | None = None

    def read(self, job: Job) -> Subject:
        """Return the subject of a job.

        Raises:
            MystyleError: its mask or points cannot be read.
        """
        from mystyle_cli.find.locate import Subject, mask_of
        from mystyle_cli.photos.decode import decode

        mask = mask_of(decode(self.masks.of(job))) if self.masks else None
        points = read_landmarks(self.landmarks.of(job)) if self.landmarks else None
        return Subject(job.photo, mask, points, job.item.name)


def answer_each(
    jobs: Sequence[Job], reader: SubjectReader, core: Callable[[Sequence[Subject]], Sequence[Answer]]
) -> list[Answer | MystyleError]:
    """Hand what can be read to the core at once; return an answer or an error for every job, in order."""
    read: list[Subject | MystyleError] = []
    for job in jobs:
        try:
            read.append(reader.read(job))
        except Exception as error:
            read.append(contained(job.item.name, error))
    answers = iter(core([subject for subject in read if not isinstance(subject, MystyleError)]))
    found: list[Answer | MystyleError] = []
    for subject in read:
        if isinstance(subject, MystyleError):
            found.append(subject)
        else:
            answer = next(answers)
            found.append(answer.error or answer)
    return found


def mask_companions(place: Path) -> Companions:
    """Return where masks are found."""
    return Companions(place, PICTURES, "mask")


def landmark_companions(place: Path | None) -> Companions | None:
    """Return where face points are found, if anywhere."""
    return Companions(place, frozenset({".npy", ".txt"}), "file of points") if place else None


def code_companions(place: Path) -> Companions:
    """Return where saved codes are found."""
    return Companions(place, frozenset({".safetensors"}), "saved code")


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
            points = np.load(io.BytesIO(data), allow_pickle=False)
        else:
            points = np.array(
                [line.replace(",", " ").split() for line in data.decode("utf-8").splitlines() if line]
            )
        found = np.asarray(points, np.float64)
        if found.shape != (68, 2) or not np.isfinite(found).all():
            raise ValueError(f"its shape is {found.shape}")
    except DecodeError:
        raise
    except Exception as error:  # numpy raises several kinds on a damaged header
        raise UsageError(
            f"{path} does not hold 68 points: {reason_of(error)}", "Write 68 lines of `x y`."
        ) from error
    return found
