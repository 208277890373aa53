"""What a damaged photo does hold of a face is kept, as far as it can be told from noise.

The generated face says what the photo should look like; by what the photo differs from that, frequency by
frequency, more than its noise does, the face is moved, and then place by place: most of a face may be as
generated, and an eye not. So an undamaged photo comes out as it was, and a very damaged one hardly moves the
face at all.

Source: Wiener's filter, its signal the generator's error, measured as in spectral subtraction (Boll 1979);
what is left of the noise is taken out as for deblurring (Dabov et al. 2008).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from mystyle_cli.projection import jpeg
from mystyle_cli.projection.damage import LUMA, Damage, mirrored
from mystyle_cli.projection.noise import without

if TYPE_CHECKING:
    from mystyle_cli.nets.exported import Degraded

Floats = npt.NDArray[np.floating[Any]]

ROUNDED: Final = 1 / 12
"""Variance of rounding to whole numbers of 255."""

DOUBT: Final = 0.3
"""How wrong an estimated blur may be: share of what it took of a frequency."""

DEAD: Final = 0.2
"""Share of a frequency under which a photo shows nothing there but its noise."""

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
    gain = 1 / np.maximum(passed, 1e-3)
    if not damage.clean:
        there = _power(_planes(photo.target * 127.5, damage))
        found, noise = _power(off), _noise(damage, len(off))
        doubted = noise + np.square(DOUBT * (1 - blurred)) * there
        dead = passed < DEAD
        if dead.mean() > 0.1:
            doubted = np.maximum(doubted, found[:, dead].mean(axis=1)[:, None, None])
        gain = gain * np.where(dead, 0, np.clip(1 - doubted / np.maximum(found, 1e-9), 0, 1))
    moved = np.fft.irfft2(spectrum * gain, s=(2 * side, 2 * side))[..., :side, :side]
    if not damage.clean:
        left = np.sqrt(_of_blocks(noise * np.square(gain)))
        moved = np.stack([without(*each, 2) for each in zip(moved, left, strict=True)]).astype(np.float64)
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


def _power(planes: Floats) -> Floats:
    """Return the power of planes (C, s, s) at each frequency, as a variance of pixels, (C, 2 s, s + 1).

    It is the mean over rings of like frequency.
    """
    side = planes.shape[-1]
    power = np.square(np.abs(np.fft.rfft2(mirrored(planes)))) / (2 * side) ** 2
    radius = np.hypot(np.fft.fftfreq(2 * side)[:, None], np.fft.rfftfreq(2 * side)[None])
    ring = np.minimum(np.floor(radius * 2 * min(RINGS, side)).astype(int), 2 * RINGS)
    count = np.maximum(np.bincount(ring.ravel()), 1)
    return np.stack([(np.bincount(ring.ravel(), plane.ravel()) / count)[ring] for plane in power])


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
        noise[plane] += much * np.square(np.minimum(steps, 255)) / 12
    return noise


def _of_blocks(power: Floats) -> Floats:
    """Return power (C, 2 s, s + 1) at each frequency of the transforms of blocks, (C, 8, 8)."""
    side = power.shape[-1] - 1
    at = np.rint(np.arange(jpeg.BLOCK) / jpeg.BLOCK * side).astype(int)
    return np.asarray(power[:, at[:, None], at[None]])
