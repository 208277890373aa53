"""Writes the synthesis network as an ONNX net, with weights as `nets/folding.py` folds them.

The net computes what `nets/generator.py` computes with `noise="const"`.

Source: paper sec. 3 (the generator G); StyleGAN2 (Karras et al. 2020), app. B.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.files.gaps import SYNTHESIS
from mystyle_cli.nets.exported import ALPHA_PLUS, ANCHORS, IMAGES
from mystyle_cli.nets.folding import GAIN, fold_synthesis
from mystyle_cli.nets.graph import FLOAT, OnnxGraph

if TYPE_CHECKING:
    from mystyle_cli.nets.generator import Generator

LARGE = 64  # numbers in a tensor from which on half precision saves anything


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
    state = {name: value.detach().cpu().numpy() for name, value in generator.state_dict().items()}
    writer = _Writer(graph, fold_synthesis(state), half, cast("float | None", generator.config["clamp"]))
    return writer.write(generator.synthesis.resolutions)


class _Writer:
    """The network's layers, one after the other, of weights as `fold_synthesis` returns them."""

    def __init__(
        self, graph: OnnxGraph, weights: dict[str, NDArray[np.float32]], half: bool, clamp: float | None
    ) -> None:
        self.graph = graph
        self.weights, self.half, self.clamp = weights, half, clamp
        self.pixel = self.graph.constant(np.array([2, 3], np.int64))
        self.codes = self.graph.node("MatMul", [ALPHA_PLUS, ANCHORS])  # (B, num_ws, w_dim)

    def write(self, resolutions: list[int]) -> str:
        """Add all blocks; returns the name of the image."""
        from mystyle_cli.nets.generator import SLOPE

        self.slope = SLOPE
        x = image = ""
        row = 0
        for r in resolutions:
            block = f"{SYNTHESIS}b{r}"
            if not x:
                x = self._weight(f"{block}.const")
            else:
                x = self._layer(f"{block}.conv0", x, row, up=True)
                row += 1
            x = self._layer(f"{block}.conv1", x, row, up=False)
            row += 1  # torgb of a block shares its row with conv0 of the next
            own = self._to_rgb(f"{block}.torgb", x, row)
            image = self.graph.node("Add", [self._enlarge(block, image), own]) if image else own
        return self.graph.node("Identity", [image], IMAGES)

    def _weight(self, name: str) -> str:
        """Store weights; in half precision behind a cast, which onnxruntime does once."""
        array = self.weights[name]
        if not self.half or array.size < LARGE:
            return self._whole(name)
        stored = self.graph.constant(array.astype(np.float16), name)
        return self.graph.node("Cast", [stored], to=FLOAT)

    def _whole(self, name: str) -> str:
        return self.graph.constant(self.weights[name], name)

    def _style(self, name: str, row: int) -> str:
        """Return what a layer's affine part makes of its row of the codes: (B, inputs)."""
        index = self.graph.constant(np.array(row, np.int64))
        w = self.graph.node("Gather", [self.codes, index], axis=1)  # (B, w_dim)
        parameters = [self._weight(f"{name}.affine.weight"), self._whole(f"{name}.affine.bias")]
        return self.graph.node("Gemm", [w, *parameters], transB=1)

    def _spread(self, values: str) -> str:
        """Give values (B, C) the shape (B, C, 1, 1)."""
        return self.graph.node("Unsqueeze", [values, self.pixel])

    def _layer(self, name: str, x: str, row: int, *, up: bool) -> str:
        """Modulated 3x3 convolution, noise, bias and leaky ReLU."""
        node = self.graph.node
        outputs = len(self.weights[f"{name}.energy"])
        style = self._style(name, row)
        tiny = self.graph.constant(np.full(outputs, 1e-8, np.float32))  # eps of the demodulation
        square = node("Mul", [style, style])
        norm = node("Sqrt", [node("Gemm", [square, self._weight(f"{name}.energy"), tiny], transB=1)])
        scale = node("Div", [self.graph.constant(np.array(GAIN, np.float32)), norm])  # (B, outputs)
        x = node("Mul", [x, self._spread(style)])
        weight = self._weight(f"{name}.weight")
        if up:
            x = node("ConvTranspose", [x, weight], strides=[2, 2], kernel_shape=[3, 3])
            x = node("Conv", [x, self._whole(f"{name}.resample_filter")], pads=[1, 1, 1, 1], group=outputs)
        else:
            x = node("Conv", [x, weight], pads=[1, 1, 1, 1])
        x = node("Add", [node("Mul", [x, self._spread(scale)]), self._offset(name)])
        return self._clamped(node("LeakyRelu", [x], alpha=float(self.slope)))

    def _offset(self, name: str) -> str:
        """Return bias plus noise; their sum, as large as the features, is left to onnxruntime."""
        bias, noise = self._whole(f"{name}.bias"), f"{name}.noise"
        return self.graph.node("Add", [bias, self._weight(noise)]) if self.weights[noise].any() else bias

    def _clamped(self, x: str) -> str:
        if self.clamp is None:
            return x
        limits = [self.graph.constant(np.array(limit, np.float32)) for limit in (-self.clamp, self.clamp)]
        return self.graph.node("Clip", [x, *limits])

    def _to_rgb(self, name: str, x: str, row: int) -> str:
        """Modulated 1x1 convolution to an image."""
        x = self.graph.node("Mul", [x, self._spread(self._style(name, row))])
        weights = [self._weight(f"{name}.weight"), self._whole(f"{name}.bias")]
        return self._clamped(self.graph.node("Conv", [x, *weights]))

    def _enlarge(self, block: str, image: str) -> str:
        """Double an image's size: zero insertion, then the low pass."""
        kernel = self._whole(f"{block}.resample_filter")
        channels = len(self.weights[f"{block}.resample_filter"])
        return self.graph.node(
            "ConvTranspose", [image, kernel], strides=[2, 2], pads=[1, 1, 1, 1], group=channels
        )
