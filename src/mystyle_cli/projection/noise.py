"""How much noise a picture's own pixels tell of, frequency by frequency, and a picture without it.

All is asked of the transforms of small blocks at every place: where a face is smooth, what they hold of fine
frequencies is noise, whatever it came from; and what stands out of that is the face.

Source: blocks with little coarse detail tell the noise (Ponomarenko et al. 2007); shrinking sliding DCTs and
then Wiener's filter on what they leave (Yu and Sapiro 2011, Dabov et al. 2007).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Final, cast

import numpy as np
import numpy.typing as npt

from mystyle_cli.projection.jpeg import BLOCK, YCBCR, coded, tables

Floats = npt.NDArray[np.floating]
Singles = npt.NDArray[np.float32]

ORDER: Final = np.add.outer(np.arange(BLOCK), np.arange(BLOCK))
"""How fine each frequency of a block is, across and down together."""

COARSE: Final = 3
"""The finest order by which blocks are told smooth ..."""

FINE: Final = 5
"""... and the coarsest that tells of noise, as shading has none of it."""

SMOOTHEST: Final = 0.15
"""Share of the blocks that count, by how little coarse detail they hold ..."""

LEAST: Final = 12
"""... and how many do at least."""

SCALE: Final = 0.6745
"""Median of what a normal number of standard deviation 1 is off zero."""

LOW: Final = 0.1
"""Quantile of the fine frequencies: white noise is in all of them, and detail in some."""

LEVELS: Final = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 11.0, 15.0, 20.0, 27.0, 36.0)
"""Standard deviations, of 255, of the noise that pictures are compared with."""

TINY: Final = 0.05
"""What is added to both sides of such a comparison, since JPEG rounds much to nothing."""

KEPT: Final = 2.7
"""How many times its noise a frequency of a block must hold, so that it stays at first."""

STEPS: Final = 0.7 / math.sqrt(12)
"""How far JPEG's rounding is off, in steps: less than even errors are, as much is next to zero."""

STRIP: Final = 1 << 15
"""Blocks that are worked on at once."""


def spreads_of(plane: Floats, step: int = 1) -> npt.NDArray[np.float64]:
    """Return the standard deviation of noise at each frequency of blocks (8, 8), where a plane is smooth.

    Args:
        plane: (h, w), 8 pixels a side at least.
        step: pixels from one block to the next.
    """
    blocks = _blocks(np.asarray(plane, np.float32), step).reshape(-1, BLOCK, BLOCK)
    coarse = np.square(blocks[:, (ORDER > 0) & (ORDER <= COARSE)]).sum(axis=1)
    count = min(len(blocks), max(LEAST, round(SMOOTHEST * len(blocks))))
    smooth = blocks[np.argpartition(coarse, count - 1)[:count]]
    return np.asarray(np.median(np.abs(smooth), axis=0) / SCALE, np.float64)


def noise_of(planes: Floats, quality: int | None) -> float:
    """Return the standard deviation of white noise in planes (B, h, w), of 255, before they were a JPEG.

    Noise is what leaves, compressed like this, as much as is there in nearly all fine frequencies.

    Args:
        quality: of the JPEG; None: it was none.
    """
    step = 1 if planes.shape[-1] * planes.shape[-2] < 1 << 15 else 3
    there = np.mean([spreads_of(plane, step) for plane in planes], axis=0) + TINY
    fine = ORDER >= FINE
    shares = [float(np.quantile(there[fine] / known[fine], LOW)) for known in _known(quality)]
    if shares[0] < 1:
        return LEVELS[0] * shares[0]
    for place in range(1, len(LEVELS)):
        before, after = shares[place - 1], shares[place]
        if after < 1:
            between = math.log(before) / math.log(before / after)
            return float(LEVELS[place - 1] * (LEVELS[place] / LEVELS[place - 1]) ** between)
    return LEVELS[-1]


@lru_cache(128)
def _known(quality: int | None) -> tuple[npt.NDArray[np.float64], ...]:
    """Return what `spreads_of` says of each of `LEVELS` of noise after JPEG."""
    grain = np.random.default_rng(0).standard_normal((96, 96))
    found: list[npt.NDArray[np.float64]] = []
    for level in LEVELS:
        pixels = np.rint(128 + level * grain).clip(0, 255).astype(np.uint8)
        if quality:
            pixels = coded(pixels, quality)
        blocks = np.abs(_blocks(pixels.astype(np.float32), 1)).reshape(-1, BLOCK, BLOCK)
        one = np.median(blocks, axis=0) / SCALE + TINY
        found.append(np.asarray(np.maximum(one, found[-1]) if found else one, np.float64))
    return tuple(found)


def denoised(pixels: Floats, quality: int | None, step: int = 2) -> npt.NDArray[np.float64]:
    """Return a picture (h, w, 3), of 255, without its noise and without what JPEG left behind.

    Args:
        quality: of the JPEG, see `noise_of`.
        step: pixels from one block to the next: more is faster and worse.
    """
    planes = np.tensordot(np.asarray(pixels, np.float64), YCBCR.T, 1)
    steps = tables(quality) if quality else np.zeros((2, BLOCK, BLOCK))
    clean = [
        without(
            planes[..., row],
            np.hypot(spreads_of(planes[..., row], 3), STEPS * steps[min(row, 1)]),
            step,
        )
        for row in range(3)
    ]
    return np.asarray(np.tensordot(np.stack(clean, axis=-1), np.linalg.inv(YCBCR).T, 1))


def without(plane: Floats, spreads: Floats, step: int = 1) -> Singles:
    """Return a plane (h, w) without noise of such standard deviations at each frequency of blocks (8, 8).

    Args:
        step: pixels from one block to the next: more is faster and worse.
    """
    height, width = plane.shape
    margin = BLOCK - 1
    rest = [(-(side + 2 * margin - BLOCK)) % step for side in (height, width)]
    wide = np.pad(plane, [(margin, margin + more) for more in rest], mode="symmetric").astype(np.float32)
    noise = spreads.astype(np.float32)
    first = _filtered(wide, wide, step, lambda seen: (np.abs(seen) >= KEPT * noise).astype(np.float32))
    power = np.square(noise)
    second = _filtered(
        wide,
        first,
        step,
        lambda seen: np.asarray(1 / (1 + power / (np.square(seen) + np.float32(1e-9))), np.float32),
    )
    return second[margin : margin + height, margin : margin + width]


def _filtered(plane: Singles, seen: Singles, step: int, gain: Callable[[Singles], Singles]) -> Singles:
    """Filter the blocks of a plane by what is seen of each in another, and lay them over each other."""
    from scipy.fft import idctn

    height, width = plane.shape
    rows, columns = (height - BLOCK) // step + 1, (width - BLOCK) // step + 1
    total, weight = np.zeros_like(plane), np.zeros_like(plane)
    many = max(1, STRIP // columns)
    for top in range(0, rows, many):
        below = min(rows, top + many)
        part = slice(top * step, (below - 1) * step + BLOCK)
        shares = gain(_blocks(seen[part], step))
        shares[..., 0, 0] = 1
        made = idctn(_blocks(plane[part], step) * shares, axes=(-2, -1), norm="ortho")
        worth = 1 / (
            1 + np.square(shares).sum(axis=(-2, -1))
        )  # a block of which little is left has little noise
        for down in range(BLOCK):
            for across in range(BLOCK):
                place = np.s_[
                    top * step + down : (below - 1) * step + down + 1 : step,
                    across : across + (columns - 1) * step + 1 : step,
                ]
                total[place] += made[:, :, down, across] * worth
                weight[place] += worth
    return np.asarray(total / np.maximum(weight, 1e-9), np.float32)


def _blocks(plane: Singles, step: int) -> Singles:
    """Return the transforms of blocks of a plane (h, w), (rows, columns, 8, 8)."""
    from scipy.fft import dctn

    seen = np.lib.stride_tricks.sliding_window_view(plane, (BLOCK, BLOCK))[::step, ::step]
    return cast("Singles", dctn(seen, axes=(-2, -1), norm="ortho"))
