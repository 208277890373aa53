"""How blurred a small picture of a face is, told by a net that has seen many, spoilt in every way.

It learned what noise, JPEG and other coders do to an edge, which no spectrum tells apart from sharpness
(`tools/faces/train_softness.py`); how sharp a person's own photos are is for the caller to compare with.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mystyle_cli.faces.models import Net, open_net

NET: Final = Path(__file__).with_name("softness.onnx")

FLOOR: Final = 0.5
"""Standard deviation, in pixels, that the net adds in squares to each blur: less is as good as none."""

SMALLEST: Final = 14
"""Side in pixels of the smallest picture that it has seen; the largest had 124."""

WIDEST: Final = 5.0
"""Standard deviation, in pixels, up to which it tells a blur: it has seen none of more than 6."""


@lru_cache(maxsize=1)
def _net() -> Net:
    return open_net(NET)


def softness_of(planes: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Return the standard deviations, in pixels, of the blur of pictures (B,); about 0 where they are sharp.

    Args:
        planes: (B, s, s), luma of 255; s is at least `SMALLEST`.
    """
    # one by one: of large pictures many would take gigabytes
    told = np.concatenate([_net()(np.asarray(one, np.float32)[None, None]) for one in planes])  # (B,)
    return np.asarray(np.sqrt(np.maximum(np.exp(2 * told.astype(np.float64)) - FLOOR**2, 0.0)))
