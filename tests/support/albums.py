"""Photos of nobody, and a curation that keeps them: for learning without faces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mystyle_cli.curate.records import PhotoRecord, Reason
from mystyle_cli.faces.align import AlignedFace
from mystyle_cli.instant.net import InstantSettings
from mystyle_cli.learn.settings import LearnSettings
from mystyle_cli.progress import Step
from mystyle_cli.tuning.settings import TuneSettings

NET = InstantSettings(samples=8, views=1, width=4, steps=4, batch=4)


QUICK = LearnSettings(instant=NET, tuning=TuneSettings(passes=2, batch=3, save_seconds=0.0))


def fake_curate(photos: Mapping[Path, str], by: Any, known: Any, seed: int, progress: Any) -> Any:
    """Stand in for curation, which needs real faces: every picture is kept but those named bad."""
    from mystyle_cli.curate.curate import Curation

    records, faces = [], {}
    for number, path in enumerate(sorted(photos, key=lambda path: path.name)):
        digest = photos[path]
        good = "bad" not in path.name
        split = None if not good else "held-out" if "held" in path.name else "train"
        reason = Reason.KEPT if good else Reason.NO_FACE
        records.append(PhotoRecord(digest, path.name, reason, "", {"yaw": 1.0}, None, split))
        if good:
            size = by.resolution
            pixels = np.asarray(Image.open(path).convert("RGB").resize((size, size)))
            faces[digest] = AlignedFace(pixels, np.zeros((4, 2)), np.ones((size, size), np.float32))
        progress(Step("curate", number + 1, len(photos)))
    return Curation(tuple(records), faces, np.zeros((8, 8, 3), np.uint8), ())


def learn_quickly(setattr: Callable[[object, str, object], None]) -> None:
    """Let learning find a face in every picture, and ask the held-out ones in searches of one step.

    Args:
        setattr: Python's own, or a patch's.
    """
    from mystyle_cli.learn import betas, stages

    setattr(stages, "curate", fake_curate)
    setattr(betas, "STEPS", 1)


def make_photos(folder: Path, count: int, start: int = 0) -> list[Path]:
    """Write smooth random pictures; every sixth is bad and every fifth is to be held out."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(start, start + count):
        rng = np.random.default_rng(number)
        small = rng.integers(0, 256, (4, 4, 3), np.uint8)
        kind = "bad" if number % 6 == 5 else "held" if number % 5 == 4 else "good"
        paths.append(folder / f"{number:02d}-{kind}.png")
        Image.fromarray(small).resize((48, 48), Image.Resampling.BICUBIC).save(paths[-1])
    return paths
