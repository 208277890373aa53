"""Small motions of a face within its crop, for photos on which it can only be placed roughly.

Landmarks found on a tiny or half hidden face are some pixels off, and the generator only draws faces that are
in place. So a projection may move its images a little before it compares them, and the crop's quad follows.
A motion is (right, down, zoom, turn): shifts in crop sides, the logarithm of a scale, an angle in radians.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mystyle_cli.nets.device import WHOLE

if TYPE_CHECKING:
    from torch import Tensor

    from mystyle_cli.faces.align import Points


def moved(images: Tensor, motions: Tensor) -> Tensor:
    """Return images as they look when the face in them is moved; what comes in from outside repeats the edge.

    Args:
        images: (B, 3, R, R).
        motions: (B, 4); differentiable.
    """
    import torch
    import torch.nn.functional as F

    right, down, zoom, turn = motions.unbind(1)
    scale, cos, sin = torch.exp(-zoom), torch.cos(turn), torch.sin(turn)
    # where a place of the moved image comes from: turn and zoom about the middle, undone after the shift
    rows = [[scale * cos, scale * sin], [-scale * sin, scale * cos]]  # (B,) each
    linear = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)  # (B, 2, 2)
    # a crop is 1 wide for motions and spans -1 to 1 for grids
    shift = -linear @ torch.stack([2 * right, 2 * down], dim=1).unsqueeze(2)  # (B, 2, 1)
    affine = torch.cat([linear, shift], dim=2)  # (B, 2, 3)
    grid = F.affine_grid(affine, list(images.shape), align_corners=False)  # (B, R, R, 2)
    if images.device.type in WHOLE:
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled(images, grid)


def sampled(images: Tensor, grid: Tensor) -> Tensor:
    """Return what `grid_sample` does there, in parts that every device of torch has: (B, C, h, w).

    Torch's own, on a Mac's GPU, has neither this border nor a way back before about 2.13.

    Args:
        images: (B, C, H, W).
        grid: (B, h, w, 2), places as x and y in -1 to 1; beyond the edge it is as at the edge.
    """
    height, width = images.shape[-2:]
    x, y = (((grid[..., axis] + 1) * side - 1) / 2 for axis, side in enumerate((width, height)))
    x, y = x.clamp(0, width - 1).flatten(1), y.clamp(0, height - 1).flatten(1)  # (B, h w)
    left, top = x.detach().floor().clamp(max=width - 2), y.detach().floor().clamp(max=height - 2)
    # left and top carry no gradient: where a pixel comes from moves its shares of four neighbours, not which
    corner = (top * width + left).long()  # (B, h w), the upper left neighbour's place
    flat = images.flatten(2)  # (B, C, H W)
    shares = [(left + 1 - x) * (top + 1 - y), (x - left) * (top + 1 - y)]
    shares += [(left + 1 - x) * (y - top), (x - left) * (y - top)]
    total = flat.new_zeros(())
    for share, offset in zip(shares, (0, 1, width, width + 1), strict=True):
        places = (corner + offset).unsqueeze(1).expand(-1, images.shape[1], -1)  # (B, C, h w)
        total = total + flat.gather(2, places) * share.unsqueeze(1)
    return total.view(*images.shape[:2], *grid.shape[1:3])


def moved_quad(quad: Points, motion: npt.NDArray[np.floating[Any]]) -> Points:
    """Return where the corners (4, 2) of the generated image lie on the photo, after a motion (4,)."""
    right, down, zoom, turn = (float(value) for value in motion)
    across, below = quad[3] - quad[0], quad[1] - quad[0]  # the crop's sides on the photo
    middle = quad.mean(axis=0) + right * across + down * below
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * np.exp(zoom)
    return np.asarray(middle + (quad - quad.mean(axis=0)) @ rotation.T)
