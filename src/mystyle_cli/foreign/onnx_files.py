"""ONNX nets of others: looked at before they are opened, and given the preprocessing that a role needs.

Source: insightface's recognition models (w600k_r50.onnx and its kin).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError, Message
from onnx.external_data_helper import uses_external_data

from mystyle_cli.errors import ModelError
from mystyle_cli.foreign.resample import Resample
from mystyle_cli.nets.graph import FLOAT, OnnxGraph, value_info

HINT = "give a net that takes pictures (batch, 3, size, size) in [-1, 1], as w600k_r50.onnx does"
DOMAINS = ("", "ai.onnx")  # of the operators that onnxruntime always has
OLDEST = 7  # opset that onnxruntime still runs
SCALING = ("Sub", "Mul", "Div", "Add")  # an operator of these on the pixels themselves


@dataclass(frozen=True)
class OnnxNet:
    """What an ONNX file says of itself."""

    path: Path
    entry: str  # name of its one input
    size: int  # edge length of the pictures that it takes


def inspect(path: Path) -> OnnxNet:
    """Read an ONNX file's header; raises ModelError where it does not take pictures alone."""
    try:
        return _read_header(path, _load(path))
    except (OSError, ValueError, DecodeError) as error:
        raise ModelError(f"{path} is no readable ONNX file: {error!r}", "fetch the file again") from error


def _load(path: Path) -> onnx.ModelProto:
    """Parse an ONNX file, whatever it is called, and no file beside it."""
    return onnx.load_model(str(path), format="protobuf", load_external_data=False)


def _read_header(path: Path, model: onnx.ModelProto) -> OnnxNet:
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    foreign = sorted(set(opsets) - set(DOMAINS))
    if foreign:
        raise ModelError(f"{path} needs operators of {', '.join(foreign)}, which are not standard", HINT)
    opset = max(opsets.values(), default=0)
    if opset < OLDEST:
        raise ModelError(f"{path} is of ONNX opset {opset}, older than {OLDEST}", HINT)
    _refuse_external(path, model)
    return _pictures(path, model.graph)


def refuse_files_beside(path: Path) -> None:
    """Refuse (ModelError) a net that needs files beside it: they could be any file of the user's."""
    try:
        _refuse_external(path, _load(path))
    except (OSError, ValueError, DecodeError) as error:
        raise ModelError(f"{path} is no readable ONNX file: {error!r}", "fetch the file again") from error


def _refuse_external(path: Path, model: onnx.ModelProto) -> None:
    if any(uses_external_data(tensor) or tensor.external_data for tensor in _tensors(model)):
        raise ModelError(f"{path} keeps its weights in another file", "save it as one file")


def _tensors(message: Message) -> Iterator[onnx.TensorProto]:
    """Yield every tensor, in attributes, graphs within graphs and functions, too."""
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if isinstance(value, Message) else value:
                yield from _tensors(part)


def prepend(net: OnnxNet, resample: Resample, resolution: int, path: Path) -> None:
    """Write a net with a resizing from `resolution` before it, so that it takes the prior's pictures."""
    head, images = OnnxGraph(), f"mystyle_images_{resolution}"  # a name that the net does not use itself
    rows = head.constant(resample.rows.numpy(), f"{images}_rows")
    columns = head.constant(resample.columns.numpy(), f"{images}_columns")
    head.node("MatMul", [head.node("MatMul", [rows, images], f"{images}_resized"), columns], net.entry)
    model = _load(net.path)
    graph = model.graph
    for node in reversed(head.nodes):
        graph.node.insert(0, node)
    graph.initializer.extend(head.constants)
    for entry in graph.input:
        if entry.name == net.entry:
            entry.CopyFrom(value_info(images, ("batch", 3, resolution, resolution)))
    path.write_bytes(model.SerializeToString())


def _pictures(path: Path, graph: onnx.GraphProto) -> OnnxNet:
    """Check that the one input is a batch of square colour pictures in [-1, 1]."""
    tensors = {tensor.name for tensor in graph.initializer}
    entries = [entry for entry in graph.input if entry.name not in tensors]  # old files list all tensors
    if len(entries) != 1 or len(graph.output) != 1:
        counts = f"{len(entries)} inputs and {len(graph.output)} outputs"
        raise ModelError(f"{path} has {counts}, not one of each", HINT)
    entry, kind = entries[0].name, entries[0].type.tensor_type
    if kind.elem_type != FLOAT:
        raise ModelError(f"{path} takes input that is not float32", HINT)
    shape = [length.dim_value for length in kind.shape.dim]  # 0 where a length is free
    if len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3] or shape[2] < 1:
        raise ModelError(f"{path} takes input of shape {shape}, not (batch, 3, size, size)", HINT)
    if shape[0] > 0:
        raise ModelError(f"{path} takes batches of exactly {shape[0]}", "export it with a free batch axis")
    if any(entry in node.input and node.op_type in SCALING for node in graph.node):
        raise ModelError(f"{path} scales pixels itself: it takes 0 to 255, not [-1, 1]", HINT)
    return OnnxNet(path, entry, shape[2])
