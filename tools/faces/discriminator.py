"""The judge of the adversarial stage: is a crop a photo, or made?"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mystyle_cli.nets.generator import FullyConnected
from tools.portraits.nets import EqualisedConv, activate


class Discriminator(nn.Module):
    """Crop -> how much it looks like a photo; convolutions that halve, with a minibatch deviation at the end.

    Source: StyleGAN2 (Karras et al. 2020), whose loss and lazy R1 the training uses too.
    """

    WIDTHS = (24, 32, 64, 128, 192, 192)  # at half of 256 pixels, of 128, ... down to 4

    def __init__(self, size: int = 128) -> None:
        """Make the net for pictures of 128 or 256 pixels; they are folded 2x2 into channels first."""
        super().__init__()
        widths = self.WIDTHS[-(size // 8).bit_length() :]
        self.stem = EqualisedConv(12, widths[0])
        pairs = list(pairwise(widths))
        self.keep = nn.ModuleList(EqualisedConv(before, before) for before, _ in pairs)
        self.halve = nn.ModuleList(EqualisedConv(before, after, stride=2) for before, after in pairs)
        self.last = EqualisedConv(widths[-1] + 1, widths[-1])
        self.head = nn.Sequential(FullyConnected(16 * widths[-1], widths[-1]), FullyConnected(widths[-1], 1))

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, R, R) to logits (B, 1)."""
        x = activate(self.stem(F.pixel_unshuffle(images, 2)))
        for keep, halve in zip(self.keep, self.halve, strict=True):
            x = activate(halve(x + activate(keep(x))))
        spread = (x.var(0, unbiased=False) + 1e-8).sqrt().mean().expand(len(x), 1, *x.shape[2:])
        x = activate(self.last(torch.cat([x, spread.to(x.dtype)], 1)))
        return cast(Tensor, self.head[1](activate(self.head[0](x.flatten(1)))))
