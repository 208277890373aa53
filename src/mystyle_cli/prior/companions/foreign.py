"""ONNX nets of others: looked at before they are opened, and given the preprocessing that a role needs.

Source: insightface's recognition models (w600k_r50.onnx and its kin).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mystyle_cli.errors import ModelError
from mystyle_cli.onnx.graph import OnnxGraph, value_info
from mystyle_cli.onnx.wire import Message, fields
from mystyle_cli.prior.companions.resample import Resample

HINT = "give a net that takes pictures (batch, 3, size, size) in [-1, 1], as w600k_r50.onnx does"
DOMAINS = ("", "ai.onnx")  # of the operators that onnxruntime always has
OLDEST = 7  # opset that onnxruntime still runs
SCALING = ("Sub", "Mul", "Div", "Add")  # an operator of these on the pixels themselves


@dataclass(frozen=True)
class OnnxNet:
    """What an ONNX file says of itself.

    Args:
        path: the file.
        entry: name of its one input.
        size: edge length of the pictures that it takes.
    """

    path: Path
    entry: str
    size: int


def inspect(path: Path) -> OnnxNet:
    """Read an ONNX file's header.

    Raises:
        ModelError: it is damaged, needs operators or files beside it, or takes other input than pictures.
    """
    try:
        return _read_header(path, memoryview(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is no readable ONNX file: {error!r}", "fetch the file again") from error


def _read_header(path: Path, data: memoryview) -> OnnxNet:
    """Check what an ONNX file needs and takes."""
    model = _group(data)
    graph = _group(model[7][0])
    imports = [_group(entry) for entry in model.get(8, [])]
    opsets = {_text(entry.get(1)): int(entry[2][0]) for entry in imports}
    foreign = sorted(set(opsets) - set(DOMAINS))
    if foreign:
        raise ModelError(f"{path} needs operators of {', '.join(foreign)}, which are not standard", HINT)
    opset = max(opsets.values(), default=0)
    if opset < OLDEST:
        raise ModelError(f"{path} is of ONNX opset {opset}, older than {OLDEST}", HINT)
    if any(13 in _group(tensor) for tensor in graph.get(5, [])):
        raise ModelError(f"{path} keeps its weights in another file", "save it as one file")
    return _pictures(path, graph, {name: _shape(entry) for name, entry in _entries(graph).items()})


def prepend(net: OnnxNet, resample: Resample, resolution: int, path: Path) -> None:
    """Write a net with a resizing before it, so that it takes pictures (batch, 3, resolution, resolution).

    Args:
        net: the file to take.
        resample: from `resolution` to the net's own size.
        resolution: edge length of the pictures.
        path: the file to write.
    """
    head = OnnxGraph()
    rows, columns = (
        head.constant(matrix.numpy().astype(np.float32), name)
        for matrix, name in ((resample.rows, "mystyle_rows"), (resample.columns, "mystyle_columns"))
    )
    head.node("MatMul", [head.node("MatMul", [rows, "images"], "mystyle_resized"), columns], net.entry)
    whole = memoryview(net.path.read_bytes())
    model = Message()
    for number, value, raw in fields(whole):
        if number == 7 and isinstance(value, memoryview):
            model.message(7, _extended(value, head, net.entry, resolution))
        else:
            model.raw(raw)
    with path.open("wb") as file:
        model.write(file)


def _extended(graph: memoryview, head: OnnxGraph, entry: str, resolution: int) -> Message:
    """Put the nodes of `head` before those of a graph, and its input in place of `entry`."""
    out = Message()
    for node in head.nodes:
        out.message(1, node)
    for tensor in head.constants:
        out.message(5, tensor)
    for number, value, raw in fields(graph):
        if number == 11 and isinstance(value, memoryview) and _text(_group(value).get(1)) == entry:
            out.message(11, value_info("images", ("batch", 3, resolution, resolution)))
        else:
            out.raw(raw)
    return out


def _pictures(path: Path, graph: dict[int, list[int | memoryview]], shapes: dict[str, list[int]]) -> OnnxNet:
    """Check that the one input is a batch of square colour pictures in [-1, 1]."""
    outputs = len(graph.get(12, []))
    if len(shapes) != 1 or outputs != 1:
        raise ModelError(f"{path} has {len(shapes)} inputs and {outputs} outputs, not one of each", HINT)
    entry, shape = next(iter(shapes.items()))
    if len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3] or shape[2] < 1:
        raise ModelError(f"{path} takes input of shape {shape}, not (batch, 3, size, size)", HINT)
    if shape[0] > 0:
        raise ModelError(f"{path} takes batches of exactly {shape[0]}", "export it with a free batch axis")
    for node in graph.get(1, []):
        found = _group(node)
        if entry in [_text([name]) for name in found.get(1, [])] and _text(found.get(4)) in SCALING:
            raise ModelError(f"{path} scales pixels itself: it takes 0 to 255, not [-1, 1]", HINT)
    return OnnxNet(path, entry, shape[2])


def _entries(graph: dict[int, list[int | memoryview]]) -> dict[str, memoryview]:
    """Inputs of a graph by name, without the tensors that old files list among them."""
    tensors = {_text(_group(tensor).get(8)) for tensor in graph.get(5, [])}
    entries = {_text(_group(entry).get(1)): entry for entry in graph.get(11, [])}
    return {k: v for k, v in entries.items() if k not in tensors and isinstance(v, memoryview)}


def _shape(entry: memoryview) -> list[int]:
    """Lengths of an input's axes, 0 where a length is free."""
    tensor = _group(_group(_group(entry)[2][0])[1][0])
    if tensor.get(1) != [1]:
        raise ValueError("its input is not float32")
    lengths = (_group(length) for length in _group(tensor[2][0]).get(1, []))
    return [value if isinstance(value := length.get(1, [0])[-1], int) else 0 for length in lengths]


def _group(message: int | memoryview) -> dict[int, list[int | memoryview]]:
    """Values of a message by field."""
    if isinstance(message, int):
        raise ValueError("a number stands where a message should be")
    out: dict[int, list[int | memoryview]] = {}
    for number, value, _ in fields(message):
        out.setdefault(number, []).append(value)
    return out


def _text(values: list[int | memoryview] | None) -> str:
    """A field's text; empty where it is absent."""
    return bytes(values[-1]).decode() if values and isinstance(values[-1], memoryview) else ""
