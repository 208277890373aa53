"""Figures by which pictures are judged: fidelity, identity by two nets, and a person's trait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from mystyle_cli.person.score import perceptual_distances

if TYPE_CHECKING:
    from mystyle_cli.faces.align import Crop
    from mystyle_cli.nets.perceptual import Perceptual

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

GAP: Final = 2  # Pixels around a mark that count neither as mark nor as skin: its edge is mixed
RING: Final = 4  # width in pixels of the ring of skin around that gap
LEAST_PIXELS: Final = 4  # a mark that shows fewer pixels is turned away, and says nothing


def psnr(made: Floats, truth: Floats, weight: Floats | None = None) -> npt.NDArray[np.float64]:
    """Return the peak signal-to-noise ratio in dB, one value for each picture.

    Args:
        made: (B, 3, R, R) in [-1, 1]; values beyond are clipped.
        truth: (B, 3, R, R) in [-1, 1].
        weight: (B, R, R), how much each pixel counts; None: all alike.
    """
    error = np.square(made.clip(-1, 1).astype(np.float64) - truth).mean(axis=1)  # (B, R, R)
    share = np.ones_like(error) if weight is None else np.asarray(weight, np.float64)
    mean = (error * share).sum(axis=(1, 2)) / share.sum(axis=(1, 2))
    return np.asarray(10 * np.log10(4.0 / np.maximum(mean, 1e-12)))


def lpips(perceptual: Perceptual, made: Floats, truth: Floats) -> Floats:
    """Return LPIPS between pictures (B, 3, R, R) in [-1, 1], one value for each pair.

    Args:
        perceptual: the prior's perceptual net.
        made: clipped to [-1, 1].
        truth: what `made` should look like.
    """
    return perceptual_distances(perceptual, np.ascontiguousarray(made.clip(-1, 1)), truth)


def describe_faces(images: Floats, crop: Crop) -> npt.NDArray[np.float64]:
    """Return dlib's descriptors (B, 128) of faces (B, 3, R, R) in [-1, 1] that were aligned to a crop.

    dlib's net judges independently: nothing here was trained with it. The face's place on an aligned crop is
    known, so that a picture in which its detector fails is judged all the same.
    """
    from mystyle_cli.faces.face import aligned_face, describe
    from mystyle_cli.photos.pixels import to_pixels

    return np.stack([describe(face, aligned_face(face, crop)) for face in to_pixels(images)])


def nearest_distance(
    descriptors: npt.NDArray[np.float64],
    references: npt.NDArray[np.float64],
    exclude: Sequence[Sequence[int]] | None = None,
) -> npt.NDArray[np.float64]:
    """Return the Euclidean distance (B,) to the nearest reference: dlib's counterpart of the ID error.

    Args:
        descriptors: (B, D).
        references: (N, D).
        exclude: for each row, the indices of references that do not count.

    Raises:
        ValueError: nothing is left to compare a row with.
    """
    distances = np.linalg.norm(descriptors[:, None] - references[None], axis=-1)  # (B, N)
    if exclude is not None:
        for row, left_out in zip(distances, exclude, strict=True):
            row[list(left_out)] = np.inf
    nearest = distances.min(axis=1)
    if not np.isfinite(nearest).all():
        raise ValueError("no reference is left to compare with")
    return np.asarray(nearest)


def skin_ring(mark: Bools, gap: int = GAP, width: int = RING) -> Bools:
    """Return the ring (R, R) around a mark that shows the skin beside it.

    Args:
        mark: (R, R), where the mark is.
        gap: pixels beside the mark that count for neither.
        width: of the ring, in pixels.
    """
    inner, outer = _grown(mark, gap), _grown(mark, gap + width)
    return np.asarray(outer & ~inner)


def _grown(mark: Bools, radius: int) -> Bools:
    """Return the pixels within `radius` of a marked one."""
    height, width = mark.shape
    padded, grown = np.pad(mark, radius), np.zeros_like(mark)
    for down in range(-radius, radius + 1):
        for across in range(-radius, radius + 1):
            if down * down + across * across <= radius * radius:
                top, left = radius + down, radius + across
                grown |= padded[top : top + height, left : left + width]
    return grown


def trait_contrast(images: Floats, marks: Bools) -> npt.NDArray[np.float64]:
    """Return the colour (B, 3) of a skin mark against the skin around it.

    Args:
        images: (B, 3, R, R) in [-1, 1].
        marks: (B, R, R), where the mark is on the true photo.

    Returns:
        Mean colour inside less mean colour of the ring; NaN where the mark does not show.
    """
    contrasts = np.full((len(images), 3), np.nan)
    for row, (image, mark) in enumerate(zip(images, marks, strict=True)):
        if mark.sum() >= LEAST_PIXELS:
            inside, around = image[:, mark], image[:, skin_ring(mark)]
            contrasts[row] = inside.mean(axis=1, dtype=np.float64) - around.mean(axis=1, dtype=np.float64)
    return contrasts


def trait_share(made: Floats, truth: Floats, marks: Bools) -> npt.NDArray[np.float64]:
    """Return how much of a trait came back (B,): 1 as on the true photo, 0 not at all, NaN where none shows.

    The contrast of the made picture is measured along the direction of the true one's, so that a mark of
    another colour does not count as the trait.

    Args:
        made: (B, 3, R, R) in [-1, 1].
        truth: (B, 3, R, R) in [-1, 1].
        marks: (B, R, R), where the mark is on the true photo.
    """
    found, wanted = trait_contrast(made.clip(-1, 1), marks), trait_contrast(truth, marks)
    return np.asarray((found * wanted).sum(axis=1) / np.square(wanted).sum(axis=1))
