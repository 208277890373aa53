"""Encoders, identity nets and LPIPS' trunks from whatever file people have, told by what is in it.

Source: HyperStyle, e4e, pSp (their checkpoints); TreB1eN/InsightFace_Pytorch (`model_ir_se50.pth`).

Source: LPIPS (Zhang et al. 2018); files alexnet-owt-7be5be79.pth and vgg16-397923af.pth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

from mystyle_cli.checkpoints.reading import read_checkpoint
from mystyle_cli.checkpoints.records import Checkpoint
from mystyle_cli.errors import ModelError
from mystyle_cli.foreign.layout import compare, named_tensors, plain
from mystyle_cli.foreign.nets import (
    EMBEDDING,
    ENCODER_SIZE,
    FACE_SIZE,
    WIDTH,
    ArcFace,
    FirstRowEncoder,
    WEncoder,
    pyramid_shapes,
)
from mystyle_cli.foreign.onnx_files import inspect
from mystyle_cli.foreign.roles import Companion
from mystyle_cli.nets.perceptual import Perceptual, Trunk, trunk_tensors
from mystyle_cli.nets.sessions import open_session

COUNTER: Final = "num_batches_tracked"  # of batch norms; of no use here, and not in every file
LONGEST: Final = 40  # rows of W+ that any generator could have
ENCODER_HINT: Final = "give an encoder of HyperStyle, e4e or pSp, or an ONNX net"
IDENTITY_HINT: Final = "give model_ir_se50.pth or an insightface recognition net (.onnx)"

# What a set of names is, by a name that only it has.
MARKS: Final = {
    "output_layer.3.weight": "arcface",
    "styles.0.linear.weight": "pyramid",
    "linear.weight": "w-encoder",
    "synthesis.b4.const": "generator",
    "input.input": "generator",
    "features.0.weight": "trunk",
}
NAMES: Final = {
    "arcface": "an identity net (ArcFace)",
    "pyramid": "an encoder (e4e or pSp)",
    "w-encoder": "an encoder into W",
    "generator": "a generator",
    "trunk": "the trunk of a perceptual net",
}
OPTIONS: Final = {
    "arcface": "--identity",
    "pyramid": "--encoder",
    "w-encoder": "--encoder",
    "generator": "--generator",
    "trunk": "--perceptual",
}


@dataclass(frozen=True)
class _Named:
    """One set of named tensors in a file, and what kind of net it is."""

    kind: str
    tensors: dict[str, Tensor]


def read_encoder(path: Path, w_avg: Tensor | None = None) -> Companion:
    """Read an encoder into W; of e4e and pSp the first row.

    Args:
        w_avg: the generator's mean of w, (512,); taken where the file adds one but does not hold it.

    Raises:
        ModelError: the file cannot be read, is no encoder, or one of a kind not implemented.
    """
    checkpoint = read_checkpoint(path)
    if checkpoint.container == "onnx":
        return _read_onnx(checkpoint, "encoder")
    named = _recognise(checkpoint, ("w-encoder", "pyramid"), ENCODER_HINT)
    options = _options(checkpoint)
    kind = named.kind
    if kind == "pyramid":
        kind = "psp" if options.get("encoder_type") == "GradualStyleEncoder" else "e4e"
    net = _fill(WEncoder if kind == "w-encoder" else FirstRowEncoder, named, path, "an encoder")
    average, notes = _average(checkpoint, options, kind, w_avg)
    net.register_buffer("average", average, persistent=False)
    return Companion("encoder", kind, path, checkpoint.sha256, net, ENCODER_SIZE, WIDTH, notes)


def read_identity(path: Path) -> Companion:
    """Read an identity net: IR-SE-50 ArcFace, or an ONNX recognition net.

    Raises:
        ModelError: the file cannot be read, is no identity net, or one of a kind not implemented.
    """
    checkpoint = read_checkpoint(path)
    if checkpoint.container == "onnx":
        return _read_onnx(checkpoint, "identity")
    named = _recognise(checkpoint, ("arcface",), IDENTITY_HINT)
    net = _fill(ArcFace, named, path, "the identity net IR-SE-50")
    return Companion("identity", "arcface", path, checkpoint.sha256, net, FACE_SIZE, EMBEDDING)


def _read_onnx(checkpoint: Checkpoint, role: Literal["encoder", "identity"]) -> Companion:
    net = inspect(checkpoint.path)
    answer = open_session(checkpoint.path).run(torch.zeros(2, 3, net.size, net.size).numpy())
    if answer.ndim != 2 or len(answer) != 2:
        raise ModelError(
            f"{checkpoint.path} answers two pictures with an array {answer.shape}, not with two rows",
            ENCODER_HINT if role == "encoder" else IDENTITY_HINT,
        )
    return Companion(role, "onnx", checkpoint.path, checkpoint.sha256, net, net.size, answer.shape[1])


def _recognise(checkpoint: Checkpoint, wanted: tuple[str, ...], hint: str) -> _Named:
    """Find the net of a wanted kind in a file, or say what the file holds instead."""
    sets = _sets(checkpoint.content)
    known = [_Named(kind, tensors) for tensors in sets if (kind := _kind(tensors)) is not None]
    for named in known:
        if named.kind in wanted:
            return named
    if not known:
        raise ModelError(f"{checkpoint.path} holds no net that is known here", hint)
    kind = known[0].kind
    raise ModelError(f"{checkpoint.path} is {NAMES[kind]}; give it as {OPTIONS[kind]}", hint)


def _sets(content: Any) -> list[dict[str, Tensor]]:
    """Return the sets of named tensors of a file, an encoder's own first."""
    if not isinstance(content, Mapping):
        return []
    sets = []
    for state in (content.get("state_dict"), content.get("g_ema"), content):
        if isinstance(state, Mapping):
            tensors = named_tensors(state)
            parts = {k.removeprefix("encoder."): v for k, v in tensors.items() if k.startswith("encoder.")}
            sets += [part for part in (parts, tensors) if part]
    return sets


def _kind(tensors: Mapping[str, Tensor]) -> str | None:
    return next((kind for mark, kind in MARKS.items() if mark in tensors), None)


def _options(checkpoint: Checkpoint) -> Mapping[str, Any]:
    options = checkpoint.content.get("opts")
    return options if isinstance(options, Mapping) else {}


def _fill(make: type[nn.Module], named: _Named, path: Path, what: str) -> nn.Module:
    """Make a net of the tensors of a file, every name and shape compared."""
    with torch.device("meta"):  # without memory, as the file's tensors become its own
        net = make()
    expected = {k: tuple(v.shape) for k, v in net.state_dict().items() if not k.endswith(COUNTER)}
    tensors = {k: v for k, v in named.tensors.items() if not k.endswith(COUNTER) and k != "latent_avg"}
    beside = pyramid_shapes(_rows(tensors)) if named.kind == "pyramid" else {}
    compare(expected | beside, tensors, path, what)
    state = {name: plain(name, tensors[name], path) for name in expected}
    counters = {k: torch.zeros((), dtype=torch.long) for k in net.state_dict() if k.endswith(COUNTER)}
    net.load_state_dict(state | counters, assign=True)
    return net.eval().requires_grad_(False)


def _rows(tensors: Mapping[str, Tensor]) -> int:
    return sum(f"styles.{row}.linear.weight" in tensors for row in range(LONGEST))


def _average(
    checkpoint: Checkpoint, options: Mapping[str, Any], kind: str, w_avg: Tensor | None
) -> tuple[Tensor, tuple[str, ...]]:
    """What is added to the encoder's answer, (512,), and what had to be assumed of it."""
    stored = checkpoint.content.get("latent_avg")
    added = options.get("start_from_latent_avg")
    notes: tuple[str, ...] = ()
    if added is None:
        added = kind == "w-encoder" or stored is not None  # training stores the mean where it is added
        does = "adds" if added else "does not add"
        notes = (f"The file does not say whether a mean of w is added; taken that the encoder {does} it.",)
    if not added:
        return torch.zeros(WIDTH), notes
    if isinstance(stored, Tensor) and stored.numel() and stored.numel() % WIDTH == 0:
        return plain("latent_avg", stored, checkpoint.path).reshape(-1, WIDTH)[0].clone(), notes
    if stored is not None:
        raise ModelError(f"{checkpoint.path}: latent_avg is not a code of {WIDTH} numbers", ENCODER_HINT)
    if w_avg is None or w_avg.shape != (WIDTH,):
        raise ModelError(
            f"{checkpoint.path} holds no mean of w (latent_avg), which its encoder adds",
            f"import it with a generator that has a mean of {WIDTH} numbers",
        )
    return w_avg.detach().float().clone(), (*notes, "The mean of w that the encoder adds is the generator's.")


HINT: Final = "give alexnet-owt-7be5be79.pth or vgg16-397923af.pth as torchvision publishes them"
TRUNKS: Final[dict[tuple[int, ...], Trunk]] = {(64, 3, 11, 11): "alex", (64, 3, 3, 3): "vgg"}


def read_perceptual(path: Path, size: int) -> Perceptual:
    """Read a trunk and set the published heads on it, to see pictures at a size; nothing is downloaded.

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
