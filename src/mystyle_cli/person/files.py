"""How a profile's files reach the disk: whole or not at all, and with a digest to tell damage by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mystyle_cli.errors import ProfileError
from mystyle_cli.owned import write_result

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def digest_of(path: Path) -> str:
    """Return the sha256 of a file as hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def unreadable(path: Path, error: OSError) -> ProfileError:
    """Return what is said of a file or folder of the store that the system does not let us read."""
    return ProfileError(
        f"{error.filename or path} cannot be read: {error.strerror or error}",
        "Check its permissions and those of its folder; then give the command again.",
    )


def write_whole(path: Path, data: bytes) -> str:
    """Write a file so that a reader, or a kill at any instant, meets the old content or the new.

    Args:
        path: the target; its folder is made when missing.
        data: the content.

    Returns:
        The sha256 of the content.

    Raises:
        ProfileError: the disk is full, the folder may not be written to, or a link is in the file's place.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_result(path, data)
    except OSError as error:
        raise unwritable(path, error) from error
    return hashlib.sha256(data).hexdigest()


def unwritable(path: Path, error: OSError) -> ProfileError:
    """Return what is said of a file that cannot be written."""
    return ProfileError(
        f"{path} cannot be written: {error.strerror or error}",
        "Free some space or check the folder's permissions.",
    )


def tensor_bytes(tensors: Mapping[str, NDArray[np.generic]], notes: Mapping[str, str]) -> bytes:
    """Return arrays as one safetensors file.

    Args:
        tensors: arrays by name.
        notes: strings kept in the file's header.
    """
    import numpy as np
    from safetensors.numpy import save

    # safetensors copies the raw buffer, so a view that is not contiguous would be written scrambled
    whole = {name: np.require(value, requirements="C") for name, value in tensors.items()}
    # one entry, for safetensors writes several in random order, and the same content shall have one digest
    return save(whole, {"notes": json.dumps(dict(notes), sort_keys=True)})


def save_tensors(path: Path, tensors: Mapping[str, NDArray[np.generic]], notes: Mapping[str, str]) -> str:
    """Write arrays as one safetensors file, whole or not at all.

    Args:
        path: the target.
        tensors: arrays by name.
        notes: strings kept in the file's header.

    Returns:
        The sha256 of the file.
    """
    return write_whole(path, tensor_bytes(tensors, notes))


def load_tensors(path: Path) -> tuple[dict[str, NDArray[np.generic]], dict[str, str]]:
    """Read a safetensors file.

    Returns:
        The arrays by name, and the header's notes.

    Raises:
        ProfileError: the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as reader:
            notes = json.loads((reader.metadata() or {}).get("notes", "{}"))
            return {name: reader.get_tensor(name) for name in reader.keys()}, notes  # noqa: SIM118
    except (OSError, ValueError, SafetensorError) as error:
        raise ProfileError(
            f"{path} cannot be read: {error}", "Run `mystyle profile verify` to see what else is damaged."
        ) from error
