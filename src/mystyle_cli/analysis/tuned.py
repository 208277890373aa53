"""What tuning changes: identity along lines between anchors (fig 4, 15, 16)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mystyle_cli.person.score import synthesise
from mystyle_cli.progress import Progress, Step, silent

if TYPE_CHECKING:
    from mystyle_cli.nets.generator import Generator
    from mystyle_cli.person.profile import Profile

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Interpolation:
    """ID scores along lines between pairs of anchors; the pair's own photos never count as references."""

    thetas: npt.NDArray[np.float64]  # (T,) from 0 at one anchor to 1 at the other
    pairs: npt.NDArray[np.int64]  # int (P, 2), indices of anchors
    before: Floats  # (P, T), with G_d
    after: Floats  # (P, T), with G_p

    @property
    def gain(self) -> float:
        """Mean ID between the anchors, after tuning less before. Source: fig 4."""
        return float(self.after[:, 1:-1].mean() - self.before[:, 1:-1].mean())

    def below_both(self, margin: float = 0.0) -> float:
        """Return the share of codes between tuned anchors that score lower than both. Source: fig 15.

        Args:
            margin: how much lower.
        """
        return float((self.changes < -margin).mean())

    @property
    def changes(self) -> Floats:
        """Change (P, T - 2) of ID after tuning against the anchor with the lower ID. Source: fig 15."""
        lowest = self.after[:, [0, -1]].min(axis=1, keepdims=True)
        return np.asarray(self.after[:, 1:-1] - lowest, np.float32)

    def from_better(self, scores: Floats) -> Floats:
        """Return scores (P, T) turned so that theta = 0 is the anchor with the higher ID. Source: fig 16."""
        turned = scores[:, :1] < scores[:, -1:]
        return np.where(turned, scores[:, ::-1], scores)


def draw_pairs(n_anchors: int, count: int, seed: int) -> npt.NDArray[np.int64]:
    """Draw different pairs of anchors (P, 2), at most as many as there are.

    Args:
        n_anchors: N, at least 3: a reference must be left.
        count: pairs wanted.
        seed: makes them repeatable.

    Raises:
        ValueError: there are fewer than 3 anchors.
    """
    if n_anchors < 3:
        raise ValueError(f"of {n_anchors} anchors no reference is left beside a pair")
    first, second = np.triu_indices(n_anchors, 1)
    chosen = np.random.default_rng(seed).permutation(len(first))[:count]
    return np.stack([first[chosen], second[chosen]], axis=1).astype(np.int64)


def interpolate(
    profile: Profile, pairs: int = 200, points: int = 9, seed: int = 0, progress: Progress = silent
) -> Interpolation:
    """Score identity along lines between anchors, in G_d and in G_p.

    Args:
        profile: a tuned profile.
        pairs: lines.
        points: codes on each line, both anchors among them.
        seed: of the choice of pairs.
        progress: told after every line.
    """
    anchors, thetas = profile.anchors(), np.linspace(0.0, 1.0, points)
    chosen = draw_pairs(len(anchors), pairs, seed)
    rows = []
    for number, generator in enumerate((profile.prior.generator(), profile.generator())):
        for done, pair in enumerate(chosen):
            rows.append(_scores(profile, generator, pair, thetas))
            progress(Step("interpolate", number * len(chosen) + done + 1, 2 * len(chosen)))
    before, after = np.split(np.stack(rows), 2)
    return Interpolation(thetas, chosen, before, after)


def _scores(
    profile: Profile, generator: Generator, pair: npt.NDArray[np.int64], thetas: npt.NDArray[np.float64]
) -> Floats:
    """Return the ID scores (T,) along one line."""
    first, second = profile.anchors()[pair]
    codes = first + thetas[:, None] * (second - first)  # (T, w_dim)
    images = synthesise(generator, codes.astype(np.float32)).clip(-1, 1)
    left_out = [[int(index) for index in pair]] * len(thetas)
    return profile.id_score(images, left_out)
