"""Stored values -> sRGB: bit depths, embedded profiles, and what PNG, AVIF and HEIC say of their colours."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from mystyle_cli.errors import DecodeError
from mystyle_cli.photos.pixels import Pixels

Floats = NDArray[np.float32]
Curve = Callable[[Floats], Floats]
Primaries = tuple[tuple[float, float], ...]  # x, y of red, green, blue and white

BT709: Final[Primaries] = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), (0.3127, 0.3290))
BT2020: Final[Primaries] = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), (0.3127, 0.3290))
P3: Final[Primaries] = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.3127, 0.3290))
ADOBE: Final[Primaries] = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), (0.3127, 0.3290))

_CODED_PRIMARIES = {9: BT2020, 12: P3}  # ITU-T H.273; others count as BT.709
_CODED_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}  # others that are no HDR count as sRGB's curve, as viewers have it
_HDR = {16: "PQ", 18: "HLG"}
_SAME = 2  # grey levels by which a profile may change colours and still count as sRGB
_ROWS = 256  # converted at once
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


@dataclass(frozen=True)
class Encoding:
    """How a picture's numbers stand for light."""

    primaries: Primaries = BT709  # of its colours, with its white
    gamma: float | None = None  # exponent that gives light; None is sRGB's own curve

    @property
    def plain(self) -> bool:
        """It is sRGB, near enough for nobody to see a difference."""
        same = np.abs(np.subtract(self.primaries, BT709)).max() < 0.01
        return bool(same) and (self.gamma is None or abs(self.gamma - 2.2) < 0.11)


def coded(primaries: int, transfer: int) -> Encoding:
    """Return the encoding of code points of ITU-T H.273, as AVIF, HEIC and PNG's cICP have them.

    Raises:
        DecodeError: it is HDR, of which 8 bits show nothing right.
    """
    if transfer in _HDR:
        raise DecodeError(
            f"it is an HDR picture ({_HDR[transfer]}), which is not read",
            "Export it as an ordinary photo (SDR).",
        )
    return Encoding(_CODED_PRIMARIES.get(primaries, BT709), _CODED_GAMMAS.get(transfer))


def scaled(image: Image.Image, encoding: Encoding) -> tuple[Image.Image, Encoding]:
    """Return grey of 16 bit, 32 bit or float as mode L, with the encoding that is left to be applied.

    What is no number counts as black, what is infinite as black or white.

    Raises:
        DecodeError: none of its values is a finite number.
    """
    values = np.asarray(image).astype(np.float32)
    tags: Any = getattr(image, "tag_v2", {})
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise DecodeError("none of its values is a number", "Export it again.")
    white = _white(image, finite, tags)
    shares = np.clip(np.nan_to_num(values / np.float32(white), nan=0.0), 0, 1)
    if tags.get(262) == 0 and image.mode != "F":  # WhiteIsZero, which Pillow honours at 8 bits only
        shares = 1 - shares
    if encoding.gamma is not None and not encoding.plain:
        shares, encoding = _encode(shares**encoding.gamma), Encoding(encoding.primaries)
    return Image.fromarray(np.rint(shares * 255).astype(np.uint8)), encoding


def _white(image: Image.Image, finite: Floats, tags: Any) -> float:
    peak = float(finite.max())
    if image.mode == "F":
        # 99 %: a few odd pixels shall not tell the scale
        bright = float(np.quantile(finite[:: max(1, finite.size // 100_000)], 0.99))
        return next((white for white in (1.0, 255.0, 65535.0) if bright <= white), peak)
    bits = tags.get(258, (16,))[0]
    if bits == 12:  # they stand in 16
        return 4095.0
    if image.mode != "I" or image.format == "PPM":  # to which Pillow scales a PPM's
        return 65535.0
    return next((white for white in (255.0, 65535.0) if peak <= white), 2.0**31 - 1)


def to_srgb(image: Image.Image, profile: bytes | None, encoding: Encoding) -> Pixels:
    """Return uint8 (H, W, 3) sRGB; a profile that does not fit the picture is ignored, as viewers do.

    Args:
        image: of mode RGB, L, CMYK, LAB, YCbCr or HSV.
        profile: its ICC profile, which goes before `encoding`, or None.
    """
    grey = image.mode == "L"
    converted = _by_profile(image, profile) if profile else None
    if converted is None and image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    if converted is not None:
        pixels = np.array(converted)
    else:
        pixels = np.array(image.convert("RGB"))
        if not encoding.plain:
            _apply(pixels, encoding)
    if grey and converted is not None:  # what a profile's rounding makes of it is no colour
        pixels[..., 0] = pixels[..., 2] = pixels[..., 1]
    return pixels


def _by_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """Return a picture as an ICC profile has it; None where that is sRGB already, or does not fit."""
    with suppress(ImageCms.PyCMSError, OSError, ValueError):
        embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = embedded.profile.xcolor_space.strip()
        if image.mode == "L" and space == "RGB":
            image = image.convert("RGB")
        if image.mode not in ("RGB", "L", "CMYK", "LAB"):
            return None
        srgb = ImageCms.createProfile("sRGB")
        if image.mode == "RGB":
            probe = _probe()
            shown = ImageCms.profileToProfile(probe, embedded, srgb, outputMode="RGB")
            if shown is None or np.abs(np.asarray(shown).astype(int) - np.asarray(probe)).max() <= _SAME:
                return None
        return ImageCms.profileToProfile(image, embedded, srgb, outputMode="RGB")
    return None


def _probe() -> Image.Image:
    """Return a picture of every ninth of each colour."""
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3))


def _apply(pixels: Pixels, encoding: Encoding) -> None:
    """Turn encoded pixels (H, W, 3) into sRGB, in place."""
    levels: Floats = np.linspace(0, 1, 256, dtype=np.float32)
    light: Floats = _decode(levels) if encoding.gamma is None else levels ** np.float32(encoding.gamma)
    matrix = _matrix(encoding.primaries)
    if np.abs(matrix - np.eye(3)).max() < 1e-3:  # each channel by itself: a table does
        pixels[:] = np.rint(_encode(light) * 255).astype(np.uint8)[pixels]
        return
    for top in range(0, len(pixels), _ROWS):
        rows = light[pixels[top : top + _ROWS]] @ matrix.T.astype(np.float32)
        pixels[top : top + _ROWS] = np.rint(_encode(rows.clip(0, 1)) * 255).astype(np.uint8)


def _decode(values: Floats) -> Floats:
    """Return the light that sRGB values in [0, 1] stand for."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _encode(light: Floats) -> Floats:
    """Return the sRGB values of light in [0, 1]."""
    curved = 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055
    return np.where(light <= 0.0031308, 12.92 * light, curved).astype(np.float32)


def _matrix(primaries: Primaries) -> NDArray[np.float64]:
    """Return (3, 3): from light in these primaries to light in sRGB's, white to white."""
    white = [_xyz([colours[3]])[:, 0] for colours in (primaries, BT709)]
    cones = [_BRADFORD @ colour for colour in white]
    adapt = np.linalg.inv(_BRADFORD) @ np.diag(cones[1] / cones[0]) @ _BRADFORD
    return np.asarray(np.linalg.solve(_to_xyz(BT709), adapt @ _to_xyz(primaries)))


def _to_xyz(primaries: Primaries) -> NDArray[np.float64]:
    columns = _xyz(primaries[:3])
    # white comes out as white
    return np.asarray(columns * np.linalg.solve(columns, _xyz([primaries[3]])[:, 0]))


def _xyz(chromaticities: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    """Return XYZ as columns (3, n) of chromaticities, at Y = 1."""
    return np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in chromaticities]).T
