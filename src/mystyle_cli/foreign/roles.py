"""From a companion to a prior's role: an ONNX file that takes the prior's own pictures.

Source: paper sec. 3.1 (the encoder that finds anchors), app. A (the identity net).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from mystyle_cli.errors import ModelError
from mystyle_cli.faces.align import Crop
from mystyle_cli.foreign.nets import FACE_SIZE
from mystyle_cli.foreign.onnx_files import OnnxNet, prepend
from mystyle_cli.foreign.resample import Resample, face_window, whole
from mystyle_cli.foreign.trace import write_onnx
from mystyle_cli.nets.sessions import open_session

PARITY = 1e-4  # largest difference between ONNX and torch allowed, relative to the largest answer


@dataclass(frozen=True, eq=False)
class Companion:
    """A net read from a foreign file."""

    role: Literal["encoder", "identity"]
    kind: str  # "w-encoder", "e4e", "psp", "arcface" or "onnx"
    path: Path
    sha256: str
    # images (B, 3, size, size) in [-1, 1] -> (B, dim), in eval mode; or an ONNX file that does so
    net: nn.Module | OnnxNet
    size: int
    dim: int  # length of a code or an embedding
    notes: tuple[str, ...] = ()  # what had to be assumed, one sentence each


def write_role(companion: Companion, path: Path, resolution: int, crop: Crop) -> float:
    """Write a companion as the ONNX file of its role, crop and resizing inside, and compare the two.

    Returns:
        Largest difference from what torch computes, relative to the largest answer.

    Raises:
        ModelError: the net's input does not fit, or the file answers otherwise than the net.
    """
    resample = _preprocessing(companion, resolution, crop)
    if isinstance(companion.net, nn.Module):
        net = companion.net if resample is None else nn.Sequential(resample, companion.net)
        write_onnx(net.eval(), path, (3, resolution, resolution), companion.dim)
    elif resample is None:
        shutil.copyfile(companion.net.path, path)
    else:
        prepend(companion.net, resample, resolution, path)
    probes = _probes(resolution)
    want = _answer(companion.net, probes if resample is None else resample(probes))
    got = open_session(path).run(probes.numpy())
    if got.shape != want.shape:
        raise ModelError(f"{companion.path} answers {got.shape}, not {want.shape}", "choose another file")
    difference = float(np.abs(got - want).max() / np.abs(want).max())
    if not difference <= PARITY:  # nan, too
        raise ModelError(
            f"{companion.path}: its ONNX form differs by {difference:.1e} of the largest answer",
            "choose another file, or report this with the file's sha256",
        )
    return difference


def _preprocessing(companion: Companion, resolution: int, crop: Crop) -> Resample | None:
    """What lies between the prior's pictures and the net's input; None where they are the same."""
    if companion.size == resolution and companion.kind != "arcface":
        return None
    if companion.role == "encoder":
        return whole(resolution, companion.size)
    if companion.size != FACE_SIZE:
        raise ModelError(
            f"{companion.path} takes pictures of {companion.size} pixels; what they should show is unknown",
            f"give an identity net that takes {FACE_SIZE} or {resolution} pixels",
        )
    try:
        return face_window(resolution, crop)
    except ValueError as error:
        raise ModelError(
            f"{companion.path} looks at more of a face than this prior's pictures show: {error}",
            "import without it (dlib's descriptors are used), or give one that takes the prior's pictures",
        ) from error


def _answer(net: nn.Module | OnnxNet, images: Tensor) -> NDArray[np.float32]:
    if isinstance(net, OnnxNet):
        return open_session(net.path).run(images.numpy())
    with torch.no_grad():
        return np.asarray(net(images).numpy(), np.float32)


def _probes(resolution: int) -> Tensor:
    """Two smooth random pictures, (2, 3, resolution, resolution) in [-1, 1]."""
    coarse = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return F.interpolate(coarse, (resolution, resolution), mode="bilinear").clamp(-1, 1)
