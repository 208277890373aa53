"""The reference set on disk: `photos.jsonl` and the aligned faces that it names."""

from __future__ import annotations

import dataclasses
import io
import json
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.curate.records import PhotoRecord
from mystyle_cli.errors import ProfileError, reason_of
from mystyle_cli.files.owned import inside
from mystyle_cli.files.parsing import DocumentError, json_of, lines_of
from mystyle_cli.files.reading import read_file
from mystyle_cli.nets.bounds import LARGEST_SIDE
from mystyle_cli.person.files import unreadable
from mystyle_cli.person.layout import data_name, largest

FloatArray = NDArray[np.float32]
Pixels = NDArray[np.uint8]

TRAIN: Final = "train"
HELD_OUT: Final = "held-out"
FACES: Final = "faces"
MOST_PHOTOS: Final = 100_000  # photos that a profile may have seen
MOST_BYTES: Final = 8 << 30  # bytes of all faces of a reference set together: some 2700 of 1024 pixels
_RESTORE: Final = "Restore it from a backup, or create the profile again from its photos."


def write_records(records: Sequence[PhotoRecord]) -> bytes:
    """Return the content of `photos.jsonl`: one record a line."""
    return "".join(f"{json.dumps(record.to_json(), ensure_ascii=False)}\n" for record in records).encode()


def read_records(path: Path, beneath: Path | None = None) -> tuple[PhotoRecord, ...]:
    """Read `photos.jsonl`; raises ProfileError also where a face lies outside the profile or is another's."""
    try:
        lines = lines_of(read_file(path, largest("photos.jsonl"), beneath))
    except OSError as error:
        raise unreadable(path, error) from error
    except DocumentError as error:
        raise ProfileError(f"{path} is damaged: {error}", _RESTORE) from error
    records: list[PhotoRecord] = []
    faces: set[str] = set()
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        if len(records) == MOST_PHOTOS:
            raise ProfileError(f"{path} has more than {MOST_PHOTOS:,} photos", _RESTORE)
        try:
            record = PhotoRecord.from_json(json_of(line))
            face = None if record.face is None else inside(record.face)
        except (ValueError, ProfileError) as error:
            raise ProfileError(f"{path}, line {number} is damaged: {error}", _RESTORE) from error
        if face is not None and (not (face.startswith(f"{FACES}/") and data_name(face)) or face in faces):
            raise ProfileError(f"{path}, line {number}: {face!r} is no name of a face of its own", _RESTORE)
        if face is not None:
            faces.add(face)
        records.append(record)
    return tuple(records)


def number_faces(
    records: Sequence[PhotoRecord], before: Sequence[PhotoRecord] = ()
) -> tuple[PhotoRecord, ...]:
    """Give every new kept photo a file for its face, faces/0001.png and so on, after those there are."""
    numbers = [int(Path(record.face).stem.lstrip("m")) for record in before if record.face is not None]
    following = max(numbers, default=0)
    numbered = []
    for record in records:
        if record.kept:
            following += 1
            record = dataclasses.replace(record, face=f"{FACES}/{following:04d}.png")
        numbered.append(record)
    return (*before, *numbered)


def counts_of(records: Sequence[PhotoRecord]) -> dict[str, int]:
    """Return how many photos were seen, kept and refused, and how the kept ones were divided."""
    splits = Counter(record.split for record in records)
    kept = sum(record.kept for record in records)
    return {
        "photos": len(records),
        "kept": kept,
        "refused": len(records) - kept,
        "train": splits[TRAIN],
        "held_out": splits[HELD_OUT],
    }


def refuse_no_photos(records: Sequence[PhotoRecord]) -> None:
    """Raise ProfileError, which counts the refusals, when there is no photo to learn from."""
    if counts_of(records)["train"]:
        return
    reasons = Counter(str(record.reason) for record in records if not record.kept)
    why = ", ".join(f"{number} {reason}" for reason, number in reasons.most_common()) or "none was refused"
    raise ProfileError(
        f"no photo of {len(records)} can be learned from ({why})",
        "Add clear photos of one person, best about 100 of different occasions.",
    )


def read_pixels(path: Path, beneath: Path | None = None) -> Pixels:
    """Read an aligned face as it is stored, uint8 (R, R, 3); raises ProfileError where it cannot be read."""
    from PIL import Image, UnidentifiedImageError

    try:
        data = read_file(path, largest("a.png"), beneath)
    except OSError as error:
        raise unreadable(path, error) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about large pictures, which are refused here
            with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
                if max(image.size) > LARGEST_SIDE:
                    raise ValueError(f"it is {image.width} x {image.height} pixels")
                return np.array(image.convert("RGB"))
    except UnidentifiedImageError as error:
        raise ProfileError(f"{path} is no PNG picture", _RESTORE) from error
    except Exception as error:  # Pillow raises almost anything on damaged files
        raise ProfileError(f"{path} cannot be read: {reason_of(error)}", _RESTORE) from error


class Pictures:
    """Aligned faces in 8 bits a colour, a quarter of what they take as numbers; taken out, they are numbers.

    Args:
        pixels: uint8 (N, 3, R, R).
    """

    def __init__(self, pixels: Pixels) -> None:
        self.pixels = pixels

    @classmethod
    def of(cls, faces: Iterable[Pixels], count: int, resolution: int) -> Self:
        """Return N faces, each uint8 (R, R, 3), taken one by one; raises ProfileError for too many."""
        if count * 3 * resolution**2 > MOST_BYTES:
            raise ProfileError(
                f"{count:,} faces of {resolution} pixels are more than are worked on together",
                "Create the profile from fewer photos.",
            )
        # filled as they are read: a list of them would take as much again
        pixels = np.zeros((count, 3, resolution, resolution), np.uint8)
        for row, face in zip(pixels, faces, strict=True):
            row[:] = face.transpose(2, 0, 1)
        return cls(pixels)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: slice) -> FloatArray:
        """Return some of the faces (n, 3, R, R) in [-1, 1]."""
        return self.pixels[index].astype(np.float32) / np.float32(127.5) - np.float32(1)


def read_faces(paths: Sequence[Path], resolution: int, beneath: Path | None = None) -> Pictures:
    """Read aligned faces (N, 3, R, R); raises ProfileError also for another size, or too many."""
    return Pictures.of((read_face(path, resolution, beneath) for path in paths), len(paths), resolution)


def read_face(path: Path, resolution: int, beneath: Path | None = None) -> Pixels:
    """Read an aligned face, uint8 (R, R, 3); raises ProfileError for one of another size, too."""
    pixels = read_pixels(path, beneath)
    if pixels.shape[:2] != (resolution, resolution):
        raise ProfileError(
            f"{path} is {pixels.shape[1]} x {pixels.shape[0]}, not {resolution} square", _RESTORE
        )
    return pixels


def png_of(pixels: Pixels) -> bytes:
    """Return pixels uint8 (H, W, 3) as a PNG file."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return stream.getvalue()
