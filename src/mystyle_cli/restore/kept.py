"""What a damaged photo does hold of a face is kept, as far as it can be told from noise.

The generated face says what the photo should look like; by what the photo differs from that, frequency by
frequency, more than its noise does, the face is moved. So an undamaged photo comes out as it was, and a very
damaged one hardly moves the face at all.

Source: Wiener's filter, its signal the generator's error, measured as in spectral subtraction (Boll 1979).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from mystyle_cli.projection import jpeg
from mystyle_cli.projection.damage import LUMA, Damage, mirrored

if TYPE_CHECKING:
    from mystyle_cli.nets.exported import Degraded

Floats = npt.NDArray[np.floating[Any]]

ROUNDED: Final = 1 / 12
"""Variance of rounding to whole numbers of 255."""

DOUBT: Final = 0.3
"""How wrong an estimated blur may be: share of what it took of a frequency."""

CAUTION: Final = 1.5
"""How many times its noise a difference must have, so that anything of it counts."""

DEAD: Final = 0.2
"""Share of a frequency under which a photo shows nothing but its noise there."""

RINGS: Final = 24
"""Bands of frequency in which differences are measured, at most."""


def kept(image: Floats, photo: Degraded, damage: Damage) -> npt.NDArray[np.float32]:
    """Move a generated face (3, R, R) in [-1, 1] towards what its photo holds.

    Args:
        photo: the small picture of s pixels a side, and what of it is known.
        damage: what was done to it.
    """
    from scipy.fft import dctn, idctn

    from mystyle_cli.projection.degradations import continued

    resolution, side = image.shape[-1], damage.side
    passed, blurred = damage.passed(resolution)
    off = _off(np.asarray(image, np.float64), photo, damage)  # (1 or 3, s, s), luma and chroma, of 255
    if not photo.known.all():
        off = np.asarray(continued(off, 1 - photo.known), np.float64)  # so that no edge shows where it ends
    spectrum = np.fft.rfft2(mirrored(off))  # (C, 2 s, s + 1)
    if damage.clean:
        share = np.ones_like(spectrum.real)
    else:
        there = _power(np.fft.rfft2(mirrored(_planes(photo.target * 127.5, damage))))
        found = np.stack([_smoothed(plane, side) for plane in _power(spectrum)])
        noise = _noise(damage, len(off)) + np.square(DOUBT * (1 - blurred)) * there
        dead = passed < DEAD
        if dead.mean() > 0.1:
            noise = np.maximum(noise, found[:, dead].mean(axis=1)[:, None, None])
        share = np.clip(1 - CAUTION * noise / np.maximum(found, 1e-9), 0, 1)
    moved = np.fft.irfft2(spectrum * share / np.maximum(passed, 1e-3), s=(2 * side, 2 * side))
    moved = moved[..., :side, :side]
    if side < resolution:
        large = np.zeros((len(moved), resolution, resolution))
        large[:, :side, :side] = dctn(moved, axes=(1, 2), norm="ortho") * (resolution / side)
        moved = idctn(large, axes=(1, 2), norm="ortho")
    if len(moved) == 3:
        moved = np.tensordot(np.linalg.inv(jpeg.YCBCR), moved, 1)
    return np.asarray(image + moved / 127.5, np.float32)


def _planes(pictures: Floats, damage: Damage) -> Floats:
    """Return luma and chroma (3, s, s) of a picture; of one without colours the luma that explains it."""
    if damage.tone is None:
        return np.asarray(np.tensordot(jpeg.YCBCR, pictures, 1))
    slope = np.asarray(damage.tone)[:, 0]
    return np.asarray(np.tensordot(slope / (slope @ slope), pictures, 1)[None])


def _off(image: Floats, photo: Degraded, damage: Damage) -> Floats:
    """Return by what a photo differs from a face made as bad, (1 or 3, s, s), of 255."""
    if damage.tone is not None:
        slope, offset = np.asarray(damage.tone).T[..., None, None]
        image = slope * np.tensordot(LUMA, image, 1) + offset
    return _planes((photo.target - damage.done_to(image)) * 127.5, damage)


def _power(spectra: npt.NDArray[Any]) -> Floats:
    """Return the power of transforms (C, 2 s, s + 1) as a variance of pixels."""
    return np.asarray(np.square(np.abs(spectra)) / spectra.shape[-2] ** 2)


def _noise(damage: Damage, planes: int) -> Floats:
    """Return the variance of noise, rounding and JPEG at each frequency, (1 or 3, 2 s, s + 1)."""
    side, shares = damage.side, np.square(jpeg.YCBCR).sum(axis=1)
    if planes == 1:
        shares = np.ones(1)
    noise = np.array(shares[:, None, None] * damage.noise**2 + ROUNDED + np.zeros((2 * side, side + 1)))
    if damage.quality is None:
        return noise
    part = slice(side + 1)
    # errors spread evenly over a step; half as many pixels of chroma in each direction: one's is over four
    for plane, much in enumerate((1, 4, 4)[:planes]):
        steps = jpeg.spectral_steps(damage.quality, 2 * side, chroma=plane > 0)[:, part]
        noise[plane] += much * np.square(steps) / 12
    return noise


def _smoothed(power: Floats, side: int) -> Floats:
    """Return power (2 s, s + 1) as its mean over rings of like frequency."""
    radius = np.hypot(np.fft.fftfreq(2 * side)[:, None], np.fft.rfftfreq(2 * side)[None])
    ring = np.minimum(np.floor(radius * 2 * min(RINGS, side)).astype(int), 2 * RINGS)
    total, count = np.bincount(ring.ravel(), power.ravel()), np.bincount(ring.ravel())
    return np.asarray((total / np.maximum(count, 1))[ring])
