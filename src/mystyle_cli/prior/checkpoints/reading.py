"""Reading a file of weights that somebody else wrote: its values, and never its code."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

from mystyle_cli.errors import ModelError
from mystyle_cli.prior.checkpoints.limits import Budget, Limits, Refused
from mystyle_cli.prior.checkpoints.records import Checkpoint, Container
from mystyle_cli.prior.checkpoints.windows import Window

GIGA = 1e9


def read_checkpoint(path: Path, limits: Limits = Limits()) -> Checkpoint:  # noqa: B008 (frozen)
    """Read a file of weights; nothing in it is executed and no class of it is looked up.

    Args:
        path: a pickle of stylegan2-ada-pytorch, what torch.save wrote, safetensors or .npy, told apart by
            content. An ONNX model is recognised and left unread.
        limits: on the file and what it asks for.

    Raises:
        ModelError: the file cannot be read, is of another kind, damaged, or asks for more than weights need.
    """
    try:
        size = _size(path, limits)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            container, content, metadata = _read(path, file, size, limits)
    except Refused as refusal:
        raise ModelError(f"{path} {refusal.reason}", refusal.hint) from refusal
    except OSError as error:
        reason = error.strerror or error
        raise ModelError(f"cannot read {path}: {reason}", "give a file that can be read") from error
    except MemoryError as error:
        raise ModelError(f"{path} needs more memory than there is", "close other programs") from error
    return Checkpoint(path, digest, container, content, metadata)


def _size(path: Path, limits: Limits) -> int:
    """Size of the file, known before anything of it is read."""
    found = os.stat(path)
    if stat.S_ISDIR(found.st_mode):
        raise Refused("is a folder", "give the file of weights itself")
    if not stat.S_ISREG(found.st_mode):
        raise Refused("is no ordinary file", "copy it to a file first")
    if found.st_size > limits.file_bytes:
        most = f"{found.st_size / GIGA:.1f} GB, more than the {limits.file_bytes / GIGA:.1f} GB that are read"
        raise Refused(f"has {most}", "give the weights alone, without optimizers and training state")
    return found.st_size


def _read(path: Path, file: BinaryIO, size: int, limits: Limits) -> tuple[Container, Any, dict[str, str]]:
    from mystyle_cli.prior.checkpoints import arrays, containers, torch_files
    from mystyle_cli.prior.checkpoints.plain import Finish

    window, budget = Window(file, 0, size), Budget(limits, size)
    kind = containers.kind_of(window)
    if kind == "onnx":
        return "onnx", None, {}
    if kind == "safetensors":
        return "safetensors", *arrays.read_safetensors(path, window, budget)
    if kind == "numpy":
        return "numpy", arrays.read_array(window, budget), {}
    if kind == "archive":
        value = torch_files.read_archive(file, window, budget)
    else:  # a bare pickle may hold storages in torch's old format, which by itself starts with torch's mark
        value = (torch_files.read_row if kind == "row" else torch_files.read_pickle)(window, budget)
    return "pickle" if kind == "pickle" else "torch", Finish(budget).content(value), {}
