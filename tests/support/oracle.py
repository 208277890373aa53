"""A slow, direct transcription of the published generator's numerics, sharing nothing with our own code."""

from collections.abc import Mapping

import numpy as np
import torch

State = dict[str, np.ndarray]
RESAMPLE = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64


def correlate(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Valid cross-correlation of one plane, by summing shifted copies."""
    kh, kw = kernel.shape
    h, w = x.shape[0] - kh + 1, x.shape[1] - kw + 1
    return sum(kernel[i, j] * x[i : i + h, j : j + w] for i in range(kh) for j in range(kw))


def enlarge(x: np.ndarray, before: int, after: int, kernel: np.ndarray) -> np.ndarray:
    """Zero insertion by 2, padding, kernel with gain 4, for each plane of (C, h, w)."""
    planes = []
    for plane in x:
        wide = np.zeros((2 * plane.shape[0], 2 * plane.shape[1]))
        wide[::2, ::2] = plane
        planes.append(correlate(np.pad(wide, (before, after)), 4 * kernel))
    return np.stack(planes)


def affine(state: State, name: str, w: np.ndarray) -> np.ndarray:
    """Style of one layer for one w."""
    return state[f"{name}.affine.weight"] @ w / np.sqrt(w.size) + state[f"{name}.affine.bias"]


def layer(
    state: State, name: str, x: np.ndarray, w: np.ndarray, up: bool, noise: bool, clamp: float
) -> np.ndarray:
    """One modulated convolution in the fused form: one kernel per sample."""
    weight = state[f"{name}.weight"] * affine(state, name, w)[None, :, None, None]
    weight = weight / np.sqrt((weight**2).sum((1, 2, 3), keepdims=True) + 1e-8)
    out = []
    for o in range(weight.shape[0]):
        total = 0.0
        for i in range(weight.shape[1]):
            if up:  # transposed convolution of stride 2: every input pixel stamps the kernel
                size = x.shape[1]
                stamped = np.zeros((2 * size + 1, 2 * size + 1))
                for r in range(size):
                    for c in range(size):
                        stamped[2 * r : 2 * r + 3, 2 * c : 2 * c + 3] += x[i, r, c] * weight[o, i]
                total = total + stamped
            else:
                total = total + correlate(np.pad(x[i], 1), weight[o, i])
        out.append(correlate(np.pad(total, 1), 4 * RESAMPLE) if up else total)
    y = np.stack(out)
    if noise:
        y = y + state[f"{name}.noise_const"] * state[f"{name}.noise_strength"]
    y = y + state[f"{name}.bias"][:, None, None]
    return np.clip(np.where(y > 0, y, 0.2 * y) * np.sqrt(2), -clamp, clamp)


def to_rgb(state: State, name: str, x: np.ndarray, w: np.ndarray, clamp: float) -> np.ndarray:
    """Image of one block."""
    weight = state[f"{name}.weight"][:, :, 0, 0] * (affine(state, name, w) / np.sqrt(x.shape[0]))
    return np.clip(np.einsum("oi,ihw->ohw", weight, x) + state[f"{name}.bias"][:, None, None], -clamp, clamp)


def render(
    tensors: Mapping[str, torch.Tensor], w_plus: np.ndarray, noise: bool, clamp: float = np.inf
) -> np.ndarray:
    """The whole synthesis for one sample, (num_ws, w_dim) -> (3, R, R), of tensors by NVIDIA's names."""
    state = {k: v.detach().double().numpy() for k, v in tensors.items()}
    x = layer(state, "synthesis.b4.conv1", state["synthesis.b4.const"], w_plus[0], False, noise, clamp)
    image = to_rgb(state, "synthesis.b4.torgb", x, w_plus[1], clamp)
    for r in (8 << i for i in range(len(w_plus) // 2 - 1)):
        i, name = int(np.log2(r)) - 2, f"synthesis.b{r}"
        x = layer(state, f"{name}.conv0", x, w_plus[2 * i - 1], True, noise, clamp)
        x = layer(state, f"{name}.conv1", x, w_plus[2 * i], False, noise, clamp)
        image = enlarge(image, 2, 1, RESAMPLE)
        image = image + to_rgb(state, f"{name}.torgb", x, w_plus[2 * i + 1], clamp)
    return image


def transform(tensors: Mapping[str, torch.Tensor], z: np.ndarray, multiplier: float = 0.01) -> np.ndarray:
    """The whole mapping, (B, z_dim) -> (B, w_dim), of tensors by NVIDIA's names."""
    x = z / np.sqrt((z**2).mean(1, keepdims=True) + 1e-8)
    for i in range(sum(k.startswith("mapping.fc") and k.endswith("weight") for k in tensors)):
        weight, bias = (tensors[f"mapping.fc{i}.{k}"].detach().double().numpy() for k in ("weight", "bias"))
        x = x @ weight.T * (multiplier / np.sqrt(x.shape[1])) + multiplier * bias
        x = np.where(x > 0, x, 0.2 * x) * np.sqrt(2)
    return x
