"""A generator from whatever file people have; its kind is recognised from what is in it.

Source: paper sec. 3 (the generator G).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from mystyle_cli.errors import ModelError
from mystyle_cli.prior.checkpoints.layout import HINT, Layout, build
from mystyle_cli.prior.checkpoints.nvidia import is_nvidia, named_layout, network_layout
from mystyle_cli.prior.checkpoints.reading import Checkpoint, Record, read_checkpoint
from mystyle_cli.prior.checkpoints.rosinality import is_rosinality, rosinality_layout
from mystyle_cli.prior.generator import Generator, load_generator

NAMES_KEY = "generator"  # of our own header


@dataclass(frozen=True)
class ImportedGenerator:
    """A generator read from a foreign file.

    Args:
        generator: float32, eval mode, CPU.
        dialect: what wrote the file: "nvidia", "rosinality" or "mystyle".
        sha256: of the file.
        notes: what had to be assumed, one sentence each.
    """

    generator: Generator
    dialect: str
    sha256: str
    notes: tuple[str, ...] = ()


def read_generator(path: Path) -> ImportedGenerator:
    """Read a generator; nothing in the file is executed.

    Takes NVIDIA's pickles (training snapshots and conversions), what google/mystyle and PTI save, rosinality's
    files and the encoder files that carry such a decoder, and named tensors as safetensors.

    Raises:
        ModelError: the file cannot be read, is no StyleGAN2 generator, or one of a kind not implemented.
    """
    checkpoint = read_checkpoint(path)
    if _is_own(checkpoint):
        return ImportedGenerator(load_generator(path), "mystyle", checkpoint.sha256)
    dialect, layout = _recognise(checkpoint)
    generator, notes = build(layout, path)
    if not generator.z_dim:
        notes += ("The file holds no mapping network: people cannot be drawn from it.",)
    return ImportedGenerator(generator, dialect, checkpoint.sha256, notes)


def _is_own(checkpoint: Checkpoint) -> bool:
    """Tell whether this program wrote the file."""
    if checkpoint.container != "safetensors":
        return False
    from safetensors import safe_open

    with safe_open(checkpoint.path, framework="pt") as file:
        return NAMES_KEY in (file.metadata() or {})


def _recognise(checkpoint: Checkpoint) -> tuple[str, Layout]:
    """Tell the dialect, and bring the tensors into NVIDIA's names."""
    content, path = checkpoint.content, checkpoint.path
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
    state = content.get("state_dict")
    places = [content.get("g_ema"), content.get("G_ema"), content]
    if isinstance(state, Mapping):
        places += [{key.removeprefix("decoder."): state[key] for key in state if key.startswith("decoder.")}]
        places += [state]
    return [
        {str(name): value for name, value in place.items() if isinstance(value, Tensor)}
        for place in places
        if isinstance(place, Mapping)
    ]


def _keys(content: Mapping[str, object]) -> str:
    """Name the first few keys."""
    names = [str(key) for key in content]
    return (", ".join(names[:5]) or "nothing") + (", ..." if len(names) > 5 else "")
