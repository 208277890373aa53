"""What a photo suffered at its own pixels, where a face is larger than it is drawn; undone without a code.

No code says anything of what is finer than the pixels of R. There the photo itself is all there is: its
noise is taken out, what JPEG left between its blocks, and what blur made faint, as far as it is there at all.

Source: natural images' power falls like f^-2.5, about (Field 1987); Wiener's filter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mystyle_cli.projection.jpeg import YCBCR, coded, spectral_steps
from mystyle_cli.projection.noise import denoised

Floats = npt.NDArray[np.floating[Any]]

FINER: Final = 1.05
"""How many times larger than it is drawn a face must be, so that its photo holds more."""

FALL: Final = 2.5
"""How steeply the power of a sharp photo falls with frequency, as an exponent."""

TILE: Final = 32
"""Side in pixels of what spectra are taken of."""

NATURAL: Final = 0.7
"""Standard deviation in pixels of the blur that sharp photos have: lens, sensor, and what shrank them."""

BLURRED: Final = 1.0
"""... and the least that is taken for damage."""

BLURRED_JPEG: Final = 1.4
"""... where JPEG took the fine detail, too."""

KNEE: Final = 1.6
"""The least blur that is believed of a photo whose fine detail is what an unknown coder left ..."""

UNSURE: Final = 0.1
"""... by so much more for each level of noise ..."""

SHAPES: Final = (0, 1, 2)
"""... and how steeply that may fall with frequency, as exponents."""

HARDLY: Final = 0.2
"""How much a blur that is so many pixels from `NATURAL` costs, in logarithms of power."""

FAINTEST: Final = 0.3
"""Power, of levels of 255 squared, under which there is nothing but rounding."""

STRONGEST: Final = 4.0
"""How many times a frequency is made stronger at most."""

LEFT: Final = 0.1
"""Share of the power of noise that is still there once it was taken out ..."""

LEFT_JPEG: Final = 0.3
"""... of noise that went through JPEG."""

ROUNDED: Final = 1 / 12
"""Power of rounding to whole levels."""

LARGE: Final = 512
"""Side in pixels of a face from which fewer blocks are looked at, so that it is done in seconds."""


@dataclass(frozen=True)
class Fine:
    """What was done to a photo, at its own pixels.

    Args:
        blur: standard deviation, in pixels of the photo; 0: it is as sharp as photos are.
        noise: standard deviation in each colour, of 255.
        quality: of JPEG, its blocks still in place, or None.
    """

    blur: float = 0.0
    noise: float = 0.0
    quality: int | None = None

    @property
    def clean(self) -> bool:
        """Whether there is nothing to undo."""
        return not self.blur and not self.noise and self.quality is None


def blur_of(luma: Floats, noise: float, quality: int | None) -> tuple[float, bool]:
    """Return the standard deviation of the blur of a plane (h, w), and whether it is as sharp as photos are.

    Where neither can be told the blur is 0, too: too little shows, or JPEG took the detail that would tell.

    Args:
        noise: standard deviation in the plane, of 255.
        quality: of JPEG, or None.
    """
    found = _width_of(luma, noise, quality)
    if found is None:
        return 0.0, False
    return found if found >= (BLURRED if quality is None else BLURRED_JPEG) else 0.0, found < BLURRED


def _width_of(luma: Floats, noise: float, quality: int | None) -> float | None:
    """Return the standard deviation of all that made a plane (h, w) soft, `NATURAL` of it."""
    found = _spectrum_of(luma, noise, quality)
    width = None if found is None else found[1]
    if quality is None and (width is None or width < BLURRED):
        above = _width_above(luma)  # what a clip's coder left looks like detail of a sharp photo
        return above if above >= KNEE + UNSURE * noise else width
    return width


def mended(pixels: Floats, fine: Fine, grain: bool, seed: int = 0) -> npt.NDArray[np.float64]:
    """Return a picture (h, w, 3), of 255, without its damage.

    Args:
        pixels: cut at whole blocks of JPEG.
        grain: its noise stays.
        seed: of the noise that takes the place of one that went through JPEG.
    """
    given = np.asarray(pixels, np.float64)
    made = given
    if fine.noise or fine.quality is not None:
        made = denoised(given, fine.quality, 2 if min(given.shape[:2]) < LARGE else 4)
    rest = given - made
    if fine.blur > NATURAL:
        luma = made @ YCBCR[0]
        left = (LEFT if fine.quality is None else LEFT_JPEG) * (fine.noise * math.hypot(*YCBCR[0])) ** 2
        made = made + (_sharpened(luma, fine.blur, left, fine.quality) - luma)[..., None]
    if not (grain and fine.noise):
        return made
    return made + (rest if fine.quality is None else _grain(made.shape, fine.noise, fine.quality, seed))


def _grain(shape: tuple[int, ...], noise: float, quality: int, seed: int) -> npt.NDArray[np.float64]:
    """Return noise (h, w, 3) as JPEG leaves it, without what it leaves of a picture's own detail."""
    grain = np.random.default_rng(seed).normal(0, noise, shape)
    return coded(np.rint(128 + grain).clip(0, 255).astype(np.uint8), quality).astype(np.float64) - 128


def _spectrum_of(luma: Floats, noise: float, quality: int | None) -> tuple[float, float] | None:
    """Return the power at frequency 1 of what was blurred, and the blur; None where too little shows."""
    power, ring = _power_of(luma)
    tile = len(power)
    floor = noise**2
    if quality is None and noise**2 > FAINTEST:
        floor = float(power[ring > tile // 2].mean())  # nothing else is so fine
    hidden = np.full_like(power, FAINTEST + floor / 10)
    if quality is not None:
        steps = spectral_steps(quality, tile)[:, : tile // 2 + 1]
        hidden = np.maximum(hidden, np.square(np.minimum(steps, 255)) / 12)
    rings = range(2, tile // 2 + 1)
    there = np.array([power[ring == one].mean() for one in rings]) - floor
    least = np.array([hidden[ring == one].mean() for one in rings])
    frequencies = np.array(rings) / tile
    shows = np.cumprod(there > least).astype(bool)
    if shows.sum() < 4:
        return None
    places = frequencies[shows]
    left = np.log(there[shows]) + FALL * np.log(places)
    columns = np.stack([np.ones_like(places), -4 * np.pi**2 * places**2], axis=1)
    level, square = np.linalg.lstsq(columns, left, rcond=None)[0]
    return math.exp(float(level)), math.sqrt(max(float(square), 0.0))


def _power_of(luma: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Return the mean power of a plane's tiles (t, t // 2 + 1), and each one's ring of frequencies."""
    tile = min(TILE, *luma.shape)
    window = np.outer(np.hanning(tile + 2)[1:-1], np.hanning(tile + 2)[1:-1])
    window /= math.sqrt(float(np.square(window).sum()))
    tiles = np.lib.stride_tricks.sliding_window_view(np.asarray(luma, np.float64), (tile, tile))
    tiles = tiles[:: tile // 2, :: tile // 2].reshape(-1, tile, tile)
    tiles = tiles - tiles.mean(axis=(1, 2), keepdims=True)
    power = np.square(np.abs(np.fft.rfft2(tiles * window))).mean(axis=0)
    across = np.fft.rfftfreq(tile)[None]
    ring = np.rint(np.hypot(np.fft.fftfreq(tile)[:, None], across) * tile).astype(np.int64)
    return np.asarray(power), ring


def _width_above(luma: Floats) -> float:
    """Return the blur of what stands out of all that falls slowly with frequency, whatever that is."""
    from scipy.optimize import least_squares

    power, ring = _power_of(luma)
    rings = np.arange(2, len(power) // 2 + 1)
    there = np.log(np.maximum([power[ring == one].mean() for one in rings], 1e-6))
    frequencies = np.log(rings / len(power))

    def off(numbers: Floats, shape: int) -> Floats:
        """Return by how much the logarithm of power is off for level, blur and level of the rest."""
        level, width, rest = numbers
        photo = level - FALL * frequencies - np.square(2 * np.pi * width * np.exp(frequencies))
        model = np.logaddexp(photo, rest - shape * frequencies)
        return np.append(model - there, HARDLY * (abs(width) - NATURAL))

    found = [
        least_squares(
            off,
            (there[0] + FALL * frequencies[0], width, there[-5:].mean() - 0.5),
            args=(shape,),
            loss="soft_l1",
            f_scale=HARDLY,
        )
        for shape in SHAPES
        for width in (0.5, 1.5, 3.0)
    ]
    return abs(float(min(found, key=lambda one: float(one.cost)).x[1]))


def _sharpened(luma: Floats, blur: float, noise: float, quality: int | None) -> npt.NDArray[np.float64]:
    """Return a plane (h, w) as sharp as photos are.

    Args:
        blur: standard deviation in pixels.
        noise: power that is still in the plane.
        quality: of JPEG, or None.
    """
    from scipy.fft import dctn, idctn

    found = _spectrum_of(luma, 0.0, quality)
    level = found[0] if found is not None else float(np.var(luma))
    down, across = (np.arange(side) / (2 * side) for side in luma.shape)
    squares = down[:, None] ** 2 + across[None] ** 2
    squares[0, 0] = squares[0, 1]
    wanted = np.exp(-4 * np.pi**2 * NATURAL**2 * squares) * level * squares ** (-FALL / 2)
    passed = np.exp(-2 * np.pi**2 * max(blur**2 - NATURAL**2, 0.0) * squares)
    gain = np.minimum(passed / (passed**2 + (ROUNDED + noise) / wanted), STRONGEST)
    gain[0, 0] = 1
    return np.asarray(idctn(dctn(luma, norm="ortho") * np.maximum(gain, 1), norm="ortho"))
