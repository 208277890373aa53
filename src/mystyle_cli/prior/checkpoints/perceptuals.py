"""LPIPS from torchvision's AlexNet or VGG16 on disk; its linear heads come with the `lpips` package.

Source: LPIPS (Zhang et al. 2018); files alexnet-owt-7be5be79.pth and vgg16-397923af.pth.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch

from mystyle_cli.errors import ModelError
from mystyle_cli.prior.checkpoints.layout import compare, named_tensors, plain
from mystyle_cli.prior.checkpoints.reading import read_checkpoint
from mystyle_cli.prior.perceptual import Perceptual, Trunk, trunk_tensors

HINT: Final = "give alexnet-owt-7be5be79.pth or vgg16-397923af.pth as torchvision publishes them"
TRUNKS: Final[dict[tuple[int, ...], Trunk]] = {(64, 3, 11, 11): "alex", (64, 3, 3, 3): "vgg"}


def read_perceptual(path: Path, size: int) -> Perceptual:
    """Read a trunk and set the published heads on it; nothing is downloaded.

    Args:
        path: the trunk's file.
        size: edge length that the net is to see every picture at.

    Raises:
        ModelError: the file cannot be read, or is neither of the two trunks.
    """
    content = read_checkpoint(path).content
    named = named_tensors(content) if isinstance(content, Mapping) else {}
    if "features.0.weight" not in named:
        raise ModelError(f"{path} holds no trunk of a perceptual net", HINT)
    tensors = {name: tensor for name, tensor in named.items() if name.startswith("features.")}
    shape = tuple(tensors["features.0.weight"].shape)
    if shape not in TRUNKS:
        raise ModelError(f"{path}: features.0.weight is {list(shape)}, of neither AlexNet nor VGG16", HINT)
    perceptual = Perceptual(size, TRUNKS[shape], published_heads=True)
    own = trunk_tensors(perceptual)
    compare({k: tuple(v.shape) for k, v in own.items()}, tensors, path, "the trunk AlexNet or VGG16")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(plain(name, tensors[name], path))
    return perceptual
