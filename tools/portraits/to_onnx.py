"""Exports the nets that only infer to ONNX, their weights stored small; checks them against torch."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

PARITY = 3e-2  # largest difference allowed, relative to the largest answer: weights of 8 and 16 bits
MANY = 2**18  # weights of a layer, from which on 8 bits each must do


def export(net: nn.Module, path: Path, probes: Tensor) -> float:
    """Write a net as ONNX and compare it with torch.

    Args:
        net: image (B, 3, R, R) -> anything with a batch axis.
        path: the file to write.
        probes: images to compare on, (B, 3, R, R).

    Returns:
        Largest absolute difference, relative to the largest absolute answer.

    Raises:
        RuntimeError: the exported net answers otherwise than the original.
    """
    net = net.eval().to(memory_format=torch.contiguous_format)
    axes = {"images": {0: "batch"}, "out": {0: "batch"}}
    names = {"input_names": ["images"], "output_names": ["out"]}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (probes[:2].contiguous(),),
            str(path),
            dynamic_axes=axes,
            opset_version=17,
            dynamo=False,
            **names,
        )
        want = net(probes.contiguous()).numpy()
    shrink(path)
    got = answer(path, probes.numpy())
    difference = float(np.abs(got - want).max() / np.abs(want).max())
    if difference > PARITY:
        raise RuntimeError(f"{path.name} differs from torch by {difference:.1e} of its largest answer")
    return difference


def shrink(path: Path, many: float = MANY) -> None:
    """Store an ONNX file's float32 weights as float16, of layers of `many` or more as 8-bit integers."""
    import onnx
    from onnx import TensorProto

    model = onnx.load(path)
    graph = model.graph
    restored = []
    for tensor in list(graph.initializer):
        count = np.prod(tensor.dims)
        if tensor.data_type == TensorProto.FLOAT and count >= 64:
            restored.append((_to_bytes if count >= many else _to_halves)(graph, tensor))
    nodes = [*restored, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _to_halves(graph: Any, tensor: Any) -> Any:
    """Put float16 in a tensor's place; returns the node that gives the tensor back."""
    from onnx import TensorProto, helper, numpy_helper

    name = tensor.name
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{name}_half"))
    return helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT)


def _to_bytes(graph: Any, tensor: Any) -> Any:
    """Put 8-bit integers, a scale for each row, in a tensor's place; returns the node that gives it back."""
    from onnx import helper, numpy_helper

    name, values = tensor.name, numpy_helper.to_array(tensor)
    scale = np.abs(values.reshape(len(values), -1)).max(1).astype(np.float32) / 127
    whole = np.rint(values / scale.reshape(-1, *[1] * (values.ndim - 1))).astype(np.int8)
    tensor.CopyFrom(numpy_helper.from_array(whole, f"{name}_byte"))
    graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
    return helper.make_node("DequantizeLinear", [f"{name}_byte", f"{name}_scale"], [name], axis=0)


def answer(path: Path, images: np.ndarray) -> np.ndarray:
    """Run an ONNX file on the CPU."""
    from mystyle_cli.nets.sessions import open_session

    return open_session(path, threads=1).run(images.astype(np.float32))
