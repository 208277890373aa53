"""A generator from whatever file people have; its kind is recognised from what is in it.

Source: paper sec. 3 (the generator G).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mystyle_cli.checkpoints.reading import read_checkpoint
from mystyle_cli.checkpoints.records import Checkpoint, Record
from mystyle_cli.errors import ModelError
from mystyle_cli.foreign.dialects import (
    is_nvidia,
    is_rosinality,
    named_layout,
    network_layout,
    rosinality_layout,
)
from mystyle_cli.foreign.layout import HINT, Layout, build, named_tensors
from mystyle_cli.nets.generator import Generator, generator_from_config

HEADER = "generator"  # key of our own safetensors header


@dataclass(frozen=True)
class ImportedGenerator:
    """A generator read from a foreign file."""

    generator: Generator  # float32, eval mode, CPU
    dialect: str  # what wrote the file: "nvidia", "rosinality" or "mystyle"
    sha256: str
    notes: tuple[str, ...] = ()  # what had to be assumed, one sentence each


def read_generator(path: Path) -> ImportedGenerator:
    """Read a generator; nothing in the file is executed.

    Takes NVIDIA's pickles (training snapshots and conversions), what google/mystyle and PTI save,
    rosinality's files and the encoder files that carry such a decoder, and named tensors as safetensors.

    Raises:
        ModelError: the file cannot be read, is no StyleGAN2 generator, or one of a kind not implemented.
    """
    checkpoint = read_checkpoint(path)
    dialect, layout = _recognise(checkpoint)
    generator, notes = build(layout, path)
    return ImportedGenerator(generator, dialect, checkpoint.sha256, notes)


def _own_layout(checkpoint: Checkpoint) -> Layout:
    layout = named_layout(checkpoint.content, checkpoint.path)
    try:
        header = json.loads(checkpoint.metadata[HEADER])
        clamp, multiplier = header["clamp"], float(header["mapping_multiplier"])
        clamp = None if clamp is None else float(clamp)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{checkpoint.path}: its header is damaged: {error}", "fetch the file again"
        ) from error
    return Layout(layout.tensors, clamp, multiplier)


def _recognise(checkpoint: Checkpoint) -> tuple[str, Layout]:
    content, path = checkpoint.content, checkpoint.path
    if HEADER in checkpoint.metadata:
        return "mystyle", _own_layout(checkpoint)
    if isinstance(content, Record):
        return "nvidia", network_layout(content, path)
    if isinstance(content, Mapping):
        if isinstance(content.get("G_ema"), Record):
            return "nvidia", network_layout(content["G_ema"], path)
        for tensors in _candidates(content):
            if is_rosinality(tensors):
                return "rosinality", rosinality_layout(tensors, content.get("latent_avg"), path)
            if is_nvidia(tensors):
                return "nvidia", named_layout(tensors, path)
        raise ModelError(f"{path} holds no StyleGAN2 generator: it has {_keys(content)}", HINT)
    raise ModelError(f"{path} holds no StyleGAN2 generator but a {type(content).__name__}", HINT)


def _candidates(content: Mapping[str, object]) -> list[dict[str, Tensor]]:
    """Return the sets of named tensors that may be the generator, the likeliest first."""
    trained = content.get("state_dict")
    states = [content.get("g_ema"), content.get("G_ema"), content]
    likely = [named_tensors(state) for state in states if isinstance(state, Mapping)]
    if isinstance(trained, Mapping):
        named = named_tensors(trained)
        decoder = {name[8:]: value for name, value in named.items() if name.startswith("decoder.")}
        likely += [named_tensors(decoder), named]
    return likely


def _keys(content: Mapping[str, object]) -> str:
    names = [str(key) for key in content]
    return (", ".join(names[:5]) or "nothing") + (", ..." if len(names) > 5 else "")


def borrow_mapping(generator: Generator, donor: Generator) -> Generator:
    """Return a generator with the mapping network of the one it was tuned from, which tuning leaves as it is.

    Raises:
        ModelError: the generator has a mapping, the donor has none, or their codes differ in length.
    """
    if generator.z_dim:
        raise ModelError("the generator has a mapping network of its own", "leave --mapping out")
    if not donor.z_dim or donor.w_dim != generator.w_dim:
        raise ModelError(
            f"the mapping network does not fit: it makes {donor.w_dim if donor.z_dim else 'no'} numbers, "
            f"the generator takes {generator.w_dim}",
            "give --mapping the generator that this one was tuned from",
        )
    config = generator.config | {
        key: donor.config[key] for key in ("z_dim", "mapping_layers", "mapping_multiplier")
    }
    with torch.device("meta"):  # without memory, as others' tensors become its own
        whole = generator_from_config(config)
    mapping = {f"mapping.{name}": value for name, value in donor.mapping.state_dict().items()}
    whole.load_state_dict(generator.state_dict() | mapping, assign=True)
    return whole.eval().requires_grad_(False)
