"""A prior's encoder as a net that can be trained, read from its ONNX file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mystyle_cli.errors import ModelError
from mystyle_cli.files.reading import read_file
from mystyle_cli.files.tensors import LARGEST_NET

if TYPE_CHECKING:
    from onnx import NodeProto

Attributes = Mapping[str, Any]


class TrainableEncoder(nn.Module):
    """Computes an ONNX graph of one input and one output; its weights are parameters, whole numbers are not.

    What follows from the file alone (weights kept in 8 or 16 bits, say) is worked out once.

    Args:
        path: the file, of convolutions and fully connected layers.

    Raises:
        ModelError: the graph has an operation that is not known here.
    """

    def __init__(self, path: Path) -> None:
        import onnx
        from onnx import numpy_helper

        super().__init__()
        graph = onnx.load_model_from_string(read_file(path, LARGEST_NET)).graph
        known = {
            item.name: torch.from_numpy(np.array(numpy_helper.to_array(item))) for item in graph.initializer
        }
        given = [item.name for item in graph.input if item.name not in known]
        if len(given) != 1 or len(graph.output) != 1:
            raise ModelError(f"{path} is no net of one input and one output", _OTHER)
        self.given, self.answer = given[0], graph.output[0].name
        self.steps: list[tuple[Operation, Attributes, tuple[str, ...], str]] = []
        for node in graph.node:
            step = _step(node, path)
            if all(name in known or not name for name in step[2]):
                known[step[3]] = step[0](step[1], *(known[name] for name in step[2]))
            else:
                self.steps.append(step)
        self.names: dict[str, str] = {}  # of parameters and buffers by those in the file, which hold dots
        used = {name for step in self.steps for name in step[2]} & known.keys()
        for number, name in enumerate(sorted(used)):
            self.names[name] = f"value{number}"
            value = known[name]
            if value.is_floating_point() and value.numel() > 1:
                self.register_parameter(f"value{number}", nn.Parameter(value.float()))
            else:
                self.register_buffer(f"value{number}", value, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, R, R) in [-1, 1] to codes (B, w_dim)."""
        values: dict[str, Tensor] = {own: getattr(self, name) for own, name in self.names.items()}
        values[self.given] = images
        for operation, attributes, inputs, output in self.steps:
            values[output] = operation(attributes, *(values[name] for name in inputs if name))
        return values[self.answer]


def _step(node: NodeProto, path: Path) -> tuple[Operation, Attributes, tuple[str, ...], str]:
    """Return what a node computes, from what, and what it is called."""
    from onnx import helper, numpy_helper

    operation = OPERATIONS.get(node.op_type)
    if operation is None:
        raise ModelError(f"{path} has a {node.op_type}, with which it cannot be trained here", _OTHER)
    attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    if node.op_type == "Constant":
        attributes["value"] = torch.from_numpy(np.array(numpy_helper.to_array(attributes["value"])))
    return operation, attributes, tuple(node.input), node.output[0]


def _convolve(attributes: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    pads: Sequence[int] = attributes.get("pads", (0, 0, 0, 0))
    strides: list[int] = list(attributes.get("strides", (1, 1)))
    if tuple(pads[:2]) != tuple(pads[2:]) or attributes.get("auto_pad", b"NOTSET") != b"NOTSET":
        raise ModelError("a convolution pads one side more than the other", _OTHER)
    return F.conv2d(x, weight, bias, strides, list(pads[:2]), groups=attributes.get("group", 1))


def _multiply_matrices(
    attributes: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    if attributes.get("transA") or {attributes.get("alpha", 1.0), attributes.get("beta", 1.0)} != {1.0}:
        raise ModelError("a fully connected layer is scaled or turned", _OTHER)
    return F.linear(x, weight if attributes.get("transB") else weight.T, bias)


def _dequantise(attributes: Attributes, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    shape = [1] * x.dim()
    if scale.dim():
        shape[attributes.get("axis", 1)] = -1
    centred = x.float() if zero is None else x.float() - zero.float().reshape(shape)
    return centred * scale.reshape(shape)


def _reshape(attributes: Attributes, x: Tensor, shape: Tensor) -> Tensor:
    sides = [x.shape[place] if side == 0 else side for place, side in enumerate(shape.tolist())]
    return x.reshape(sides)


Operation = Callable[..., Tensor]
OPERATIONS: Final[Mapping[str, Operation]] = {
    "Add": lambda _, a, b: a + b,
    "AveragePool": lambda known, x: F.avg_pool2d(x, known["kernel_shape"], known.get("strides", 1)),
    "Cast": lambda _, x: x.float(),  # from half precision: nothing else is cast in the nets known here
    "Constant": lambda known: known["value"],
    "Conv": _convolve,
    "DequantizeLinear": _dequantise,
    "Flatten": lambda known, x: x.flatten(known.get("axis", 1)),
    "Gemm": _multiply_matrices,
    "LeakyRelu": lambda known, x: F.leaky_relu(x, known.get("alpha", 0.01)),
    "MatMul": lambda _, a, b: a @ b,
    "Mul": lambda _, a, b: a * b,
    "Reshape": _reshape,
    "Transpose": lambda known, x: x.permute(*known["perm"]),
}

_OTHER: Final = "Leave this baseline out, or use one of the priors that come with mystyle."
