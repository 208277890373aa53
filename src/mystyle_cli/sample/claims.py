"""Whether a picture is what it says of itself: how one is compared, and a sample drawn again for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, cast

import numpy as np

from mystyle_cli.errors import UsageError
from mystyle_cli.person.layout import GENERATOR
from mystyle_cli.person.years import span_of
from mystyle_cli.photos.pixels import grid
from mystyle_cli.sample.samples import Sampler, draw_parts

if TYPE_CHECKING:
    from pathlib import Path

    from mystyle_cli.person.profile import Profile
    from mystyle_cli.photos.marks import Provenance
    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.sample.rendering import Renderer

SAME: Final = 2  # steps of 8 bits by which what renders may differ: torch and onnxruntime round otherwise

# steps by which the brightness of a square of 8 x 8 pixels may differ on average after JPEG or WebP. Of 12
# pictures of the prior `faces` the worst square differs by 1.6 at JPEG's quality 95, 4.3 at 75 and 5.4 at 50;
# of any two of them by 85 or more. Colour is not compared: both formats keep it at half the size.
LOSSY: Final = 6.0

_BRIGHTNESS: Final = np.array([0.299, 0.587, 0.114])  # what red, green and blue contribute, as in JPEG
MOST: Final = 10_000  # pictures on a sheet that is drawn again

# what to do about a record that mystyle does not write
FORGED: Final = "Somebody changed what it says; do not rely on it."


@dataclass(frozen=True)
class Claim:
    """What came of drawing a picture again."""

    holds: bool  # it is what it says
    # the largest difference of a pixel, in steps of 8 bits; None where it has another size
    largest: int | None
    # the largest mean difference in brightness of a square of 8 x 8 pixels; None where it has another size
    square: float | None
    lossless: bool  # whether it was compared pixel by pixel
    part: Literal["whole", "face"] = "whole"  # what of it was: all, or the middle of its face


def check_sample(path: Path, marks: Provenance, profile: Profile, renderer: Renderer) -> Claim:
    """Draw a sample again from what it says of itself; `profile` need not be the one that it names.

    Raises:
        DecodeError: it is no picture.
        UsageError: it was drawn with another generator, or no sample says what it says.
    """
    refuse_other_generator(path, marks, profile)
    profile = profile.one(marks.person or None)
    drawn, seed = marks.drawn, marks.seed
    if drawn is None or seed is None:
        raise UsageError(f"{path} does not say how it was drawn", FORGED)
    beta = (marks.beta or 0.0) if drawn.sampler == "uniform" else 0.0
    possible = 1 <= drawn.count <= MOST and 1 <= drawn.anchors <= len(profile.anchors()) and 0 <= beta <= MOST
    if not possible or seed < 0 or drawn.sampler not in ("anchors", "uniform"):
        raise UsageError(
            f"{path} says of itself what no sample of '{profile.name}' does",
            FORGED,
        )
    seeds, year = range(seed, seed + drawn.count), marks.year
    if year is not None and span_of(profile, year).digest != drawn.photos:
        raise UsageError(
            f"{path} was drawn from the photos of about {year}, and profile '{profile.name}' says others now",
            "Name the profile of then, from a backup, with --profile.",
        )
    sampler = cast(Sampler, drawn.sampler)
    parts = draw_parts(profile, renderer, seeds, sampler, beta, drawn.anchors, year=year)
    pixels = np.concatenate([part.pixels for part in parts])
    return compare(path, pixels[0] if drawn.count == 1 else grid(pixels), marks)


def refuse_other_generator(path: Path, marks: Provenance, profile: Profile) -> None:
    """Refuse to judge a picture that a profile's generator, as it is now, did not draw; raises UsageError."""
    if marks.generator != profile.manifest.digests().get(GENERATOR):
        raise UsageError(
            f"{path} was made by another generator than profile '{profile.name}' has now",
            "Name the profile of then, from a backup, with --profile.",
        )


def compare(path: Path, made: Pixels | None, marks: Provenance) -> Claim:
    """Compare a picture with what was made again, without a visible mark; None where it has another size."""
    from mystyle_cli.photos.decode import decode, read_file
    from mystyle_cli.photos.marks import stamped

    found, lossless = decode(path).pixels, read_file(path).startswith(b"\x89PNG")
    if made is None or found.shape != made.shape:
        return Claim(False, None, None, lossless)
    made = stamped(made) if marks.visible else made
    signed = found.astype(np.int16) - made.astype(np.int16)
    difference = np.abs(signed)
    height, width = (side // 8 * 8 for side in difference.shape[:2])
    brightness = np.abs(signed[:height, :width] @ _BRIGHTNESS)
    squares = brightness.reshape(height // 8, 8, width // 8, 8).mean(axis=(1, 3))
    largest, square = int(difference.max()), float(squares.max())
    return Claim(largest <= SAME if lossless else square <= LOSSY, largest, square, lossless)
