"""Held-out photos with what is true of them, and one judge for all comparisons with them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from mystyle_cli.analysis.metrics import describe_faces, lpips, nearest_distance, psnr, trait_share
from mystyle_cli.errors import NoFaceError
from mystyle_cli.faces.align import Crop, align, warp
from mystyle_cli.faces.faces import find_faces
from mystyle_cli.person.score import id_scores
from mystyle_cli.photos.decode import decode
from mystyle_cli.photos.pixels import Pixels, to_unit

if TYPE_CHECKING:
    from mystyle_cli.nets.perceptual import Perceptual
    from mystyle_cli.person.profile import Profile

Column = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Scores:
    """What pictures scored, one value for each."""

    id: Column  # cosine to the nearest reference photo by our identity net (sec. 4.1)
    truth_id: Column  # the same cosine to the truth
    dlib: Column  # Euclidean distance to the nearest reference photo by dlib's net; lower is nearer
    lpips: Column  # to the truth
    psnr: Column  # to the truth, dB
    trait: Column  # share of the skin mark's contrast that is there; NaN where it does not show

    def means(self) -> dict[str, float]:
        """Return the mean of each figure; photos that show no trait do not count for it."""
        figures = {
            "id": self.id,
            "truth_id": self.truth_id,
            "dlib": self.dlib,
            "lpips": self.lpips,
            "psnr": self.psnr,
            "trait": self.trait,
        }
        return {name: float(np.nanmean(column)) for name, column in figures.items()}


class Judge:
    """Scores pictures of one person.

    Args:
        profile: the person; their reference set is what identity is measured against (app. C.6).
    """

    def __init__(self, profile: Profile) -> None:
        self.profile = profile

    @cached_property
    def perceptual(self) -> Perceptual:
        """The prior's perceptual net."""
        return self.profile.prior.perceptual()

    @cached_property
    def descriptors(self) -> Column:
        """dlib's descriptors (N, 128) of the reference set."""
        return describe_faces(self.profile.faces(), self.profile.prior.crop)

    def score(self, made: Pixels, truths: Truths) -> Scores:
        """Score aligned pictures against the person and against the true photos.

        Args:
            made: uint8 (B, R, R, 3).
            truths: the B photos that they should look like.
        """
        images, wanted = to_unit(made), truths.images
        ours, theirs = (self.profile.prior.embed(one) for one in (images, wanted))
        references = self.profile.reference_embeddings()
        return Scores(
            id=np.asarray(id_scores(ours, references), np.float64),
            truth_id=(ours * theirs).sum(axis=1, dtype=np.float64),
            dlib=nearest_distance(describe_faces(images, truths.crop), self.descriptors),
            lpips=np.asarray(lpips(self.perceptual, images, wanted), np.float64),
            psnr=psnr(images, wanted),
            trait=trait_share(images, wanted, truths.marks),
        )


# ending of the mask that lies beside a held-out photo and shows where its skin mark is
MARK: Final = "-mark.png"


@dataclass(frozen=True)
class Truths:
    """Photos that no profile has seen, aligned."""

    paths: tuple[Path, ...]  # the photos
    crops: Pixels  # uint8 (B, R, R, 3)
    marks: npt.NDArray[np.bool_]  # bool (B, R, R), where the person's skin mark shows
    crop: Crop  # which square about a face they are

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
