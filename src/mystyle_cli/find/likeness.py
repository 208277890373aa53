"""Finding a face that no detector sees because much of it is hidden: by likeness to the person's photos.

Every place, size and tilt at which the hole could lie on a face is compared, outside the hole, with the
reference set; the best ones are then refined. The comparison is a correlation per colour, so that exposure
and white balance do not matter; it counts the more, the more of the face is visible (Fisher's z).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

    from mystyle_cli.faces.align import Crop, Points
    from mystyle_cli.photos.pixels import Pixels

Floats = npt.NDArray[np.float32]
Poses = npt.NDArray[np.float64]  # (K, 4) of FFHQ squares: x and y of the middle, side, tilt in radians

SIZE: Final = 32  # side at which crops are compared
SIDES: Final = np.geomspace(1.2, 6.0, 12)  # of the FFHQ square, in sizes of the hole
OFFSETS: Final = np.linspace(-0.3, 0.3, 9)  # of the hole's middle from that square's, in its sides
TILTS: Final = np.radians([-24, -12, 0, 12, 24])
LEADERS: Final = 4  # guesses that are returned
DISTINCT: Final = 0.15  # difference of their sizes, logarithm
MOVES: Final = np.array(list(itertools.product((-1, 0, 1), repeat=4)))  # of x, y, side and tilt together
ROUNDS: Final = 5  # of refining, each with half the steps of the one before
REFERENCES: Final = 48  # photos of the reference set at most
LEAST_SEEN: Final = 0.25  # share of the face that must be visible
CHUNK: Final = 512


@dataclass(frozen=True)
class Guess:
    """A place where the person's face may be."""

    quad: Points  # (4, 2) corners as `align.face_quad` has them
    likeness: float  # Fisher's z of the correlation with the reference set
    completed: Pixels  # uint8 (H, W, 3), the photo with its hole filled from the most similar reference


def find_by_likeness(pixels: Pixels, mask: Pixels, faces: Floats, crop: Crop) -> list[Guess]:
    """Return the places at which what is visible of a face looks most like the person, the best first.

    Args:
        pixels: uint8 (H, W, 3), the photo.
        mask: uint8 (H, W), above 0 = hidden.
        faces: (N, 3, R, R) in [-1, 1], the reference set.

    Returns:
        Up to `LEADERS` guesses of different sizes; none where too little of any face would be visible.
    """
    rows = np.unique(np.linspace(0, len(faces) - 1, min(REFERENCES, len(faces))).round().astype(int))
    comparison = _Comparison(pixels, mask, faces[rows], crop)
    poses = _candidates(mask)
    scores = comparison.scores(poses)[0]
    leaders = []
    for side in np.unique(poses[:, 2]):
        same = np.nonzero(poses[:, 2] == side)[0]
        best = same[np.argmax(scores[same])]
        if np.isfinite(scores[best]):
            leaders.append(_refine(comparison, poses[best]))
    places: list[tuple[float, Poses, int]] = []
    for leader in sorted(leaders, key=lambda leader: -leader[0]):
        if all(abs(np.log(leader[1][2] / other[1][2])) > DISTINCT for other in places):
            places.append(leader)
    return [
        _guess(pixels, mask, quad_of(pose, crop), score, faces[rows[row]])
        for score, pose, row in places[:LEADERS]
    ]


def _guess(pixels: Pixels, mask: Pixels, quad: Points, likeness: float, face: Floats) -> Guess:
    from mystyle_cli.faces.paste import paste
    from mystyle_cli.photos.pixels import to_pixels

    laid = paste(pixels, to_pixels(face), quad, None, 0.0)
    return Guess(quad, likeness, np.where(mask[..., None] > 0, laid, pixels))


def quad_of(pose: Poses, crop: Crop) -> Points:
    """Return the corners (4, 2) of a face's crop, given the middle, side and tilt of its FFHQ square (4,)."""
    x, y, side, tilt = pose
    return crop.square(np.array([x, y]), np.array([np.cos(tilt), np.sin(tilt)]) * side / 2)


def _candidates(mask: Pixels) -> Poses:
    """Return every place, size and tilt of a face on which the hole could lie."""
    y, x = np.nonzero(mask)
    low, high = np.array([x.min(), y.min()]), np.array([x.max() + 1, y.max() + 1])
    middle, extent = (low + high) / 2, float((high - low).max())
    poses = []
    for side, tilt, right, below in itertools.product(SIDES * extent, TILTS, OFFSETS, OFFSETS):
        turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
        poses.append([*(middle - turn @ (np.array([right, below]) * side)), side, tilt])
    return np.array(poses)


def _refine(comparison: _Comparison, pose: Poses) -> tuple[float, Poses, int]:
    """Climb from a pose, trying steps of each of its numbers together, then smaller ones."""
    score, row = -np.inf, 0
    for number in range(ROUNDS):
        share = 0.5**number
        side = pose[2]
        steps = [side * 0.04 * share, side * 0.04 * share, side * 0.08 * share, np.radians(6) * share]
        tried = pose + MOVES * steps
        scores, rows = comparison.scores(tried)
        best = int(np.argmax(scores))
        score, pose, row = float(scores[best]), tried[best], int(rows[best])
    return score, pose, row


class _Comparison:
    """Correlation of crops of a photo with the reference set, where the crops are visible."""

    def __init__(self, pixels: Pixels, mask: Pixels, faces: Floats, crop: Crop) -> None:
        import torch
        import torch.nn.functional as F

        self.photo = torch.from_numpy(pixels.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)
        self.seen = torch.from_numpy((mask == 0).astype(np.float32))[None]
        small = F.interpolate(torch.from_numpy(faces), (SIZE, SIZE), mode="area")
        self.references = small.flatten(2)  # (N, 3, P)
        self.crop = crop
        grid = (np.arange(SIZE) + 0.5) / SIZE
        places = crop.to_ffhq(np.stack(np.meshgrid(grid, grid), axis=-1))  # (SIZE, SIZE, 2)
        # the middle of the FFHQ square is face, its border is hair and background
        squared = ((places - [0.5, 0.55]) ** 2).sum(axis=-1).flatten()
        self.weight = torch.from_numpy(np.exp(-squared / 0.125)).float()  # (P,)
        self.pyramid: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def scores(self, poses: Poses) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Return for each pose (K, 4) the likeness to the most similar reference, and which that is.

        Where little of the face would be visible, the likeness is -inf.
        """
        likenesses, which = np.full(len(poses), -np.inf), np.zeros(len(poses), np.int64)
        sides = poses[:, 2] * self.crop.scale
        # grid_sample does not widen when it shrinks, so it is given a copy of about the crop's size
        levels = np.floor(np.log2(np.maximum(sides / SIZE, 1))).astype(int)
        for level in np.unique(levels):
            rows = np.nonzero(levels == level)[0]
            for first in range(0, len(rows), CHUNK):
                part = rows[first : first + CHUNK]
                best, where = self._scores_at(poses[part], int(level)).max(dim=1)
                likenesses[part], which[part] = best.numpy(), where.numpy()
        return likenesses, which

    def _scores_at(self, poses: Poses, level: int) -> torch.Tensor:
        """Return likenesses (K, N) of crops of a photo halved `level` times."""
        import torch
        import torch.nn.functional as F

        photo, seen = self._level(level)
        grids = torch.from_numpy(np.stack([self._grid(pose) for pose in poses])).float()
        layers = torch.cat([photo, seen]).expand(len(poses), -1, -1, -1)
        crops = F.grid_sample(layers, grids, padding_mode="zeros", align_corners=False).flatten(2)
        colour, visible = crops[:, :3], crops[:, 3]
        weight = self.weight * (visible > 0.99)  # (K, P)  # a pixel of which nothing is hidden
        total = weight.sum(dim=1, keepdim=True)
        share = total / self.weight.sum()
        correlations = _correlations(colour, self.references, weight / total.clamp(min=1e-6))
        likeness = torch.atanh(correlations.clamp(-0.999, 0.999)) * share.sqrt()  # atanh of 1 is infinite
        return torch.where(share < LEAST_SEEN, -torch.inf, likeness)

    def _grid(self, pose: Poses) -> Poses:
        """Return where the pixels of a crop lie on the photo, (SIZE, SIZE, 2) in grid_sample's -1 to 1."""
        quad, (height, width) = quad_of(pose, self.crop), self.photo.shape[1:]
        share = (np.arange(SIZE) + 0.5) / SIZE
        across, down = share[None, :, None] * (quad[3] - quad[0]), share[:, None, None] * (quad[1] - quad[0])
        return np.asarray((quad[0] + across + down) / [width, height] * 2 - 1)

    def _level(self, level: int) -> tuple[torch.Tensor, torch.Tensor]:
        import torch.nn.functional as F

        if level not in self.pyramid:
            shape = [max(1, edge >> level) for edge in self.photo.shape[1:]]
            photo = F.interpolate(self.photo[None], shape, mode="area")[0]
            self.pyramid[level] = photo, F.interpolate(self.seen[None], shape, mode="area")[0]
        return self.pyramid[level]


def _correlations(crops: torch.Tensor, references: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return weighted correlations (K, N) of crops (K, 3, P) with references (N, 3, P), all colours together.

    Each colour loses its weighted mean; the spread is that of all three, so that a flat colour has no say.
    """
    import torch

    heavy = crops * weight[:, None]
    mean = heavy.sum(dim=2)  # (K, 3)
    spread = (heavy * crops).sum(dim=2) - mean**2
    reference_mean = torch.einsum("kp,ncp->knc", weight, references)
    reference_square = torch.einsum("kp,ncp->knc", weight, references**2)
    product = torch.einsum("kcp,ncp->knc", heavy, references)
    covariance = (product - mean[:, None] * reference_mean).sum(dim=2)
    variance = spread.sum(dim=1)[:, None] * (reference_square - reference_mean**2).sum(dim=2)
    return covariance / variance.clamp(min=1e-8).sqrt()
