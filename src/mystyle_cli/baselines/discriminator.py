"""D, which tells photos from made pictures, kept for the priors that adversarial baselines are tried with.

Source: StyleGAN2 (Karras et al. 2020).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mystyle_cli.errors import ModelError
from mystyle_cli.files.tensors import LARGEST_NET, read_tensors
from mystyle_cli.nets.folding import GAIN
from mystyle_cli.nets.generator import SLOPE, FullyConnected
from mystyle_cli.nets.perceptual import as_bytes, from_bytes

if TYPE_CHECKING:
    from mystyle_cli.prior.registry import Prior

KEPT: Final = Path(__file__).parent  # where a file for each prior lies, called by its name
WIDTHS: Final = (24, 32, 64, 128, 192, 192)  # channels at half of 256 pixels, of 128, ... down to 4


class EqualisedConv(nn.Module):
    """3x3 convolution with equalised learning rate."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        """Make the layer with unit-normal weights."""
        super().__init__()
        weight = torch.randn(outputs, inputs, 3, 3).contiguous(memory_format=torch.channels_last)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.gain = 1 / math.sqrt(9 * inputs)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, h, w) to (B, outputs, h / stride, w / stride)."""
        return F.conv2d(x, self.weight * self.gain, self.bias, self.stride, 1)


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU that keeps the variance."""
    return F.leaky_relu(x, SLOPE) * GAIN


class Discriminator(nn.Module):
    """Crop -> how much it looks like a photo; convolutions that halve, with a minibatch deviation at the end.

    Args:
        size: side of the pictures, a power of two from 16 to 256; they are folded 2x2 into channels first.
    """

    def __init__(self, size: int = 128) -> None:
        super().__init__()
        self.size = size
        self.widths: Sequence[int] = WIDTHS[-(size // 8).bit_length() :]
        self.stem = EqualisedConv(12, self.widths[0])
        pairs = list(pairwise(self.widths))
        self.keep = nn.ModuleList(EqualisedConv(before, before) for before, _ in pairs)
        self.halve = nn.ModuleList(EqualisedConv(before, after, stride=2) for before, after in pairs)
        self.last = EqualisedConv(self.widths[-1] + 1, self.widths[-1])
        self.head = nn.Sequential(
            FullyConnected(16 * self.widths[-1], self.widths[-1]), FullyConnected(self.widths[-1], 1)
        )

    def seen(self, images: Tensor, halvings: int | None = None) -> Tensor:
        """Map images (B, 3, R, R) to what is seen after some halvings, all of them where none are named."""
        x = activate(self.stem(F.pixel_unshuffle(images, 2)))
        pairs = list(zip(self.keep, self.halve, strict=True))
        for keep, halve in pairs[:halvings]:
            x = activate(halve(x + activate(keep(x))))
        return x

    def variance(self, x: Tensor) -> Tensor:
        """Return the variance (C, h, w) of what is seen (B, C, h, w) over the pictures of a batch."""
        return x.var(0, unbiased=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, R, R) to logits (B, 1)."""
        x = self.seen(images)
        spread = (self.variance(x) + 1e-8).sqrt().mean().expand(len(x), 1, *x.shape[2:])
        x = activate(self.last(torch.cat([x, spread.to(x.dtype)], 1)))
        return cast(Tensor, self.head[1](activate(self.head[0](x.flatten(1)))))


def keep_discriminator(net: Discriminator, prior: Prior, folder: Path = KEPT) -> Path:
    """Write a net that was trained with a prior's generator where `load_discriminator` finds it, in 8 bits.

    Returns:
        The file.
    """
    from safetensors.torch import save_file

    state: dict[str, Tensor] = {}
    for name, value in net.state_dict().items():
        state |= as_bytes(name, value.detach().cpu().contiguous())
    path = folder / f"{prior.name}.safetensors"
    save_file(state, path, metadata={"generator": _digest(prior)})
    return path


def load_discriminator(prior: Prior, folder: Path = KEPT) -> Discriminator | None:
    """Return the net that was trained with a prior's generator, or None where none is kept.

    Raises:
        ModelError: the file is damaged.
    """
    path = {found.stem: found for found in folder.glob("*.safetensors")}.get(prior.name)
    if path is None:
        return None
    try:
        arrays, notes = read_tensors(path, LARGEST_NET)
        if notes.get("generator") != _digest(prior):
            return None  # of another version of the prior, or of a stranger's with its name
        net = Discriminator(prior.resolution)
        state = {
            name: from_bytes(arrays, name, tuple(value.shape)) for name, value in net.state_dict().items()
        }
    except (KeyError, OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be used: {error}", "Install mystyle again.") from error
    net.load_state_dict(state)
    return net.to(prior.device.torch)


def _digest(prior: Prior) -> str:
    """Return what a prior's generator is known by."""
    return str(prior.metadata["roles"]["generator"]["sha256"])
