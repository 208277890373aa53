"""What was done to a photo, as its own pixels tell: how small it once was, its blur, noise, JPEG and tone.

Every estimate is a comparison with what is known: a picture that was enlarged lies among the few that such
enlarging makes; one that went through JPEG hardly changes when it does again; and the person's own photos say
how much of each frequency a clear photo of them has.

Source: resampling leaves linear traces (Popescu and Farid 2005); the likelihood of a spectrum (Whittle 1953).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from mystyle_cli.errors import UsageError
from mystyle_cli.photos.pixels import area_kernel, linear_kernel, to_unit
from mystyle_cli.projection import softness
from mystyle_cli.projection.damage import LUMA, Damage
from mystyle_cli.projection.fine import BLURRED, FINER, NATURAL, TILE, Fine, blur_of
from mystyle_cli.projection.jpeg import BLOCK, quality_of, rounded, spectral_steps, tables
from mystyle_cli.projection.noise import FINE, ORDER, noise_of

if TYPE_CHECKING:
    from mystyle_cli.find.locate import Located
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.photos.pixels import Kernel, Pixels

Floats = npt.NDArray[np.float64]

SAMPLE: Final = 24
"""Reference photos that are compared with."""

SMALLEST: Final = 8
"""Side in pixels of the smallest picture that is looked for in a larger one."""

LARGEST: Final = 128
"""Side of the largest picture in which it is looked for; the work rises with the fourth power of it."""

KERNELS: Final[tuple[Kernel, ...]] = ("bicubic", "bilinear", "lanczos")
"""How people's programs enlarge."""

ROUNDING: Final = 1.5
"""How far an enlarged picture is off every other such, at most, over what it is for having been rounded."""

DIP: Final = 1.2
"""How much farther it is off those enlarged from two pixels more or less, at least."""

NONE: Final = (0.0, 0.0, 0.0)
"""The covariance of no blur."""

EMPTY: Final = 0.1
"""Share of a clear photo's power under which a frequency is gone."""

SHARP: Final = 0.6
"""Standard deviation of a blur, for a crop of 128 pixels, under which a photo is as sharp as photos ..."""

SLIGHT: Final = 0.3
"""... and under which one is that is damaged for sure: a little blur more or less does not matter there."""

CLEAN: Final = 3.0
"""Standard deviation of noise, of 255, under which there is none."""

HEAVY: Final = 60
"""Quality of JPEG up to which what it left in a photo larger than it is drawn is damage ..."""

ROUGH: Final = 90
"""... and up to which it is reckoned with beside other damage."""

MILD: Final = 75
"""Quality of JPEG above which the detail of small sharp photos looks like noise that it coarsened ..."""

COARSE: Final = 8.0
"""... so that it is none under this standard deviation, of 255."""

DROWNED: Final = 0.3
"""Share of JPEG's smallest step for fine detail under which noise cannot be told from what rounding left."""

CODED: Final = 50
"""Quality of JPEG that hides about as much fine detail as what clips are coded with."""

MIDDLE: Final = 384
"""Pixels of a side that are enough to know a JPEG by."""

TILED: Final = 40
"""Side in pixels of a picture from which its blur is told by its own pixels."""

SOFTEST: Final = 0.9
"""Quantile of the widths of clear photos which that of a blurred one is above ..."""

SOFTER: Final = 0.1
"""... by so many pixels."""

AS_NOISE: Final = 2.0
"""Noise that clear photos may seem to have, by their finest detail, where noise is told by that alone ..."""

COMPARED: Final = 8
"""... by the middle one of so many."""

GRAINY: Final = 5.0
"""Standard deviation of noise, of 255, under which a photo's own pixels have no more than photos have."""

NOISY: Final = 7.0
"""Standard deviation of much noise in luma, of 255: what JPEG rounds away cannot be told from none ..."""

GAIN: Final = 0.03
"""... so for each frequency so much noise must be this much likelier."""

BLUR_GAIN: Final = 0.015
"""How much likelier a blur must make each frequency: some photos are softer than others."""

WIDEST: Final = 10.0
"""Logarithm of pixels beyond which no blur is tried: a search may reach for any number."""

ELONGATED: Final = 1.6
"""How many times longer than wide a blur must be, so that it has a direction."""

GREY: Final = 2.5
"""Root mean square of what luma does not explain of a photo's colours, of 255, up to which it has none."""


@dataclass(frozen=True)
class Known:
    """What is said of a photo's damage; None: it is estimated. Lengths are in pixels of the photo.

    Args:
        blur: standard deviation.
        noise: standard deviation, of 255.
        quality: of JPEG; 0: it was none.
        scale: how many times the photo was enlarged after it was damaged.
    """

    blur: float | None = None
    noise: float | None = None
    quality: int | None = None
    scale: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        numbers = ("blur", self.blur, 0), ("noise", self.noise, 0), ("scale", self.scale, 1)
        for name, value, least in numbers:
            if value is not None and not (math.isfinite(value) and value >= least):
                raise UsageError(f"{name} is {value}", f"Give a number from {least} up.")
        if self.quality is not None and not 0 <= self.quality <= 100:
            raise UsageError(f"JPEG has no quality {self.quality}", "Give 1 to 100, or 0 for none.")


@dataclass(frozen=True)
class Estimator:
    """Says what was done to photos of a person.

    Args:
        clear: float32 (N, 3, R, R) in [-1, 1], what clear ones look like.
        known: what need not be estimated.
    """

    clear: npt.NDArray[np.float32]
    known: Known = field(default_factory=Known)

    @classmethod
    def of(cls, profile: Profile, known: Known) -> Estimator:
        """Compare with a person's photos, or with what their generator draws where these are gone."""
        if profile.has_faces:
            faces = profile.faces()
            rows = np.linspace(0, len(faces) - 1, min(SAMPLE, len(faces))).round().astype(int)
            return cls(np.asarray(faces[np.unique(rows)], np.float32), known)
        from mystyle_cli.sample.rendering import open_renderer

        codes = profile.anchors()[:SAMPLE]
        layers = profile.manifest.prior.num_ws
        return cls(open_renderer(profile).render(np.repeat(codes[:, None], layers, axis=1)), known)

    @property
    def resolution(self) -> int:
        """R."""
        return int(self.clear.shape[-1])

    @cached_property
    def chroma(self) -> npt.NDArray[np.float32]:
        """What colours a clear photo has at each place beyond its luma, (3, R, R): their mean."""
        mean = self.clear.mean(axis=0)
        return np.asarray(mean - np.tensordot(LUMA, mean, 1), np.float32)

    @cached_property
    def _luma(self) -> Floats:
        return np.asarray(np.einsum("c,nchw->nhw", LUMA, self.clear.astype(np.float64)) * 127.5)

    @cached_property
    def _spectra(self) -> dict[int, Floats]:
        return {}

    @cached_property
    def _finest(self) -> dict[int, float]:
        return {}

    @cached_property
    def _widths(self) -> dict[int, Floats]:
        return {}

    def _spectrum(self, side: int) -> Floats:
        """Return the power of a clear photo made small to a side."""
        if side not in self._spectra:
            kernel = area_kernel(self.resolution, side)
            self._spectra[side] = power(kernel @ self._luma @ kernel.T)
        return self._spectra[side]

    def _fineness(self, side: int) -> float:
        """Return how much a clear photo made small to a side looks like noise: its finest detail does."""
        if side not in self._finest:
            kernel = area_kernel(self.resolution, side)
            small = kernel @ self._luma[:COMPARED] @ kernel.T
            self._finest[side] = float(np.median([noise_of(one[None], None) for one in small]))
        return self._finest[side]

    def of_photo(self, located: Located) -> Damage:
        """Return what was done to a located face's photo."""
        pixels = seen(located, self.resolution)
        # what the crop was cut out with moves pixels from where enlarging put them
        untouched = len(pixels) == len(located.photo.pixels) == len(located.photo.pixels[0])
        if self._tells_more(located.side):
            return self._of_large(pixels[None], located.side, *self._fine_of(located))
        if untouched or (self.known.scale or 1) > 1:
            return self._of(pixels[None], located.side, untouched, self.known)
        own, _ = own_pixels(located)
        upright = middle_of(own, min(round(located.side), self.resolution))
        if upright is None or self._fineness(len(upright)) > AS_NOISE:
            return self._of(pixels[None], located.side, untouched, self.known)
        # cutting out and turning a crop wipes out noise and moves what JPEG rounded
        noise, quality = self._noise_and_quality(own)
        quality = self._rough(quality)
        known = replace(self.known, noise=noise, quality=quality or 0)
        damage = self._of(upright[None], located.side, False, known)
        if damage.sigma or self._noisy(noise, quality):
            return damage
        slight = quality is not None and quality > HEAVY and self.known.quality is None
        return replace(damage, noise=0.0, quality=None if slight else damage.quality)

    def _noise_and_quality(self, pixels: Pixels, film: bool = False) -> tuple[float, int | None]:
        """Return the noise of a photo's own pixels (h, w, 3), of 255, and JPEG's quality where it tells.

        Args:
            pixels: from where a block of JPEG begins.
            film: they are a frame of a clip, which was never a JPEG.
        """
        known, luma = self.known, pixels.astype(np.float64) @ LUMA
        middle = pixels[_middle(len(pixels)), _middle(len(pixels[0]))]
        quality = known.quality
        if quality is None and not film:
            quality = quality_of(middle)
        rounded_at = self._rough(quality)
        shared = 1.0 if tone_of(middle.reshape(-1, *middle.shape[1:])) is not None else math.hypot(*LUMA)
        told = noise_of(luma[None], rounded_at) / shared
        told = told if told >= AS_NOISE else 0.0
        return told if known.noise is None else known.noise, quality

    def _rough(self, quality: int | None, most: int = ROUGH) -> int | None:
        """Return a quality that is reckoned with: it is given, or rough enough to tell in what it left."""
        return quality if quality and (quality <= most or self.known.quality) else None

    def _noisy(self, noise: float, quality: int | None) -> bool:
        """Tell whether noise counts by itself; beside a blur, which cannot be undone without, any does."""
        return _grainy(noise, quality) if self.known.noise is None else noise > 0

    def _fine_of(self, located: Located, film: bool = False) -> tuple[Fine, bool]:
        """Return what a photo suffered at its own pixels, and whether it is as sharp as photos are.

        Args:
            film: it is a frame of a clip.
        """
        pixels, _ = own_pixels(located)
        if min(pixels.shape[:2]) < TILE:
            return Fine(), False
        luma = pixels.astype(np.float64) @ LUMA
        noise, quality = self._noise_and_quality(pixels, film)
        rough = self._rough(quality)
        blur, sharp = blur_of(luma, noise_of(luma[None], rough), CODED if film else rough)
        if self.known.blur is not None:
            blur, sharp = self.known.blur, False
        if not (blur or self._noisy(noise, rough)):
            noise = 0.0
        return Fine(blur, noise, self._rough(quality, ROUGH if noise else HEAVY)), sharp

    def of_frames(self, faces: Sequence[Located]) -> Damage:
        """Return what was done to photos of a face that suffered alike and show it about as large."""
        side = float(np.median([face.side for face in faces]))
        size = min(max(round(side), 1), self.resolution)
        pictures = np.stack([seen(face, self.resolution, size) for face in faces])
        if not self._tells_more(side):
            return self._of(pictures, side, False, self.known)
        told = [self._fine_of(face, film=True) for face in faces]
        blur, noise = np.median([(fine.blur, fine.noise) for fine, _ in told], axis=0).tolist()
        sharp = 2 * sum(one for _, one in told) > len(told)
        return self._of_large(pictures, side, Fine(blur, noise), sharp)

    def _tells_more(self, side: float) -> bool:
        """Tell whether the own pixels of a photo with so large a face hold more than is drawn."""
        return side >= FINER * self.resolution and (self.known.scale or 1) <= 1

    def _of_large(self, pictures: Pixels, side: float, fine: Fine, sharp: bool) -> Damage:
        """Return what was done to faces made small (B, h, h, 3), given what their own pixels say of it.

        Args:
            side: of the faces, in pixels of the photo.
            sharp: these are as sharp as photos are.
        """
        known = Known(blur=self.known.blur)  # the rest is said of the photo's own pixels
        damage = self._of(pictures, side, False, known, fine.noise > 0)
        return _agreed(damage, fine, sharp, self.resolution / side, self.resolution)

    def _of(
        self,
        pictures: Pixels,
        photo_side: float,
        untouched: bool,
        known: Known,
        grainy: bool | None = None,
    ) -> Damage:
        """Return what was done to pictures (B, h, h, 3), the faces of which were so many pixels wide.

        Args:
            known: what need not be estimated here.
            grainy: whether their noise is any; None: where it is enough.
        """
        given = photo_side / pictures.shape[1]  # photo pixels for each of these
        tone = tone_of(pictures.reshape(-1, *pictures.shape[2:]))
        luma = pictures.astype(np.float64) @ LUMA
        if len(luma[0]) < BLOCK:
            return Damage(len(luma[0]), tone=tone)  # so few pixels tell of nothing
        side, kernel = self._side(pictures, luma, photo_side, untouched, known.scale)
        small = np.stack([shrunk(pixels, side, kernel) for pixels in pictures])  # (B, side, side, 3)
        guessed = kernel is None and known.scale is None
        if guessed and noise_of(small @ LUMA, None) < CLEAN:
            # nothing that was there before it became small: a blur alone says as much
            side, small = len(luma[0]), pictures.astype(np.float64)
        quality = known.quality
        if quality is None and (kernel is not None or untouched):
            quality = quality_of(np.rint(small[0]).clip(0, 255).astype(np.uint8))
        # where its side is only estimated, a small picture says less of its blur than the whole one
        whole = luma if guessed else small @ LUMA
        blur, noise = self._blur_and_noise(small @ LUMA, whole, tone is not None, quality)
        if grainy is False or (grainy is None and noise < CLEAN):
            noise = 0.0
        unit = self.resolution / pictures.shape[1] / given  # crop pixels for each of the photo
        fixed = known.blur is not None or blur == NONE
        if known.blur is not None:
            blur = ((known.blur * unit) ** 2, 0.0, (known.blur * unit) ** 2)
        if known.noise is not None:
            noise = known.noise
        return Damage(side, blur, noise, quality or None, tone, kernel, fixed)

    def _side(
        self, pictures: Pixels, luma: Floats, photo_side: float, untouched: bool, scale: float | None
    ) -> tuple[int, Kernel | None]:
        """Return the side of what is left in pictures, and how it was enlarged to these, if it shows."""
        pixels, size = pictures[0], pictures.shape[1]
        if scale is not None:
            side = min(size, max(SMALLEST, round(photo_side / scale)))
            fits = untouched and side < size <= LARGEST
            found = next((one for one in KERNELS if fits and _excess(pixels, side, one) <= ROUNDING), None)
            return side, found
        if untouched and size <= LARGEST and (enlarged := _enlarged(pixels)) is not None:
            return enlarged
        there, clear = power(luma), self._spectrum(size)
        rings = _rings(size)
        shares = [there[rings == ring].mean() / clear[rings == ring].mean() for ring in range(size // 2 + 1)]
        left = [ring for ring, share in enumerate(shares) if share > EMPTY]
        # noise that came before the enlarging ends with it; blur alone leaves no more than an edge
        return min(size, max(SMALLEST, 2 * (max(left, default=0) + 1))), None

    def _blur_and_noise(
        self, luma: Floats, whole: Floats, grey: bool, quality: int | None
    ) -> tuple[tuple[float, float, float], float]:
        """Return the blur's covariance and the noise of small pictures (B, s, s), the likeliest together.

        Args:
            whole: (B, h, h), what they were made of.
        """
        side = luma.shape[-1]
        scale = self.resolution / side  # crop pixels for each of the small picture
        unit = self.resolution / 128
        sharp = SHARP * unit / scale
        steps = spectral_steps(quality, side)[:, : side // 2 + 1] if quality else np.zeros(1)
        blur, noise = fit(power(luma), self._spectrum(side), sharp, steps)
        covariance = tuple(float(entry) * scale**2 for entry in blur)
        shared = 1.0 if grey else math.hypot(*LUMA)
        level = noise_of(luma, quality)
        if self._fineness(side) > AS_NOISE:
            level = min(level, math.sqrt(noise))
        found = (covariance[0], covariance[1], covariance[2])
        even = covariance[0] + covariance[2] == 0 or _roundness(found) < ELONGATED
        size = whole.shape[-1]
        if size >= softness.SMALLEST and even:
            heavy = quality is not None and 0 < quality <= HEAVY
            spoilt = heavy or _grainy(level / shared, quality)
            square = self._softness(whole, spoilt) * (self.resolution / size) ** 2
            if square > (softness.WIDEST * self.resolution / size) ** 2:
                square = max(square, (found[0] + found[2]) / 2)  # the net has hardly seen wider ones
            square -= (scale**2 - (self.resolution / size) ** 2) / 12  # of the means that made them small
            found = (square, 0.0, square) if square > (SLIGHT if spoilt else SHARP) ** 2 * unit**2 else NONE
        return found, level / shared

    def _softness(self, luma: Floats, spoilt: bool) -> float:
        """Return the variance by which small pictures (B, s, s) are more blurred than clear ones.

        Args:
            spoilt: they are damaged for sure; if not, it is 0 where they are no softer than some clear ones.
        """
        side = luma.shape[-1]
        if side not in self._widths:
            kernel = area_kernel(self.resolution, side)
            self._widths[side] = softness.softness_of(np.rint(kernel @ self._luma @ kernel.T))
        known, width = self._widths[side], float(np.median(softness.softness_of(luma)))
        if not spoilt and width < np.quantile(known, SOFTEST) + SOFTER:
            return 0.0
        return max(width**2 - float(np.median(known)) ** 2, 0.0)


def _grainy(noise: float, quality: int | None) -> bool:
    """Tell whether so much noise, of 255 in each colour, is more than photos have or their JPEG leaves."""
    if not quality or quality > MILD:
        return noise >= (COARSE if quality else GRAINY)
    return bool(noise >= max(GRAINY, DROWNED * tables(quality)[0][ORDER >= FINE].min()))


def _agreed(damage: Damage, fine: Fine, sharp: bool, unit: float, resolution: int) -> Damage:
    """Return the damage of a crop made small, as far as its photo's own pixels do not say otherwise.

    Args:
        sharp: these are as sharp as photos are.
        unit: crop pixels for each of the photo.
        resolution: R.
    """
    longer, shorter = damage.widths
    even = longer <= ELONGATED * shorter
    if sharp and even and not 0 < damage.sigma <= BLURRED * unit:  # which would show there
        damage = replace(damage, blur=NONE, side=resolution, fixed=True)
    elif fine.blur > NATURAL:
        square = (fine.blur**2 - NATURAL**2) * unit**2
        if even and square > damage.sigma**2:  # made small, much of it is too narrow to be seen
            damage = replace(damage, blur=(square, 0.0, square), fixed=True)
        damage = replace(damage, side=resolution)  # its blur took the fine detail, not that it was small
    # of noise that went through JPEG the finest frequencies, by which it is told, have less than the others
    return replace(damage, noise=max(damage.noise, fine.noise * unit), fine=None if fine.clean else fine)


def own_pixels(located: Located) -> tuple[Pixels, tuple[int, int]]:
    """Return the part of a photo that holds a face's crop, at its own pixels, with its left and top.

    It begins where blocks of JPEG do; what a mask hides is continued.
    """
    from mystyle_cli.projection.degradations import fill_hole

    pixels, mask = located.photo.pixels, located.mask
    left, top = (np.maximum(located.quad.min(axis=0), 0) // BLOCK * BLOCK).astype(int).tolist()
    right, bottom = np.ceil(located.quad.max(axis=0)).astype(int).tolist()
    whole = pixels if mask is None else fill_hole(pixels, mask)
    return whole[top:bottom, left:right], (left, top)


def middle_of(pixels: Pixels, side: int) -> Pixels | None:
    """Return the middle (side, side, 3) of a photo's own pixels about a face: its crop, not turned.

    None where it is too small to tell much of its blur, or the photo ends within it.
    """
    down, across = ((length - side) // 2 for length in pixels.shape[:2])
    if side < TILED or min(down, across) < 0:
        return None
    return pixels[down : down + side, across : across + side]


def _middle(side: int) -> slice:
    """Return the middle of a side, from where a block of JPEG begins, long enough to know it by."""
    start = max(0, (side - MIDDLE) // 2 // BLOCK * BLOCK)
    return slice(start, start + MIDDLE)


def worsened(faces: npt.NDArray[np.float32], damage: Damage) -> npt.NDArray[np.float32]:
    """Do to clear faces (B, 3, R, R) what was done to a photo, and bring them back to R."""
    small = damage.done_to(faces.astype(np.float64))
    small = small + np.random.default_rng(0).normal(0, damage.noise / 127.5, small.shape)
    up = linear_kernel(damage.side, faces.shape[-1])
    again = np.asarray(up @ small @ up.T, np.float32)
    if damage.tone is None:
        return again
    luma = np.einsum("c,nchw->nhw", LUMA, again)  # lent colours would make anybody more like the person
    return np.repeat(luma[:, None], 3, axis=1).astype(np.float32)


def seen(located: Located, resolution: int, size: int | None = None) -> Pixels:
    """Return what a photo shows of a face, uint8 (h, h, 3).

    Args:
        size: h; None: R pixels a side, or as few as it has there.
    """
    from mystyle_cli.faces.align import warp
    from mystyle_cli.projection.degradations import fill_hole

    size = size or min(max(round(located.side), 1), resolution)
    pixels, mask = located.photo.pixels, located.mask
    if mask is None and size == resolution:
        return located.crop
    return warp(pixels if mask is None else fill_hole(pixels, mask), located.quad, size)


def shrunk(pixels: Pixels, side: int, kernel: Kernel | None) -> Floats:
    """Return the small picture (side, side, 3), of 255, that a picture was made of.

    Args:
        pixels: uint8 (h, h, 3).
        kernel: how it was enlarged, so that it can be had back; None averages.
    """
    if side == len(pixels):
        return pixels.astype(np.float64)
    back = area_kernel(len(pixels), side) if kernel is None else _inverse(len(pixels), side, kernel)
    planes = back @ pixels.transpose(2, 0, 1).astype(np.float64) @ back.T  # (3, side, side)
    return np.asarray(planes.transpose(1, 2, 0))


def _enlarged(pixels: Pixels) -> tuple[int, Kernel] | None:
    """Return from which side a picture was enlarged, and how; None: it shows no trace of it."""
    for kernel in KERNELS:
        off = [_excess(pixels, side, kernel) for side in range(SMALLEST, len(pixels))]
        for place, value in enumerate(off):
            about = [off[near] for near in (place - 2, place + 2) if 0 <= near < len(off)]
            # where wrong sides fit as well, the picture is smooth and does not tell
            if value <= ROUNDING and min(about) > DIP * value:
                return place + SMALLEST, kernel
    return None


def _excess(pixels: Pixels, side: int, kernel: Kernel) -> float:
    """Return how far a picture is off all that are enlarged from a side, over what rounding alone makes."""
    size, basis = len(pixels), _basis(len(pixels), side, kernel)
    green = pixels[..., 1].astype(np.float64)
    inside = basis @ (basis.T @ green @ basis) @ basis.T
    rounding = math.sqrt((1 - (side / size) ** 2) / 12)
    return float(np.sqrt(np.square(green - inside).mean())) / rounding


def _matrix(size: int, side: int, kernel: Kernel) -> Floats:
    """Return the matrix (size, side) by which Pillow enlarges a row."""
    from PIL import Image

    from mystyle_cli.photos.pixels import KERNELS as PILLOW

    unit = Image.fromarray(np.eye(side, dtype=np.float32))
    return np.asarray(unit.resize((size, side), PILLOW[kernel]), np.float64).T


@lru_cache(3 * LARGEST)  # all that is tried on a picture of one size; some 25 MB
def _basis(size: int, side: int, kernel: Kernel) -> Floats:
    """Return an orthonormal basis (size, side) of what rows enlarged from a side can be."""
    return np.asarray(np.linalg.qr(_matrix(size, side, kernel))[0])


def _inverse(size: int, side: int, kernel: Kernel) -> Floats:
    """Return the matrix (side, size) that undoes it."""
    return np.asarray(np.linalg.pinv(_matrix(size, side, kernel)))


def tone_of(pixels: Pixels) -> tuple[tuple[float, float], ...] | None:
    """Return slope and offset of each colour over luma in [-1, 1], (3, 2), of a picture without colours."""
    image = to_unit(pixels).reshape(3, -1).astype(np.float64)
    luma = np.asarray(LUMA) @ image
    spread = float(luma.var())
    slopes = ((image - image.mean(axis=1, keepdims=True)) * (luma - luma.mean())).mean(axis=1)
    slopes = slopes / spread if spread > 1e-6 else np.ones(3)
    offsets = image.mean(axis=1) - slopes * luma.mean()
    off = image - slopes[:, None] * luma - offsets[:, None]
    if math.sqrt(float(np.square(off).mean())) * 127.5 > GREY:
        return None
    if np.abs(slopes - 1).max() < 0.01 and np.abs(offsets).max() < 0.01:
        return ((1.0, 0.0),) * 3
    return tuple((float(slope), float(offset)) for slope, offset in zip(slopes, offsets, strict=True))


def power(planes: Floats) -> Floats:
    """Return the mean power (s, s // 2 + 1) of planes (B, s, s) at each frequency, edges faded out."""
    side = planes.shape[-1]
    window = np.sqrt(np.outer(np.hanning(side + 2)[1:-1], np.hanning(side + 2)[1:-1]))
    window /= math.sqrt(float(np.square(window).sum()))
    centred = planes - planes.mean(axis=(1, 2), keepdims=True)
    return np.asarray(np.square(np.abs(np.fft.rfft2(centred * window))).mean(axis=0))


def _rings(side: int) -> npt.NDArray[np.int64]:
    """Return for each frequency the larger of its two whole numbers, (s, s // 2 + 1)."""
    down = np.abs(np.fft.fftfreq(side) * side).round().astype(np.int64)
    return np.asarray(np.maximum(down[:, None], np.arange(side // 2 + 1)[None]))


def _round(width: float) -> Floats:
    """Return the covariance (3,) of a round blur, by the logarithm of its standard deviation."""
    return np.array([1.0, 0.0, 1.0]) * math.exp(2 * min(width, WIDEST))


def _long(first: float, second: float, turn: float) -> Floats:
    """Return the covariance (3,) of a blur with two standard deviations, by their logarithms, turned."""
    one, other = math.exp(2 * min(first, WIDEST)), math.exp(2 * min(second, WIDEST))
    cos, sin = math.cos(turn), math.sin(turn)
    return np.array([one * cos**2 + other * sin**2, (one - other) * cos * sin, one * sin**2 + other * cos**2])


@dataclass(frozen=True)
class _Fitted:
    told: float  # negative log-likelihood
    shape: Floats  # (3,), the blur's covariance
    numbers: Floats  # logarithms of contrast and noise first


def _roundness(blur: tuple[float, float, float]) -> float:
    """Return how many times longer than wide a blur is."""
    longer, shorter = Damage(1, blur).widths
    return longer / max(shorter, 1e-6)


def _lengthened(unlikely: Callable[[Floats, Floats], float], round_one: Floats) -> _Fitted | None:
    """Return the likeliest blur that is longer in one direction than a round one, or None."""
    from scipy.optimize import minimize

    best: _Fitted | None = None
    for turn in (0.0, math.pi / 4, math.pi / 2, 3 * math.pi / 4):
        start = np.array([*round_one[:2], round_one[2] + 0.4, round_one[2] - 0.4, turn])
        one = minimize(lambda n: unlikely(n, _long(*n[2:])), start, method="Nelder-Mead")
        if (best is None or one.fun < best.told) and abs(one.x[2] - one.x[3]) > math.log(ELONGATED):
            best = _Fitted(float(one.fun), _long(*one.x[2:]), one.x)
    return best


def fit(there: Floats, clear: Floats, sharp: float, steps: Floats) -> tuple[Floats, float]:
    """Return the Gaussian blur and the white noise that make a clear photo's power what is there.

    Args:
        there, clear: (s, s // 2 + 1), see `power`.
        sharp: standard deviation in pixels under which a blur is none: all that is fine could be noise then.
        steps: of JPEG's rounding at each frequency, or zero.

    Returns:
        The blur's covariance (3,) in pixels squared, across, mixed and down; and the noise's variance.
    """
    from scipy.optimize import minimize

    side = len(there)
    down, across = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    steps = np.broadcast_to(steps, there.shape)
    used = np.hypot(down, across) * side > 1.5  # what is coarser is how the head is held
    y, ref, steps = there[used] + 1e-3, clear[used] + 1e-3, steps[used]
    squares = np.stack(np.broadcast_arrays(across**2, 2 * across * down, down**2))[:, used]
    floor = max(float(np.quantile(y, 0.05)), 1e-2)

    def unlikely(numbers: Floats, shape: Floats) -> float:
        """Return the negative log-likelihood of contrast, noise and blur."""
        contrast, noise = np.exp(np.clip(numbers[:2], -20, 20))  # the simplex may reach anywhere
        model = rounded(contrast * ref * np.exp(-4 * np.pi**2 * (shape @ squares)) + noise, steps)
        told = float((np.log(model) + y / model).sum())
        return told + 2 * float(numbers[0]) ** 2 + len(y) * GAIN * math.sqrt(float(noise)) / NOISY

    starts = [(0.0, math.log(floor), width) for width in (-2.0, -0.5, 0.5)]
    found = [minimize(lambda n: unlikely(n, _round(n[2])), start, method="Nelder-Mead") for start in starts]
    best = min(found, key=lambda one: float(one.fun))
    shape, least = _round(float(best.x[2])), float(best.fun)
    none = np.zeros(3)
    levels = floor, floor / 20
    found = [
        minimize(lambda n: unlikely(n, none), (0.0, math.log(level)), method="Nelder-Mead")
        for level in levels
    ]
    if shape[0] < sharp**2 or min(float(one.fun) for one in found) < least + BLUR_GAIN * len(y):
        noise = float(np.exp(min(found, key=lambda one: float(one.fun)).x[1]))
        # a photo may have twice as much fine detail as others
        return none, noise if noise > float(np.quantile(ref, 0.05)) else 0.0
    longer = _lengthened(unlikely, best.x)
    if longer is not None and longer.told < least - 0.02 * len(y):
        return longer.shape, float(np.exp(longer.numbers[1]))
    return shape, float(np.exp(best.x[1]))
