"""One judge for all comparisons: what a picture scores against the person and against the truth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mystyle_cli.analysis.metrics import describe_faces, lpips, nearest_distance, psnr, trait_share
from mystyle_cli.photos.decode import Pixels, to_unit

if TYPE_CHECKING:
    from mystyle_cli.analysis.truths import Truths
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.prior.perceptual import Perceptual

Column = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """What pictures scored, one value for each.

    Args:
        id: cosine to the nearest reference photo by our identity net (sec. 4.1).
        dlib: Euclidean distance to the nearest reference photo by dlib's net; lower is nearer.
        lpips: to the truth.
        psnr: to the truth, dB.
        trait: share of the skin mark's contrast that is there; NaN where it does not show.
    """

    id: Column
    dlib: Column
    lpips: Column
    psnr: Column
    trait: Column

    def means(self) -> dict[str, float]:
        """Return the mean of each figure; photos that show no trait do not count for it."""
        figures = {
            "id": self.id,
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
        return Scores(
            id=np.asarray(self.profile.id_score(images), np.float64),
            dlib=nearest_distance(describe_faces(images, truths.crop), self.descriptors),
            lpips=np.asarray(lpips(self.perceptual, images, wanted), np.float64),
            psnr=psnr(images, wanted),
            trait=trait_share(images, wanted, truths.marks),
        )
