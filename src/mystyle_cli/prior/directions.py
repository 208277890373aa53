"""Semantic directions in W, as files and as values.

Source: paper sec. 3.4, app. B.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.errors import ModelError
from mystyle_cli.files.documents import Number, Record, Text
from mystyle_cli.files.tensors import read_tensors


@dataclass(frozen=True)
class Direction:
    """A direction in W along which one property changes."""

    name: str  # what changes: "yaw", "smile", ..
    vector: NDArray[np.float64]  # (w_dim,) float64, unit length
    step: float  # length along `vector` that makes one `unit` of change; strengths are counted in these
    unit: str  # what one step means: "10 degrees", "standard deviation", ..
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
    """Read a direction written by `save_direction`, its vector scaled to unit length; raises ModelError."""
    try:
        tensors, header = read_tensors(path, LARGEST_FILE)
        facts = _HEADER.read(header)
        if "vector" not in tensors:
            raise ValueError("it has no tensor `vector`")
        vector = np.asarray(tensors["vector"], np.float64).reshape(-1)
        with np.errstate(over="ignore"):
            norm = float(np.linalg.norm(vector))
        if not np.isfinite(norm) or norm == 0:
            raise ValueError("its vector has no length")
        return Direction(
            name=facts.get("name", path.stem),
            vector=vector / norm,
            step=_STEP.read(float(facts.get("step", "1")), "step"),
            unit=facts.get("unit", "unit of w"),
            source=facts.get("source", str(path.name)),
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ModelError(
            f"cannot read direction {path}: {reason}", "give a .safetensors file with `vector`"
        ) from error


LARGEST_FILE: Final = 16 << 20  # bytes of the largest file with a direction
_HEADER: Final = Record({}, {"name": Text(), "step": Text(40), "unit": Text(), "source": Text(4096)})
_STEP: Final = Number()
