"""Semantic directions in W, as files and as values.

Source: paper sec. 3.4, app. B.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.errors import ModelError


@dataclass(frozen=True)
class Direction:
    """A direction in W along which one property changes.

    Args:
        name: what changes: "yaw", "smile", ...
        vector: (w_dim,) float64, unit length.
        step: length along `vector` that makes one `unit` of change; strengths are counted in these.
        unit: what one step means: "10 degrees", "standard deviation", ...
        source: how the direction was found.
    """

    name: str
    vector: NDArray[np.float64]
    step: float
    unit: str
    source: str


def save_direction(direction: Direction, path: Path) -> None:
    """Write a direction as safetensors."""
    from safetensors.numpy import save_file

    header = {
        "name": direction.name,
        "step": repr(direction.step),
        "unit": direction.unit,
        "source": direction.source,
    }
    save_file({"vector": direction.vector.astype(np.float32)}, path, metadata=header)


def load_direction(path: Path) -> Direction:
    """Read a direction written by `save_direction`, its vector scaled to unit length.

    Raises:
        ModelError: the file is missing, damaged, or holds no direction.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            vector = np.asarray(file.get_tensor("vector"), np.float64).reshape(-1)
        norm = float(np.linalg.norm(vector))
        if not np.isfinite(norm) or norm == 0:
            raise ValueError("its vector has no length")
        return Direction(
            name=header.get("name", path.stem),
            vector=vector / norm,
            step=float(header.get("step", "1")),
            unit=header.get("unit", "unit of w"),
            source=header.get("source", str(path.name)),
        )
    except (OSError, SafetensorError, ValueError) as error:
        raise ModelError(
            f"cannot read direction {path}: {error}", "give a .safetensors file with `vector`"
        ) from error
