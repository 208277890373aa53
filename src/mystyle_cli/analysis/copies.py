"""Whether made pictures copy photos of a person (app. C.5, fig 20), and how much they differ (sec. 5.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from mystyle_cli.analysis.metrics import lpips
from mystyle_cli.photos.pixels import to_pixels, to_unit

if TYPE_CHECKING:
    from mystyle_cli.nets.perceptual import Perceptual

Floats = npt.NDArray[np.float32]

AT_ONCE: Final = 16  # pictures whose features are in memory at once


@dataclass(frozen=True)
class Nearest:
    """The nearest reference photo of each picture."""

    rows: npt.NDArray[np.int64]  # int (B,), its number
    distances: npt.NDArray[np.float64]  # float64 (B,), LPIPS to it


def nearest_photos(perceptual: Perceptual, images: Floats, photos: Floats) -> Nearest:
    """Find the LPIPS nearest neighbours of pictures among reference photos.

    LPIPS is a squared distance of weighted, normalised features, averaged over places, so that all pairs are
    one product of matrices.

    Args:
        perceptual: LPIPS.
        images: (B, 3, R, R) in [-1, 1].
        photos: (N, 3, R, R) in [-1, 1].

    Source: app. C.5; Zhang et al. 2018, eq 1.
    """
    own, others = feature_vectors(perceptual, images), feature_vectors(perceptual, photos)
    squares = [np.einsum("nd,nd->n", rows, rows) for rows in (own, others)]
    table = squares[0][:, None] + squares[1][None] - 2 * own @ others.T  # (B, N)
    rows = table.argmin(axis=1)
    return Nearest(rows.astype(np.int64), table[np.arange(len(images)), rows].clip(min=0).astype(np.float64))


def feature_vectors(perceptual: Perceptual, images: Floats) -> Floats:
    """Return vectors (B, D) whose squared Euclidean distances are LPIPS.

    Args:
        perceptual: LPIPS.
        images: (B, 3, R, R) in [-1, 1].
    """
    import torch

    device = next(iter(perceptual.parameters())).device
    parts = []
    with torch.no_grad():
        for start in range(0, len(images), AT_ONCE):
            levels = perceptual.features(torch.from_numpy(images[start : start + AT_ONCE]).to(device))
            flat = [level.flatten(1) / level[0, 0].numel() ** 0.5 for level in levels]  # mean over places
            parts.append(torch.cat(flat, dim=1).float().cpu().numpy())
    return np.concatenate(parts)


KEPT: Final = 50  # pictures of a cluster that are kept in memory, drawn evenly from all that came
PAIRS: Final = 200  # pairs of a cluster that are compared at most


class Clusters:
    """Pictures by their nearest reference photo, of which a fair sample is kept.

    Args:
        perceptual: LPIPS.
        photos: (N, 3, R, R) in [-1, 1], the reference set.
        seed: of what is kept and compared.
    """

    def __init__(self, perceptual: Perceptual, photos: Floats, seed: int) -> None:
        self.perceptual, self.photos = perceptual, photos
        self.random = np.random.default_rng(seed)
        self.kept: list[list[npt.NDArray[np.uint8]]] = [[] for _ in photos]
        self.seen = np.zeros(len(photos), np.int64)

    def add(self, images: Floats) -> npt.NDArray[np.float64]:
        """Put pictures (B, 3, R, R) in [-1, 1] into their clusters.

        Returns:
            (B,) LPIPS to the nearest photo.
        """
        nearest = nearest_photos(self.perceptual, images, self.photos)
        for row, pixels in zip(nearest.rows, to_pixels(images), strict=True):
            self.seen[row] += 1
            if len(self.kept[row]) < KEPT:
                self.kept[row].append(pixels)
                continue
            place = int(self.random.integers(self.seen[row]))  # reservoir: each that came stays as likely
            if place < KEPT:
                self.kept[row][place] = pixels
        return nearest.distances

    def diversity(self) -> npt.NDArray[np.float64]:
        """Return the mean LPIPS (N,) of pairs in each cluster; NaN where there is no pair."""
        found = np.full(len(self.photos), np.nan)
        for row, cluster in enumerate(self.kept):
            if len(cluster) < 2:
                continue
            images = to_unit(np.stack(cluster))
            first, second = np.triu_indices(len(cluster), 1)
            chosen = self.random.permutation(len(first))[:PAIRS]
            found[row] = lpips(self.perceptual, images[first[chosen]], images[second[chosen]]).mean()
        return found
