"""Directions of editing: where they come from, and what of them the person's space holds (sec. 3.4)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mystyle_cli.errors import ModelError, UsageError, reason_of
from mystyle_cli.files.reading import read_file
from mystyle_cli.hull import hull

if TYPE_CHECKING:
    from mystyle_cli.prior.directions import Direction
    from mystyle_cli.prior.registry import Prior

Floats = npt.NDArray[np.float64]


def find_direction(prior: Prior, name_or_path: str) -> Direction:
    """Return a direction of the prior by its name, or read one from a .safetensors, .npy or .pt file.

    Raises:
        ModelError: the prior has none of that name and no such file exists, or the file is damaged.
        UsageError: the direction has another length than the prior's codes.
    """
    path = Path(name_or_path)
    known = prior.directions()
    if name_or_path in known:
        direction = known[name_or_path]
    elif path.suffix.lower() in (".safetensors", ".npy") or path.is_file():
        direction = _read(path)
    else:
        names = ", ".join(sorted(known)) or "none"
        raise ModelError(
            f"prior {prior.name} has no direction {name_or_path!r}; it has: {names}",
            "Give one of these names, or a .safetensors, .npy or .pt file.",
        )
    if direction.vector.shape != (prior.w_dim,):
        raise UsageError(
            f"direction {direction.name}: {direction.vector.size} numbers; {prior.name} needs {prior.w_dim}",
            "Give a direction that was found for this prior.",
        )
    return direction


def _read(path: Path) -> Direction:
    """Read a file; the length of a plain array is its step."""
    from mystyle_cli.prior.directions import LARGEST_FILE, Direction, load_direction

    if path.suffix.lower() == ".safetensors":
        return load_direction(path)
    if path.suffix.lower() != ".npy":
        return _read_foreign(path)
    try:
        numbers = np.load(io.BytesIO(read_file(path, LARGEST_FILE)), allow_pickle=False)
        vector = np.asarray(numbers, np.float64).reshape(-1)
    except Exception as error:  # numpy raises several kinds on a damaged header
        reason = error.strerror if isinstance(error, OSError) else reason_of(error)
        raise ModelError(
            f"cannot read direction {path}: {reason}", "Give a .npy file with one vector."
        ) from error
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or length == 0:
        raise ModelError(f"direction {path} has no length", "Give a vector of finite numbers, not all 0.")
    return Direction(
        name=path.stem, vector=vector / length, step=length, unit="vector of the file", source=path.name
    )


def _read_foreign(path: Path) -> Direction:
    """Read what others publish, a .pt of InterFaceGAN for instance."""
    from mystyle_cli.foreign.directions import read_directions

    directions = read_directions(path)
    if len(directions) > 1:
        raise ModelError(
            f"{path} holds {len(directions)} directions: {directions[0].name}, {directions[1].name}, ...",
            "Import them into a prior with `mystyle prior import --direction`, then name one.",
        )
    return directions[0]


def gamma_of(direction: Direction, anchors: npt.ArrayLike) -> Floats:
    """Return what one unit of strength adds to the coefficients of every layer, (N,) float64 with sum 0.

    Source: eq 9, gamma; see `hull.edit_coordinates` for the sum.
    """
    points = np.asarray(anchors, np.float64)
    return np.asarray(direction.step * hull.edit_coordinates(direction.vector, points), np.float64)
