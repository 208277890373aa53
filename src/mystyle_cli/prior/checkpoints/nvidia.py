"""Networks of NVIDIA's stylegan2-ada-pytorch: what a file records of them, and what of it is implemented.

Source: NVlabs/stylegan2-ada-pytorch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from torch import Tensor

from mystyle_cli.errors import ModelError
from mystyle_cli.prior.checkpoints.layout import HINT, Layout, check_filters
from mystyle_cli.prior.checkpoints.records import Record, module_tensors

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
    """Refuse what the networks were made with, or say of themselves, and is not implemented."""
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
    """Refuse one setting that is not implemented."""
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
