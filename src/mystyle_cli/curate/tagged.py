"""The photos of an album that are tagged with a person's name, and where on them the person is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from mystyle_cli.errors import UsageError, one_line
from mystyle_cli.photos.tags import Box, TagReader, key_of
from mystyle_cli.progress import Progress, Step, silent

if TYPE_CHECKING:
    from mystyle_cli.faces.face import Face
    from mystyle_cli.photos.pixels import Pixels

NAMED: Final = 8  # names of others that a refusal lists
LEAST: Final = 0.1  # share of two boxes that is in both, at least, where they are about one face
MOST_BOXES: Final = 8  # of a person on a photo that are looked at; each may take seconds
AROUND: Final = 1.5  # how far around a box a face is looked for again, in its sides


def find_tagged(
    photos: Sequence[Path], name: str, progress: Progress = silent
) -> dict[Path, tuple[Box, ...]]:
    """Return the photos that are tagged with a name, and where the person is on each, the likeliest first.

    Args:
        photos: which are only read, with what lies beside them.
        name: compared without regard to capitals and to how letters are spelled in Unicode.

    Returns:
        for each such photo its boxes, `MOST_BOXES` at most; none where only the name is noted.

    Raises:
        UsageError: no photo is tagged so; it names those that are.
    """
    reader, wanted = TagReader(), key_of(name)
    found: dict[Path, tuple[Box, ...]] = {}
    others: Counter[str] = Counter()
    for number, path in enumerate(photos):
        tags = reader.tags_of(path)
        theirs = [tag for tag in tags if key_of(tag.name) == wanted]
        if theirs:
            boxes = dict.fromkeys(box for tag in theirs for box in tag.boxes)
            found[path] = tuple(boxes)[:MOST_BOXES]
        others.update({key_of(tag.name): tag.name for tag in tags if tag.person}.values())
        progress(Step("tags", number + 1, len(photos)))
    if found:
        return found
    if not others:
        hint = "Write people's names into the photos first, or leave out --from-tags: docs/learn.md says how."
        raise UsageError(f"nobody is tagged in these {len(photos)} photos", hint)
    most = sorted(others.items(), key=lambda one: (-one[1], one[0]))[:NAMED]
    listed = [f"{one_line(other)} ({count})" for other, count in most]
    more = f", and {len(others) - NAMED} more" if len(others) > NAMED else ""
    raise UsageError(
        f"no photo is tagged {one_line(name)!r}", f"There are, with their photos: {', '.join(listed)}{more}."
    )


def face_in(pixels: Pixels, faces: Sequence[Face], boxes: Sequence[Box]) -> Face | None:
    """Return the face in the first box that has one, which is looked at closely where none was found.

    Args:
        pixels: uint8 (H, W, 3), the photo.
        faces: those that were found on it.
    """
    height, width = pixels.shape[:2]
    scaled = [(box[0] * width, box[1] * height, box[2] * width, box[3] * height) for box in boxes]
    for near in (False, True):
        for box in scaled:
            looked_at = _found_near(pixels, box) if near else faces
            inside = [face for face in looked_at if _meet(face.box, box)]
            if inside:
                return max(inside, key=partial(_shared, box))
    return None


def _shared(box: Box, face: Face) -> float:
    return _overlap(face.box, box)


def _found_near(pixels: Pixels, box: Box) -> list[Face]:
    """Return the faces that are found where only what is around a box is looked at."""
    from mystyle_cli.faces.faces import find_faces

    height, width = pixels.shape[:2]
    across, down = AROUND * (box[2] - box[0]), AROUND * (box[3] - box[1])
    left, top = max(math.floor(box[0] - across), 0), max(math.floor(box[1] - down), 0)
    right, bottom = min(math.ceil(box[2] + across), width), min(math.ceil(box[3] + down), height)
    if (right - left) * (bottom - top) > height * width / 2:  # nearly all of it was looked at already
        return []
    corner = np.array([left, top], np.float64)
    return [
        replace(
            face,
            box=(face.box[0] + left, face.box[1] + top, face.box[2] + left, face.box[3] + top),
            landmarks=face.landmarks + corner,
        )
        for face in find_faces(pixels[top:bottom, left:right])
    ]


def _meet(one: Box, other: Box) -> bool:
    """Tell whether two boxes can be about one face: one holds the middle of the other, and they overlap."""
    return (_holds(one, other) or _holds(other, one)) and _overlap(one, other) > LEAST


def _holds(one: Box, other: Box) -> bool:
    x, y = (other[0] + other[2]) / 2, (other[1] + other[3]) / 2
    return one[0] <= x <= one[2] and one[1] <= y <= one[3]


def _overlap(one: Box, other: Box) -> float:
    """Return the share of two boxes together that is in both."""
    across = max(min(one[2], other[2]) - max(one[0], other[0]), 0.0)
    both = across * max(min(one[3], other[3]) - max(one[1], other[1]), 0.0)
    sizes = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return both / max(sizes - both, 1e-9)
