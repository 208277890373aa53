"""Held-out photos with what is true of them, as aligned crops."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from mystyle_cli.errors import NoFaceError
from mystyle_cli.photos.align import Crop, align, warp
from mystyle_cli.photos.decode import Pixels, decode, to_unit
from mystyle_cli.photos.faces import find_faces

MARK: Final = "-mark.png"
"""Ending of the mask that lies beside a held-out photo and shows where its skin mark is."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Truths:
    """Photos that no profile has seen, aligned.

    Args:
        paths: the photos.
        crops: uint8 (B, R, R, 3).
        marks: bool (B, R, R), where the person's skin mark shows.
        crop: which square about a face they are.
    """

    paths: tuple[Path, ...]
    crops: Pixels
    marks: npt.NDArray[np.bool_]
    crop: Crop

    @property
    def images(self) -> Floats:
        """Return the crops as (B, 3, R, R) in [-1, 1]."""
        return to_unit(self.crops)

    def first(self, count: int) -> Truths:
        """Return the first photos only."""
        return Truths(self.paths[:count], self.crops[:count], self.marks[:count], self.crop)


def read_truths(folder: Path, resolution: int, crop: Crop) -> Truths:
    """Read a folder of held-out photos, NAME.jpg with NAME-mark.png beside it.

    Args:
        folder: where they are.
        resolution: side of the aligned crops.
        crop: which square about a face they are.

    Raises:
        NoFaceError: a photo shows no face, or the folder holds no photo.
        DecodeError: a file cannot be read.
    """
    paths = sorted(path for path in folder.glob("*.jpg") if path.with_name(path.stem + MARK).exists())
    if not paths:
        raise NoFaceError(f"{folder} holds no photo with its {MARK}", "Make them: tools/portraits/people.py")
    crops, marks = [], []
    for path in paths:
        photo = decode(path)
        faces = find_faces(photo.pixels)
        if not faces:
            raise NoFaceError(f"{path}: no face was found", "Leave it out of the held-out photos.")
        aligned = align(photo.pixels, faces[0].landmarks, resolution, crop)
        mark = decode(path.with_name(path.stem + MARK)).pixels[..., 0]
        crops.append(aligned.pixels)
        marks.append(warp(mark, aligned.quad, resolution) > 127)
    return Truths(tuple(paths), np.stack(crops), np.stack(marks), crop)
