"""Nets trained on small crops, put to work on the larger ones of a prior."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class AtSize(nn.Module):
    """Averages crops down for a net; answers that are pictures are enlarged again."""

    def __init__(self, net: nn.Module, trained: int, size: int) -> None:
        """Wrap a net trained on crops of `trained` pixels for crops of `size`.

        Raises:
            ValueError: `size` is no multiple of `trained`.
        """
        super().__init__()
        if size % trained:
            raise ValueError(f"{size} is no multiple of {trained}")
        self.net, self.factor = net, size // trained

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, size, size) to the net's answers (B, n) or (B, size, size)."""
        out: Tensor = self.net(F.avg_pool2d(images, self.factor) if self.factor > 1 else images)
        if out.ndim == 3 and self.factor > 1:
            out = F.interpolate(out[:, None], scale_factor=self.factor, mode="bilinear")[:, 0]
        return out
