"""Whether a picture is what it says of itself: a sample is drawn again and compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from mystyle_cli.errors import UsageError
from mystyle_cli.person.profile import GENERATOR
from mystyle_cli.person.samples import Sampler, draw_parts
from mystyle_cli.photos.grid import grid

if TYPE_CHECKING:
    from pathlib import Path

    from mystyle_cli.person.profile import Profile
    from mystyle_cli.person.rendering import Renderer
    from mystyle_cli.photos.decode import Pixels

SAME: Final = 2
"""Steps of 8 bits by which what renders may differ: torch and onnxruntime round otherwise."""

LOSSY: Final = 6.0
"""Steps by which the brightness of a square of 8 x 8 pixels may differ on average after JPEG or WebP.

Of 12 pictures of the prior `faces` the worst square differs by 1.6 at JPEG's quality 95, 4.3 at 75 and 5.4 at
50; of any two of them by 85 or more. Colour is not compared: both formats keep it at half the size.
"""

_BRIGHTNESS: Final = np.array([0.299, 0.587, 0.114])
"""What red, green and blue contribute, as in JPEG."""

MOST: Final = 10_000
"""Pictures on a sheet that is drawn again."""


@dataclass(frozen=True)
class Claim:
    """What came of drawing a picture again.

    Args:
        holds: it is what it says.
        largest: the largest difference of a pixel, in steps of 8 bits; None where it has another size.
        square: the largest mean difference in brightness of a square of 8 x 8 pixels; None where it has
            another size.
        lossless: whether it was compared pixel by pixel.
    """

    holds: bool
    largest: int | None
    square: float | None
    lossless: bool


def check_claim(path: Path, profile: Profile, renderer: Renderer) -> Claim:
    """Draw a sample again from what it says of itself, and compare.

    Args:
        path: the picture.
        profile: the one that it names, or the one that it is said to be of.
        renderer: its generator.

    Raises:
        DecodeError: it is no picture.
        UsageError: it says nothing of mystyle, was made from a photo, or with another generator.
    """
    from mystyle_cli.photos.decode import decode, read_file
    from mystyle_cli.photos.marks import read_marks, stamped

    marks = read_marks(path)
    if marks is None:
        raise UsageError(
            f"{path} says nothing of mystyle, so there is nothing to verify",
            "Give a sample as mystyle wrote it; programs that pass pictures on often drop what they say.",
        )
    drawn, seed = marks.drawn, marks.seed
    if drawn is None or seed is None:
        raise UsageError(
            f"{path} was made from a photo by {marks.command}, and cannot be made again without that photo",
            "Give the command again with the same photo, options and seed, and compare.",
        )
    if marks.generator != profile.manifest.digests().get(GENERATOR):
        raise UsageError(
            f"{path} was made by another generator than profile '{profile.name}' has now",
            "Name the profile of then, from a backup, with --profile.",
        )
    beta = (marks.beta or 0.0) if drawn.sampler == "uniform" else 0.0
    possible = 1 <= drawn.count <= MOST and 1 <= drawn.anchors <= len(profile.anchors()) and 0 <= beta <= MOST
    if not possible or seed < 0 or drawn.sampler not in ("anchors", "uniform"):
        raise UsageError(
            f"{path} says of itself what no sample of '{profile.name}' does",
            "Somebody changed what it says; do not rely on it.",
        )
    seeds = range(seed, seed + drawn.count)
    parts = draw_parts(profile, renderer, seeds, cast(Sampler, drawn.sampler), beta, drawn.anchors)
    pixels = np.concatenate([part.pixels for part in parts])
    made = pixels[0] if drawn.count == 1 else grid(pixels)
    lossless = read_file(path).startswith(b"\x89PNG")
    return _compared(decode(path).pixels, stamped(made) if marks.visible else made, lossless)


def _compared(found: Pixels, made: Pixels, lossless: bool) -> Claim:
    """Compare a picture with what it should be."""
    if found.shape != made.shape:
        return Claim(False, None, None, lossless)
    signed = found.astype(np.int16) - made.astype(np.int16)
    difference = np.abs(signed)
    height, width = (side // 8 * 8 for side in difference.shape[:2])
    brightness = np.abs(signed[:height, :width] @ _BRIGHTNESS)
    squares = brightness.reshape(height // 8, 8, width // 8, 8).mean(axis=(1, 3))
    largest, square = int(difference.max()), float(squares.max())
    return Claim(largest <= SAME if lossless else square <= LOSSY, largest, square, lossless)
