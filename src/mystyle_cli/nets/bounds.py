"""What is believed of nets: ONNX files looked through before they are opened, sizes, answers.

A model may name files beside it that hold its weights, and may loop for ever. Neither is in any net that the
program writes or imports, so both are refused. What a file may leave out, it is asked for by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mystyle_cli.files.gaps import Weights, with_weights
from mystyle_cli.files.protobuf import fields, part
from mystyle_cli.files.reading import read_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


# bounds of resolution, w_dim and num_ws: several times those of StyleGAN2 at 1024 pixels
LARGEST_SIDE, LARGEST_CODE, MOST_CODES = 4096, 8192, 64

LARGEST_ANSWER = 1e15  # the largest number that a net may answer with: its square fits into float32


def sound_answer(answer: NDArray[np.float32]) -> bool:
    """Tell whether everything that a net answered is a number that can be worked with."""
    import numpy as np

    return bool((np.abs(answer) <= LARGEST_ANSWER).all())


LARGEST: Final = (2 << 30) - 1  # bytes of the largest file; protobuf has no larger ones
LOOPS: Final = frozenset({b"Loop", b"Scan"})  # operators that may run for as long as their input says
_DEEPEST: Final = 16  # graphs within each other
_MOST_FIELDS: Final = 1_000_000  # fields that are looked at; the largest nets have some ten thousand

# The numbers of fields, as the ONNX standard gives them; only those that lead to a tensor or a node.
_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODES, _GRAPH_TENSORS, _GRAPH_SPARSE = 1, 5, 15
_NODE_KIND, _NODE_ATTRIBUTES = 4, 5
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = 5, 6, 10, 11
_TENSOR_EXTERNAL, _TENSOR_LOCATION = 13, 14


def read_net(path: Path, weights: Weights | None = None) -> bytes:
    """Return an ONNX file, which may leave weights out as `files/gaps.py` tells.

    Raises:
        OSError: it cannot be read, or is no regular file.
        ValueError: it is damaged, keeps weights in another file, leaves out some that are not there, or has
            loops or operators of its own.
    """
    data = read_file(path, LARGEST)
    _Look().at_model(memoryview(data))
    return with_weights(data, weights, LARGEST)


class _Look:
    """One look through a file, of bounded length."""

    def __init__(self) -> None:
        self._left = _MOST_FIELDS

    def at_model(self, model: memoryview) -> None:
        for number, value in self._fields(model):
            if number == _MODEL_FUNCTIONS:
                raise ValueError("it brings operators of its own")
            if number == _MODEL_GRAPH:
                self._at_graph(part(value), 0)

    def _at_graph(self, graph: memoryview, depth: int) -> None:
        if depth > _DEEPEST:
            raise ValueError(f"it has more than {_DEEPEST} graphs within each other")
        for number, value in self._fields(graph):
            if number == _GRAPH_TENSORS:
                self._at_tensor(part(value))
            elif number == _GRAPH_NODES:
                self._at_node(part(value), depth)
            elif number == _GRAPH_SPARSE:
                raise ValueError("it has sparse weights")

    def _at_node(self, node: memoryview, depth: int) -> None:
        for number, value in self._fields(node):
            if number == _NODE_KIND and bytes(part(value)) in LOOPS:
                raise ValueError("it has loops, which need not end")
            if number != _NODE_ATTRIBUTES:
                continue
            for kind, item in self._fields(part(value)):
                if kind in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
                    self._at_tensor(part(item))
                elif kind in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
                    self._at_graph(part(item), depth + 1)

    def _at_tensor(self, tensor: memoryview) -> None:
        for number, value in self._fields(tensor):
            if number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and value):
                raise ValueError("it keeps its weights in another file")

    def _fields(self, data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
        for number, value, _ in fields(data):
            self._left -= 1
            if self._left < 0:
                raise ValueError("it has more parts than any net")
            yield number, value
