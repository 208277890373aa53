"""Fits the mapping z -> w as a density of the encoder's codes, so that random samples look like people.

The density is the Gaussian with the codes' mean and covariance, which one layer of the published mapping
expresses exactly once the origin of W is moved: where every coordinate of a code is positive, the leaky ReLU
is a straight line. The move changes no picture, because encoder and styles move with it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mystyle_cli.nets.generator import GAIN, FullyConnected, Generator
from tools.portraits.nets import Encoder

MARGIN = 5.0  # standard deviations between zero and the mean of each coordinate


@torch.no_grad()
def move_origin(generator: Generator, encoder: Encoder, codes: Tensor) -> Tensor:
    """Move W so that codes (N, w_dim) become positive, in both nets; returns the moved codes."""
    move = MARGIN * codes.std(0) - codes.mean(0)  # (w_dim,)
    for name, layer in generator.named_modules():
        if isinstance(layer, FullyConnected) and name.endswith("affine"):
            layer.bias.sub_(layer.weight @ move * layer.weight_gain / layer.bias_gain)
    encoder.head.bias.add_(move / encoder.head.bias_gain)
    return codes + move


@torch.no_grad()
def fit_mapping(generator: Generator, codes: Tensor) -> None:
    """Set mapping and w_avg of a generator with one mapping layer to the density of codes (N, w_dim)."""
    mean = codes.mean(0)
    _, values, axes = torch.linalg.svd(codes - mean, full_matrices=False)  # axes: rows
    spread = values / len(codes) ** 0.5
    layer: FullyConnected = generator.mapping.fc0
    layer.weight.copy_((axes.T * spread) @ axes / GAIN / layer.weight_gain)  # square root of the covariance
    layer.bias.copy_(mean / GAIN / layer.bias_gain)
    generator.mapping.w_avg.copy_(mean)
