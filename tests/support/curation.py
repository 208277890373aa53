"""What curation sees of a good photo and of a prior."""

from __future__ import annotations

from dataclasses import dataclass

from mystyle_cli.faces.align import FFHQ, Crop

SIZE = 128


GOOD = {
    "side": 200.0,
    "colour": 9.0,
    "sharpness": 0.6,
    "brightness": 130.0,
    "contrast": 30.0,
    "yaw": 10.0,
    "pitch": -5.0,
    "cut": 0.0,
    "cover": 0.05,
    "eyes": 0.6,
}


@dataclass(frozen=True)
class Prior:
    """A domain prior as far as curation looks at it."""

    resolution: int = 128
    crop: Crop = FFHQ
