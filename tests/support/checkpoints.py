"""Files as other programs write them, made from our own generator without any of their code."""

import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mystyle_cli.nets.generator import Generator

SOURCE = "raise SystemExit('the source text inside a pickle was run')\n"
HOOKS = ("_backward_hooks", "_forward_hooks", "_forward_pre_hooks", "_state_dict_hooks")
BUFFERS = ("w_avg", "noise_const", "resample_filter")


class EasyDict(dict[str, Any]):
    """Stands for dnnlib.util.EasyDict while a pickle is written."""


def reconstruct(meta: dict[str, Any]) -> None:
    """Stand for the function that would run `module_src`."""
    raise AssertionError("a persistent object was rebuilt")


@dataclass(eq=False)
class Persistent:
    """A module of stylegan2-ada-pytorch as it goes into a pickle: its class's name and its instance dict."""

    class_name: str
    state: dict[str, Any]
    version: int = 6

    def __reduce__(self) -> tuple[object, ...]:
        """Reduce to the reconstruction function and one dict, as the published decorator does."""
        meta = {
            "type": "class",
            "version": self.version,
            "module_src": SOURCE,
            "class_name": self.class_name,
            "state": self.state,
        }
        return reconstruct, (meta,), None


@contextmanager
def published_names() -> Iterator[None]:
    """Let pickle write the published global names, for as long as the block runs."""
    modules = {name: types.ModuleType(name) for name in ("torch_utils", "torch_utils.persistence")}
    modules |= {name: types.ModuleType(name) for name in ("dnnlib", "dnnlib.util")}
    modules["torch_utils.persistence"]._reconstruct_persistent_obj = reconstruct  # type: ignore[attr-defined]
    modules["dnnlib.util"].EasyDict = EasyDict  # type: ignore[attr-defined]
    reconstruct.__module__, reconstruct.__qualname__ = (
        "torch_utils.persistence",
        "_reconstruct_persistent_obj",
    )
    EasyDict.__module__ = "dnnlib.util"
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]


def module(
    class_name: str, tensors: Mapping[str, Tensor], children: Mapping[str, Any], **own: Any
) -> Persistent:
    """One persistent module: its tensors split into parameters and buffers, its children, its attributes."""
    state: dict[str, Any] = {"training": False}
    parameters = {k: torch.nn.Parameter(v, False) for k, v in tensors.items() if k not in BUFFERS}
    state["_parameters"] = OrderedDict(parameters)
    state["_buffers"] = OrderedDict((k, v) for k, v in tensors.items() if k in BUFFERS)
    state["_non_persistent_buffers_set"] = set()
    state |= {name: OrderedDict() for name in HOOKS}
    state["_modules"] = OrderedDict(children)
    return Persistent(class_name, state | {"_init_args": (), "_init_kwargs": EasyDict()} | own)


def fully_connected(tensors: Mapping[str, Tensor], name: str, activation: str, gain: float) -> Persistent:
    """A linear layer; its gains are numpy scalars, as in the published files."""
    own = {k: tensors[f"{name}.{k}"] for k in ("weight", "bias")}
    scale = np.float64(gain) / np.sqrt(own["weight"].shape[1])
    return module("FullyConnectedLayer", own, {}, activation=activation, weight_gain=scale, bias_gain=gain)


def convolution(tensors: Mapping[str, Tensor], name: str, clamp: float | None) -> Persistent:
    """A modulated convolution of the synthesis, torgb included."""
    keys = ("weight", "bias", "noise_strength", "noise_const", "resample_filter")
    own = {k: tensors[f"{name}.{k}"] for k in keys if f"{name}.{k}" in tensors}
    children = {"affine": fully_connected(tensors, f"{name}.affine", "linear", 1)}
    if "noise_const" not in own:
        gain = np.float64(1 / np.sqrt(own["weight"].shape[1]))
        return module("ToRGBLayer", own, children, conv_clamp=clamp, weight_gain=gain)
    plain = {"up": 2 if name.endswith("conv0") else 1, "padding": 1, "act_gain": np.sqrt(2)}
    plain |= {"resolution": own["noise_const"].shape[0], "use_noise": True, "activation": "lrelu"}
    return module("SynthesisLayer", own, children, conv_clamp=clamp, **plain)


def synthesis_network(
    tensors: Mapping[str, Tensor], clamp: float | None, kwargs: dict[str, Any]
) -> Persistent:
    """The synthesis network, keys of `tensors` without the `synthesis.` prefix."""
    sizes = sorted({int(key.split(".")[0][1:]) for key in tensors})
    blocks = {}
    for size in sizes:
        name = f"b{size}"
        layers = {k: f"{name}.{k}" for k in ("conv0", "conv1", "torgb") if f"{name}.{k}.weight" in tensors}
        own = {k: tensors[f"{name}.{k}"] for k in ("const", "resample_filter") if f"{name}.{k}" in tensors}
        children = {k: convolution(tensors, path, clamp) for k, path in layers.items()}
        plain = {"resolution": size, "is_last": size == sizes[-1], "architecture": "skip", "use_fp16": False}
        blocks[name] = module(
            "SynthesisBlock", own, children, num_conv=len(children) - 1, num_torgb=1, **plain
        )
    plain = {"block_resolutions": sizes, "num_ws": 2 * len(sizes), "img_resolution": sizes[-1]}
    return module("SynthesisNetwork", {}, blocks, _init_kwargs=EasyDict(kwargs), **plain)


def nvidia_generator(
    generator: Generator,
    *,
    synthesis_kwargs: Mapping[str, Any] = {},
    mapping_kwargs: Mapping[str, Any] = {},
    **own: Any,
) -> Persistent:
    """A generator as stylegan2-ada-pytorch would pickle it.

    Args:
        generator: where the tensors come from; its config's clamp is recorded as conv_clamp.
        synthesis_kwargs, mapping_kwargs: recorded constructor arguments over those of a training run.
        own: plain attributes and recorded arguments over the generator's own, such as c_dim.
    """
    tensors = {k: v.detach().clone() for k, v in generator.state_dict().items()}
    parts = {
        part: {k.removeprefix(part + "."): v for k, v in tensors.items() if k.startswith(part)}
        for part in ("mapping", "synthesis")
    }
    clamp = generator.config["clamp"]
    base = max(
        size * tensors[f"synthesis.b{size}.conv1.bias"].shape[0] for size in generator.synthesis.resolutions
    )
    most = max(len(tensors[f"synthesis.b{size}.conv1.bias"]) for size in generator.synthesis.resolutions)
    synthesis = {"channel_base": base, "channel_max": most, "num_fp16_res": 4, "conv_clamp": clamp}
    synthesis |= dict(synthesis_kwargs)
    sizes = {"z_dim": generator.z_dim, "c_dim": 0, "w_dim": generator.w_dim, "img_channels": 3}
    sizes |= {"img_resolution": generator.resolution, **own}
    children = {"synthesis": synthesis_network(parts["synthesis"], synthesis["conv_clamp"], synthesis)}
    names = sorted({key.split(".")[0] for key in parts["mapping"]} - {"w_avg"})
    multiplier = float(str(generator.config["mapping_multiplier"]))
    layers = {k: fully_connected(parts["mapping"], k, "lrelu", multiplier) for k in names}
    mapping = {"num_layers": len(names), **mapping_kwargs}
    if names:
        w_avg = {"w_avg": parts["mapping"]["w_avg"]}
        children["mapping"] = module(
            "MappingNetwork", w_avg, layers, num_ws=generator.num_ws, w_avg_beta=0.995
        )
    arguments = {**sizes, "mapping_kwargs": EasyDict(mapping), "synthesis_kwargs": EasyDict(synthesis)}
    return module(
        "Generator", {}, children, num_ws=generator.num_ws, **sizes, _init_kwargs=EasyDict(arguments)
    )


def write_nvidia_pickle(path: Path, generator: Generator, *, protocol: int = 4, **recorded: Any) -> Path:
    """Write a training snapshot: a bare pickle with training_set_kwargs, G, D, G_ema and augment_pipe.

    Args:
        path: the file to write.
        generator: becomes G_ema; G is another object with the same values.
        protocol: of pickle, 2 to 5.
        recorded: as in `nvidia_generator`.
    """
    snapshot = {
        "training_set_kwargs": EasyDict(class_name="training.dataset.ImageFolderDataset", resolution=4),
        "G": nvidia_generator(generator, **recorded),
        "D": module("Discriminator", {}, {}),
        "G_ema": nvidia_generator(generator, **recorded),
        "augment_pipe": None,
    }
    with published_names(), path.open("wb") as file:
        pickle.dump(snapshot, file, protocol=protocol)
    return path


def write_nvidia_torch(
    path: Path, generator: Generator, *, whole: bool = True, legacy: bool = False, **recorded: Any
) -> Path:
    """Write a whole object with torch.save, as PTI (generator) and the official MyStyle (its synthesis) do.

    Args:
        path: the file to write.
        generator: where the tensors come from.
        whole: the Generator object; False for its SynthesisNetwork alone.
        legacy: torch's format from before its zip archives.
        recorded: as in `nvidia_generator`.
    """
    saved = nvidia_generator(generator, **recorded)
    with published_names():
        parts = saved if whole else saved.state["_modules"]["synthesis"]
        torch.save(parts, path, _use_new_zipfile_serialization=not legacy)
    return path
