"""The published companions of a generator as torch modules: encoders and ArcFace on IR-SE-50.

Source: HyperStyle (Alaluf et al. 2022); e4e (Tov et al. 2021), sec. 4; pSp (Richardson et al. 2021), sec. 3;
ArcFace (Deng et al. 2019).

Names of modules are those of the published state dicts.

Source: ArcFace (Deng et al. 2019), sec. 3.1; Squeeze-and-Excitation (Hu et al. 2018), sec. 3.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mystyle_cli.nets.generator import FullyConnected

# channels and units; each first unit halves the size
STAGES = ((64, 3), (128, 4), (256, 14), (512, 3))
WIDTH = STAGES[-1][0]  # channels that leave the body
REDUCTION = 16  # of the channels between squeeze and excitation


class SqueezeExcite(nn.Module):
    """Weighs each channel by what its mean, and that of the others, say."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, channels // REDUCTION, 1, bias=False)
        self.relu = nn.ReLU()
        self.fc2 = nn.Conv2d(channels // REDUCTION, channels, 1, bias=False)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, h, w) to the same shape."""
        return cast(Tensor, x * self.sigmoid(self.fc2(self.relu(self.fc1(self.pool(x))))))


class Unit(nn.Module):
    """One residual unit: norm, two convolutions, excitation, beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        """Make the unit; the second convolution and the shortcut take the stride."""
        super().__init__()
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            SqueezeExcite(outputs),
        )
        self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)  # every stride-th pixel
        if inputs != outputs:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, h, w) to (B, outputs, h / stride, w / stride)."""
        return cast(Tensor, self.res_layer(x) + self.shortcut_layer(x))


class Backbone(nn.Module):
    """The net without a head; heads derive from it, so that state dicts have no further prefix."""

    def __init__(self) -> None:
        super().__init__()
        width = STAGES[0][0]
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.PReLU(width)
        )
        units: list[nn.Module] = []
        for channels, count in STAGES:
            for i in range(count):
                units.append(Unit(width, channels, 2 if i == 0 else 1))
                width = channels
        self.body = nn.Sequential(*units)

    def trunk(self, images: Tensor) -> Tensor:
        """Map images (B, 3, S, S) in [-1, 1] to features (B, 512, S / 16, S / 16)."""
        return cast(Tensor, self.body(self.input_layer(images)))


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
        super().__init__()
        cells = (FACE_SIZE // 16) ** 2
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(WIDTH),
            nn.Dropout(),
            nn.Flatten(),
            nn.Linear(WIDTH * cells, EMBEDDING),
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
