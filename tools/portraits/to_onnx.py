"""Exports the nets that only infer to ONNX, weights as float16 behind casts; checks them against torch."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

PARITY = 2e-2  # largest difference allowed, relative to the largest answer: float16 weights


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
    halve(path)
    got = answer(path, probes.numpy())
    difference = float(np.abs(got - want).max() / np.abs(want).max())
    if difference > PARITY:
        raise RuntimeError(f"{path.name} differs from torch by {difference:.1e} of its largest answer")
    return difference


def halve(path: Path) -> None:
    """Store an ONNX file's float32 weights as float16, each behind a Cast back to float32."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(path)
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < 64:
            continue
        name = tensor.name
        half = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{name}_half")
        tensor.CopyFrom(half)
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def answer(path: Path, images: np.ndarray) -> np.ndarray:
    """Run an ONNX file on the CPU."""
    from mystyle_cli.prior.sessions import open_session

    return open_session(path, threads=1).run(images.astype(np.float32))
