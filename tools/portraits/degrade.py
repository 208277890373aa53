"""Random damage to training pictures: what photos, enlargements and generated pictures suffer."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def damage(images: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Blur by down- and up-sizing and add noise; about a third of the pictures stay as they are.

    Args:
        images: (B, 3, R, R) in [-1, 1].
        generator: source of chance.

    Returns:
        The damaged pictures, and (B, 2): log2 of the reduction, and the noise's standard deviation.
    """
    batch, size = images.shape[0], images.shape[-1]
    factors = 2 ** (2.2 * torch.rand(batch, generator=generator))
    factors[torch.rand(batch, generator=generator) < 0.35] = 1
    noise = 0.12 * torch.rand(batch, generator=generator) ** 2
    noise[torch.rand(batch, generator=generator) < 0.35] = 0
    out = images.clone()
    for i in (factors > 1).nonzero().flatten().tolist():
        small = F.interpolate(
            images[i : i + 1], (int(size / factors[i]),) * 2, mode="bilinear", antialias=True
        )
        out[i] = F.interpolate(small, (size, size), mode="bicubic", align_corners=False)[0]
    grain = torch.randn(out.shape, generator=generator) * noise[:, None, None, None]
    return (out + grain).clamp(-1, 1), torch.stack([factors.log2(), noise], 1)


def relight(images: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Change brightness, contrast and colour balance a little; images (B, 3, R, R) in [-1, 1]."""
    batch = images.shape[0]
    gain = 1 + 0.2 * (torch.rand(batch, 1, 1, 1, generator=generator) - 0.5)
    tint = 1 + 0.1 * (torch.rand(batch, 3, 1, 1, generator=generator) - 0.5)
    shift = 0.2 * (torch.rand(batch, 1, 1, 1, generator=generator) - 0.5)
    return ((images * gain + shift + 1) * tint - 1).clamp(-1, 1)


def nudge(images: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Shift, turn and scale a little, as another detector's alignment would; edges are repeated."""
    batch = images.shape[0]
    angle = 0.08 * (torch.rand(batch, generator=generator) - 0.5)
    scale = 1 + 0.12 * (torch.rand(batch, generator=generator) - 0.5)
    shift = 0.06 * (torch.rand(batch, 2, generator=generator) - 0.5)
    cos, sin = scale * angle.cos(), scale * angle.sin()
    theta = torch.stack(
        [torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)], 1
    )
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
