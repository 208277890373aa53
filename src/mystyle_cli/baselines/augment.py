"""Differentiable augmentation: what the discriminator is shown, true or made, is changed at random.

Source: DiffAugment (Zhao et al. 2020), its strongest policy: colour, translation, cutout.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

BRIGHTNESS: Final = 1.0  # width of the range from which brightness is added; pictures are in [-1, 1]
SATURATION: Final = 2.0  # width of the range of factors, about 1, by which colours go away from grey
CONTRAST: Final = 1.0  # the same of the contrast
SHIFT: Final = 1 / 8  # how far pictures are moved at most, in sides; what comes in is grey
CUTOUT: Final = 1 / 2  # side of the grey square, in sides


def augment(images: Tensor, random: torch.Generator) -> Tensor:
    """Change each picture at random, differentiably.

    Args:
        images: (B, 3, R, R) in [-1, 1].
        random: on the CPU, so that every device sees the same changes.
    """
    return _cut_out(_shifted(_coloured(images, random), random), random)


def _drawn(images: Tensor, random: torch.Generator) -> Tensor:
    """Draw a number (B, 1, 1, 1) in [-1/2, 1/2] for each picture."""
    return (torch.rand(len(images), 1, 1, 1, generator=random) - 0.5).to(images)


def _coloured(images: Tensor, random: torch.Generator) -> Tensor:
    """Change brightness, saturation and contrast."""
    images = images + BRIGHTNESS * _drawn(images, random)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * (1 + SATURATION * _drawn(images, random))
    mean = images.mean((1, 2, 3), keepdim=True)
    factor = 1 + CONTRAST * _drawn(images, random)
    return torch.addcmul(mean, images - mean, factor)


def _shifted(images: Tensor, random: torch.Generator) -> Tensor:
    """Move each picture by whole pixels."""
    side = images.shape[-1]
    most = round(SHIFT * side)
    padded = F.pad(images, (most, most, most, most))
    places = torch.randint(2 * most + 1, (len(images), 2), generator=random).tolist()
    return torch.stack(
        [
            picture[:, top : top + side, left : left + side]
            for picture, (top, left) in zip(padded, places, strict=True)
        ]
    )


def _cut_out(images: Tensor, random: torch.Generator) -> Tensor:
    """Make a square of each picture grey; its centre is anywhere."""
    side = images.shape[-1]
    size = round(CUTOUT * side)
    first = torch.randint(side, (2, len(images), 1), generator=random) - size // 2
    at = torch.arange(side)
    rows, columns = (at >= first) & (at < first + size)  # each (B, R)
    hole = (rows[:, :, None] & columns[:, None, :])[:, None]
    seen: Tensor = images * (~hole).to(images)
    return seen
