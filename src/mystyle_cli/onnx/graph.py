"""ONNX files written by this program itself, so that import and export need no further package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.onnx.wire import Message

OPSET = 17
IR_VERSION = 8
FLOAT, WHOLE, HALF = 1, 7, 10  # onnx's kinds of element; of attribute they are 1 float, 2 int, 7 ints
Attribute = float | int | Sequence[int]
Shape = Sequence[int | str]


class OnnxGraph:
    """A graph being built: nodes in the order in which they are added, constants as they are stored."""

    def __init__(self) -> None:
        """Start without a node."""
        self.nodes: list[Message] = []
        self.constants: list[Message] = []

    def constant(self, array: NDArray[np.generic], name: str = "") -> str:
        """Add a tensor and return its name; int64 and float16 stay what they are, all else is float32."""
        name = name or f"c{len(self.constants)}"
        kind = {"int64": WHOLE, "float16": HALF}.get(array.dtype.name, FLOAT)
        values = np.ascontiguousarray(array, np.float32 if kind == FLOAT else array.dtype)
        tensor = Message()
        for length in array.shape:
            tensor.number(1, length)
        raw = values.reshape(-1).view(np.uint8).data
        self.constants.append(tensor.number(2, kind).text(8, name).data(9, raw))
        return name

    def node(self, kind: str, inputs: Sequence[str], name: str = "", **attributes: Attribute) -> str:
        """Add a node with one output and return the output's name."""
        name = name or f"n{len(self.nodes)}"
        node = Message()
        for value in inputs:
            node.text(1, value)
        node.text(2, name).text(3, name).text(4, kind)
        for key, attribute in attributes.items():
            node.message(5, _attribute(key, attribute))
        self.nodes.append(node)
        return name

    def message(self, entries: Sequence[tuple[str, Shape]], exit_: tuple[str, Shape]) -> Message:
        """Return the graph with name and shape of its inputs, `entries`, and of its output, `exit_`."""
        graph = Message()
        for node in self.nodes:
            graph.message(1, node)
        graph.text(2, "mystyle")
        for tensor in self.constants:
            graph.message(5, tensor)
        for entry in entries:
            graph.message(11, value_info(*entry))
        return graph.message(12, value_info(*exit_))

    def model(self, entries: Sequence[tuple[str, Shape]], exit_: tuple[str, Shape]) -> Message:
        """Return the whole file; see `message`."""
        model = Message().number(1, IR_VERSION).text(2, "mystyle")
        model.message(7, self.message(entries, exit_))
        return model.message(8, Message().text(1, "").number(2, OPSET))

    def save(self, path: Path, entry: tuple[str, Shape], exit_: tuple[str, Shape]) -> None:
        """Write the graph as a model with one input."""
        with path.open("wb") as file:
            self.model([entry], exit_).write(file)


def value_info(name: str, shape: Shape) -> Message:
    """Describe an input or output of float32; a length that is a text may be any."""
    lengths = Message()
    for length in shape:
        one = Message()
        lengths.message(1, one.text(2, length) if isinstance(length, str) else one.number(1, length))
    tensor = Message().number(1, FLOAT).message(2, lengths)
    return Message().text(1, name).message(2, Message().message(1, tensor))


def _attribute(name: str, value: Attribute) -> Message:
    """Encode an attribute of a node."""
    message = Message().text(1, name)
    if isinstance(value, float):
        return message.single(2, value).number(20, 1)
    if isinstance(value, int):
        return message.number(3, value).number(20, 2)
    for one in value:
        message.number(8, one)
    return message.number(20, 7)
