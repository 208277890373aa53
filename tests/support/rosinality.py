"""Files as rosinality's stylegan2-pytorch and the encoders around it write them, of our own generator."""

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mystyle_cli.nets.generator import Generator

KERNEL = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 16


def rosinality_tensors(generator: Generator) -> "OrderedDict[str, Tensor]":
    """The state dict that rosinality's generator of these weights has; w_avg is not part of it."""
    state = {k: v.detach().clone() for k, v in generator.state_dict().items()}
    sizes = generator.synthesis.resolutions
    made = OrderedDict({"input.input": state["synthesis.b4.const"][None]})
    for i in range(int(str(generator.config["mapping_layers"]))):
        for part in ("weight", "bias"):
            made[f"style.{i + 1}.{part}"] = state[f"mapping.fc{i}.{part}"]
    made |= _convolution(state, "synthesis.b4.conv1", "conv1") | _to_rgb(state, "synthesis.b4", "to_rgb1")
    made["noises.noise_0"] = state["synthesis.b4.conv1.noise_const"][None, None]
    for step, size in enumerate(sizes[1:]):
        block = f"synthesis.b{size}"
        for k in (0, 1):
            made |= _convolution(state, f"{block}.conv{k}", f"convs.{2 * step + k}")
            made[f"noises.noise_{2 * step + 1 + k}"] = state[f"{block}.conv{k}.noise_const"][None, None]
        made[f"convs.{2 * step}.conv.blur.kernel"] = KERNEL
        made |= _to_rgb(state, block, f"to_rgbs.{step}")
        made[f"to_rgbs.{step}.upsample.kernel"] = KERNEL
    return made


def _convolution(state: Mapping[str, Tensor], ours: str, name: str) -> dict[str, Tensor]:
    return {
        f"{name}.conv.weight": state[f"{ours}.weight"][None],
        f"{name}.conv.modulation.weight": state[f"{ours}.affine.weight"],
        f"{name}.conv.modulation.bias": state[f"{ours}.affine.bias"],
        f"{name}.noise.weight": state[f"{ours}.noise_strength"].reshape(1),
        f"{name}.activate.bias": state[f"{ours}.bias"],
    }


def _to_rgb(state: Mapping[str, Tensor], block: str, name: str) -> dict[str, Tensor]:
    return {
        f"{name}.conv.weight": state[f"{block}.torgb.weight"][None],
        f"{name}.conv.modulation.weight": state[f"{block}.torgb.affine.weight"],
        f"{name}.conv.modulation.bias": state[f"{block}.torgb.affine.bias"],
        f"{name}.bias": state[f"{block}.torgb.bias"].reshape(1, 3, 1, 1),
    }


def write_rosinality(path: Path, generator: Generator, shape: str = "full", **extra: Any) -> Path:
    """Write a generator with torch.save.

    Args:
        path: the file to write.
        generator: where the tensors come from.
        shape: "full" (g_ema, g, d, latent_avg), "g_ema" (that alone), "bare" (the tensors themselves), or
            "encoder" (the decoder of an e4e, pSp or W-encoder file, its latent_avg one row for each layer).
        extra: further entries of the file, over those of the shape; entries of `state_dict` are added to it.
    """
    tensors, mean = rosinality_tensors(generator), generator.w_avg.detach().clone()
    content: dict[str, Any] = {"g_ema": tensors}
    if shape == "full":
        content |= {"g": tensors, "d": OrderedDict(weight=torch.zeros(2)), "latent_avg": mean}
    elif shape == "bare":
        content = dict(tensors)
    elif shape == "encoder":
        state = OrderedDict((f"decoder.{name}", value) for name, value in tensors.items())
        state.update(extra.pop("state_dict", {}))
        rows = mean.repeat(generator.num_ws, 1)
        content = {"state_dict": state, "latent_avg": rows, "opts": {"encoder_type": "WEncoder"}}
    torch.save(content | extra, path)
    return path
