"""Eq 1 between a degraded photo and what codes look like after the same degradation, and its gradient.

One ONNX net, written here from the generator and the perceptual net, so that a few steps of a search run
without torch. Weights are stored in half precision: a gradient needs no more.

Source: eq 1; LPIPS (Zhang et al. 2018); the degradation phi of sec. 3.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.files.gaps import PERCEPTUAL
from mystyle_cli.nets.export import LARGE, add_synthesis
from mystyle_cli.nets.exported import ALPHA_PLUS, ANCHORS, DOWN, FOUND, KNOWN, TARGET, UP
from mystyle_cli.nets.graph import FLOAT, OnnxGraph, Shape, add_gradient

if TYPE_CHECKING:
    from torch import Tensor

    from mystyle_cli.nets.generator import Generator
    from mystyle_cli.nets.perceptual import Perceptual

FloatArray = NDArray[np.float32]

PICTURE: Final = (1, 2, 3)  # the axes of one picture


def loss_file(generator: Generator, perceptual: Perceptual) -> bytes:
    """Return eq 1 and its gradient as an ONNX file; see `Gradient` for what goes in and comes out."""
    size, layers = generator.resolution, generator.num_ws
    entries: list[tuple[str, Shape]] = [
        (ALPHA_PLUS, ("batch", layers, "anchors")),
        (ANCHORS, ("anchors", generator.w_dim)),
        (DOWN, ("batch", "side", size)),
        (UP, ("batch", size, "side")),
        (KNOWN, ("batch", 1, "side", "side")),
        (TARGET, ("batch", 3, "side", "side")),
    ]
    graph = OnnxGraph()
    writer = _Writer(graph, perceptual, size)
    loss = writer.loss(add_synthesis(graph, generator, half=True))
    gradient = add_gradient(graph, entries, loss, ALPHA_PLUS)
    flat = graph.node("Reshape", [gradient, writer.line(0, -1)])
    graph.node("Concat", [graph.node("Unsqueeze", [loss, writer.line(1)]), flat], FOUND, axis=1)
    return graph.model(entries, (FOUND, ("batch", "numbers")))


class _Writer:
    """The degradation, and both terms of eq 1."""

    def __init__(self, graph: OnnxGraph, perceptual: Perceptual, size: int) -> None:
        from mystyle_cli.nets.perceptual import kernel_to

        self.graph, self.node, self.perceptual = graph, graph.node, perceptual
        self.weights: dict[str, str] = {}
        self.resize = ""
        if perceptual.size != size:
            self.resize = graph.constant(kernel_to(size, perceptual.size).numpy())

    def line(self, *values: int) -> str:
        return self.graph.constant(np.array(values, np.int64))

    def loss(self, image: str) -> str:
        """Return eq 1 (B,) between images (B, 3, R, R), degraded, and the targets, over what is known."""
        degraded = self._resized(DOWN, image)  # phi(G(w+)), (B, 3, h, h)
        off = self._times(self.node("Sub", [degraded, TARGET]), KNOWN)
        squares = self._summed(self._times(off, off), PICTURE)  # (B,)
        entries = self._times(self._summed(KNOWN, PICTURE), self._number(3))  # known ones, of three colours
        # what is not known is the target's own, so that the perceptual net sees no edge there
        pair = [self._resized(UP, part) for part in (self.node("Add", [off, TARGET]), TARGET)]  # (B, 3, R, R)
        seen = self.node("ReduceMean", [self._resized(UP, KNOWN)], axes=PICTURE, keepdims=0)  # (B,)
        lpips = self.node("Div", [self._distance(*pair), seen])
        l2 = self.node("Div", [squares, entries])
        return self.node("Add", [lpips, l2])  # eq 1, lambda_L2 = 1

    def _distance(self, made: str, wanted: str) -> str:
        """Return LPIPS (B,) between two batches (B, 3, R, R)."""
        total = ""
        for one, other in zip(self._features(made), self._features(wanted), strict=True):
            off = self.node("Sub", [one, other])
            term = self._summed(self.node("ReduceMean", [self._times(off, off)], axes=[2, 3]), PICTURE)
            total = self.node("Add", [total, term]) if total else term
        return total

    def _features(self, x: str) -> list[str]:
        """Return the weighted unit features of each layer; see `Perceptual.features`."""
        scaling, heads = self.perceptual.net.scaling_layer, self.perceptual.net.lins
        if self.resize:
            transposed = self.node("Transpose", [self.resize], perm=[1, 0])
            x = self.node("MatMul", [self.node("MatMul", [self.resize, x]), transposed])
        x = self.node("Sub", [x, self._weight("shift", scaling.shift)])
        x = self.node("Div", [x, self._weight("scale", scaling.scale)])
        found = []
        for number, head in enumerate(heads):
            x = self._slice(x, number + 1)
            root = self.node("Sqrt", [self._plus(self._summed(self._times(x, x), (1,), keepdims=1), 1e-20)])
            weight = self._weight(f"head {number}", head.model[-1].weight.clamp(min=0).sqrt())
            found.append(self.node("Div", [self._times(x, weight), self._plus(root, 1e-10)]))
        return found

    def _slice(self, x: str, number: int) -> str:
        from torch import nn

        for name, layer in getattr(self.perceptual.net.net, f"slice{number}").named_children():
            if isinstance(layer, nn.Conv2d):
                own = f"{PERCEPTUAL}net.slice{number}.{name}"  # as in the net's file
                weights = [self._weight(f"{own}.{part}", value) for part, value in layer.named_parameters()]
                margin = cast("tuple[int, int]", layer.padding)
                x = self.node("Conv", [x, *weights], strides=layer.stride, pads=margin * 2)
            elif isinstance(layer, nn.MaxPool2d):
                side, step = cast(int, layer.kernel_size), cast(int, layer.stride)
                x = self.node("MaxPool", [x], second=True, kernel_shape=[side] * 2, strides=[step] * 2)
            else:
                x = self.node("Relu", [x])
        return x

    def _resized(self, kernel: str, images: str) -> str:
        """Apply kernels (B, m, n) to the rows and columns of (B, C, n, n)."""
        across = self.node("Unsqueeze", [kernel, self.line(1)])  # (B, 1, m, n)
        transposed = self.node("Transpose", [across], perm=[0, 1, 3, 2])  # (B, 1, n, m)
        return self.node("MatMul", [self.node("MatMul", [across, images]), transposed])  # (B, C, m, m)

    def _weight(self, name: str, values: Tensor) -> str:
        """Store weights once; kernels in half precision, behind a cast that onnxruntime does once."""
        if name not in self.weights:
            array = values.detach().float().cpu().numpy()
            large = array.ndim == 4 and array.size >= LARGE
            own = name if name.startswith(PERCEPTUAL) else ""
            stored = self.graph.constant(array.astype(np.float16) if large else array, own)
            self.weights[name] = self.node("Cast", [stored], to=FLOAT) if large else stored
        return self.weights[name]

    def _number(self, value: float) -> str:
        return self.graph.constant(np.array(value, np.float32))

    def _plus(self, x: str, value: float) -> str:
        return self.node("Add", [x, self._number(value)])

    def _times(self, x: str, y: str) -> str:
        return self.node("Mul", [x, y])

    def _summed(self, x: str, axes: tuple[int, ...], keepdims: int = 0) -> str:
        return self.node("ReduceSum", [x, self.line(*axes)], keepdims=keepdims)
