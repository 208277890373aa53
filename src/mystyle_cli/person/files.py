"""How a profile's files reach the disk: whole or not at all, and with a digest to tell damage by."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mystyle_cli.errors import ProfileError
from mystyle_cli.files.documents import Table, Text
from mystyle_cli.files.parsing import json_of
from mystyle_cli.files.reading import StrangeFileError
from mystyle_cli.files.tensors import HEADER, parse_tensors, read_tensors
from mystyle_cli.files.writing import OWNER_FOLDER, write_result
from mystyle_cli.person.layout import largest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Notes = dict[str, str]  # what a file's header holds beside its tensors


def unreadable(path: Path, error: OSError) -> ProfileError:
    """Return what is said of a file or folder of the store that the system does not let us read."""
    hint = "Check its permissions and those of its folder; then give the command again."
    if isinstance(error, StrangeFileError):
        hint = "Restore it from a backup; what else is wrong, `mystyle profile verify` tells."
    return ProfileError(f"{error.filename or path} cannot be read: {error.strerror or error}", hint)


def write_whole(path: Path, data: bytes, *, private: bool = False) -> str:
    """Write a file, its folder too; a reader or a kill meets the old content or the new. Returns its sha256.

    Args:
        private: it is for its owner only, and so is a folder that is made for it.

    Raises:
        ProfileError: the disk is full, the folder may not be written to, or a link is in the file's place.
    """
    try:
        path.parent.mkdir(OWNER_FOLDER if private else 0o777, parents=True, exist_ok=True)
        write_result(path, data, private=private)
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
    """Return arrays by name as one safetensors file, with strings kept in its header."""
    import numpy as np
    from safetensors.numpy import save

    # safetensors copies the raw buffer, so a view that is not contiguous would be written scrambled
    whole = {name: np.require(value, requirements="C") for name, value in tensors.items()}
    # one entry, for safetensors writes several in random order, and the same content shall have one digest
    return save(whole, {"notes": json.dumps(dict(notes), sort_keys=True)})


def save_tensors(
    path: Path,
    tensors: Mapping[str, NDArray[np.generic]],
    notes: Mapping[str, str],
    *,
    private: bool = False,
) -> str:
    """Write arrays and notes as one safetensors file, whole or not at all, and return its sha256."""
    return write_whole(path, tensor_bytes(tensors, notes), private=private)


def load_tensors(path: Path, beneath: Path | None = None) -> tuple[dict[str, NDArray[np.generic]], Notes]:
    """Read what `save_tensors` wrote: finite arrays by name, and the header's notes; raises ProfileError."""
    try:
        tensors, header = read_tensors(path, largest("a.safetensors"), beneath)
        return tensors, _notes(header)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ProfileError(
            f"{path} cannot be read: {reason}", "Run `mystyle profile verify` to see what else is damaged."
        ) from error


def parse_whole(data: bytes) -> tuple[dict[str, NDArray[np.generic]], Notes]:
    """Read what `tensor_bytes` made: finite arrays by name, and the header's notes; raises ValueError."""
    tensors, header = parse_tensors(io.BytesIO(data))
    return tensors, _notes(header)


def _notes(header: Notes) -> Notes:
    """Return the notes that stand as one entry in a file's header."""
    return _NOTES.read(json_of(header.get("notes", "{}")), "notes")


_NOTES: Final = Table(Text(HEADER, lines=True), Text(), 1000)
