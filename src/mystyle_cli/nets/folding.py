"""Weights as the exported nets hold them, by name: folded as far as one picture does not change them.

The same arrays go into a whole file (`nets/export.py`) and into one that leaves them out, when it is opened
(`files/gaps.py`). What depends on weights alone is either folded here or left to onnxruntime, whichever keeps
the file small.

Source: paper sec. 3 (the generator G); StyleGAN2 (Karras et al. 2020), app. B.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.files.gaps import SYNTHESIS

FloatArray = NDArray[np.float32]
Arrays = Mapping[str, NDArray[np.generic]]

GAIN: Final = math.sqrt(2.0)  # keeps the variance through a leaky ReLU
SCALE: Final = ".scale"  # ends the names of the scales of int8 arrays

# end the names of those of a generator's arrays that are no parameters: tuning leaves them alone
BUFFERS: Final = (".noise_const", ".resample_filter", ".w_avg")


def fold_synthesis(state: Arrays) -> dict[str, FloatArray]:
    """Return a generator's state, by the names of its file, as the weights that its nets hold.

    Returns:
        Contiguous float32 arrays by name: the constant, and each layer's `weight` (of up-sampling ones with
        inputs first), `energy`, `bias`, `noise`, `affine.weight`, `affine.bias` and `resample_filter`.
    """
    found: dict[str, FloatArray] = {}
    own = {
        name: np.ascontiguousarray(array, np.float32)
        for name, array in state.items()
        if name.startswith(SYNTHESIS)
    }
    for name, array in own.items():
        outer, _, last = name.rpartition(".")
        if last == "const":
            found[name] = array[None]
        elif name.endswith(".affine.weight"):
            layer = outer.rpartition(".")[0]
            to_rgb = layer.endswith(".torgb")
            found |= _style(own, layer, 1 / math.sqrt(len(array)) if to_rgb else 1.0)
            found |= _to_rgb(own, layer) if to_rgb else _convolution(own, layer)
    return found


def _style(state: Mapping[str, FloatArray], layer: str, scale: float) -> dict[str, FloatArray]:
    """Return a layer's affine part, times `scale`."""
    weight, bias = f"{layer}.affine.weight", f"{layer}.affine.bias"
    gain = np.float32(scale / np.sqrt(state[weight].shape[1]))
    return {weight: state[weight] * gain, bias: state[bias] * np.float32(scale)}


def _convolution(state: Mapping[str, FloatArray], layer: str) -> dict[str, FloatArray]:
    """Return the arrays of a modulated 3x3 convolution with noise and bias."""
    weight, gain = state[f"{layer}.weight"], np.float32(GAIN)
    pixels = weight.reshape(-1, math.prod(weight.shape[2:]))  # (outputs inputs, 9)
    energy = np.einsum("nk,nk->n", pixels, pixels, dtype=np.float64).astype(np.float32)
    found = {
        f"{layer}.weight": weight,
        f"{layer}.energy": energy.reshape(weight.shape[:2]),  # (outputs, inputs)
        f"{layer}.bias": gain * state[f"{layer}.bias"][:, None, None],
        f"{layer}.noise": gain * state[f"{layer}.noise_const"] * state[f"{layer}.noise_strength"],
    }
    if layer.endswith(".conv0"):
        found[f"{layer}.weight"] = np.ascontiguousarray(weight.swapaxes(0, 1))  # (inputs, outputs, 3, 3)
        found |= _low_pass(state, layer, len(weight))
    return found


def _to_rgb(state: Mapping[str, FloatArray], layer: str) -> dict[str, FloatArray]:
    """Return the arrays of a modulated 1x1 convolution to an image, and of what enlarges the one before."""
    block, bias = layer.rpartition(".")[0], state[f"{layer}.bias"]
    own = {f"{layer}.weight": state[f"{layer}.weight"], f"{layer}.bias": bias}
    return own | _low_pass(state, block, len(bias))


def _low_pass(state: Mapping[str, FloatArray], name: str, channels: int) -> dict[str, FloatArray]:
    """Return the low pass of a name's own filter, with gain 4, once for each channel."""
    kernel = 4 * state[f"{name}.resample_filter"]
    repeated = np.broadcast_to(kernel, (channels, 1, *kernel.shape))
    return {f"{name}.resample_filter": np.ascontiguousarray(repeated)}


def scaled(arrays: Arrays, name: str) -> FloatArray:
    """Return one of a perceptual net's weights in float32, times its scales where it has some.

    Raises:
        ValueError: there is not one scale for each output channel.
    """
    weight, scale = arrays[name], arrays.get(f"{name}{SCALE}")
    if scale is None:
        return weight.astype(np.float32)
    if scale.shape != (*weight.shape[:1], *(1 for _ in weight.shape[1:])):
        raise ValueError(f"{name} of shape {weight.shape} has scales of shape {scale.shape}")
    return np.multiply(weight, scale.astype(np.float32), dtype=np.float32)
