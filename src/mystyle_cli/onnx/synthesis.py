"""The personal generator as an ONNX net: coefficients or codes in, pictures out."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.prior.device import CPU, Device
from mystyle_cli.prior.sessions import Session, open_session

FloatArray = NDArray[np.float32]

ALPHA_PLUS = "alpha_plus"
"""First input: coefficients (B, num_ws, N)."""

ANCHORS = "anchors"
"""Second input: anchors (N, w_dim). With the identity matrix here, the first takes codes w_plus."""

IMAGES = "images"
"""Output: (B, 3, R, R), nominally in [-1, 1]."""

BATCH: Final = 16
"""Pictures rendered at once on a graphics card."""


class Synthesis:
    """An exported G_p. What stays the same over many pictures is placed in the provider's memory once.

    Args:
        session: the open net.
        w_dim: length of a code.
    """

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


def open_synthesis(path: Path, w_dim: int, device: Device = CPU, threads: int | None = None) -> Synthesis:
    """Open an exported generator.

    Args:
        path: the file.
        w_dim: length of a code.
        device: where to render.
        threads: CPU threads; as many as were settled when None.

    Raises:
        DeviceError: onnxruntime has no provider for the device.
        ModelError: the file is missing or damaged.
    """
    return Synthesis(open_session(path, device, threads=threads, batch=BATCH), w_dim)
