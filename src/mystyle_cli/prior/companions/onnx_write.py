"""ONNX files written by this program itself, so that importing a prior needs no further package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.prior.companions.wire import Message

OPSET = 17
IR_VERSION = 8
FLOAT = 1  # of onnx's kinds of element; kinds of attribute are 1 float, 2 whole number, 7 whole numbers
Attribute = float | int | Sequence[int]
Shape = Sequence[int | str]


class OnnxGraph:
    """A graph being built: nodes in the order in which they are added, constants in float32."""

    def __init__(self) -> None:
        """Start without a node."""
        self.nodes: list[Message] = []
        self.constants: list[Message] = []

    def constant(self, array: NDArray[np.generic]) -> str:
        """Add a tensor and return its name."""
        name = f"c{len(self.constants)}"
        values = np.ascontiguousarray(array, np.float32)
        tensor = Message()
        for length in array.shape:
            tensor.number(1, length)
        raw = values.reshape(-1).view(np.uint8).data
        self.constants.append(tensor.number(2, FLOAT).text(8, name).data(9, raw))
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

    def message(self, entry: tuple[str, Shape], exit_: tuple[str, Shape]) -> Message:
        """Return the graph with name and shape of its input, `entry`, and of its output, `exit_`."""
        graph = Message()
        for node in self.nodes:
            graph.message(1, node)
        graph.text(2, "mystyle")
        for tensor in self.constants:
            graph.message(5, tensor)
        return graph.message(11, value_info(*entry)).message(12, value_info(*exit_))

    def save(self, path: Path, entry: tuple[str, Shape], exit_: tuple[str, Shape]) -> None:
        """Write the graph as a model."""
        model = Message().number(1, IR_VERSION).text(2, "mystyle")
        model.message(7, self.message(entry, exit_))
        model.message(8, Message().text(1, "").number(2, OPSET))
        with path.open("wb") as file:
            model.write(file)


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
