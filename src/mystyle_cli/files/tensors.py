"""safetensors files: their header looked at before anything of them is believed, then their numbers.

A file is a length, a header in JSON, and the tensors one after another. It is read here and not by the
library that writes it, so that what a header claims is compared with the file before memory is taken.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mystyle_cli.files.documents import Items, OneOf, Record, Table, Text, Whole
from mystyle_cli.files.parsing import DocumentError, json_of
from mystyle_cli.files.reading import open_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HEADER: Final = 4 << 20  # bytes of the longest header
LARGEST_NET: Final = 4 << 30  # bytes of the largest file of a prior's weights
TENSORS: Final = 10_000  # tensors in a file
AXES: Final = 8  # axes of a tensor

# kinds of number that the program writes, as numpy calls them; it writes no others
DTYPES: Final[Mapping[str, str]] = {
    "BOOL": "?",
    "U8": "u1",
    "I8": "i1",
    "I16": "<i2",
    "I32": "<i4",
    "I64": "<i8",
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
}

_ENTRY: Final = Record(
    {
        "dtype": OneOf(tuple(DTYPES)),
        "shape": Items(Whole(most=1 << 31), AXES),
        "data_offsets": Items(Whole(), 2),
    }
)
_TENSORS: Final = Table(_ENTRY, Text(500), TENSORS)
_NOTES: Final = Table(Text(HEADER, lines=True), Text(), 1000)

_Stream = BufferedReader | BytesIO


class TensorError(ValueError):
    """A file is no safetensors file, or holds what the program never writes; the message is a clause."""


@dataclass(frozen=True)
class _Entry:
    """Where a tensor lies."""

    dtype: str
    shape: tuple[int, ...]
    start: int  # its first byte in the file


def read_tensors(
    path: Path, most: int, beneath: Path | None = None
) -> tuple[dict[str, NDArray[np.generic]], dict[str, str]]:
    """Read a safetensors file: the arrays by name, every number of them finite, and the header's notes.

    Raises:
        TensorError: it is damaged, or holds what is no number.
        OSError: it cannot be read; see `reading.open_file`.
    """
    with open_file(path, most, beneath) as stream:
        return parse_tensors(stream)


def parse_tensors(stream: _Stream) -> tuple[dict[str, NDArray[np.generic]], dict[str, str]]:
    """Read a safetensors file that is open, or in memory; returns and raises as `read_tensors` does."""
    try:
        entries, notes = _read_header(stream)
        return {name: _read(stream, name, entry) for name, entry in entries.items()}, notes
    except DocumentError as error:
        raise TensorError(f"its header is damaged: {error}") from error


def _read_header(stream: _Stream) -> tuple[dict[str, _Entry], dict[str, str]]:
    """Return where each tensor lies, all of them inside the file, and the notes."""
    size = stream.seek(0, 2)
    stream.seek(0)
    length = int.from_bytes(stream.read(8), "little")
    if size < 8 or not 2 <= length <= min(HEADER, size - 8):
        raise TensorError("it is no safetensors file, or is cut off")
    document = json_of(stream.read(length))
    if not isinstance(document, dict):
        raise TensorError("its header is no table")
    notes = _NOTES.read(document.pop("__metadata__", {}), "__metadata__")
    declared = sorted(_TENSORS.read(document, "tensors").items(), key=lambda item: item[1]["data_offsets"])
    entries: dict[str, _Entry] = {}
    start, at = 8 + length, 0
    for name, entry in declared:
        dtype, shape = DTYPES[entry["dtype"]], tuple(entry["shape"])
        width = int(dtype[-1]) if dtype[-1].isdigit() else 1
        # one after another, so that nothing is hidden between them
        if entry["data_offsets"] != [at, at + math.prod(shape) * width]:
            raise TensorError(f"{name} is not where its header says, or of another size")
        entries[name] = _Entry(dtype, shape, start + at)
        at = entry["data_offsets"][1]
    if start + at != size:
        raise TensorError("it is cut off, or longer than its header says")
    return entries, notes


def _read(stream: _Stream, name: str, entry: _Entry) -> NDArray[np.generic]:
    import numpy as np

    array: NDArray[np.generic] = np.empty(entry.shape, np.dtype(entry.dtype))
    stream.seek(entry.start)
    if array.nbytes and stream.readinto(array.reshape(-1).view(np.uint8).data) != array.nbytes:
        raise TensorError("it became shorter while it was read")
    if entry.dtype == "?":  # a byte beyond 1 would be no bool of numpy's
        return np.asarray(array.view(np.uint8) != 0)
    if array.dtype.kind == "f" and not _finite(array):
        raise TensorError(f"{name} holds values that are not finite")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _finite(array: NDArray[np.generic]) -> bool:
    import numpy as np

    if array.dtype.itemsize > 2:
        return bool(np.isfinite(array).all())
    # of half precision numpy converts each number first, which takes six times as long as looking at its bits
    return bool(((array.reshape(-1).view("<u2") & 0x7C00) != 0x7C00).all())
