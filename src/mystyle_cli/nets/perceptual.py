"""LPIPS, split so that the features of a target are computed once.

Source: paper sec. 3.1, eq 1 (L_lpips); LPIPS (Zhang et al. 2018).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from mystyle_cli.errors import ModelError
from mystyle_cli.files.documents import OneOf, Whole
from mystyle_cli.files.parsing import json_of
from mystyle_cli.files.tensors import LARGEST_NET, read_tensors
from mystyle_cli.nets.bounds import LARGEST_SIDE
from mystyle_cli.nets.device import WHOLE
from mystyle_cli.nets.folding import SCALE, scaled

Trunk = Literal["alex", "vgg"]


class Perceptual(nn.Module):
    """LPIPS over an AlexNet or VGG16 trunk, with weights of the prior."""

    def __init__(self, size: int, trunk: Trunk = "alex", *, published_heads: bool = False) -> None:
        """Make the net with random weights; nothing is downloaded.

        Args:
            size: edge length it sees every picture at.
            trunk: the net whose layers are compared.
            published_heads: take the layers' weights that come with lpips, not random ones.
        """
        import lpips

        super().__init__()
        self.size = size
        self.trunk = trunk
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # lpips calls torchvision, and torch.load, in deprecated ways
            self.net = lpips.LPIPS(
                net=trunk, pretrained=published_heads, pnet_rand=True, verbose=False
            ).eval()
        self.net.requires_grad_(False)
        for lin in self.net.lins:
            lin.model[-1].weight.abs_()  # a distance needs weights >= 0
        self.to(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> list[Tensor]:
        """Weighted unit features (B, C, h, w) of each layer, of images (B, 3, H, W) in [-1, 1].

        Their squared differences, averaged over places and summed over channels and layers, are the distance.
        """
        if images.shape[-2:] != (self.size, self.size):
            images = resized(images, self.size)
        layers = self.net.net(self.net.scaling_layer(images.contiguous(memory_format=torch.channels_last)))
        weighted = []
        # w (a - b)^2 = (sqrt(w) a - sqrt(w) b)^2: weighted once, a target's features need no weights any more
        for layer, lin in zip(layers, self.net.lins, strict=True):
            # lpips adds only the last term; the first keeps the gradient finite where a layer is all zero.
            norm = (layer.square().sum(1, keepdim=True) + 1e-20).sqrt() + 1e-10
            weight = cast(nn.Conv2d, lin.model[-1]).weight.clamp(min=0).sqrt()  # (1, C, 1, 1)
            weighted.append(layer * (weight / norm))
        return weighted

    def distance_to(self, features: Sequence[Tensor], images: Tensor) -> Tensor:
        """Distance (B,) of images (B, 3, H, W) to targets given by their `features`."""
        total = images.new_zeros(images.shape[0])
        for target, layer in zip(features, self.features(images), strict=True):  # (B, C, h, w) each
            total = total + (layer - target).square().sum(1).mean((1, 2))
        return total

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """LPIPS distance (B,) between two batches (B, 3, H, W)."""
        return self.distance_to(self.features(a), b)


def resized(images: Tensor, size: int) -> Tensor:
    """Return images (B, 3, H, W) at another size, bilinear and without aliases."""
    if images.device.type in WHOLE:
        return F.interpolate(images, (size, size), mode="bilinear", antialias=True)
    rows, columns = (kernel_to(side, size).to(images) for side in images.shape[-2:])
    return rows @ images @ columns.T


def kernel_to(size: int, other: int) -> Tensor:
    """Return the matrix (other, size) that brings rows of a picture to another number, on the CPU."""
    unit = torch.eye(size)[None, None]
    return F.interpolate(unit, (other, size), mode="bilinear", antialias=True)[0, 0]


def save_perceptual(perceptual: Perceptual, path: Path, *, small: bool = False) -> None:
    """Write trunk and layer weights as safetensors, if `small` in int8 with a scale for each output."""
    from safetensors.torch import save_file

    state: dict[str, Tensor] = {}
    for key, tensor in unique_state(perceptual).items():
        weight = tensor.detach().cpu().contiguous()
        state |= as_bytes(key, weight) if small else {key: weight}
    save_file(state, path, metadata={"size": str(perceptual.size), "trunk": perceptual.trunk})


def as_bytes(key: str, weight: Tensor) -> dict[str, Tensor]:
    """Return a weight by its name, in int8 with one scale for each output where it has several of both."""
    if weight.ndim not in (2, 4) or weight.shape[0] == 1:
        return {key: weight}
    sides = tuple(range(1, weight.ndim))
    scale = weight.abs().amax(sides, keepdim=True).clamp(min=1e-12) / 127
    return {key: (weight / scale).round().to(torch.int8), f"{key}{SCALE}": scale}


def load_perceptual(path: Path) -> Perceptual:
    """Read what `save_perceptual` wrote, in eval mode, on the CPU, float32; raises ModelError."""
    try:
        arrays, header = read_tensors(path, LARGEST_NET)
        size = SIZE.read(json_of(header.get("size", "null")), "size")
        trunk = TRUNKS.read(header.get("trunk", "alex"), "trunk")
        perceptual = _empty(size, cast(Trunk, trunk))
        own = unique_state(perceptual)
        if own.keys() != {key for key in arrays if not key.endswith(SCALE)}:
            raise ValueError(f"its tensors are not the expected {len(own)}")
        with torch.no_grad():
            for key, tensor in own.items():
                tensor.copy_(from_bytes(arrays, key, tuple(tensor.shape)))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ModelError(
            f"cannot read perceptual net {path}: {reason}", "restore or fetch the file again"
        ) from error
    return perceptual


SIZE = Whole(16, LARGEST_SIDE)
TRUNKS = OneOf(get_args(Trunk))


def from_bytes(arrays: Mapping[str, NDArray[np.generic]], key: str, shape: tuple[int, ...]) -> Tensor:
    """Return one weight, times its scales where it has some.

    Raises:
        KeyError: it is not there.
        ValueError: it has another shape.
    """
    if arrays[key].shape != shape:
        raise ValueError(f"{key} is of shape {arrays[key].shape}, not {shape}")
    return torch.from_numpy(scaled(arrays, key))


def _empty(size: int, trunk: Trunk) -> Perceptual:
    """Make a net whose weights are still to be filled in, without drawing 60 or 140 million random ones."""
    import lpips

    with torch.device("meta"):
        perceptual = Perceptual(size, trunk)
    perceptual.to_empty(device="cpu")
    perceptual.net.scaling_layer = lpips.ScalingLayer()
    return perceptual


def unique_state(perceptual: Perceptual) -> dict[str, Tensor]:
    """State dict of the net without the second names lpips gives to its layer weights."""
    state = perceptual.net.state_dict()
    return {k: v for k, v in state.items() if not k.startswith(("lins.", "scaling_layer."))}


def trunk_tensors(perceptual: Perceptual) -> dict[str, Tensor]:
    """Tensors of the trunk by the names that torchvision gives them, "features.0.weight", ..."""
    state = perceptual.net.net.state_dict()
    return {f"features.{name.partition('.')[2]}": tensor for name, tensor in state.items()}
