"""Turns a TensorFlow Lite net of a few kinds of layers into an ONNX net of the same answers.

What reads the file is written down here: a flatbuffer of tables, whose fields are found by number. Pictures
are (B, H, W, C) there and (B, C, H, W) in the result, where the batch may be of any size and all outputs, as
rows, stand beside each other in the one output `out`.

    pip download --no-deps mediapipe==0.10.14 && unzip mediapipe-*.whl 'mediapipe/modules/face_*/*.tflite'
    pip install ai-edge-litert
    python -m tools.faces.tflite face_detection_full_range_sparse.tflite NETS/detector.onnx
    python -m tools.faces.tflite face_landmark.tflite NETS/mesh.onnx

NETS is `src/mystyle_cli/faces/nets`; the digests of both are in `mystyle_cli.fetch.assets`.
"""

from __future__ import annotations

import argparse
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tools.portraits.to_onnx import answer, shrink

TYPES = {0: "<f4", 1: "<f2", 2: "<i4"}
LAYERS = {
    0: "add",
    2: "concatenate",
    3: "convolve",
    4: "convolve_depthwise",
    5: "depth_to_space",
    6: "copy",  # what was stored as float16, as float32
    17: "pool",
    19: "relu",
    22: "rows",
    23: "resize",
    34: "pad",
    54: "prelu",
    124: "copy",  # what was stored sparsely, densely
}
"""The layers that are known, by their numbers in the file."""

TO_PLANES = (0, 3, 1, 2)  # from channels last to channels first
TO_PIXELS = (0, 2, 3, 1)


@dataclass(frozen=True)
class Table:
    """A table of a flatbuffer, at a place in its bytes."""

    data: bytes
    place: int

    def number(self, field: int, kind: str = "<i", default: int = 0) -> int:
        """Return a whole number of the struct format `kind`."""
        place = self._field(field)
        return default if place is None else int(struct.unpack_from(kind, self.data, place)[0])

    def array(self, field: int, kind: str = "<i4") -> np.ndarray:
        """Return a list of numbers, empty where there is none."""
        place = self._field(field)
        if place is None:
            return np.empty(0, kind)
        start, count = self._list(place)
        return np.frombuffer(self.data, kind, count, start)

    def table(self, field: int) -> Table | None:
        """Return the table that a field points to."""
        place = self._field(field)
        return None if place is None else Table(self.data, self._follow(place))

    def tables(self, field: int) -> list[Table]:
        """Return a list of tables, empty where there is none."""
        place = self._field(field)
        if place is None:
            return []
        start, count = self._list(place)
        return [Table(self.data, self._follow(start + 4 * number)) for number in range(count)]

    def _field(self, number: int) -> int | None:
        """Return the place of a field, None where the file leaves it out."""
        (back,) = struct.unpack_from("<i", self.data, self.place)
        (size,) = struct.unpack_from("<H", self.data, self.place - back)
        entry = 4 + 2 * number
        if entry >= size:
            return None
        (offset,) = struct.unpack_from("<H", self.data, self.place - back + entry)
        return self.place + offset if offset else None

    def _follow(self, place: int) -> int:
        (offset,) = struct.unpack_from("<I", self.data, place)
        return place + int(offset)

    def _list(self, place: int) -> tuple[int, int]:
        start = self._follow(place)
        return start + 4, int(struct.unpack_from("<I", self.data, start)[0])


def convert(data: bytes) -> onnx.ModelProto:
    """Return the net of a .tflite file as ONNX.

    Raises:
        ValueError: the net has layers of a kind that is not known.
    """
    return _Converter(data).convert()


def _constant(tensor: Table, buffers: list[Table]) -> np.ndarray | None:
    """Return a constant's values, None for what is computed."""
    raw, kind = buffers[tensor.number(2, "<I")].array(0, "u1"), tensor.number(1, "<b")
    if not len(raw):
        return None
    if kind not in TYPES:
        raise ValueError(f"numbers of type {kind} are not known")
    values, sparsity = np.frombuffer(raw.tobytes(), TYPES[kind]), tensor.table(6)
    shape = tensor.array(0)
    return values.reshape(shape) if sparsity is None else _dense(values, shape, sparsity)


def _dense(values: np.ndarray, shape: np.ndarray, sparsity: Table) -> np.ndarray:
    """Put stored values where they belong.

    The levels go from the outermost axis to the innermost: each is whole, or lists for every entry of the one
    before it the places that are stored. Axes beyond those of the shape lie inside a block of one of these.
    """
    inside = sparsity.array(1)
    rows, along = np.zeros(1, np.int64), {}
    for axis, level in zip(sparsity.array(0).tolist(), sparsity.tables(2), strict=True):
        if level.number(0, "<b") == 0:
            size = level.number(1)
            counts, places = np.full(len(rows), size), np.tile(np.arange(size), len(rows))
            rows = np.repeat(rows, counts) * size + places
        else:
            size, starts, stored = 1, _whole_numbers(level, 2), _whole_numbers(level, 4)
            counts = starts[rows + 1] - starts[rows]
            rows = np.concatenate([np.arange(starts[row], starts[row + 1]) for row in rows])
            places = stored[rows]
        along = {passed: np.repeat(there, counts) for passed, there in along.items()}
        if axis < len(shape):
            along[axis] = places
        else:
            outer = int(inside[axis - len(shape)])
            along[outer] = along[outer] * size + places
    dense = np.zeros(shape, values.dtype)
    dense[tuple(along[axis] for axis in range(len(shape)))] = values[rows]
    return dense


def _whole_numbers(level: Table, field: int) -> np.ndarray:
    """Return a list that is stored in 32, 16 or 8 bits each; the field before the table says which."""
    table = level.table(field + 1)
    assert table is not None
    return table.array(0, {1: "<i4", 2: "<u2", 3: "u1"}[level.number(field, "<b")]).astype(np.int64)


class _Converter:
    """Collects the nodes of one net."""

    def __init__(self, data: bytes) -> None:
        model = Table(data, struct.unpack_from("<I", data)[0])
        codes, (self.graph,), buffers = model.tables(1), model.tables(2), model.tables(4)
        self.kinds = [max(code.number(0, "<b"), code.number(3)) for code in codes]
        self.shapes = [tensor.array(0).tolist() for tensor in self.graph.tables(0)]
        constants = enumerate(_constant(tensor, buffers) for tensor in self.graph.tables(0))
        self.constants = {number: values for number, values in constants if values is not None}
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def convert(self) -> onnx.ModelProto:
        """Convert every layer and put the outputs beside each other."""
        for layer in self.graph.tables(3):
            kind = self.kinds[layer.number(0, "<I")]
            if kind not in LAYERS:
                raise ValueError(f"layers of kind {kind} are not known")
            options = layer.table(4) or Table(bytes(8), 4)
            inputs, (output,) = layer.array(1).tolist(), layer.array(2).tolist()
            getattr(self, f"_{LAYERS[kind]}")(options, inputs, output)
        (seen,), answers = self.graph.array(1).tolist(), self.graph.array(2).tolist()
        rows = [f"t{number}" for number in answers]
        ranks = {len(self.shapes[number]) for number in answers}
        if ranks == {4}:  # one row of values for a picture
            for number in answers:
                self._node("Flatten", [f"t{number}"], f"row{number}")
            rows = [f"row{number}" for number in answers]
        self._node("Concat", rows, "out", axis=-1)
        _, height, width, channels = self.shapes[seen]
        image = helper.make_tensor_value_info(
            f"t{seen}", TensorProto.FLOAT, ["batch", channels, height, width]
        )
        values = ["batch", "values"] if ranks == {4} else ["batch", "places", "values"]
        out = helper.make_tensor_value_info("out", TensorProto.FLOAT, values)
        graph = helper.make_graph(self.nodes, "net", [image], [out], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))

    def _weight(self, name: str, values: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _activated(
        self, activation: int, kind: str, inputs: list[str], output: int, **attributes: Any
    ) -> None:
        """Add a node and what follows it."""
        result = f"t{output}"
        if activation == 0:
            self._node(kind, inputs, result, **attributes)
        elif activation == 1:
            self._node(kind, inputs, f"{result}_before", **attributes)
            self._node("Relu", [f"{result}_before"], result)
        else:
            raise ValueError(f"activations of kind {activation} are not known")

    def _copy(self, options: Table, inputs: list[int], output: int) -> None:
        values = self.constants[inputs[0]]
        self.constants[output] = values.astype(np.float32) if values.dtype.kind == "f" else values

    def _add(self, options: Table, inputs: list[int], output: int) -> None:
        self._activated(options.number(0, "<b"), "Add", [f"t{number}" for number in inputs], output)

    def _relu(self, options: Table, inputs: list[int], output: int) -> None:
        self._node("Relu", [f"t{inputs[0]}"], f"t{output}")

    def _prelu(self, options: Table, inputs: list[int], output: int) -> None:
        slopes = np.moveaxis(self.constants[inputs[1]], -1, 0)
        self._node("PRelu", [f"t{inputs[0]}", self._weight(f"w{output}", slopes)], f"t{output}")

    def _convolve(self, options: Table, inputs: list[int], output: int) -> None:
        kernel = self.constants[inputs[1]].transpose(TO_PLANES)
        self._convolve_with(kernel, 1, options, options.number(3, "<b"), inputs, output)

    def _convolve_depthwise(self, options: Table, inputs: list[int], output: int) -> None:
        kernel = self.constants[inputs[1]].transpose(3, 0, 1, 2)
        self._convolve_with(kernel, len(kernel), options, options.number(4, "<b"), inputs, output)

    def _convolve_with(
        self, kernel: np.ndarray, groups: int, options: Table, activation: int, inputs: list[int], output: int
    ) -> None:
        names = [self._weight(f"w{output}", kernel), self._weight(f"b{output}", self.constants[inputs[2]])]
        self._activated(
            activation,
            "Conv",
            [f"t{inputs[0]}", *names],
            output,
            group=groups,
            kernel_shape=list(kernel.shape[2:]),
            **_steps(options),
        )

    def _pool(self, options: Table, inputs: list[int], output: int) -> None:
        size = [options.number(4), options.number(3)]
        self._node("MaxPool", [f"t{inputs[0]}"], f"t{output}", kernel_shape=size, **_steps(options))

    def _pad(self, options: Table, inputs: list[int], output: int) -> None:
        before, after = self.constants[inputs[1]].T[:, list(TO_PLANES)]
        widths = self._weight(f"w{output}", np.concatenate([before, after]).astype(np.int64))
        self._node("Pad", [f"t{inputs[0]}", widths], f"t{output}")

    def _resize(self, options: Table, inputs: list[int], output: int) -> None:
        way = "half_pixel" if options.number(3, "<b") else "asymmetric"
        way = "align_corners" if options.number(2, "<b") else way
        ratio = np.array(self.shapes[output], np.float32) / np.array(self.shapes[inputs[0]], np.float32)
        scales = self._weight(f"w{output}", ratio[list(TO_PLANES)])
        self._node(
            "Resize",
            [f"t{inputs[0]}", "", scales],
            f"t{output}",
            mode="linear",
            coordinate_transformation_mode=way,
        )

    def _depth_to_space(self, options: Table, inputs: list[int], output: int) -> None:
        self._node("DepthToSpace", [f"t{inputs[0]}"], f"t{output}", blocksize=options.number(0), mode="DCR")

    def _rows(self, options: Table, inputs: list[int], output: int) -> None:
        """Reshape a picture (B, H, W, C) to rows (B, N, values)."""
        self._node("Transpose", [f"t{inputs[0]}"], f"t{output}_pixels", perm=TO_PIXELS)
        shape = self._weight(f"w{output}", np.array([0, -1, self.shapes[output][-1]]))
        self._node("Reshape", [f"t{output}_pixels", shape], f"t{output}")

    def _concatenate(self, options: Table, inputs: list[int], output: int) -> None:
        """Put rows (B, N, values) one below the other."""
        self._node("Concat", [f"t{number}" for number in inputs], f"t{output}", axis=options.number(0))


def _steps(options: Table) -> dict[str, Any]:
    """Return stride and padding, which convolutions and pooling name alike."""
    padding = "VALID" if options.number(0, "<b") else "SAME_UPPER"
    return {"strides": [options.number(2), options.number(1)], "auto_pad": padding}


def interpret(path: Path, images: np.ndarray) -> np.ndarray:
    """Return what the .tflite file itself answers to images (B, C, H, W), outputs beside each other."""
    from ai_edge_litert.interpreter import Interpreter

    net = Interpreter(str(path), num_threads=1)
    net.allocate_tensors()
    answers = []
    for image in images:
        net.set_tensor(net.get_input_details()[0]["index"], image.transpose(1, 2, 0)[None])
        net.invoke()
        outputs = [net.get_tensor(detail["index"])[0] for detail in net.get_output_details()]
        answers.append(np.concatenate([out.ravel() if out.ndim == 3 else out for out in outputs], axis=-1))
    return np.stack(answers)


def main() -> None:
    """Convert a file, and compare both nets on noise."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    args = parser.parse_args()
    model = convert(args.source.read_bytes())
    onnx.save(model, args.target)
    shrink(args.target, math.inf)  # the file's own weights have 16 bits: nothing is lost
    shape = [size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim[1:]]
    images = np.random.default_rng(0).random((4, *shape), np.float32)
    wanted, found = interpret(args.source, images), answer(args.target, images)
    print(f"{args.target}: differs by {np.abs(found - wanted).max():.1e}, of {np.abs(wanted).max():.1f}")


if __name__ == "__main__":
    main()
