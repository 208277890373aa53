"""What the demonstration starts from: held-out photos made small, with holes, or as they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mystyle_cli.analysis.judge import Truths, read_truths
from mystyle_cli.faces.align import Crop, face_quad, quad_side
from mystyle_cli.faces.faces import find_faces
from mystyle_cli.photos.decode import decode
from mystyle_cli.photos.encode import encode
from mystyle_cli.photos.pixels import Pixels, resize
from mystyle_cli.prior.registry import Prior
from mystyle_cli.restore.trials import hole_mask, shrink

SMALL_FACE = 36
"""Side in pixels of the face's crop on the whole photos that are enlarged."""


@dataclass(frozen=True)
class Inputs:
    """Files for the commands, and what is true of them.

    Args:
        folder: holds small/, hidden/, truth/, hole.png, whole/.
        truths: the held-out photos, aligned.
    """

    folder: Path
    truths: Truths

    def names(self) -> list[str]:
        """Return what each photo's files are called, without their ending."""
        return [path.stem for path in self.truths.paths]


def prepare(held_out: Path, folder: Path, prior: Prior, whole: int) -> Inputs:
    """Write the inputs of all commands.

    Args:
        held_out: photos that no profile sees.
        folder: where the inputs go.
        prior: whose crops are cut.
        whole: how many photos are also made small as a whole.
    """
    truths = read_truths(held_out, prior.resolution, prior.crop)
    mask = hole_mask(prior.resolution, prior.crop)
    hidden = np.where(mask[None, ..., None] > 0, np.uint8(255), truths.crops)
    sets = {"small": shrink(truths.crops), "hidden": hidden, "truth": truths.crops}
    for name, pictures in sets.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for path, pixels in zip(truths.paths, pictures, strict=True):
            encode(pixels, folder / name / f"{path.stem}.png")
    encode(mask, folder / "hole.png")
    (folder / "whole").mkdir(exist_ok=True)
    for path in truths.paths[:whole]:
        encode(_small_photo(path, prior.crop), folder / "whole" / f"{path.stem}.png")
    return Inputs(folder, truths)


def _small_photo(path: Path, crop: Crop) -> Pixels:
    """Shrink a whole photo until its face's crop is `SMALL_FACE` pixels wide."""
    pixels = decode(path).pixels
    side = quad_side(face_quad(find_faces(pixels)[0].landmarks, crop))
    height, width = (round(edge * SMALL_FACE / side) for edge in pixels.shape[:2])
    return resize(pixels, (height, width), "area")
