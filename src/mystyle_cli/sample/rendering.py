"""What turns a person's codes into pictures: their exported net, without torch, or torch itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.errors import DeviceError, ProfileError, check_choice
from mystyle_cli.person.layout import FOLDER, SYNTHESIS

if TYPE_CHECKING:
    from mystyle_cli.files.gaps import Weights
    from mystyle_cli.nets.exported import Synthesis
    from mystyle_cli.nets.generator import Generator
    from mystyle_cli.person.profile import Profile

FloatArray = NDArray[np.float32]

# what is asked for; "auto" takes the exported net where it is that of the generator as it is now
Backend = Literal["auto", "onnx", "torch"]


class Renderer(Protocol):
    """G_p, ready."""

    backend: str  # "onnx" or "torch"
    place: str  # the provider or device that computes
    notice: str  # why it is not the backend that one would expect, or ""

    def render(self, codes: FloatArray) -> FloatArray:
        """Return the pictures (B, 3, R, R), nominally in [-1, 1], of codes (B, num_ws, w_dim)."""


class OnnxRenderer:
    """G_p as its exported net."""

    backend, notice = "onnx", ""

    def __init__(self, synthesis: Synthesis) -> None:
        self._synthesis, self.place = synthesis, synthesis.provider

    def render(self, codes: FloatArray) -> FloatArray:
        """Render codes (B, num_ws, w_dim)."""
        return self._synthesis.render(codes)


class TorchRenderer:
    """G_p as a torch module."""

    backend = "torch"

    def __init__(self, generator: Generator, notice: str = "") -> None:
        self._generator, self.notice = generator, notice
        self.place = str(generator.device)

    def render(self, codes: FloatArray) -> FloatArray:
        """Render codes (B, num_ws, w_dim)."""
        from mystyle_cli.person.score import synthesise

        return synthesise(self._generator, codes)


def open_renderer(profile: Profile, backend: Backend = "auto", weights: Weights | None = None) -> Renderer:
    """Open a person's generator.

    Args:
        backend: "onnx" and "torch" are taken at their word; "auto" goes on with torch, and says so, where the
            export is missing or older than the tuning, or cannot be run where any device will do.
        weights: the profile's `left_out`, where another of its nets has them open already.

    Raises:
        DeviceError: the device asked for cannot be had.
        ProfileError: the profile is not tuned, or "onnx" is asked for and the export is missing or stale.
    """
    check_choice("backend", backend, Backend)
    if not profile.tuned:
        profile.generator()  # which says what to do
    reason = _objection(profile)
    remedy = f" (mystyle export {profile.name} makes it)" if reason else ""
    if backend != "torch" and not reason:
        try:
            return _open_onnx(profile, weights or profile.left_out())
        except DeviceError as error:
            if backend == "onnx" or profile.device.wanted not in ("auto", "mps"):
                raise
            reason = error.message
    if backend == "onnx":
        raise ProfileError(reason, f"Export it: mystyle export {profile.name}")
    notice = f"{reason}: rendered with torch{remedy}" if reason and backend == "auto" else ""
    return TorchRenderer(profile.generator(), notice)


def _objection(profile: Profile) -> str:
    state = profile.export_state
    if state == "none":
        return f"profile '{profile.name}' has no ONNX export"
    if state == "stale":
        return f"the ONNX export of profile '{profile.name}' is older than its tuning"
    return ""


def _open_onnx(profile: Profile, weights: Weights) -> Renderer:
    from mystyle_cli.nets.exported import open_synthesis

    path = profile.file(f"{FOLDER}/{SYNTHESIS}")
    w_dim = profile.manifest.prior.w_dim
    return OnnxRenderer(open_synthesis(path, w_dim, profile.device, weights=weights))
