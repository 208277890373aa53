"""Writes the synthesis network as an ONNX net, weights folded as far as one picture does not change them.

The net computes what `nets/generator.py` computes with `noise="const"`. What depends on weights alone is
either folded here or left to onnxruntime when it opens the file, whichever keeps the file small.

Source: paper sec. 3 (the generator G); StyleGAN2 (Karras et al. 2020), app. B.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.nets.exported import ALPHA_PLUS, ANCHORS, IMAGES
from mystyle_cli.nets.graph import FLOAT, OnnxGraph

if TYPE_CHECKING:
    from mystyle_cli.nets.generator import Generator

Weights = Mapping[str, NDArray[np.float32]]

LARGE = 64
"""Numbers in a tensor from which on half precision saves anything."""


def synthesis_file(generator: Generator, *, half: bool = False) -> bytes:
    """Return G's synthesis network as an ONNX file: alpha_plus and anchors in, images out, any batch.

    Args:
        half: store weights as float16, cast to float32 when the file is opened.

    Returns:
        The file; its inputs are `alpha_plus` (B, num_ws, N) and `anchors` (N, w_dim). Codes w_plus go in as
        `alpha_plus` with the identity matrix for anchors.
    """
    graph = OnnxGraph()
    image = add_synthesis(graph, generator, half=half)
    size = generator.resolution
    channels = cast(int, generator.config["image_channels"])
    return graph.model(
        [(ALPHA_PLUS, ("batch", generator.num_ws, "anchors")), (ANCHORS, ("anchors", generator.w_dim))],
        (image, ("batch", channels, size, size)),
    )


def add_synthesis(graph: OnnxGraph, generator: Generator, *, half: bool = False) -> str:
    """Add G's synthesis network, from `alpha_plus` and `anchors` on, to a graph; returns the images' name."""
    state = {name: value.detach().cpu().numpy() for name, value in generator.synthesis.state_dict().items()}
    writer = _Writer(graph, state, half, cast("float | None", generator.config["clamp"]))
    return writer.write(generator.synthesis.resolutions)


class _Writer:
    """The network's layers, one after the other.

    Args:
        clamp: bound on activations, or None.
    """

    def __init__(self, graph: OnnxGraph, state: Weights, half: bool, clamp: float | None) -> None:
        self.graph = graph
        self.state, self.half, self.clamp = state, half, clamp
        self.pixel = self.graph.constant(np.array([2, 3], np.int64))
        self.codes = self.graph.node("MatMul", [ALPHA_PLUS, ANCHORS])  # (B, num_ws, w_dim)

    def write(self, resolutions: list[int]) -> str:
        """Add all blocks; returns the name of the image."""
        from mystyle_cli.nets.generator import GAIN, SLOPE

        self.gain, self.slope = GAIN, SLOPE
        x = image = ""
        row = 0
        for r in resolutions:
            block = f"b{r}"
            if not x:
                x = self._weight(self.state[f"{block}.const"][None])
            else:
                x = self._layer(f"{block}.conv0", x, row, up=True)
                row += 1
            x = self._layer(f"{block}.conv1", x, row, up=False)
            row += 1  # torgb of a block shares its row with conv0 of the next
            own = self._to_rgb(f"{block}.torgb", x, row)
            image = self.graph.node("Add", [self._enlarge(block, image), own]) if image else own
        return self.graph.node("Identity", [image], IMAGES)

    def _weight(self, array: NDArray[np.float32]) -> str:
        """Store weights; in half precision behind a cast, which onnxruntime does once."""
        if not self.half or array.size < LARGE:
            return self.graph.constant(array)
        stored = self.graph.constant(array.astype(np.float16))
        return self.graph.node("Cast", [stored], to=FLOAT)

    def _style(self, name: str, row: int, scale: float = 1.0) -> str:
        """Return what a layer's affine part makes of its row of the codes, times `scale`: (B, inputs)."""
        weight, bias = self.state[f"{name}.affine.weight"], self.state[f"{name}.affine.bias"]
        gain = np.float32(scale / np.sqrt(weight.shape[1]))
        index = self.graph.constant(np.array(row, np.int64))
        w = self.graph.node("Gather", [self.codes, index], axis=1)  # (B, w_dim)
        parameters = [self._weight(weight * gain), self.graph.constant(bias * np.float32(scale))]
        return self.graph.node("Gemm", [w, *parameters], transB=1)

    def _spread(self, values: str) -> str:
        """Give values (B, C) the shape (B, C, 1, 1)."""
        return self.graph.node("Unsqueeze", [values, self.pixel])

    def _layer(self, name: str, x: str, row: int, *, up: bool) -> str:
        """Modulated 3x3 convolution, noise, bias and leaky ReLU."""
        node, weight = self.graph.node, self.state[f"{name}.weight"]
        style = self._style(name, row)
        energy = np.square(weight, dtype=np.float64).sum((2, 3)).astype(np.float32)  # (outputs, inputs)
        tiny = self.graph.constant(np.full(len(weight), 1e-8, np.float32))
        square = node("Mul", [style, style])
        norm = node("Sqrt", [node("Gemm", [square, self._weight(energy), tiny], transB=1)])
        scale = node("Div", [self.graph.constant(np.array(self.gain, np.float32)), norm])  # (B, outputs)
        x = node("Mul", [x, self._spread(style)])
        if up:
            transposed = self._weight(np.ascontiguousarray(weight.swapaxes(0, 1)))  # (inputs, outputs, 3, 3)
            x = node("ConvTranspose", [x, transposed], strides=[2, 2], kernel_shape=[3, 3])
            x = node("Conv", [x, self._kernel(name, len(weight))], pads=[1, 1, 1, 1], group=len(weight))
        else:
            x = node("Conv", [x, self._weight(weight)], pads=[1, 1, 1, 1])
        x = node("Add", [node("Mul", [x, self._spread(scale)]), self._offset(name)])
        return self._clamped(node("LeakyRelu", [x], alpha=float(self.slope)))

    def _kernel(self, name: str, channels: int) -> str:
        """Return the low pass of a name's own filter, with gain 4, once for each channel."""
        kernel = 4 * self.state[f"{name}.resample_filter"]
        return self.graph.constant(np.broadcast_to(kernel, (channels, 1, *kernel.shape)))

    def _offset(self, name: str) -> str:
        """Return bias plus noise; their sum, as large as the features, is left to onnxruntime."""
        gain = np.float32(self.gain)
        bias = self.graph.constant(gain * self.state[f"{name}.bias"][:, None, None])
        noise = gain * self.state[f"{name}.noise_const"] * self.state[f"{name}.noise_strength"]
        return self.graph.node("Add", [bias, self._weight(noise)]) if noise.any() else bias

    def _clamped(self, x: str) -> str:
        if self.clamp is None:
            return x
        limits = [self.graph.constant(np.array(limit, np.float32)) for limit in (-self.clamp, self.clamp)]
        return self.graph.node("Clip", [x, *limits])

    def _to_rgb(self, name: str, x: str, row: int) -> str:
        """Modulated 1x1 convolution to an image."""
        weight = self.state[f"{name}.weight"]
        style = self._style(name, row, 1 / np.sqrt(weight.shape[1]))
        x = self.graph.node("Mul", [x, self._spread(style)])
        bias = self.graph.constant(self.state[f"{name}.bias"])
        return self._clamped(self.graph.node("Conv", [x, self._weight(weight), bias]))

    def _enlarge(self, block: str, image: str) -> str:
        """Double an image's size: zero insertion, then the low pass."""
        channels = len(self.state[f"{block}.torgb.bias"])
        kernel = self._kernel(block, channels)
        return self.graph.node(
            "ConvTranspose", [image, kernel], strides=[2, 2], pads=[1, 1, 1, 1], group=channels
        )
