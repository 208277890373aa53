"""Faster synthesis layers for training on CPUs: everything around the convolution in one pass over memory.

A modulated convolution spends a third of its time in elementwise work: scaling the input, scaling the output,
bias, leaky ReLU, and all of it backwards. Here each side is one compiled loop over channels-last memory.
The results are those of `SynthesisLayer` without noise.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mystyle_cli.nets.generator import GAIN, SLOPE, Generator, Noise, SynthesisLayer

Array = NDArray[np.float32]
_compiled = numba.njit(parallel=True, fastmath=True, cache=True)
_SLOPE = np.float32(SLOPE)


@_compiled
def _scale(x: Array, s: Array, out: Array) -> None:
    """out (B, P, C) = x * s, s (B, C)."""
    for job in numba.prange(x.shape[0] * 4):
        b, quarter = job // 4, job % 4
        for p in range(quarter * x.shape[1] // 4, (quarter + 1) * x.shape[1] // 4):
            for c in range(x.shape[2]):
                out[b, p, c] = x[b, p, c] * s[b, c]


@_compiled
def _scale_backward(grad: Array, x: Array, s: Array, grad_x: Array, grad_s: Array) -> None:
    """Gradients of `_scale`; grad_s is (B * 4, C), one row for each quarter of a picture."""
    for job in numba.prange(x.shape[0] * 4):
        b, quarter = job // 4, job % 4
        for p in range(quarter * x.shape[1] // 4, (quarter + 1) * x.shape[1] // 4):
            for c in range(x.shape[2]):
                grad_s[job, c] += grad[b, p, c] * x[b, p, c]
                grad_x[b, p, c] = grad[b, p, c] * s[b, c]


@_compiled
def _finish(x: Array, scale: Array, offset: Array, out: Array) -> None:
    """out (B, P, C) = leaky ReLU of x * scale + offset; scale (B, C), offset (C,)."""
    for job in numba.prange(x.shape[0] * 4):
        b, quarter = job // 4, job % 4
        for p in range(quarter * x.shape[1] // 4, (quarter + 1) * x.shape[1] // 4):
            for c in range(x.shape[2]):
                y = x[b, p, c] * scale[b, c] + offset[c]
                out[b, p, c] = max(y, y * _SLOPE)


@_compiled
def _finish_backward(
    grad: Array, y: Array, x: Array, scale: Array, grad_x: Array, grad_scale: Array, grad_offset: Array
) -> None:
    """Gradients of `_finish`; grad_scale and grad_offset are (B * 4, C)."""
    for job in numba.prange(x.shape[0] * 4):
        b, quarter = job // 4, job % 4
        for p in range(quarter * x.shape[1] // 4, (quarter + 1) * x.shape[1] // 4):
            for c in range(x.shape[2]):
                g = grad[b, p, c] * (np.float32(1) if y[b, p, c] > 0 else _SLOPE)
                grad_scale[job, c] += g * x[b, p, c]
                grad_offset[job, c] += g
                grad_x[b, p, c] = g * scale[b, c]


def _rows(x: Tensor) -> Array:
    """Memory of a (B, C, H, W) channels-last tensor as (B, P, C)."""
    view: Array = x.detach().permute(0, 2, 3, 1).flatten(1, 2).numpy()
    return view


def _last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


class Scale(torch.autograd.Function):
    """x * s for x (B, C, H, W), s (B, C)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, s: Tensor) -> Tensor:
        """Scale."""
        x = _last(x)
        out = torch.empty_like(x)
        _scale(_rows(x), s.detach().numpy(), _rows(out))
        ctx.save_for_backward(x, s)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of x and s."""
        x, s = ctx.saved_tensors
        grad_x, grad_s = torch.empty_like(x), s.new_zeros(4 * len(s), s.shape[1])
        _scale_backward(_rows(_last(grad)), _rows(x), s.detach().numpy(), _rows(grad_x), grad_s.numpy())
        return grad_x, grad_s.view(len(s), 4, -1).sum(1)


class Finish(torch.autograd.Function):
    """Leaky ReLU of x * scale + offset for x (B, C, H, W), scale (B, C), offset (C,)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
        """Scale, shift, activate."""
        x = _last(x)
        out = torch.empty_like(x)
        _finish(_rows(x), scale.detach().numpy(), offset.detach().numpy(), _rows(out))
        ctx.save_for_backward(x, scale, out)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of x, scale and offset."""
        x, scale, out = ctx.saved_tensors
        grad_x = torch.empty_like(x)
        grad_scale = scale.new_zeros(4 * len(scale), scale.shape[1])
        grad_offset = torch.zeros_like(grad_scale)
        _finish_backward(
            _rows(_last(grad)),
            _rows(out),
            _rows(x),
            scale.detach().numpy(),
            _rows(grad_x),
            grad_scale.numpy(),
            grad_offset.numpy(),
        )
        return grad_x, grad_scale.view(len(scale), 4, -1).sum(1), grad_offset.sum(0)


class FusedLayer(SynthesisLayer):
    """A synthesis layer for training: no noise, no clamp."""

    def forward(self, x: Tensor, w: Tensor, noise: Noise) -> Tensor:
        """As `SynthesisLayer.forward` with noise "none"."""
        style = self.affine(w)
        energy = self.weight.square().sum((2, 3))
        demodulation = (nn.functional.linear(style.square(), energy) + 1e-8).rsqrt()
        x = Scale.apply(x, style)
        x = self._upsample(x) if self.up else nn.functional.conv2d(x, self.weight, padding=1)
        return Finish.apply(x, GAIN * demodulation, GAIN * self.bias)  # type: ignore[no-any-return]


def fuse(generator: Generator) -> None:
    """Make a generator's layers fused ones, in place; threads as torch's."""
    numba.set_num_threads(torch.get_num_threads())
    for module in generator.modules():
        if type(module) is SynthesisLayer:
            module.__class__ = FusedLayer
