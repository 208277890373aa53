"""Torch modules -> ONNX graphs, for the few kinds of layer that the companions are made of."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from torch import Tensor, fx, nn

from mystyle_cli.foreign.nets import UnitLength
from mystyle_cli.foreign.resample import Resample
from mystyle_cli.nets.generator import FullyConnected
from mystyle_cli.nets.graph import OnnxGraph, Shape


def write_onnx(net: nn.Module, path: Path, shape: Shape, dim: int) -> None:
    """Write a net in eval mode as ONNX with input `images` and output `out`, any number of rows.

    Args:
        net: made of the layers of `LAYERS`; images (B, *shape) -> (B, dim).

    Raises:
        TypeError: the net holds a layer of another kind.
    """
    graph = OnnxGraph()
    traced = _Tracer().trace(net)
    names: dict[fx.Node, str] = {}
    out = ""
    for node in traced.nodes:
        if node.op == "placeholder":
            names[node] = "images"
        elif node.op == "output":
            out = names[cast(fx.Node, node.args[0])]
        else:
            names[node] = _emit(graph, net, node, names)
    graph.node("Identity", [out], name="out")
    graph.save(path, ("images", ("batch", *shape)), ("out", ("batch", dim)))


class _Tracer(fx.Tracer):
    """Records a net's calls down to the layers that have a node of their own."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in LAYERS


def _emit(graph: OnnxGraph, net: nn.Module, node: fx.Node, names: dict[fx.Node, str]) -> str:
    """Add what one recorded call computes; returns the name of its result."""
    inputs = [names[argument] for argument in node.args if isinstance(argument, fx.Node)]
    if node.op == "call_module":
        layer = net.get_submodule(str(node.target))
        return LAYERS[type(layer)](graph, layer, inputs[0])
    if node.op == "get_attr":
        return graph.constant(_array(operator.attrgetter(str(node.target))(net)))
    if node.op == "call_method" and node.target == "flatten" and node.args[1:] == (1,):
        return graph.node("Flatten", inputs, axis=1)
    kind = {operator.add: "Add", operator.mul: "Mul"}.get(cast(Any, node.target))
    if kind is None or len(inputs) != 2:
        raise TypeError(f"no ONNX node for {node.op} {node.target}")
    return graph.node(kind, inputs)


def _array(tensor: Tensor) -> Any:
    return tensor.detach().float().contiguous().numpy()


def _conv(graph: OnnxGraph, layer: nn.Conv2d, x: str) -> str:
    tensors = [layer.weight] if layer.bias is None else [layer.weight, layer.bias]
    pads = cast(Sequence[int], layer.padding)
    return graph.node(
        "Conv",
        [x, *(graph.constant(_array(tensor)) for tensor in tensors)],
        kernel_shape=layer.kernel_size,
        strides=layer.stride,
        pads=(*pads, *pads),
    )


def _norm(graph: OnnxGraph, layer: nn.BatchNorm2d | nn.BatchNorm1d, x: str) -> str:
    tensors = (layer.weight, layer.bias, layer.running_mean, layer.running_var)
    constants = [graph.constant(_array(cast(Tensor, tensor))) for tensor in tensors]
    return graph.node("BatchNormalization", [x, *constants], epsilon=float(layer.eps))


def _prelu(graph: OnnxGraph, layer: nn.PReLU, x: str) -> str:
    """Leaky ReLU with a learned slope for each channel."""
    return graph.node("PRelu", [x, graph.constant(_array(layer.weight.reshape(-1, 1, 1)))])


def _pool(graph: OnnxGraph, layer: nn.MaxPool2d, x: str) -> str:
    kernel, stride = cast(int, layer.kernel_size), cast(int, layer.stride)
    return graph.node("MaxPool", [x], kernel_shape=(kernel, kernel), strides=(stride, stride))


def _linear(graph: OnnxGraph, layer: nn.Linear, x: str) -> str:
    tensors = [graph.constant(_array(tensor)) for tensor in (layer.weight, layer.bias)]
    return graph.node("Gemm", [x, *tensors], transB=1)


def _fully_connected(graph: OnnxGraph, layer: FullyConnected, x: str) -> str:
    """Linear layer with equalised learning rate, its gains multiplied out."""
    weight, bias = layer.weight * layer.weight_gain, layer.bias * layer.bias_gain
    return graph.node("Gemm", [x, graph.constant(_array(weight)), graph.constant(_array(bias))], transB=1)


def _resample(graph: OnnxGraph, layer: Resample, x: str) -> str:
    x = graph.node("MatMul", [graph.constant(_array(layer.rows)), x])
    return graph.node("MatMul", [x, graph.constant(_array(layer.columns))])


def _unit_length(graph: OnnxGraph, layer: UnitLength, x: str) -> str:
    return graph.node("Div", [x, graph.node("ReduceL2", [x], axes=(1,), keepdims=1)])


LAYERS: dict[type[nn.Module], Callable[[OnnxGraph, Any, str], str]] = {
    nn.Conv2d: _conv,
    nn.BatchNorm2d: _norm,
    nn.BatchNorm1d: _norm,
    nn.PReLU: _prelu,
    nn.MaxPool2d: _pool,
    nn.Linear: _linear,
    FullyConnected: _fully_connected,
    Resample: _resample,
    UnitLength: _unit_length,
    nn.LeakyReLU: lambda graph, layer, x: graph.node("LeakyRelu", [x], alpha=float(layer.negative_slope)),
    nn.ReLU: lambda graph, layer, x: graph.node("Relu", [x]),
    nn.Sigmoid: lambda graph, layer, x: graph.node("Sigmoid", [x]),
    nn.AdaptiveAvgPool2d: lambda graph, layer, x: graph.node("GlobalAveragePool", [x]),
    nn.Flatten: lambda graph, layer, x: graph.node("Flatten", [x], axis=1),
    nn.Dropout: lambda graph, layer, x: x,  # does nothing outside training
}
