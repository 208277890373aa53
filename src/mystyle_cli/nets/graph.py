"""ONNX files written by this program itself: node by node, with the onnx package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

OPSET = 17
IR_VERSION = 8
FLOAT = int(onnx.TensorProto.FLOAT)
STORED = ("int64", "float16", "float32")  # kinds of number that constants keep
Attribute = float | int | str | Sequence[int]
Shape = Sequence[int | str]


class OnnxGraph:
    """A graph being built: nodes in the order in which they are added, constants as they are stored."""

    def __init__(self) -> None:
        """Start without a node."""
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, array: NDArray[np.generic], name: str = "") -> str:
        """Add a tensor and return its name; int64 and float16 stay what they are, all else is float32."""
        name = name or f"c{len(self.constants)}"
        values = array if array.dtype.name in STORED else array.astype(np.float32)
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def node(
        self, kind: str, inputs: Sequence[str], name: str = "", second: bool = False, **attributes: Attribute
    ) -> str:
        """Add a node and return its output's name; with a second output, that is called `NAME.1`."""
        name = name or f"n{len(self.nodes)}"
        node = helper.make_node(kind, inputs, [name, f"{name}.1"] if second else [name], name)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self.nodes.append(node)
        return name

    def model(self, entries: Sequence[tuple[str, Shape]], exit_: tuple[str, Shape]) -> bytes:
        """Return the whole file, checked, with name and shape of its inputs, `entries`, and of its output."""
        ends = [value_info(*entry) for entry in entries], [value_info(*exit_)]
        model = helper.make_model(
            helper.make_graph(self.nodes, "mystyle", *ends, self.constants),
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="mystyle",
        )
        file: bytes = model.SerializeToString()
        onnx.checker.check_model(file)
        return file

    def save(self, path: Path, entry: tuple[str, Shape], exit_: tuple[str, Shape]) -> None:
        """Write the graph as a model with one input."""
        path.write_bytes(self.model([entry], exit_))


def value_info(name: str, shape: Shape) -> onnx.ValueInfoProto:
    """Describe an input or output of float32; a length that is a text may be any."""
    return helper.make_tensor_value_info(name, FLOAT, shape)
