"""Generators as rosinality's stylegan2-pytorch names them, and so the decoders of e4e, pSp and HyperStyle.

Weights are as NVIDIA's: nothing is flipped or scaled. Source: rosinality/stylegan2-pytorch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from mystyle_cli.errors import ModelError
from mystyle_cli.prior.checkpoints.layout import HINT, Layout, check_filters

LAYER = {  # the end of a layer's key, ours, and how many leading axes of length 1 go
    "conv.weight": ("weight", 1),
    "conv.modulation.weight": ("affine.weight", 0),
    "conv.modulation.bias": ("affine.bias", 0),
    "noise.weight": ("noise_strength", 1),
    "activate.bias": ("bias", 0),
    "bias": ("bias", 1),  # of a torgb, [1, 3, 1, 1]
}


def is_rosinality(tensors: Mapping[str, object]) -> bool:
    """Tell whether the names are rosinality's."""
    return "input.input" in tensors and "conv1.conv.weight" in tensors


def rosinality_layout(tensors: Mapping[str, Tensor], latent_avg: object, path: Path) -> Layout:
    """Give a generator's tensors NVIDIA's names.

    Args:
        tensors: by rosinality's names.
        latent_avg: the mean of w beside them, (w_dim,) or (num_ws, w_dim) with equal rows; anything else
            counts as none.
        path: the file, for errors.

    Raises:
        ModelError: a filter is not the usual one, or the mean of w is no vector.
    """
    found = dict(_renamed(*item) for item in check_filters(tensors, ".kernel", 4, path).items())
    if isinstance(latent_avg, Tensor):
        if not latent_avg.dim() or not latent_avg.numel():
            raise ModelError(f"{path}: latent_avg is no vector", HINT)
        rows = latent_avg.reshape(-1, latent_avg.shape[-1])
        if not bool((rows == rows[0]).all()):
            raise ModelError(f"{path}: the rows of latent_avg differ, so it is not the mean of w", HINT)
        found["mapping.w_avg"] = rows[0]
    return Layout(found)


def _renamed(key: str, value: Tensor) -> tuple[str, Tensor]:
    """Return our name of a tensor and its form; a key that is not known stays as it is."""
    if key == "input.input":
        return "synthesis.b4.const", _without_axes(value, 1)
    if found := re.fullmatch(r"style\.([1-9]\d?)\.(weight|bias)", key):
        return f"mapping.fc{int(found[1]) - 1}.{found[2]}", value
    if found := re.fullmatch(r"noises\.noise_(\d{1,2})", key):
        index = int(found[1])
        layer = "conv0" if index % 2 else "conv1"
        return f"synthesis.b{1 << (index + 5) // 2}.{layer}.noise_const", _without_axes(value, 2)
    found = re.fullmatch(r"(conv1|to_rgb1|convs\.\d{1,2}|to_rgbs\.\d{1,2})\.(.+)", key)
    if found is None or found[2] not in LAYER:
        return key, value
    name, axes = LAYER[found[2]]
    value = _without_axes(value, axes)
    if found[2] == "bias" and value.shape[1:] == (1, 1):
        value = value[:, 0, 0]
    return f"{_layer(found[1])}.{name}", value


def _layer(name: str) -> str:
    """Return our name of a layer."""
    kind, _, index = name.partition(".")
    if not index:
        return "synthesis.b4.conv1" if kind == "conv1" else "synthesis.b4.torgb"
    number = int(index)
    if kind == "convs":
        return f"synthesis.b{8 << number // 2}.conv{number % 2}"
    return f"synthesis.b{8 << number}.torgb"


def _without_axes(value: Tensor, axes: int) -> Tensor:
    """Drop leading axes, where they have length 1; another shape is for the comparison to refuse."""
    for _ in range(axes):
        if value.dim() and len(value) == 1:
            value = value[0]
    return value
