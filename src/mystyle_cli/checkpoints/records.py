"""What reading a file gives: plain values, tensors and inert records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mystyle_cli.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

Container = Literal["pickle", "torch", "safetensors", "numpy", "onnx"]


@dataclass(frozen=True, eq=False)
class Record:
    """An object of a foreign class, as data: nothing of the class exists here."""

    class_name: str  # name of the class where the file was written, such as `Generator`
    state: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The content of one file."""

    path: Path
    sha256: str
    container: Container  # how it was written; ONNX files are recognised and left unread
    content: Any  # dicts, lists, tuples, sets, strings, bytes, numbers, None, CPU tensors and records, nested
    metadata: Mapping[str, str] = field(default_factory=dict)  # the header of a safetensors file


def module_tensors(record: Record) -> dict[str, Tensor]:
    """Parameters and buffers of a pickled module, by dotted name as in its state dict; raises ModelError."""
    return dict(_walk(record, ""))


def _walk(record: Record, prefix: str) -> Iterator[tuple[str, Tensor]]:
    from torch import Tensor

    for kind in ("_parameters", "_buffers"):
        for name, tensor in _members(record, kind):
            if isinstance(tensor, Tensor):
                yield prefix + name, tensor
            elif tensor is not None:
                raise _not_a_module(record, f"{prefix}{name} is no tensor")
    for name, child in _members(record, "_modules"):
        if isinstance(child, Record):
            yield from _walk(child, f"{prefix}{name}.")
        elif child is not None:
            raise _not_a_module(record, f"{prefix}{name} is no module")


def _members(record: Record, kind: str) -> list[tuple[str, Any]]:
    members = record.state.get(kind)
    if not isinstance(members, dict) or not all(isinstance(name, str) for name in members):
        raise _not_a_module(record, f"it has no {kind}")
    return list(members.items())


def _not_a_module(record: Record, reason: str) -> ModelError:
    return ModelError(
        f"the file's {record.class_name} is not a module: {reason}", "give a file that holds a whole network"
    )
