"""What stands on IR-SE-50: two kinds of encoder into W, and ArcFace.

Source: HyperStyle (Alaluf et al. 2022); e4e (Tov et al. 2021), sec. 4; pSp (Richardson et al. 2021), sec. 3;
ArcFace (Deng et al. 2019).
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mystyle_cli.prior.companions.ir_se import WIDTH, Backbone
from mystyle_cli.prior.generator import FullyConnected

ENCODER_SIZE = 256  # edge length that the published encoders take
FACE_SIZE = 112  # and ArcFace
EMBEDDING = 512
LEAK = 0.01  # slope of the style block's leaky ReLU


class WEncoder(Backbone):
    """Image -> w: the trunk's features averaged over places, then a linear layer."""

    average: Tensor

    def __init__(self) -> None:
        """Make the net with random weights; `average` is added to what it finds."""
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = FullyConnected(WIDTH, WIDTH)
        self.register_buffer("average", torch.zeros(WIDTH), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, 256, 256) in [-1, 1] to w (B, 512)."""
        return cast(Tensor, self.linear(self.pool(self.trunk(images)).flatten(1)) + self.average)


class StyleBlock(nn.Module):
    """Features -> one row of W+: strided convolutions down to one place, then a linear layer."""

    def __init__(self, convolutions: int) -> None:
        """Make the block for features of 2**convolutions places a side."""
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(convolutions):
            layers += [nn.Conv2d(WIDTH, WIDTH, 3, 2, 1), nn.LeakyReLU(LEAK)]
        self.convs = nn.Sequential(*layers)
        self.linear = FullyConnected(WIDTH, WIDTH)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, 512, s, s) to (B, 512)."""
        return cast(Tensor, self.linear(self.convs(features).flatten(1)))


class FirstRowEncoder(Backbone):
    """Image -> the first row of W+ that e4e and pSp find, which is a code in W.

    Both take it from the coarsest features alone: the rest of their pyramid, 226 of 267 million numbers, is
    not needed here.
    """

    average: Tensor

    def __init__(self) -> None:
        """Make the net with random weights; `average` is added to what it finds."""
        super().__init__()
        self.styles = nn.ModuleList([StyleBlock(convolutions_of(0))])
        self.register_buffer("average", torch.zeros(WIDTH), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, 256, 256) in [-1, 1] to w (B, 512)."""
        return cast(Tensor, self.styles[0](self.trunk(images)) + self.average)


def convolutions_of(row: int) -> int:
    """Convolutions in a row's style block: rows 0-2 see 16 places a side, 3-6 see 32, others 64."""
    return 4 if row < 3 else 5 if row < 7 else 6


def pyramid_shapes(rows: int) -> dict[str, tuple[int, ...]]:
    """Shapes that e4e and pSp hold beside `FirstRowEncoder`, for a generator of `rows` rows of W+."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, channels in (("latlayer1", 256), ("latlayer2", 128)):
        shapes[f"{layer}.weight"] = (WIDTH, channels, 1, 1)
        shapes[f"{layer}.bias"] = (WIDTH,)
    for row in range(1, rows):
        for i in range(convolutions_of(row)):
            shapes[f"styles.{row}.convs.{2 * i}.weight"] = (WIDTH, WIDTH, 3, 3)
            shapes[f"styles.{row}.convs.{2 * i}.bias"] = (WIDTH,)
        shapes[f"styles.{row}.linear.weight"] = (WIDTH, WIDTH)
        shapes[f"styles.{row}.linear.bias"] = (WIDTH,)
    return shapes


class ArcFace(Backbone):
    """Face -> unit embedding whose cosine tells people apart."""

    def __init__(self) -> None:
        """Make the net with random weights."""
        super().__init__()
        places = (FACE_SIZE // 16) ** 2
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(WIDTH),
            nn.Dropout(),
            nn.Flatten(),
            nn.Linear(WIDTH * places, EMBEDDING),
            nn.BatchNorm1d(EMBEDDING),
        )
        self.unit = UnitLength()

    def forward(self, faces: Tensor) -> Tensor:
        """Map faces (B, 3, 112, 112) in [-1, 1] to embeddings (B, 512) of unit length."""
        return cast(Tensor, self.unit(self.output_layer(self.trunk(faces))))


class UnitLength(nn.Module):
    """Scales each row to length 1."""

    def forward(self, rows: Tensor) -> Tensor:
        """Map (B, n) to the same shape."""
        return F.normalize(rows, dim=1)
