"""The personal generator, and eq 1 with its gradient, as ONNX nets: run without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.nets.device import CPU, Device
from mystyle_cli.nets.sessions import Session, open_session

if TYPE_CHECKING:
    import onnxruntime

    from mystyle_cli.files.gaps import Weights

FloatArray = NDArray[np.float32]

ALPHA_PLUS = "alpha_plus"  # first input: coefficients (B, num_ws, N)

# second input: anchors (N, w_dim). With the identity matrix here, the first takes codes w_plus.
ANCHORS = "anchors"

IMAGES = "images"  # output: (B, 3, R, R), nominally in [-1, 1]
BATCH: Final = 16  # pictures rendered at once on a graphics card


class Synthesis:
    """An exported G_p. What stays the same over many pictures is placed in the provider's memory once."""

    def __init__(self, session: Session, w_dim: int) -> None:
        self._session = session
        self._unit = session.place(np.eye(w_dim, dtype=np.float32))

    @property
    def provider(self) -> str:
        """The onnxruntime provider that renders."""
        return self._session.provider

    def render(self, w_plus: FloatArray) -> FloatArray:
        """Return the pictures (B, 3, R, R) of codes (B, num_ws, w_dim)."""
        return self._session.run(w_plus, {ANCHORS: self._unit})

    def render_alpha(self, alpha_plus: FloatArray, anchors: FloatArray) -> FloatArray:
        """Return the pictures (B, 3, R, R) of coefficients (B, num_ws, N) over anchors (N, w_dim)."""
        return self._session.run(alpha_plus, {ANCHORS: self._session.place(anchors)})


def open_synthesis(
    path: Path,
    w_dim: int,
    device: Device = CPU,
    threads: int | None = None,
    weights: Weights | None = None,
) -> Synthesis:
    """Open an exported generator; threads as many as were settled when None.

    Raises:
        DeviceError: onnxruntime has no provider for the device.
        ModelError: the file is missing or damaged.
    """
    return Synthesis(open_session(path, device, threads=threads, batch=BATCH, weights=weights), w_dim)


Placed = Mapping[str, "onnxruntime.OrtValue"]

# input: the matrices (B, h, R) that make rows and columns of a picture as few as the photo's
DOWN: Final = "down"

UP: Final = "up"  # input: the matrices (B, R, h) that make them as many again, for the perceptual net
KNOWN: Final = "known"  # input: (B, 1, h, h), 1 where the photo says something, else 0

# input: the photos (B, 3, h, h) in [-1, 1], with something smooth where they say nothing
TARGET: Final = "target"

FOUND: Final = "found"  # output: (B, 1 + num_ws N), eq 1 and its gradient by alpha_plus, row after row


@dataclass(frozen=True)
class Degraded:
    """A photo and what was done to it; names as the net's inputs."""

    down: FloatArray  # (h, R)
    up: FloatArray  # (R, h)
    known: FloatArray  # (h, h)
    target: FloatArray  # (3, h, h)


class Gradient:
    """Eq 1 between what codes over anchors (N, w_dim) look like and a photo, and which way it falls.

    `nets/loss.py` writes the net.
    """

    def __init__(self, session: Session, anchors: FloatArray) -> None:
        self._session, self._anchors = session, session.place(anchors)

    def over(self, anchors: FloatArray) -> Gradient:
        """Return the same net over other anchors (N, w_dim)."""
        return Gradient(self._session, anchors)

    def place(self, photo: Degraded) -> Placed:
        """Bring what stays the same in a search to where the net computes."""
        arrays = {DOWN: photo.down, UP: photo.up, KNOWN: photo.known[None], TARGET: photo.target}
        placed = {name: self._session.place(array[None]) for name, array in arrays.items()}
        return {ANCHORS: self._anchors, **placed}

    def at(self, alpha_plus: NDArray[np.float64], photo: Placed) -> tuple[float, NDArray[np.float64]]:
        """Return eq 1 and its gradient (num_ws, N) at coefficients (num_ws, N)."""
        (row,) = self._session.run(alpha_plus[None].astype(np.float32), photo).astype(np.float64)
        return float(row[0]), row[1:].reshape(alpha_plus.shape)


def open_gradient(
    path: Path, anchors: FloatArray, device: Device = CPU, weights: Weights | None = None
) -> Gradient:
    """Open a net of eq 1, over anchors (N, w_dim); `weights` is what the file may leave out.

    Raises:
        DeviceError: onnxruntime has no provider for the device.
        ModelError: the file is missing or damaged.
    """
    return Gradient(open_session(path, device, weights=weights), anchors)
