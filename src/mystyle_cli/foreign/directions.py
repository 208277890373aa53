"""Editing directions in the files of InterFaceGAN, GANSpace and Anycost GAN, as directions in W.

Source: InterFaceGAN (Shen et al. 2020); GANSpace (Härkönen et al. 2020); Anycost GAN (Lin et al. 2021).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mystyle_cli.checkpoints.reading import read_checkpoint
from mystyle_cli.checkpoints.records import Checkpoint
from mystyle_cli.errors import ModelError
from mystyle_cli.prior.directions import Direction, load_direction

HINT: Final = "give a direction in W (.pt, .npy, .safetensors), GANSpace's components or Anycost's boundaries"
SAME: Final = 1e-4  # largest difference between rows of W+ that are one direction in W, relative
PCA: Final = ("comp", "mean", "std")


def read_directions(path: Path) -> list[Direction]:
    """Read the directions of a file.

    Returns:
        One direction, named after the file, of a file that holds one; one for each entry or component of the
        others, whose strength counts standard deviations where the file says how long these are.

    Raises:
        ModelError: the file cannot be read, or holds no direction in W.
    """
    checkpoint = read_checkpoint(path)
    if checkpoint.container == "safetensors":
        return [load_direction(path)]
    content = checkpoint.content
    if isinstance(content, Mapping) and set(PCA) <= set(content):
        return _components(checkpoint)
    if isinstance(content, Mapping) and content:
        return [_direction(checkpoint, _plain_name(str(name)), value) for name, value in content.items()]
    return [_direction(checkpoint, path.stem.lower(), content)]


def _direction(checkpoint: Checkpoint, name: str, value: Any) -> Direction:
    """One direction; its length in the file is one unit of strength."""
    vector = _vector(checkpoint.path, name, value)
    step = float(np.linalg.norm(vector))
    return Direction(name, vector / step, step, "vector of the file", checkpoint.path.name)


def _components(checkpoint: Checkpoint) -> list[Direction]:
    """Principal components of w, the widest first; a unit of strength is one standard deviation."""
    content, path = checkpoint.content, checkpoint.path
    components, widths = (content[key] for key in ("comp", "std"))
    tensors = isinstance(components, Tensor) and isinstance(widths, Tensor)
    if not tensors or len(components) != widths.numel():
        raise ModelError(f"{path}: comp and std are not one component and one number for each", HINT)
    directions = []
    for i, (component, width) in enumerate(zip(components, widths.flatten().tolist(), strict=True)):
        vector = _vector(path, f"comp[{i}]", component)
        if not width > 0:
            raise ModelError(f"{path}: std[{i}] is {width}", HINT)
        vector /= np.linalg.norm(vector)
        directions.append(Direction(f"ganspace-{i:02}", vector, width, "standard deviation", path.name))
    return directions


def _vector(path: Path, name: str, value: Any) -> NDArray[np.float64]:
    """Return a vector in W, from a tensor (w_dim,), (1, w_dim), or (1, num_ws, w_dim) with equal rows."""
    if not isinstance(value, Tensor) or not value.is_floating_point() or value.dim() < 1 or not value.numel():
        raise ModelError(f"{path}: {name} is no vector", HINT)
    rows = value.detach().double().reshape(-1, value.shape[-1]).numpy()
    first = np.asarray(rows[0], np.float64)
    length = float(np.linalg.norm(first))
    if not np.isfinite(rows).all() or length == 0:
        raise ModelError(f"{path}: {name} has no length", HINT)
    if np.abs(rows - first).max() > SAME * length:
        raise ModelError(f"{path}: {name} differs from layer to layer, which is no direction in W", HINT)
    return first.copy()


def _plain_name(name: str) -> str:
    """Return "smiling" for "31_Smiling"."""
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"^\d+_", "", name).lower()).strip("-") or name
