"""Reading a file of weights that somebody else wrote: its values, and never its code."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

from mystyle_cli.checkpoints.pickles import SCALARS, Span
from mystyle_cli.checkpoints.records import Checkpoint, Container, Record
from mystyle_cli.checkpoints.storages import View
from mystyle_cli.checkpoints.windows import Budget, Limits, Refused, Window
from mystyle_cli.errors import ModelError

GIGA = 1e9


def read_checkpoint(path: Path, limits: Limits = Limits()) -> Checkpoint:  # noqa: B008 (frozen)
    """Read a file of weights; nothing in it is executed and no class of it is looked up.

    Args:
        path: a pickle of stylegan2-ada-pytorch, what torch.save wrote, safetensors or .npy, told apart by
            content. An ONNX model is recognised and left unread.

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
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        raise Refused("is a folder", "give the file of weights itself")
    if not stat.S_ISREG(status.st_mode):
        raise Refused("is no ordinary file", "copy it to a file first")
    if status.st_size > limits.file_bytes:
        most = (
            f"{status.st_size / GIGA:.1f} GB, more than the {limits.file_bytes / GIGA:.1f} GB that are read"
        )
        raise Refused(f"has {most}", "give the weights alone, without optimizers and training state")
    return status.st_size


def _read(path: Path, file: BinaryIO, size: int, limits: Limits) -> tuple[Container, Any, dict[str, str]]:
    from mystyle_cli.checkpoints import arrays, containers, torch_files

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


SHOWN = 100  # characters of a key that a message repeats


class Finish:
    """Makes the content of one file.

    Every reference is followed as if it were a copy, so whoever walks the content later does no more work
    than was done here: a pickle that multiplies a list by naming it again and again runs out of its budget.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._trail: list[object] = []

    def content(self, value: object) -> Any:
        """The plain value.

        Raises:
            Refused: it is too deep, too large, or holds what is no value; the key is named.
        """
        try:
            return self._plain(value)
        except Refused as refusal:
            if not self._trail:
                raise
            key = ascii(".".join(map(str, self._trail)))[1:-1]
            raise Refused(f"{refusal.reason} (at {key[:SHOWN]})", refusal.hint) from refusal

    def _plain(self, value: Any) -> Any:
        self._budget.step()
        if type(value) in SCALARS:
            return value
        if isinstance(value, View):
            return value.tensor(self._budget)
        if isinstance(value, Span):
            return self._long(value)
        if len(self._trail) >= self._budget.limits.depth:
            raise Refused(
                f"nests values deeper than {self._budget.limits.depth} levels, as no checkpoint does"
            )
        if type(value) is dict:
            return {key: self._inside(key, item) for key, item in value.items()}
        if type(value) is list:
            return [self._inside(i, item) for i, item in enumerate(value)]
        if type(value) is tuple:
            return tuple(self._inside(i, item) for i, item in enumerate(value))
        if type(value) is set:
            self._budget.step(len(value))
            return set(value)
        if isinstance(value, Record):
            return Record(value.class_name, self._inside(value.class_name, value.state))
        raise Refused(f"holds a {type(value).__name__} where a value should be")

    def _inside(self, key: object, value: object) -> Any:
        self._trail.append(key)
        plain = self._plain(value)
        self._trail.pop()
        return plain

    def _long(self, span: Span) -> str | bytes:
        window = span.window.copy()
        self._budget.allocate(4 * window.left)  # a character may take four bytes
        data = window.take(window.left)
        try:
            return data if span.kind == "bytes" else data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Refused("is damaged: a text in it is none") from error
