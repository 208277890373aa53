"""A pickle's instructions, run on inert values: no class is looked up, no function of the file's called."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Protocol

from mystyle_cli.checkpoints.windows import Budget, Refused, Window

SHORT = 4096  # bytes; longer strings stay in the file until they are wanted
LONG = 16  # bytes of an integer
SCALARS: Final = (str, int, float, bool, bytes, type(None))

Args = tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Word:
    """A global that files of weights may name, standing for what it means here."""

    name: str
    make: Callable[[Args], object] | None = None  # what calling it gives; None where it may only be named


@dataclass(frozen=True, eq=False)
class Span:
    """A long string, left in the file."""

    window: Window
    # what they are; `latin-1` is text that stands for bytes, as protocol 2 spells them
    kind: Literal["bytes", "text", "latin-1"]


class Vocabulary(Protocol):
    """What the globals, states and persistent ids of a pickle mean; each method raises Refused for others."""

    def word(self, name: str) -> Word:
        """The meaning of a global."""

    def build(self, target: object, state: object) -> None:
        """Give an object the state that the file has for it."""

    def persistent(self, key: object) -> object:
        """What a persistent id stands for."""


class Machine:
    """Runs the instructions of one pickle after another from a window."""

    def __init__(self, window: Window, budget: Budget, vocabulary: Vocabulary) -> None:
        self.window, self.budget, self.vocabulary = window, budget, vocabulary
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> object:
        """The value that the next pickle describes; the window is left behind its end.

        Raises:
            Refused: it is damaged, too large, or asks for what is not allowed.
        """
        self.stack, self.marks, self.memo = [], [], {}
        take, step = self.window.take, self.budget.step
        try:
            while (code := take(1)) != b".":
                step()
                instruction = INSTRUCTIONS.get(code)
                if instruction is None:
                    raise Refused(
                        f"is damaged: {code!r} at byte {self.window.position - 1:,} has no place there"
                    )
                instruction(self)
            return self.stack.pop()
        except (IndexError, KeyError, ValueError, struct.error) as error:
            raise Refused(f"is damaged near byte {self.window.position:,}: {error!r:.80}") from error

    def push(self, value: object) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def items(self) -> list[Any]:
        """What was pushed since the last mark."""
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def top(self, kind: type) -> Any:
        """The value on top of the stack, which must be of exactly this type."""
        if type(self.stack[-1]) is not kind:
            raise Refused(
                f"is damaged near byte {self.window.position:,}: a {kind.__name__} is expected there"
            )
        return self.stack[-1]

    def pop(self, kind: type) -> Any:
        """Take the value on top of the stack, which must be of exactly this type."""
        self.top(kind)
        return self.stack.pop()


def _protocol(machine: Machine) -> None:
    if not 2 <= (protocol := machine.window.number("<B")) <= 5:
        raise Refused(f"is a pickle of protocol {protocol}; 2 to 5 are read", "save it anew with protocol 4")


def _frame(machine: Machine) -> None:
    machine.window.take(8)  # its length, by which nothing is read here


def _mark(machine: Machine) -> None:
    machine.marks.append(machine.stack)
    machine.stack = []


def _long(machine: Machine) -> None:
    if (length := machine.window.number("<B")) > LONG:
        raise Refused(f"holds an integer of {length} bytes")
    machine.push(int.from_bytes(machine.window.take(length), "little", signed=True))


def _string(form: str, kind: Literal["bytes", "text", "ascii"]) -> Callable[[Machine], None]:
    """An instruction with a length and as many bytes."""

    def instruction(machine: Machine) -> None:
        length = machine.window.number(form)
        if kind != "ascii" and length > SHORT:
            machine.push(Span(machine.window.part(length), kind))
            return
        if length > SHORT:
            raise Refused(f"holds a string of {length:,} bytes")
        machine.budget.step(max(length, 0) // 64)  # so that strings alone fill no memory
        data = machine.window.take(length)
        if kind == "bytes":
            machine.push(data)
        else:  # a string of Python 2 is text as long as it is ASCII
            machine.push(data.decode("utf-8" if kind == "text" else "ascii"))

    return instruction


def _append(machine: Machine) -> None:
    value = machine.stack.pop()
    machine.top(list).append(value)


def _appends(machine: Machine) -> None:
    items = machine.items()
    machine.top(list).extend(items)


def _set_item(machine: Machine) -> None:
    value = machine.stack.pop()
    key = machine.stack.pop()
    machine.top(dict)[scalar(key)] = value


def _set_items(machine: Machine) -> None:
    items = machine.items()
    if len(items) % 2:
        raise Refused("is damaged: a key has no value")
    machine.top(dict).update(zip(map(scalar, items[::2]), items[1::2], strict=True))


def _add_items(machine: Machine) -> None:
    items = machine.items()
    machine.top(set).update(map(scalar, items))


def _tuple(count: int) -> Callable[[Machine], None]:
    def instruction(machine: Machine) -> None:
        items = machine.stack[len(machine.stack) - count :]
        if len(items) < count:
            raise Refused("is damaged: a tuple lacks values")
        machine.stack[len(machine.stack) - count :] = [tuple(items)]

    return instruction


def _put(form: str) -> Callable[[Machine], None]:
    def instruction(machine: Machine) -> None:
        machine.memo[machine.window.number(form)] = machine.stack[-1]

    return instruction


def _memoize(machine: Machine) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _global(machine: Machine) -> None:
    module = machine.window.line()
    _name(machine, module, machine.window.line())


def _stack_global(machine: Machine) -> None:
    name = machine.pop(str)
    _name(machine, machine.pop(str), name)


def _name(machine: Machine, module: str, name: str) -> None:
    machine.push(machine.vocabulary.word(f"{module}.{name}"))


def _call(machine: Machine) -> None:
    arguments = machine.pop(tuple)
    word = machine.pop(Word)
    if word.make is None:
        raise Refused(f"calls {word.name}, which may only be named there")
    machine.push(word.make(arguments))


def _build(machine: Machine) -> None:
    state = machine.stack.pop()
    machine.vocabulary.build(machine.stack[-1], state)


def _persistent(machine: Machine) -> None:
    machine.push(machine.vocabulary.persistent(machine.stack.pop()))


def scalar(value: object) -> Any:
    """A value that may be a key, as hashing it recurses nowhere; raises Refused where it is a container."""
    if type(value) not in SCALARS:
        raise Refused(f"uses a {type(value).__name__} as a key")
    return value


def latin(value: object) -> bytes | Span:
    """Text that stands for bytes, as bytes; raises Refused where it is not such text."""
    if isinstance(value, Span) and value.kind == "text":
        return replace(value, kind="latin-1")
    if type(value) is not str:
        raise Refused(f"encodes a {type(value).__name__}")
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError as error:
        raise Refused("is damaged: text that stands for bytes does not") from error


INSTRUCTIONS: Final[dict[bytes, Callable[[Machine], None]]] = {
    b"\x80": _protocol,
    b"\x95": _frame,
    b"(": _mark,
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"J": lambda m: m.push(m.window.number("<i")),
    b"K": lambda m: m.push(m.window.number("<B")),
    b"M": lambda m: m.push(m.window.number("<H")),
    b"\x8a": _long,
    b"G": lambda m: m.push(m.window.number(">d")),
    b"X": _string("<I", "text"),
    b"\x8c": _string("<B", "text"),
    b"\x8d": _string("<Q", "text"),
    b"B": _string("<I", "bytes"),
    b"C": _string("<B", "bytes"),
    b"\x8e": _string("<Q", "bytes"),
    b"T": _string("<i", "ascii"),
    b"U": _string("<B", "ascii"),
    b"}": lambda m: m.push({}),
    b"]": lambda m: m.push([]),
    b")": lambda m: m.push(()),
    b"\x8f": lambda m: m.push(set()),
    b"t": lambda m: m.push(tuple(m.items())),
    b"\x85": _tuple(1),
    b"\x86": _tuple(2),
    b"\x87": _tuple(3),
    b"a": _append,
    b"e": _appends,
    b"s": _set_item,
    b"u": _set_items,
    b"\x90": _add_items,
    b"q": _put("<B"),
    b"r": _put("<I"),
    b"\x94": _memoize,
    b"h": lambda m: m.push(m.memo[m.window.number("<B")]),
    b"j": lambda m: m.push(m.memo[m.window.number("<I")]),
    b"c": _global,
    b"\x93": _stack_global,
    b"R": _call,
    b"\x81": _call,  # a class is called just as a function is
    b"b": _build,
    b"Q": _persistent,
}
