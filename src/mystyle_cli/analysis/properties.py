"""What landmarks and pixels tell of a face: pose, expression, light."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from mystyle_cli.faces.align import Crop
    from mystyle_cli.photos.pixels import Pixels

TURN: Final = 0.08  # of the outer eye corners' distance, by which 10 degrees of yaw move the nose

Column = npt.NDArray[np.float64]


def measure_properties(landmarks: npt.NDArray[np.floating], crops: Pixels) -> dict[str, Column]:
    """Measure each face.

    Args:
        landmarks: (N, 68, 2) x, y on the crops, in their sides.
        crops: uint8 (N, R, R, 3).

    Returns:
        yaw, pitch, smile, mouth, eyes-open, light, each (N,); lengths in distances of the outer eye corners.
    """
    size = crops.shape[1]
    outer = landmarks[:, 45] - landmarks[:, 36]  # (N, 2) from one outer eye corner to the other
    apart = np.linalg.norm(outer, axis=1)
    eyes, mouth = landmarks[:, 36:48].mean(1), landmarks[:, 48:60].mean(1)
    down = mouth[:, 1] - eyes[:, 1]

    def gap(upper: tuple[int, ...], lower: tuple[int, ...]) -> Column:
        return np.asarray((landmarks[:, list(lower), 1] - landmarks[:, list(upper), 1]).mean(1) / apart)

    def brightness(column: slice) -> Column:
        rows = slice(int(0.45 * size), int(0.75 * size))
        return np.asarray(crops[:, rows, column].reshape(len(crops), -1).mean(1) / 255)

    left, right = slice(int(0.15 * size), int(0.4 * size)), slice(int(0.6 * size), int(0.85 * size))
    return {
        "yaw": (landmarks[:, 30, 0] - (landmarks[:, 36, 0] + landmarks[:, 45, 0]) / 2) / apart,
        "pitch": (landmarks[:, 30, 1] - eyes[:, 1]) / down,
        "smile": np.linalg.norm(landmarks[:, 54] - landmarks[:, 48], axis=1) / apart,
        "mouth": gap((61, 62, 63), (67, 66, 65)),
        "eyes-open": gap((37, 38, 43, 44), (41, 40, 47, 46)),
        "light": brightness(right) - brightness(left),
    }


def properties_of(crops: Pixels, crop: Crop) -> dict[str, Column]:
    """Measure aligned crops uint8 (N, R, R, 3), whose landmarks are read from them."""
    from mystyle_cli.faces.face import aligned_face

    marks = np.stack([aligned_face(one, crop).landmarks for one in crops])
    return measure_properties(marks / crops.shape[1], crops)
