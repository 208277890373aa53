"""Generators as NVIDIA and as rosinality name them, and so the decoders of e4e, pSp and HyperStyle.

Source: NVlabs/stylegan2-ada-pytorch.

Weights are as NVIDIA's: nothing is flipped or scaled. Source: rosinality/stylegan2-pytorch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from torch import Tensor

from mystyle_cli.checkpoints.records import Record, module_tensors
from mystyle_cli.errors import ModelError
from mystyle_cli.foreign.layout import HINT, Layout, check_filters

NETWORKS: Final = ("Generator", "SynthesisNetwork")

# Settings that the tensors show, or that change only the precision or the training.
HARMLESS: Final = {
    "z_dim", "w_dim", "img_resolution", "num_ws", "num_layers", "embed_features", "lr_multiplier",
    "w_avg_beta", "channel_base", "channel_max", "num_fp16_res", "fp16_channels_last", "conv_clamp",
    "fused_modconv_default",
}  # fmt: skip

# Settings of which one value is implemented; "layer_features" must equal w_dim where it is given.
ONLY: Final[Mapping[str, tuple[object, ...]]] = {
    "c_dim": (0,),
    "img_channels": (3,),
    "activation": ("lrelu",),
    "architecture": ("skip",),
    "resample_filter": ([1, 3, 3, 1], (1, 3, 3, 1)),
    "use_noise": (True,),
    "kernel_size": (3,),
}


def is_nvidia(tensors: Mapping[str, object]) -> bool:
    """Tell whether the names are NVIDIA's, with or without the prefix of the synthesis network."""
    return "synthesis.b4.const" in tensors or "b4.const" in tensors


def named_layout(tensors: Mapping[str, Tensor], path: Path) -> Layout:
    """Take bare tensors with NVIDIA's names; a synthesis network alone gets its prefix.

    Raises:
        ModelError: a filter is not the usual one.
    """
    if "b4.const" in tensors:
        tensors = {f"synthesis.{name}": value for name, value in tensors.items()}
    note = "The file records no clamp of activations; none is applied."
    return Layout(check_filters(tensors, "resample_filter", 1, path), notes=(note,))


def network_layout(record: Record, path: Path) -> Layout:
    """Take a pickled generator, or the synthesis network alone as google/mystyle saves it.

    Raises:
        ModelError: it is another network, or was made with settings that are not implemented.
    """
    if record.class_name not in NETWORKS:
        raise ModelError(f"{path} holds a {record.class_name}, not a generator", HINT)
    records = dict(_walk(record, ""))
    _refuse_settings(records, path)
    tensors = module_tensors(record)
    if record.class_name == "SynthesisNetwork":
        tensors = {f"synthesis.{name}": value for name, value in tensors.items()}
    gain = _number(records, ("mapping.fc0",), "bias_gain", path)
    clamp = _number(records, (), "conv_clamp", path)
    return Layout(check_filters(tensors, "resample_filter", 1, path), clamp, 0.01 if gain is None else gain)


def _walk(record: Record, prefix: str) -> Iterator[tuple[str, Record]]:
    """Yield a record and those below it, by dotted name."""
    yield prefix.rstrip("."), record
    modules = record.state.get("_modules")
    for name, child in modules.items() if isinstance(modules, Mapping) else ():
        if isinstance(child, Record):
            yield from _walk(child, f"{prefix}{name}.")


def _refuse_settings(records: Mapping[str, Record], path: Path) -> None:
    for name, record in records.items():
        where = f"{path}: {name or record.class_name}"
        made_with = record.state.get("_init_kwargs")
        if record.class_name in NETWORKS and isinstance(made_with, Mapping):
            _refuse(_flat(made_with), record.state.get("w_dim"), where)
        own: dict[str, object] = {
            key: record.state[key] for key in ("c_dim", "architecture", "use_noise") if key in record.state
        }
        if record.class_name == "SynthesisLayer" and "activation" in record.state:
            own["activation"] = record.state["activation"]
        _refuse(own, None, where)


def _flat(made_with: Mapping[str, object]) -> dict[str, object]:
    """Return a constructor's arguments with those of the networks inside it."""
    flat: dict[str, object] = {}
    for key, value in made_with.items():
        if key in ("mapping_kwargs", "synthesis_kwargs") and isinstance(value, Mapping):
            flat |= {str(inner): setting for inner, setting in value.items()}
        else:
            flat[key] = value
    return flat


def _refuse(settings: Mapping[str, object], w_dim: object, where: str) -> None:
    for key, value in settings.items():
        # compared as text, for a foreign value may be of a type that does not compare
        if key == "layer_features":
            fits = value is None or repr(value) == repr(w_dim)
        else:
            fits = key in HARMLESS or (key in ONLY and repr(value) in map(repr, ONLY[key]))
        if not fits:
            raise ModelError(
                f"{where} was made with {key} = {value!r:.80}, which is not implemented",
                "use a StyleGAN2 generator of the usual configuration (config-f)",
            )


def _number(records: Mapping[str, Record], names: tuple[str, ...], key: str, path: Path) -> float | None:
    """Return the one value that records have for a setting; of all records where no names are given."""
    chosen = [records[name] for name in names if name in records] if names else list(records.values())
    values = [record.state[key] for record in chosen if key in record.state]
    given = {float(value) for value in values if type(value) in (int, float)}
    none = all(value is None for value in values)
    if not none and (len(given) != 1 or any(type(value) not in (int, float) for value in values)):
        raise ModelError(f"{path}: its layers do not agree on one number for {key}", HINT)
    number = next(iter(given), None)
    if number is not None and not 0 < number < math.inf:
        raise ModelError(f"{path}: {key} = {number} makes no sense", HINT)
    return number


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
        latent_avg: the mean of w beside them, (w_dim,) or (num_ws, w_dim) with equal rows; anything else
            counts as none.

    Raises:
        ModelError: a filter is not the usual one, or the mean of w is no vector.
    """
    renamed = dict(_renamed(*item) for item in check_filters(tensors, ".kernel", 4, path).items())
    if isinstance(latent_avg, Tensor):
        if not latent_avg.dim() or not latent_avg.numel():
            raise ModelError(f"{path}: latent_avg is no vector", HINT)
        rows = latent_avg.reshape(-1, latent_avg.shape[-1])
        if not bool((rows == rows[0]).all()):
            raise ModelError(f"{path}: the rows of latent_avg differ, so it is not the mean of w", HINT)
        renamed["mapping.w_avg"] = rows[0]
    return Layout(renamed)


def _renamed(key: str, value: Tensor) -> tuple[str, Tensor]:
    """Return our name of a tensor and its form; a key that is not known stays as it is."""
    if key == "input.input":
        return "synthesis.b4.const", _without_axes(value, 1)
    if parts := re.fullmatch(r"style\.([1-9]\d?)\.(weight|bias)", key):
        return f"mapping.fc{int(parts[1]) - 1}.{parts[2]}", value
    if parts := re.fullmatch(r"noises\.noise_(\d{1,2})", key):
        index = int(parts[1])
        conv = "conv0" if index % 2 else "conv1"
        return f"synthesis.b{1 << (index + 5) // 2}.{conv}.noise_const", _without_axes(value, 2)
    parts = re.fullmatch(r"(conv1|to_rgb1|convs|to_rgbs)(?:\.(\d{1,2}))?\.(.+)", key)
    layer = _layer(parts[1], parts[2]) if parts else None
    if parts is None or layer is None or parts[3] not in LAYER:
        return key, value
    name, axes = LAYER[parts[3]]
    value = _without_axes(value, axes)
    if parts[3] == "bias" and value.shape[1:] == (1, 1):
        value = value[:, 0, 0]
    return f"{layer}.{name}", value


def _layer(kind: str, index: str | None) -> str | None:
    """Return our name of a layer, None where there is none of that kind and index."""
    match kind, index:
        case "conv1", None:
            return "synthesis.b4.conv1"
        case "to_rgb1", None:
            return "synthesis.b4.torgb"
        case "convs", str():
            return f"synthesis.b{8 << int(index) // 2}.conv{int(index) % 2}"
        case "to_rgbs", str():
            return f"synthesis.b{8 << int(index)}.torgb"
    return None


def _without_axes(value: Tensor, axes: int) -> Tensor:
    """Drop leading axes, where they have length 1; another shape is for the comparison to refuse."""
    for _ in range(axes):
        if value.dim() and len(value) == 1:
            value = value[0]
    return value
