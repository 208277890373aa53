"""The nets that only infer, as torch modules: what `tools/portraits` trains and exports to ONNX."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mystyle_cli.baselines.discriminator import EqualisedConv, activate
from mystyle_cli.nets.generator import FullyConnected


class ResidualBlock(nn.Module):
    """Two convolutions around a skip, variance kept."""

    def __init__(self, channels: int) -> None:
        """Make the block."""
        super().__init__()
        self.conv0 = EqualisedConv(channels, channels)
        self.conv1 = EqualisedConv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, h, w) to the same shape."""
        y = self.conv1(activate(self.conv0(activate(x))))
        return cast(Tensor, (x + y) * math.sqrt(0.5))


class Encoder(nn.Module):
    """E: aligned crop -> w.

    Pixels are first folded 2x2 into channels, so that no layer works at full resolution.
    """

    def __init__(self, resolution: int, w_dim: int, widths: Sequence[int], blocks: Sequence[int]) -> None:
        """Make the encoder.

        Args:
            resolution: edge length of the crop.
            w_dim: length of the code.
            widths: channels at resolution / 2, / 4, ... down to 4.
            blocks: residual blocks at each of these.
        """
        super().__init__()
        if resolution // 2 ** len(widths) != 4 or len(blocks) != len(widths):
            raise ValueError(f"{len(widths)} widths do not take {resolution} pixels down to 4")
        self.stem = EqualisedConv(12, widths[0])
        stages: list[nn.Module] = []
        for i, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            if i > 0:
                stages.append(EqualisedConv(widths[i - 1], width, stride=2))
            stages.extend(ResidualBlock(width) for _ in range(count))
        self.stages = nn.ModuleList(stages)
        self.head = FullyConnected(16 * widths[-1], w_dim)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, R, R) in [-1, 1] to w (B, w_dim)."""
        x = self.stem(F.pixel_unshuffle(images, 2))
        for stage in self.stages:
            x = stage(activate(x)) if isinstance(stage, EqualisedConv) else stage(x)
        return cast(Tensor, self.head(activate(x).flatten(1)))


class NormalisedConv(nn.Sequential):
    """3x3 convolution, batch norm, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        """Make the three layers."""
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.1)
        )


class Identity(nn.Module):
    """Aligned crop -> unit embedding whose cosine tells people apart.

    It looks at the face from brows to mouth only: hair and surroundings must not vouch for a person.
    """

    WINDOW = (0.297, 0.219)  # top and left of what is seen, in crop sides
    SEEN = 0.5625  # its side

    def __init__(self, dim: int, widths: Sequence[int]) -> None:
        """Make the net; `widths` are the channels after each halving of what is seen."""
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for i, width in enumerate(widths):
            layers.append(NormalisedConv(before, width, stride=2))
            if i > 0:
                layers.append(NormalisedConv(width, width))
            before = width
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Flatten(), nn.LazyLinear(dim, bias=False), nn.BatchNorm1d(dim))

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, R, R) in [-1, 1] to embeddings (B, dim) of unit length."""
        size = int(images.shape[-1])
        top, left = (round(part * size) for part in self.WINDOW)
        side = round(self.SEEN * size)
        face = images[:, :, top : top + side, left : left + side]
        return F.normalize(self.head(self.trunk(face)), dim=1)


class Matte(nn.Module):
    """Aligned crop -> how much of each pixel is the person; a small U-shaped net."""

    def __init__(self, widths: Sequence[int]) -> None:
        """Make the net; `widths` are the channels at half, quarter, ... of the crop's size."""
        super().__init__()
        before, downs = 12, []
        for i, width in enumerate(widths):
            downs.append(NormalisedConv(before, width, stride=1 if i == 0 else 2))
            before = width
        self.downs = nn.ModuleList(downs)
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.ups = nn.ModuleList(NormalisedConv(deep + flat, flat) for deep, flat in pairs)
        self.head = nn.Conv2d(widths[0], 4, 3, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, R, R) in [-1, 1] to mattes (B, R, R) in [0, 1]."""
        return torch.sigmoid(self.logits(images))

    def logits(self, images: Tensor) -> Tensor:
        """Map images (B, 3, R, R) to logits (B, R, R)."""
        x = F.pixel_unshuffle(images, 2)
        skips = []
        for down in self.downs:
            x = down(x)
            skips.append(x)
        for up, skip in zip(self.ups, skips[-2::-1], strict=True):
            x = up(torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), skip], 1))
        return F.pixel_shuffle(self.head(x), 2)[:, 0]


class Cover(nn.Module):
    """Aligned crop -> how much of each part of the face is hidden; a small trunk with a head for the parts.

    A second head maps what is hidden on a 16 x 16 grid; it only helps training.
    """

    def __init__(self, parts: int, widths: Sequence[int]) -> None:
        """Make the net for crops of 64 pixels.

        Args:
            parts: parts of the face that are told apart.
            widths: channels at 32, 16, 8 and 4 pixels.
        """
        super().__init__()
        pairs = zip((3, *widths[:-1]), widths, strict=True)
        self.trunk = nn.ModuleList(
            nn.Sequential(NormalisedConv(before, width, stride=2), NormalisedConv(width, width))
            for before, width in pairs
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(16 * widths[-1], parts))
        self.map_head = nn.Conv2d(widths[1] + widths[-1], 1, 3, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, 64, 64) in [-1, 1] to hidden shares (B, parts) in [0, 1]."""
        return torch.sigmoid(self.logits(images)[0])

    def logits(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (B, 3, 64, 64) to logits of the parts (B, parts) and of the map (B, 16, 16)."""
        x, stages = images, []
        for layer in self.trunk:
            x = layer(x)
            stages.append(x)
        wide = F.interpolate(x, scale_factor=4, mode="nearest")
        return self.head(x), self.map_head(torch.cat([stages[1], wide], 1))[:, 0]
