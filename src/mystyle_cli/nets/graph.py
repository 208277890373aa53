"""ONNX files written by this program itself: node by node, with the onnx package; and their gradients.

The gradient of a graph is more nodes of the same graph, so that a search needs no torch: reverse accumulation
with one rule for each kind of node, those of the synthesis network and the perceptual net. Nodes that do not
depend on what the gradient is asked for are constants to it.

Source: reverse accumulation, Griewank & Walther 2008, ch. 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper, shape_inference

OPSET = 17
IR_VERSION = 8
FLOAT = int(onnx.TensorProto.FLOAT)
STORED = ("int64", "float16", "float32")  # kinds of number that constants keep
Attribute = float | int | str | Sequence[int]
Shape = Sequence[int | str]


class OnnxGraph:
    """A graph being built: nodes in the order in which they are added, constants as they are stored."""

    def __init__(self) -> None:
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


Dims = tuple[int | str, ...]
# takes a node, its output's gradient and the place of an input; names that input's gradient
Rule = Callable[["_Backward", NodeProto, str, int], str]


def add_gradient(graph: OnnxGraph, entries: Sequence[tuple[str, Shape]], loss: str, wanted: str) -> str:
    """Add the nodes that compute the gradient of a loss (B,) by one of a graph's inputs; returns its name.

    Args:
        graph: with nodes of the kinds in `RULES` wherever `loss` depends on `wanted`.
        entries: name and shape of the graph's inputs.
        loss: (B,), one for each row of the batch, which depends on that row alone.

    Raises:
        KeyError: a node on the way is of a kind without a rule.
        ValueError: a node on the way is of a form that its rule does not cover.
    """
    return _Backward(graph, _shapes(graph, entries), wanted).run(loss)


def _shapes(graph: OnnxGraph, entries: Sequence[tuple[str, Shape]]) -> dict[str, Dims]:
    """Return the shape of everything in a graph; lengths that only its inputs decide are texts."""
    ends = [value_info(*entry) for entry in entries]
    proto = helper.make_graph(graph.nodes, "mystyle", ends, [], graph.constants)
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", OPSET)])
    inferred = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    found: dict[str, Dims] = {tensor.name: tuple(tensor.dims) for tensor in graph.constants}
    for info in (*inferred.input, *inferred.value_info):
        dims = info.type.tensor_type.shape.dim
        found[info.name] = tuple(dim.dim_value or dim.dim_param for dim in dims)
    return found


class _Backward:
    """The way back through one graph."""

    def __init__(self, graph: OnnxGraph, shapes: Mapping[str, Dims], wanted: str) -> None:
        self.graph, self.shapes, self.wanted = graph, shapes, wanted
        self.node, self.constant = graph.node, graph.constant
        self.forward = list(graph.nodes)
        self.alive = {wanted}
        for node in self.forward:
            if self.alive.intersection(node.input):
                self.alive.update(node.output)

    def run(self, loss: str) -> str:
        # every row's loss depends on that row alone: the gradient of their sum is each row's own
        ones = self.node("Expand", [self.constant(np.ones(1, np.float32)), self.node("Shape", [loss])])
        gradients = {loss: ones}  # d loss / d x, by the name of x
        for node in reversed(self.forward):  # the order they were added in is topological
            gradient = gradients.get(node.output[0])
            if gradient is None:  # the loss does not depend on it
                continue
            for place, name in enumerate(node.input):
                if name in self.alive:
                    part = RULES[node.op_type](self, node, gradient, place)  # the chain rule, one factor
                    gradients[name] = self.node("Add", [gradients[name], part]) if name in gradients else part
        return gradients[self.wanted]

    def number(self, value: float) -> str:
        return self.constant(np.array(value, np.float32))

    def line(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def where(self, condition: str, gradient: str, otherwise: str) -> str:
        return self.node("Where", [condition, gradient, otherwise])

    def fit(self, gradient: str, node: NodeProto, place: int) -> str:
        """Sum a gradient, as large as a node's output, over the axes along which an input was repeated."""
        large, small = self.shapes[node.output[0]], self.shapes[node.input[place]]
        small = (*[1] * (len(large) - len(small)), *small)  # as broadcasting aligns them, from the right
        axes = [axis for axis, (a, b) in enumerate(zip(large, small, strict=True)) if b == 1 != a]
        return self.node("ReduceSum", [gradient, self.line(*axes)], keepdims=1) if axes else gradient


def _require(covered: bool, node: NodeProto) -> None:
    """Refuse a form of a node that a rule would get wrong."""
    if not covered:
        raise ValueError(f"{node.op_type} {node.name} has a form whose gradient is not known here")


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _identity(back: _Backward, node: NodeProto, gradient: str, place: int) -> str:
    return gradient


def _add(back: _Backward, node: NodeProto, gradient: str, place: int) -> str:
    return back.fit(gradient, node, place)


def _subtract(back: _Backward, node: NodeProto, gradient: str, place: int) -> str:
    return back.fit(back.node("Neg", [gradient]) if place else gradient, node, place)


def _multiply(back: _Backward, node: NodeProto, gradient: str, place: int) -> str:
    return back.fit(back.node("Mul", [gradient, node.input[1 - place]]), node, place)


def _divide(back: _Backward, node: NodeProto, gradient: str, place: int) -> str:
    quotient = back.node("Div", [gradient, node.input[1]])
    if place:  # -g a / b^2, where a / b is there already
        quotient = back.node("Neg", [back.node("Mul", [quotient, node.output[0]])])
    return back.fit(quotient, node, place)


def _root(back: _Backward, node: NodeProto, gradient: str, place: int) -> str:
    # g / (2 sqrt(x)); `nets/loss.py` adds to what it takes roots of, so that none is 0
    return back.node("Div", [back.node("Mul", [gradient, back.number(0.5)]), node.output[0]])


def _matrices(back: _Backward, node: NodeProto, gradient: str, place: int) -> str:
    """Multiply by the other factor, transposed."""
    # a matrix must not serve more than one product
    _require(back.shapes[node.input[place]][:-2] == back.shapes[node.output[0]][:-2], node)
    other = node.input[1 - place]
    last = len(back.shapes[other]) - 1
    transposed = back.node("Transpose", [other], perm=[*range(last - 1), last, last - 1])
    # of Y = A B: G B^T by A, A^T G by B
    return back.node("MatMul", [transposed, gradient] if place else [gradient, transposed])


def _linear(back: _Backward, node: NodeProto, gradient: str, place: int) -> str:
    """Of x W^T + b, where W is constant."""
    _require(place == 0 and _attributes(node).get("transB") == 1, node)
    return back.node("MatMul", [gradient, node.input[1]])


def _gather(back: _Backward, node: NodeProto, gradient: str, place: int) -> str:
    """Put the gradient into the row of axis 1 that was taken, zeros into the others."""
    _require(place == 0 and _attributes(node).get("axis") == 1, node)
    (index,) = (tensor for tensor in back.graph.constants if tensor.name == node.input[1])
    rows = np.zeros((int(back.shapes[node.input[0]][1]), 1), np.float32)
    rows[int(numpy_helper.to_array(index))] = 1
    row = back.node("Unsqueeze", [gradient, back.line(1)])  # (B, 1, w_dim)
    return back.node("Mul", [row, back.constant(rows)])  # (B, num_ws, w_dim)


def _unsqueeze(back: _Backward, node: NodeProto, gradient: str, place: int) -> str:
    return back.node("Squeeze", [gradient, node.input[1]])


def _convolution(back: _Backward, node: NodeProto, gradient: str, place: int) -> str:
    """Convolve back: with strides by a transposed convolution, without them by the flipped kernel.

    The latter is the same sum in the form for which onnxruntime has the faster code.
    """
    facts, weight = _attributes(node), node.input[1]
    _require(place == 0 and set(facts.get("dilations", [1])) == {1}, node)
    height, width = (int(length) for length in back.shapes[weight][2:])
    strides, pads = facts.get("strides", [1, 1]), facts.get("pads", [0] * 4)
    group, sides = facts.get("group", 1), (height, width)
    if list(strides) == [1, 1]:
        _require(group == 1 or back.shapes[weight][1] == 1, node)
        outer = [side - 1 - pad for side, pad in zip(sides * 2, pads, strict=True)]
        return back.node("Conv", [gradient, _flipped(back, weight, group)], pads=outer, group=group)
    lengths = zip(back.shapes[node.input[0]][2:], back.shapes[node.output[0]][2:], strict=True)
    left = [  # rows and columns at the end that no window reached
        int(before) - ((int(after) - 1) * strides[axis] + sides[axis] - pads[axis] - pads[axis + 2])
        for axis, (before, after) in enumerate(lengths)
    ]
    kept = {"strides": strides, "pads": pads, "group": group}
    return back.node("ConvTranspose", [gradient, weight], output_padding=left, **kept)


def _flipped(back: _Backward, weight: str, group: int) -> str:
    """Return a kernel (O, I, k, k) with both sides reversed, as (I, O, k, k).

    The nodes depend on weights alone, so onnxruntime computes them once, on opening: the file stays small.
    """
    if group == 1:  # with a group for each channel there is one on either side
        weight = back.node("Transpose", [weight], perm=[1, 0, 2, 3])
    ends = -(2**62)  # beyond the first entry, whatever the length
    bounds = [back.line(-1, -1), back.line(ends, ends), back.line(2, 3), back.line(-1, -1)]
    return back.node("Slice", [weight, *bounds])


def _transposed_convolution(back: _Backward, node: NodeProto, gradient: str, place: int) -> str:
    # it is the way back of a convolution, so its own way back is that convolution
    facts = _attributes(node)
    _require(place == 0 and set(facts.get("dilations", [1])) == {1}, node)
    kept = {name: facts[name] for name in ("strides", "pads", "group") if name in facts}
    return back.node("Conv", [gradient, node.input[1]], **kept)


def _leaky(back: _Backward, node: NodeProto, gradient: str, place: int) -> str:
    smaller = back.node("Mul", [gradient, back.number(_attributes(node)["alpha"])])
    # by the output, which has the input's sign and is kept anyway
    above = back.node("Greater", [node.output[0], back.number(0)])
    return back.where(above, gradient, smaller)


def _cut(back: _Backward, node: NodeProto, gradient: str, place: int) -> str:
    zero = back.number(0)
    return back.where(back.node("Greater", [node.output[0], zero]), gradient, zero)


def _clip(back: _Backward, node: NodeProto, gradient: str, place: int) -> str:
    # what was not clipped is what it was; so no bound is needed here
    inside = back.node("Equal", [node.input[0], node.output[0]])
    return back.where(inside, gradient, back.number(0))


def _largest(back: _Backward, node: NodeProto, gradient: str, place: int) -> str:
    """Give the gradient of each maximum to the pixel that it was taken from; windows may overlap."""
    shape, line = back.node("Shape", [node.input[0]]), back.line(-1)
    zeros = back.node("Expand", [back.number(0), shape])
    # MaxPool's second output counts places over the whole tensor: one axis does for all
    flat = [back.node("Reshape", [part, line]) for part in (zeros, node.output[1], gradient)]
    summed = back.node("ScatterElements", flat, axis=0, reduction="add")
    return back.node("Reshape", [summed, shape])


def _sum(back: _Backward, node: NodeProto, gradient: str, place: int) -> str:
    if not _attributes(node).get("keepdims", 1):
        gradient = back.node("Unsqueeze", [gradient, node.input[1]])
    return back.node("Expand", [gradient, back.node("Shape", [node.input[0]])])


def _mean(back: _Backward, node: NodeProto, gradient: str, place: int) -> str:
    """Over axes of a length that is known, which stay with a length of 1."""
    dims, facts = back.shapes[node.input[0]], _attributes(node)
    _require(facts.get("keepdims", 1) == 1, node)
    count = math.prod(int(dims[axis]) for axis in facts["axes"])
    share = back.node("Mul", [gradient, back.number(1 / count)])
    return back.node("Expand", [share, back.node("Shape", [node.input[0]])])


# how each kind of node hands a gradient on
RULES: Final[Mapping[str, Rule]] = {
    "Add": _add,
    "Clip": _clip,
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "Div": _divide,
    "Gather": _gather,
    "Gemm": _linear,
    "Identity": _identity,
    "LeakyRelu": _leaky,
    "MatMul": _matrices,
    "MaxPool": _largest,
    "Mul": _multiply,
    "ReduceMean": _mean,
    "ReduceSum": _sum,
    "Relu": _cut,
    "Sqrt": _root,
    "Sub": _subtract,
    "Unsqueeze": _unsqueeze,
}
