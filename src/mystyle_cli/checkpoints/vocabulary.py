"""The globals that files of weights may name, and the inert thing that each stands for here.

Source: the pickles that stylegan2-ada-pytorch, PTI, google/mystyle, rosinality's stylegan2 and torch write.
"""

from __future__ import annotations

import codecs
import io
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from mystyle_cli.checkpoints.pickles import Args, Span, Word, latin, scalar
from mystyle_cli.checkpoints.records import Record
from mystyle_cli.checkpoints.storages import DTYPES, Storage, View
from mystyle_cli.checkpoints.windows import Budget, Refused, Window, window_on

VERSION = 6  # of stylegan2-ada-pytorch's persistent objects
SHOWN = 100  # characters of a name that a message repeats
NUMBERS: Final = {"f2": "<e", "f4": "<f", "f8": "<d", "i4": "<i", "i8": "<q", "u1": "<B", "b1": "<?"}
WRITE_ANEW = "where the file was made, save its state_dict() as safetensors or with torch.save"


@dataclass(eq=False)
class NumberType:
    """A numpy dtype of single numbers, by its code such as `f8`."""

    code: str


class Words:
    """The vocabulary of one file.

    Args:
        load_bytes: reads the storage that a string of bytes spells, in torch's old format.
        storages: what a persistent id stands for, given dtype, key and count; None where there are none.
    """

    def __init__(
        self,
        budget: Budget,
        load_bytes: Callable[[Window], Storage] | None,
        storages: Callable[[Any, str, int], Storage] | None,
    ) -> None:
        self._budget, self._load_bytes, self._storages = budget, load_bytes, storages
        self._words = {name: Word(name, make) for name, make in self._calls().items()}
        self._words |= {f"torch.{name}": Word(f"torch.{name}") for name in DTYPES}

    def _calls(self) -> dict[str, Callable[[Args], object]]:
        if self._load_bytes is None:  # in a string of bytes there is a storage and nothing else
            return {"collections.OrderedDict": self._dict}
        return {
            "torch_utils.persistence._reconstruct_persistent_obj": _persistent_object,
            "dnnlib.util.EasyDict": self._dict,
            "collections.OrderedDict": self._dict,
            "builtins.set": self._set,
            "__builtin__.set": self._set,
            "torch._utils._rebuild_tensor": self._tensor,
            "torch._utils._rebuild_tensor_v2": self._tensor,
            "torch._utils._rebuild_parameter": _parameter,
            "torch._utils._rebuild_parameter_with_state": _parameter,
            "torch.nn.parameter.Parameter": _parameter,
            "torch.Size": _size,
            "torch.device": _device,
            "argparse.Namespace": lambda _: Record("Namespace", {}),
            "numpy.dtype": _number_type,
            "numpy.core.multiarray.scalar": _number,
            "numpy._core.multiarray.scalar": _number,
            "torch.storage._load_from_bytes": self._storage,
            "_codecs.encode": self._encode,
        }

    def word(self, name: str) -> Word:
        """The meaning of a global; raises Refused where it is none that weights need."""
        if (word := self._words.get(name)) is not None:
            return word
        shown = name if name.isprintable() and name.isascii() else ascii(name)[1:-1]
        raise Refused(f"asks for the global {shown[:SHOWN]}, which weights do not need", _advice(name))

    def build(self, target: object, state: object) -> None:
        """Give a record or a dtype its state; tensors and dicts have nothing in theirs that is wanted.

        Raises:
            Refused: the object takes none.
        """
        if isinstance(target, Record) and type(state) is dict:
            self._budget.step(len(state))
            target.state.update(state)
        elif isinstance(target, NumberType):
            if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", "|", "="):
                raise Refused("holds numbers in another byte order", WRITE_ANEW)
        elif not isinstance(target, View) and type(target) is not dict:
            raise Refused(f"gives a state to a {type(target).__name__}")

    def persistent(self, key: object) -> object:
        """The storage that a persistent id stands for; raises Refused where it stands for something else."""
        if self._storages is None:
            raise Refused("refers to values outside it")
        if type(key) is not tuple or len(key) not in (5, 6) or key[0] != "storage":
            raise Refused("refers to something that is no storage of numbers")
        word, name, _, count, *view = key[1:]
        if type(word) is not Word or type(name) is not str or type(count) is not int or count < 0:
            raise Refused("refers to a storage in an unknown way")
        dtype = DTYPES.get(word.name.removeprefix("torch."))
        if dtype is None or view not in ([], [None]):
            raise Refused("refers to a part of a storage", WRITE_ANEW)
        return self._storages(dtype, name, count)

    def _dict(self, arguments: Args) -> dict[Any, Any]:
        """An empty dict, or one of the pairs that Python 2 wrote."""
        if not arguments:
            return {}
        pairs = arguments[0]
        if len(arguments) > 1 or type(pairs) is not list or any(type(p) not in (list, tuple) for p in pairs):
            raise Refused("makes a dict of what is no list of pairs")
        if any(len(pair) != 2 for pair in pairs):
            raise Refused("makes a dict of what is no list of pairs")
        self._budget.step(len(pairs))
        return {scalar(key): value for key, value in pairs}

    def _set(self, arguments: Args) -> set[Any]:
        if len(arguments) != 1 or type(arguments[0]) is not list:
            raise Refused("makes a set of what is no list")
        self._budget.step(len(arguments[0]))
        return set(map(scalar, arguments[0]))

    def _tensor(self, arguments: Args) -> View:
        if len(arguments) < 4 or not isinstance(storage := arguments[0], Storage):
            raise Refused("makes a tensor of what is no storage")
        size, stride = arguments[2:4]
        if type(size) is not tuple or type(stride) is not tuple:
            raise Refused("makes a tensor without a shape")
        self._budget.step(16)  # a tensor is dearer than other values
        return View(storage, arguments[1], size, stride)

    def _storage(self, arguments: Args) -> Storage:
        """The storage within a string of bytes: read here, never by torch, which would run what is in it."""
        if len(arguments) != 1 or self._load_bytes is None:
            raise Refused("holds a storage that is not spelt as bytes")
        self._budget.step(16)
        data = arguments[0]
        if isinstance(data, Span) and data.kind != "text":
            return self._load_bytes(
                self._decoded(data.window) if data.kind == "latin-1" else data.window.copy()
            )
        if type(data) is not bytes:
            raise Refused("holds a storage that is not spelt as bytes")
        return self._load_bytes(window_on(data))

    def _decoded(self, window: Window) -> Window:
        """The bytes that protocol 2 spelt as text."""
        source, decoded = window.copy(), io.BytesIO()
        self._budget.allocate(source.left)
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while source.left:
                decoded.write(decoder.decode(source.take(min(source.left, 1 << 20))).encode("latin-1"))
            decoder.decode(b"", final=True)
        except UnicodeError as error:
            raise Refused("is damaged: text that stands for bytes does not") from error
        return Window(decoded, 0, decoded.tell())

    def _encode(self, arguments: Args) -> bytes | Span:
        if len(arguments) != 2 or arguments[1] != "latin1":
            raise Refused("encodes text in another way than pickles do")
        encoded = latin(arguments[0])
        self._budget.step(len(encoded) // 8 if isinstance(encoded, bytes) else 0)
        return encoded


def _persistent_object(arguments: Args) -> Record:
    """A module of stylegan2-ada-pytorch: its name and state are kept, its source text is not looked at."""
    meta = arguments[0] if len(arguments) == 1 else None
    if type(meta) is not dict or meta.get("type") != "class" or type(meta.get("state")) is not dict:
        raise Refused("holds a persistent object that is not a class with a state")
    version = meta.get("version")
    if type(version) is not int or type(meta.get("class_name")) is not str:
        raise Refused("holds a persistent object without a version or a name")
    if version != VERSION:
        raise Refused(
            f"holds a persistent object of version {version}; version {VERSION} is read",
            "rewrite the file with the current stylegan2-ada-pytorch",
        )
    return Record(meta["class_name"], meta["state"])


def _parameter(arguments: Args) -> View:
    if not arguments or not isinstance(arguments[0], View):
        raise Refused("makes a parameter of what is no tensor")
    return arguments[0]


def _size(arguments: Args) -> tuple[Any, ...]:
    if len(arguments) != 1 or type(arguments[0]) is not tuple:
        raise Refused("makes a shape of what is no tuple")
    return arguments[0]


def _device(arguments: Args) -> str:
    if not arguments or type(arguments[0]) is not str:
        raise Refused("names a device by what is no text")
    return arguments[0]


def _number_type(arguments: Args) -> NumberType:
    if not arguments or type(arguments[0]) is not str or arguments[0] not in NUMBERS:
        shown = arguments[0] if arguments and type(arguments[0]) is str else "something else"
        raise Refused(f"holds numpy values of type {shown!r:.40}", WRITE_ANEW)
    return NumberType(arguments[0])


def _number(arguments: Args) -> float | int | bool:
    if len(arguments) != 2 or not isinstance(arguments[0], NumberType) or type(arguments[1]) is not bytes:
        raise Refused("holds a numpy number without a type or a value")
    form = NUMBERS[arguments[0].code]
    if len(arguments[1]) != struct.calcsize(form):
        raise Refused("is damaged: a numpy number has the wrong length")
    value: float | int | bool = struct.unpack(form, arguments[1])[0]
    return value


def _advice(name: str) -> str:
    def within(modules: Iterable[str]) -> bool:
        return any(name == module or name.startswith(module + ".") for module in modules)

    if within(("dnnlib.tflib",)):
        return "convert it with legacy.py of stylegan2-ada-pytorch, or take the .pkl published for PyTorch"
    if within(("torch.BoolStorage", "torch.ByteStorage", "torch.IntStorage", "torch.storage.UntypedStorage")):
        return "save it anew with float16, bfloat16, float32, float64 or int64 values only"
    if within(("torch.nn", "numpy", "torch")):
        return WRITE_ANEW
    return "do not open it with Python or torch, which would run it; take the weights from a source you trust"
