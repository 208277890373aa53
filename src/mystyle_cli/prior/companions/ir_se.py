"""IR-SE-50, the residual net with squeezed-and-excited channels that the encoders and ArcFace share.

Names of modules are those of the published state dicts.

Source: ArcFace (Deng et al. 2019), sec. 3.1; Squeeze-and-Excitation (Hu et al. 2018), sec. 3.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

STAGES = (
    (64, 3),
    (128, 4),
    (256, 14),
    (512, 3),
)  # channels and units; each first unit halves the size
WIDTH = STAGES[-1][0]  # channels that leave the body
REDUCTION = 16  # of the channels between squeeze and excitation


class SqueezeExcite(nn.Module):
    """Weighs each channel by what its mean, and that of the others, say."""

    def __init__(self, channels: int) -> None:
        """Make the two 1x1 convolutions."""
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
        """Make the net with random weights."""
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
