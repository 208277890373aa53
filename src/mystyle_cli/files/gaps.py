"""ONNX files that leave out weights which the program has elsewhere, and how these are put in again.

A profile's nets repeat its generator and the prior's perceptual net. They name those weights, with shape and
kind of number, and hold no numbers for them; opened, a file is made whole first, byte for byte the one that
others' programs get. A file that leaves out nothing is opened as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mystyle_cli.files.protobuf import fields, head, part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# gives the array of a name; raises KeyError where there is none
Weights = Callable[[str], "NDArray[np.float32]"]

# begins the names of the synthesis network's arrays, as in a generator's file
SYNTHESIS: Final = "synthesis."

PERCEPTUAL: Final = "perceptual."  # begins the names of the perceptual net's arrays
KNOWN_ELSEWHERE: Final = (SYNTHESIS, PERCEPTUAL)  # how the names of weights begin that may be left out
LEAST: Final = 64  # numbers in a tensor from which on leaving it out saves anything

# The numbers of fields and kinds of number, as the ONNX standard gives them.
_MODEL_GRAPH, _GRAPH_TENSORS = 7, 5
_TENSOR_DIMS, _TENSOR_KIND, _TENSOR_NAME, _TENSOR_RAW = 1, 2, 8, 9
_TENSOR_NUMBERS = (4, 5, 6, 7, _TENSOR_RAW, 10)
_KINDS: Final = {1: "<f4", 10: "<f2"}


def without_weights(model: bytes, weights: Weights) -> bytes:
    """Return a file that the program wrote without the numbers that it has elsewhere.

    Whole where these would not make it again byte for byte.
    """
    import onnx

    proto = onnx.load_model_from_string(model)
    for tensor in proto.graph.initializer:
        if tensor.name.startswith(KNOWN_ELSEWHERE) and math.prod(tensor.dims) >= LEAST:
            tensor.ClearField("raw_data")
    short: bytes = proto.SerializeToString()
    try:
        return short if with_weights(short, weights, len(model)) == model else model
    except ValueError:
        return model


def with_weights(model: bytes, weights: Weights | None, most: int) -> bytes:
    """Return a file with what it leaves out.

    Args:
        model: looked through by `bounds.read_net`.
        weights: asked for what is left out alone.
        most: bytes that the whole may have.

    Raises:
        ValueError: what it leaves out is not there, of another shape or kind, or too much.
    """
    filler = _Filler(weights)
    pieces: list[bytes | memoryview] = []
    for number, value, whole in fields(memoryview(model)):
        pieces += filler.graph(part(value)) if number == _MODEL_GRAPH else [whole]
    if not filler.filled:
        return model
    if sum(map(len, pieces)) > most:
        raise ValueError("with its weights it is larger than any net")
    return b"".join(pieces)


class _Filler:
    """Puts in what one file leaves out, each name once."""

    def __init__(self, weights: Weights | None) -> None:
        self.weights, self.filled = weights, set[str]()

    def graph(self, graph: memoryview) -> list[bytes | memoryview]:
        pieces: list[bytes | memoryview] = []
        for number, value, whole in fields(graph):
            numbers = self._left_out(part(value)) if number == _GRAPH_TENSORS else None
            if numbers is None:
                pieces.append(whole)
            else:
                own, last = part(value), head(_TENSOR_RAW, len(numbers))
                size = len(own) + len(last) + len(numbers)
                pieces += [head(_GRAPH_TENSORS, size), own, last, numbers]
        return [head(_MODEL_GRAPH, sum(map(len, pieces))), *pieces]

    def _left_out(self, tensor: memoryview) -> memoryview | None:
        """Return the bytes of the numbers that a tensor leaves out; None where it has its own."""
        dims, kind, name = [], 0, ""
        for number, value, _ in fields(tensor):
            if number in _TENSOR_NUMBERS:
                return None
            if number == _TENSOR_DIMS:
                dims.append(value)
            elif number == _TENSOR_KIND and isinstance(value, int):
                kind = value
            elif number == _TENSOR_NAME:
                name = bytes(part(value)).decode("ascii", "replace")
        if not name.startswith(KNOWN_ELSEWHERE):
            return None
        return self._numbers(name, tuple(dims), kind)

    def _numbers(self, name: str, dims: tuple[int | memoryview, ...], kind: int) -> memoryview:
        import numpy as np

        if self.weights is None:
            raise ValueError(f"it leaves out weights, {name} first, and belongs into a profile")
        if name in self.filled:
            raise ValueError(f"it has two tensors {name}")
        try:
            array = self.weights(name)
        except KeyError:
            raise ValueError(f"it leaves out {name}, which the profile's nets do not have") from None
        if array.shape != dims or kind not in _KINDS:
            raise ValueError(f"it leaves out {name}, which is of another shape or kind in the profile")
        self.filled.add(name)
        with np.errstate(over="ignore"):  # as in the file that was compared with torch
            numbers = np.ascontiguousarray(array, _KINDS[kind])
        return numbers.reshape(-1).view(np.uint8).data
