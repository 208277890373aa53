"""Known damage to real crops, one kind at a time and of a known strength: for training and judging LPIPS."""

from __future__ import annotations

import io

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from tools.portraits.pictures import to_bytes, to_images

KINDS = ("small", "blur", "noise", "jpeg")


def degrade(images: Tensor, kinds: np.ndarray, strengths: np.ndarray, rng: np.random.Generator) -> Tensor:
    """Damage pictures.

    Args:
        images: (B, 3, R, R) in [-1, 1].
        kinds: (B,) numbers of `KINDS`.
        strengths: (B,) in [0, 1]; 0 is hardly seen, 1 leaves little of a face.
        rng: source of the noise.
    """
    out = []
    for image, kind, strength in zip(images, kinds, strengths, strict=True):
        out.append(_DAMAGE[KINDS[int(kind)]](image[None], float(strength), rng))
    return torch.cat(out).clamp(-1, 1)


def _reduce(image: Tensor, strength: float, _rng: np.random.Generator) -> Tensor:
    size = image.shape[-1]
    small = F.interpolate(image, (round(size / 8**strength),) * 2, mode="bilinear", antialias=True)
    return F.interpolate(small, (size, size), mode="bicubic", align_corners=False)


def _blur(image: Tensor, strength: float, _rng: np.random.Generator) -> Tensor:
    sigma = image.shape[-1] / 128 * (0.3 + 4 * strength)
    reach = int(3 * sigma) + 1
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    taps = taps / taps.sum()
    channels = image.shape[1]
    image = F.pad(image, (reach,) * 4, mode="reflect")
    image = F.conv2d(image, taps.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(image, taps.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)


def _noise(image: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    grain = rng.standard_normal(tuple(image.shape), dtype=np.float32)
    return image + 0.4 * strength * torch.from_numpy(grain)


def _jpeg(image: Tensor, strength: float, _rng: np.random.Generator) -> Tensor:
    file = io.BytesIO()
    Image.fromarray(to_bytes(image)[0]).save(file, "JPEG", quality=round(90 * (1 - strength) + 4))
    return to_images(np.asarray(Image.open(file))[None])


_DAMAGE = {"small": _reduce, "blur": _blur, "noise": _noise, "jpeg": _jpeg}
