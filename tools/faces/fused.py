"""Synthesis layers for training in bfloat16: matrix units do the convolutions, one pass over memory the rest.

In bfloat16 the convolutions of a small generator are so fast that what stands around them (styles,
demodulation, bias, leaky ReLU, and all of it backwards) costs more than they do. Here each side is one
compiled loop over channels-last memory, and up-sampling is one convolution of the small picture with the four
phases of the 6x6 kernel that `SynthesisLayer._upsample` amounts to. Results are those of `SynthesisLayer`
without noise.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mystyle_cli.nets.generator import GAIN, SLOPE, Generator, Noise, SynthesisLayer

Words = NDArray[np.uint16]  # bfloat16 as its bits
Floats = NDArray[np.float32]
_compiled = numba.njit(fastmath=True, cache=True)
_SLOPE = np.float32(SLOPE)
_SHIFT, _HALF, _ONE = np.uint32(16), np.uint32(0x7FFF), np.uint32(1)


@_compiled
def _widen(words: Words, bits: NDArray[np.uint32]) -> None:
    for c in range(words.size):
        bits[c] = np.uint32(words[c]) << _SHIFT


@_compiled
def _narrow(bits: NDArray[np.uint32], words: Words) -> None:
    for c in range(words.size):  # round to nearest, ties to even
        words[c] = np.uint16((bits[c] + _HALF + ((bits[c] >> _SHIFT) & _ONE)) >> _SHIFT)


@_compiled
def _scale(x: Words, s: Floats, out: Words) -> None:
    """out (B, P, C) = x * s, s (B, C)."""
    bits = np.empty(x.shape[2], np.uint32)
    row = bits.view(np.float32)
    for b in range(x.shape[0]):
        for p in range(x.shape[1]):
            _widen(x[b, p], bits)
            for c in range(row.size):
                row[c] *= s[b, c]
            _narrow(bits, out[b, p])


@_compiled
def _scale_backward(grad: Words, x: Words, s: Floats, grad_x: Words, grad_s: Floats) -> None:
    """Gradients of `_scale`."""
    bits, other = np.empty(x.shape[2], np.uint32), np.empty(x.shape[2], np.uint32)
    g, row = bits.view(np.float32), other.view(np.float32)
    for b in range(x.shape[0]):
        for p in range(x.shape[1]):
            _widen(grad[b, p], bits)
            _widen(x[b, p], other)
            for c in range(row.size):
                grad_s[b, c] += g[c] * row[c]
                g[c] *= s[b, c]
            _narrow(bits, grad_x[b, p])


@_compiled
def _finish(x: Words, scale: Floats, offset: Floats, out: Words, phases: int) -> None:
    """out (B, n H, n W, C) = leaky ReLU of x * scale + offset; x (B, H, W, n n C), scale (B, C)."""
    channels = scale.shape[1]
    bits = np.empty(channels, np.uint32)
    row = bits.view(np.float32)
    for b in range(x.shape[0]):
        for i in range(x.shape[1]):
            for j in range(x.shape[2]):
                for k in range(phases * phases):
                    _widen(x[b, i, j, k * channels : (k + 1) * channels], bits)
                    for c in range(channels):
                        y = row[c] * scale[b, c] + offset[c]
                        row[c] = max(y, y * _SLOPE)
                    _narrow(bits, out[b, phases * i + k // phases, phases * j + k % phases])


@_compiled
def _finish_backward(
    grad: Words,
    out: Words,
    x: Words,
    scale: Floats,
    grad_x: Words,
    grad_scale: Floats,
    grad_offset: Floats,
    phases: int,
) -> None:
    """Gradients of `_finish`; grad_offset is (B, C)."""
    channels = scale.shape[1]
    bits, other = np.empty(channels, np.uint32), np.empty(channels, np.uint32)
    g, row = bits.view(np.float32), other.view(np.float32)
    for b in range(x.shape[0]):
        for i in range(x.shape[1]):
            for j in range(x.shape[2]):
                for k in range(phases * phases):
                    low = k * channels
                    y = out[b, phases * i + k // phases, phases * j + k % phases]
                    _widen(grad[b, phases * i + k // phases, phases * j + k % phases], bits)
                    _widen(x[b, i, j, low : low + channels], other)
                    for c in range(channels):
                        g[c] *= _SLOPE if y[c] >> np.uint16(15) else np.float32(1)  # by the sign bit
                        grad_offset[b, c] += g[c]
                        grad_scale[b, c] += g[c] * row[c]
                        g[c] *= scale[b, c]
                    _narrow(bits, grad_x[b, i, j, low : low + channels])


def _last(x: Tensor) -> Tensor:
    return x.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)


def _words(x: Tensor) -> Words:
    """Memory of a channels-last bfloat16 tensor (B, C, H, W) as (B, H, W, C)."""
    view: Words = x.detach().view(torch.uint16).permute(0, 2, 3, 1).numpy()
    return view


def _empty(shape: tuple[int, ...]) -> Tensor:
    return torch.empty(shape, dtype=torch.bfloat16, memory_format=torch.channels_last)


class Scale(torch.autograd.Function):
    """x * s for x (B, C, H, W) bfloat16, s (B, C) float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, s: Tensor) -> Tensor:
        """Scale."""
        x = _last(x)
        out = _empty(x.shape)
        _scale(_flat(x), s.detach().numpy(), _flat(out))
        ctx.save_for_backward(x, s)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of x and s."""
        x, s = ctx.saved_tensors
        grad_x, grad_s = _empty(x.shape), torch.zeros_like(s)
        _scale_backward(_flat(_last(grad)), _flat(x), s.detach().numpy(), _flat(grad_x), grad_s.numpy())
        return grad_x, grad_s


def _flat(x: Tensor) -> Words:
    words = _words(x)
    return words.reshape(len(words), -1, words.shape[3])


class Finish(torch.autograd.Function):
    """Leaky ReLU of x * scale + offset; x (B, n n C, H, W): n x n phases of a picture n times as large."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, offset: Tensor, phases: int) -> Tensor:
        """Scale, shift, activate, put the phases in their places: (B, C, n H, n W)."""
        x = _last(x)
        out = _empty((len(x), scale.shape[1], phases * x.shape[2], phases * x.shape[3]))
        _finish(_words(x), scale.detach().numpy(), offset.detach().numpy(), _words(out), phases)
        ctx.save_for_backward(x, scale, out)
        ctx.phases = phases
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Gradients of x, scale and offset."""
        x, scale, out = ctx.saved_tensors
        grad_x, grad_scale, grad_offset = _empty(x.shape), torch.zeros_like(scale), torch.zeros_like(scale)
        _finish_backward(
            _words(_last(grad)),
            _words(out),
            _words(x),
            scale.detach().numpy(),
            _words(grad_x),
            grad_scale.numpy(),
            grad_offset.numpy(),
            ctx.phases,
        )
        return grad_x, grad_scale, grad_offset.sum(0), None


def phase_weights(weight: Tensor, blur: Tensor) -> Tensor:
    """The four phases (4 O, I, 3, 3) of "insert zeros, convolve with weight (O, I, 3, 3), blur by 4x4".

    Output row 2 p + a takes input rows p - 1, p, p + 1, each by one row of the 6x6 kernel K, which is the
    weight correlated with the blur: K[m] = sum_t blur[t] weight[m + t].
    """
    outputs, inputs = weight.shape[:2]
    kernel = F.pad(
        torch.eye(9, device=blur.device).view(9, 1, 3, 3), (3, 3, 3, 3)
    )  # the map from weight to K, once for each of 9
    spread = F.conv2d(kernel, (4 * blur)[None, None]).flatten(1)  # (9, 36)
    full = (weight.reshape(-1, 9) @ spread).view(outputs, inputs, 6, 6).flip(2, 3)
    phases = [full[:, :, 1 - a :: 2, 1 - b :: 2] for a in (0, 1) for b in (0, 1)]
    return torch.cat(phases)


class FusedLayer(SynthesisLayer):
    """A synthesis layer for training in bfloat16: no noise, no clamp."""

    def forward(self, x: Tensor, w: Tensor, noise: Noise) -> Tensor:
        """As `SynthesisLayer.forward` with noise "none"; (B, inputs, h, h) to (B, outputs, r, r) bfloat16."""
        with torch.autocast("cpu", enabled=False):
            style = self.affine(w.float())  # (B, inputs)
            energy = self.weight.square().sum((2, 3))  # (outputs, inputs)
            demodulation = (F.linear(style.square(), energy) + 1e-8).rsqrt()  # (B, outputs)
            x = Scale.apply(x, style)
            kernel = phase_weights(self.weight, self.resample_filter) if self.up else self.weight
            kernel = kernel.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
            x = F.conv2d(x, kernel, padding=1)
            phases = 2 if self.up else 1
            return Finish.apply(x, GAIN * demodulation, GAIN * self.bias, phases)  # type: ignore[no-any-return]


class PhaseLayer(SynthesisLayer):
    """A synthesis layer for training on a graphics card: no noise, no clamp, no pass for the blur."""

    def forward(self, x: Tensor, w: Tensor, noise: Noise) -> Tensor:
        """As `SynthesisLayer.forward` with noise "none"; (B, inputs, h, h) to (B, outputs, r, r)."""
        with torch.autocast(x.device.type, enabled=False):
            style = self.affine(w.float())  # (B, inputs)
            energy = self.weight.square().sum((2, 3))  # (outputs, inputs)
            demodulation = (F.linear(style.square(), energy) + 1e-8).rsqrt()  # (B, outputs)
            kernel = phase_weights(self.weight, self.resample_filter) if self.up else self.weight
        x = x * style[:, :, None, None].to(x.dtype)
        x = F.conv2d(x, kernel, padding=1)  # (B, outputs, h, h), four times as many where `up`
        if self.up:
            height, width = x.shape[2:]
            x = x.unflatten(1, (2, 2, -1)).permute(0, 4, 1, 5, 2, 3)  # (B, h, 2, h, 2, outputs)
            x = x.reshape(len(x), 2 * height, 2 * width, -1).permute(0, 3, 1, 2)  # (B, outputs, r, r)
        scale = (GAIN * demodulation)[:, :, None, None].to(x.dtype)
        offset = (GAIN * self.bias)[:, None, None].to(x.dtype)
        return F.leaky_relu(torch.addcmul(offset, x, scale), SLOPE)


def fuse(generator: Generator, device: str = "cpu") -> None:
    """Make a generator's layers fused ones, in place, as they are fastest on a kind of device."""
    for module in generator.modules():
        if type(module) is SynthesisLayer:
            module.__class__ = FusedLayer if device == "cpu" else PhaseLayer
