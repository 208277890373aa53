"""Photos that show the same picture twice (paper, app. A.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mystyle_cli.curate.identity import Matrix
from mystyle_cli.faces.align import Crop
from mystyle_cli.photos.pixels import Pixels

_OTHERS = 56  # bits, between copies and other photos of a person


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
        hashes: n perceptual hashes.
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
