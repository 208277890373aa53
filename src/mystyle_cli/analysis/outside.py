"""A second judge from outside: a face-recognition net of others, by which nothing of a person was made."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from mystyle_cli.errors import ModelError
from mystyle_cli.faces.align import Crop, Points, warp
from mystyle_cli.faces.face import aligned_face
from mystyle_cli.photos.pixels import to_pixels, to_unit

if TYPE_CHECKING:
    from collections.abc import Callable

Floats = npt.NDArray[np.float32]
Column = npt.NDArray[np.float64]

# where eyes, nose tip and mouth corners lie in sides of what such nets see. Source: ArcFace's template
PLACES: Final = np.array([[0.342, 0.462], [0.657, 0.460], [0.500, 0.641], [0.371, 0.825], [0.631, 0.823]])

AT_ONCE: Final = 16  # faces that a net which is read from a checkpoint describes at once


def judged_quad(landmarks: npt.NDArray[np.floating]) -> Points:
    """Corners (4, 2) of the square that puts a face's five points nearest to `PLACES`, from 68 landmarks."""
    eyes = [landmarks[36:42].mean(0), landmarks[42:48].mean(0)]
    points = np.stack([*eyes, landmarks[30], landmarks[48], landmarks[54]])
    rows = np.concatenate([np.column_stack([PLACES[:, 0], -PLACES[:, 1]]), PLACES[:, ::-1]])
    system = np.column_stack(
        [rows, np.repeat(np.eye(2), 5, axis=0)]
    )  # x' = a x - b y + c, y' = b x + a y + d
    a, b, c, d = np.linalg.lstsq(system, np.concatenate([points[:, 0], points[:, 1]]), rcond=None)[0]
    corners = np.array([[0, 0], [0, 1], [1, 1], [1, 0]], np.float64)
    return np.asarray(corners @ np.array([[a, b], [-b, a]]) + [c, d])


class OutsideJudge:
    """A net of others that describes faces; it sees each face cut out by its own landmarks.

    Args:
        path: a file that `prior import --identity` takes: an ONNX net of pictures in [-1, 1], or ArcFace's.

    Raises:
        ModelError: the file cannot be read, or is no such net.
    """

    def __init__(self, path: Path) -> None:
        from mystyle_cli.foreign.companions import read_identity

        self.path, self._net = path, read_identity(path)

    @property
    def digest(self) -> str:
        """The file's sha256."""
        return self._net.sha256

    @cached_property
    def _answers(self) -> Callable[[Floats], Floats]:
        """What turns faces (B, 3, size, size) in [-1, 1] into numbers (B, D)."""
        import torch

        from mystyle_cli.nets.sessions import open_session

        net = self._net.net
        if not isinstance(net, torch.nn.Module):
            return open_session(net.path).run

        def run(faces: Floats) -> Floats:
            parts = [faces[start : start + AT_ONCE] for start in range(0, len(faces), AT_ONCE)]
            with torch.no_grad():
                return np.concatenate([net(torch.from_numpy(part)).numpy() for part in parts])

        return run

    def describe(self, images: Floats, crop: Crop) -> Column:
        """Return unit embeddings (B, D) of faces (B, 3, R, R) in [-1, 1] that were aligned to a crop.

        Raises:
            ModelError: the net answers with what is no embedding.
        """
        chips = [
            warp(face, judged_quad(aligned_face(face, crop).landmarks), self._net.size)
            for face in to_pixels(images)
        ]
        rows = self._answers(to_unit(np.stack(chips))).astype(np.float64)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        if not (np.isfinite(lengths).all() and lengths.all()):
            raise ModelError(f"{self.path} answers faces with no embedding", "Give another net with --judge.")
        return np.asarray(rows / lengths)
