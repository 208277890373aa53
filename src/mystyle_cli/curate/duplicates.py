"""Photos that show the same picture twice (paper, app. A.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mystyle_cli.curate.choice import Choice
from mystyle_cli.curate.examine import Criteria, Examined
from mystyle_cli.curate.identity import Matrix
from mystyle_cli.faces.align import Crop
from mystyle_cli.photos.pixels import Pixels

_OTHERS = 56  # bits, between copies and other photos of a person


def repeated_photos(examined: Sequence[Examined], choice: Choice, by: Criteria) -> dict[int, str]:
    """Return for each chosen photo that repeats a better one that one's name; known faces always stay."""
    rows = [*choice.anchors, *choice.chosen.values()]
    hashes = [perceptual_hash(choice.rows[row].crop) for row in rows]
    worth = [math.inf] * len(choice.anchors) + [
        _worth(examined[photo], choice.candidate(photo)) for photo in choice.chosen
    ]
    similarity = choice.similarity[np.ix_(rows, rows)]
    bits = most_bits(by.settings.duplicate_bits, by.crop)
    better = duplicates(similarity, hashes, worth, by.settings.duplicate_identity, bits)
    names = ["a photo of the profile"] * len(choice.anchors) + [
        examined[photo].file for photo in choice.chosen
    ]
    photos = [-1] * len(choice.anchors) + list(choice.chosen)
    return {photos[later]: names[first] for later, first in better.items()}


def _worth(item: Examined, candidate: int) -> float:
    """Return how much of a face a file holds: of two copies the larger, less compressed one is the better."""
    return 4 * math.log(item.candidates[candidate].scores["side"]) + math.log(max(item.bytes, 1))


def perceptual_hash(crop: Pixels) -> NDArray[np.bool_]:
    """Return the 256 bits of a crop's perceptual hash; with 64, any two aligned faces come close."""
    import imagehash

    return np.asarray(imagehash.phash(Image.fromarray(crop), 16).hash, dtype=bool).ravel()


def most_bits(bits: int, crop: Crop) -> int:
    """Return by how many bits the hashes of two copies may differ on a crop, given the FFHQ square's limit.

    Landmarks of copies differ a little, which moves a tight crop by more of its side. Cut to 0.58 of the FFHQ
    square, copies in albums of real people differ by 50 and other photos by 62 at least.
    """
    return min(round(bits / min(crop.scale, 1.0)), max(bits, _OTHERS))


def duplicates(
    similarity: Matrix, hashes: Sequence[NDArray[np.bool_]], worth: Sequence[float], cosine: float, bits: int
) -> dict[int, int]:
    """Return for each photo that repeats a better one the index of that one.

    Args:
        similarity: (n, n) identity similarities.
        worth: the larger is kept; of equals the first.
        cosine: identity above which two photos may be duplicates.
        bits: largest difference of their hashes.
    """
    repeated: dict[int, int] = {}
    kept: list[int] = []
    for index in sorted(range(len(hashes)), key=lambda i: (-worth[i], i)):
        twins = [
            k
            for k in kept
            if similarity[index, k] > cosine and int((hashes[index] != hashes[k]).sum()) <= bits
        ]
        if twins:
            repeated[index] = max(twins, key=lambda k: (similarity[index, k], -k))
        else:
            kept.append(index)
    return repeated
