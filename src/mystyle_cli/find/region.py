"""What is to be filled, said in words in place of a painted mask: parts of a face, and boxes on a photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from mystyle_cli.errors import UsageError

if TYPE_CHECKING:
    from mystyle_cli.faces.align import Points
    from mystyle_cli.photos.pixels import Pixels

Box = tuple[int, int, int, int]
"""Left, top, width and height in pixels of the upright photo."""

FILL: Final = 255


@dataclass(frozen=True)
class Outline:
    """The outline of a part: the convex hull of some points, and so much around it.

    Lengths are in distances between the eyes, up and down as the face is held.
    """

    points: Sequence[int]  # of dlib's 68
    around: float
    raised: Sequence[tuple[int, float]] = ()  # further points, of the 68 too, and how far above them


_BROWS: Final = range(17, 27)
_RIGHT_EYE, _LEFT_EYE = range(36, 42), range(42, 48)  # the person's own right is on the picture's left
_LENSES: Final = (*range(36, 48), 27)

PARTS: Final[dict[str, tuple[Outline, ...]]] = {
    "eyes": (Outline(_RIGHT_EYE, 0.16), Outline(_LEFT_EYE, 0.16)),
    "right-eye": (Outline(_RIGHT_EYE, 0.16),),
    "left-eye": (Outline(_LEFT_EYE, 0.16),),
    "brows": (Outline(range(17, 22), 0.1), Outline(range(22, 27), 0.1)),
    "glasses": (Outline((*_BROWS, *_LENSES, 0, 16), 0.06, [(number, -0.4) for number in (*_LENSES, 0, 16)]),),
    "nose": (Outline(range(27, 36), 0.14),),
    "mouth": (Outline(range(48, 60), 0.12),),
    "moustache": (Outline((*range(31, 36), *range(48, 55)), 0.05),),
    "beard": (Outline((*range(3, 14), *range(48, 60)), 0.12),),
    "chin": (Outline((*range(5, 12), *range(55, 60)), 0.04),),
    "cheeks": (Outline((1, 2, 3, 4, 31, 48, 41, 36), 0.04), Outline((15, 14, 13, 12, 35, 54, 46, 45), 0.04)),
    "forehead": (Outline((), 0.0, [(number, up) for number in _BROWS for up in (0.12, 0.8)]),),
    "face": (Outline(range(68), 0.06, [(number, 0.7) for number in _BROWS]),),
}
"""What a part of a face covers; lids belong to eyes, lips to a mouth, wings to a nose."""


@dataclass(frozen=True)
class Region:
    """Where a photo is to be filled.

    Raises:
        UsageError: a part is none of `PARTS`, or a box is empty.
    """

    parts: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()
    kept: tuple[str, ...] = ()  # parts that stay as they are, whatever else is said

    def __post_init__(self) -> None:
        """Refuse what is nowhere on a face."""
        for part in (*self.parts, *self.kept):
            if part not in PARTS:
                raise UsageError(f"a face has no part {part!r}", f"Give one of: {', '.join(PARTS)}.")
        for box in self.boxes:
            if min(box[2:]) < 1:
                raise UsageError(f"a box of {box[2]} x {box[3]} pixels is empty", "Give x,y,width,height.")

    @property
    def needs_face(self) -> bool:
        """Whether face points are needed."""
        return bool(self.parts or self.kept)

    def mask(self, shape: tuple[int, int], points: Points | None, given: Pixels | None = None) -> Pixels:
        """Return the mask uint8 (H, W), 255 = fill.

        Args:
            shape: height and width of the photo.
            points: (68, 2) photo coordinates; needed for parts.
            given: a mask that is filled, too.
        """
        mask = np.zeros(shape, np.uint8) if given is None else given.copy()
        for left, top, width, height in self.boxes:
            mask[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = FILL
        for parts, value in ((self.parts, FILL), (self.kept, 0)):
            for outline in (outline for part in parts for outline in PARTS[part]):
                assert points is not None  # of a part
                _paint(mask, np.asarray(points, np.float64), outline, value)
        return mask


def _paint(mask: Pixels, points: npt.NDArray[np.float64], outline: Outline, value: int) -> None:
    """Paint an outline into a mask, where it lies on it."""
    from PIL import Image, ImageDraw
    from scipy.spatial import ConvexHull

    eyes = points[list(_RIGHT_EYE)].mean(0), points[list(_LEFT_EYE)].mean(0)
    apart = float(np.linalg.norm(eyes[1] - eyes[0]))
    across = (eyes[1] - eyes[0]) / max(apart, 1e-6)
    up = np.array([across[1], -across[0]])  # y grows downwards
    raised = [points[number] + apart * above * up for number, above in outline.raised]
    corners = np.array([*points[list(outline.points)], *raised])  # (C, 2)
    if (
        np.linalg.matrix_rank(corners - corners.mean(0), tol=1e-3) == 2
    ):  # else a line or a dot, without a hull
        corners = corners[ConvexHull(corners).vertices]
    radius = outline.around * apart
    height, width = mask.shape
    low = np.floor(corners.min(0) - radius - 1).astype(int).clip(0, [width, height])
    high = np.ceil(corners.max(0) + radius + 2).astype(int).clip(0, [width, height])
    if (high <= low).any():
        return  # beside the photo
    picture = Image.new("L", tuple((high - low).tolist()))
    draw, inside = ImageDraw.Draw(picture), [tuple(corner) for corner in (corners - low).tolist()]
    draw.polygon(inside, fill=1)
    draw.line([*inside, inside[0]], fill=1, width=max(1, round(2 * radius)))
    for x, y in inside:  # lines end at corners: round them off
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=1)
    part = mask[low[1] : high[1], low[0] : high[0]]
    part[np.asarray(picture) > 0] = value


def mask_of_opacity(alpha: Pixels) -> Pixels | None:
    """Return where a photo (H, W) is transparent as a mask, 255 = fill; None where it is nowhere so."""
    mask = np.where(alpha < FILL // 2, FILL, 0).astype(np.uint8)
    return mask if mask.any() else None
