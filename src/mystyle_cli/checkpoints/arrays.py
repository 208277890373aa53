"""Files that hold arrays and nothing else: safetensors and .npy."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mystyle_cli.checkpoints.storages import AXES, is_finite
from mystyle_cli.checkpoints.windows import Budget, Refused, Window

if TYPE_CHECKING:
    from torch import Tensor

SHOWN = 100  # characters of a name that a message repeats
HEADER = 4 << 20  # bytes that the header of a safetensors file may have
ARRAY_HEADER = 4096  # and that of an .npy file
FORM = re.compile(
    rb"\{'descr': '([<>|=][A-Za-z]\d*)', 'fortran_order': (True|False), 'shape': \(([\d, ]{0,200})\),? *\}\s*"
)
DTYPES = ("F16", "BF16", "F32", "F64", "I64")
CODES = ("f2", "f4", "f8", "i8")
ANEW = "save it anew with float16, bfloat16, float32, float64 or int64 values only"
BROKEN = "use a file from before its training broke"


def read_safetensors(path: Path, window: Window, budget: Budget) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name, and the strings of the header.

    Raises:
        Refused: the file is damaged, or a tensor is not allowed.
    """
    from safetensors import SafetensorError, safe_open

    if (length := window.number("<Q")) > min(HEADER, window.left):
        raise Refused(f"has a header of {length:,} bytes, more than a checkpoint needs")
    tensors = {}
    try:
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118
                budget.step(16)
                if (dtype := file.get_slice(key).get_dtype()) not in DTYPES:
                    raise Refused(f"holds values of type {dtype} (at {_shown(key)})", ANEW)
                tensors[key] = file.get_tensor(key)
                if not is_finite(tensors[key]):
                    raise Refused(f"holds values that are not finite (at {_shown(key)})", BROKEN)
            return tensors, dict(file.metadata() or {})
    except SafetensorError as error:
        raise Refused(f"is a damaged safetensors file: {_shown(str(error))}") from error


def read_array(window: Window, budget: Budget) -> Tensor:
    """The array of an .npy file, in the machine's byte order.

    Raises:
        Refused: it holds objects, which would be a pickle, or is damaged.
    """
    import numpy as np
    import torch

    shape, fortran, code = _header(window)
    if code[1:] not in CODES:
        kind = "objects, which would be a pickle" if code.endswith("O") else f"values of type {code:.20}"
        raise Refused(f"holds {kind}", ANEW)
    dtype, count = np.dtype(code), math.prod(shape)
    if len(shape) > AXES or count * dtype.itemsize != window.left:
        raise Refused(f"declares an array of shape {shape!r:.80} in {window.left:,} bytes")
    budget.allocate(window.left)
    data = np.empty(window.left, np.uint8)
    window.fill(data.data)
    array = data.view(dtype).astype(dtype.newbyteorder("="), copy=False)
    array = array.reshape(shape, order="F" if fortran else "C")
    tensor = torch.from_numpy(np.ascontiguousarray(array)).reshape(shape)
    if not is_finite(tensor):
        raise Refused("holds values that are not finite", BROKEN)
    return tensor


def _header(window: Window) -> tuple[tuple[int, ...], bool, str]:
    """Shape, whether columns come first, and the code of the dtype."""
    start = window.take(8)
    version = tuple(start[6:])
    if version not in ((1, 0), (2, 0)):
        raise Refused(f"is an .npy file of version {version}", "save it anew with numpy.save")
    if (length := window.number("<H" if version == (1, 0) else "<I")) > ARRAY_HEADER:
        raise Refused(f"has a header of {length:,} bytes, more than an array needs")
    header = FORM.fullmatch(window.take(length))
    if header is None:
        raise Refused("is a damaged .npy file, or an array of records", "save it anew as an array of numbers")
    code, fortran, shape = (group.decode() for group in header.groups())
    return tuple(int(part) for part in shape.split(",") if part.strip()), fortran == "True", code


def _shown(text: str) -> str:
    return ascii(text)[1:-1][:SHOWN]
