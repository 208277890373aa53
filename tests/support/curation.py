"""What curation sees of a good photo and of a prior."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mystyle_cli.curate.curate import Curation, Known, curate
from mystyle_cli.curate.examine import Criteria
from mystyle_cli.faces.align import FFHQ
from mystyle_cli.photos.decode import digests_of
from mystyle_cli.progress import Progress, silent

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


def judge(
    photos: Iterable[Path], known: Known | None = None, progress: Progress = silent, **criteria: Any
) -> Curation:
    """Curate photos by the criteria of a prior of 128 pixels."""
    by = Criteria(**{"resolution": SIZE, "crop": FFHQ, **criteria})
    return curate(digests_of(photos), by, known, progress=progress)
