"""Turns the identity net's embedding to what tells people apart: a linear discriminant in closed form.

The net's 96 numbers still hold some pose and light. Directions in which pictures of one person scatter are
made short, the `KEPT` in which people differ most against that are kept, each shrunk by how little it says.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tools.portraits.nets import Identity
from tools.portraits.pictures import Pictures

KEPT = 32
RIDGE = 0.1  # of the mean scatter, added to every direction's


class Discriminant(nn.Module):
    """The identity net, a linear map after it, and unit length again."""

    mean: Tensor
    matrix: Tensor

    def __init__(self, net: Identity, mean: np.ndarray, matrix: np.ndarray) -> None:
        """Put the map (KEPT, dim) behind the net."""
        super().__init__()
        self.net = net
        self.register_buffer("mean", torch.from_numpy(mean).float())
        self.register_buffer("matrix", torch.from_numpy(matrix).float())

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, R, R) to embeddings (B, KEPT) of unit length."""
        return F.normalize(F.linear(self.net(images) - self.mean, self.matrix), dim=1)


def discriminant(embeddings: np.ndarray, people: np.ndarray, kept: int) -> np.ndarray:
    """The map (kept, D) for embeddings (N, D) of `people` (N,)."""
    _, who, counts = np.unique(people, return_inverse=True, return_counts=True)
    means = np.zeros((len(counts), embeddings.shape[1]))
    np.add.at(means, who, embeddings)
    means /= counts[:, None]
    within = np.cov((embeddings - means[who]).T)
    within += RIDGE * np.trace(within) / len(within) * np.eye(len(within))
    whiten = np.linalg.inv(np.linalg.cholesky(within))
    strength, axes = np.linalg.eigh(whiten @ np.cov(means.T) @ whiten.T)  # ascending
    strength, axes = strength[::-1][:kept], axes[:, ::-1][:, :kept]
    shrink = np.sqrt(strength / (strength + 1))
    return np.asarray(shrink[:, None] * (axes.T @ whiten))


@torch.no_grad()
def fit_identity(net: Identity, pictures: Pictures) -> Discriminant:
    """Fit the map on pictures of training people."""
    net.eval()

    def embeddings() -> Iterator[np.ndarray]:
        for rows in np.array_split(np.arange(len(pictures)), len(pictures) // 50 + 1):
            yield net(pictures.images(rows)).numpy()

    made = np.concatenate(list(embeddings())).astype(np.float64)
    return Discriminant(net, made.mean(0), discriminant(made, pictures.all("people"), KEPT)).eval()
