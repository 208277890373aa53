"""The reader of TensorFlow Lite files, on a net that flatbuffers itself writes and torch computes."""

from __future__ import annotations

from pathlib import Path

import flatbuffers
import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F

from tools.faces.tflite import LAYERS, convert
from tools.portraits.to_onnx import answer

FLOAT, HALF, WHOLE = 0, 1, 2
CONVOLVE, DENSIFY, DEQUANTIZE, PRELU = 3, 124, 6, 54


class Writer:
    """Builds the tables of one file."""

    def __init__(self) -> None:
        self.builder = flatbuffers.Builder(1024)

    def table(self, **fields: tuple[str, int]) -> int:
        """Write a table; `f3=("Int32", 5)` puts a number of that kind, or an offset, into field 3."""
        self.builder.StartObject(12)
        for name, (kind, value) in fields.items():
            number = int(name[1:])
            if kind == "offset":
                self.builder.PrependUOffsetTRelativeSlot(number, value, 0)
            else:
                getattr(self.builder, f"Prepend{kind}Slot")(number, value, 0)
        return int(self.builder.EndObject())

    def numbers(self, values: list[int] | np.ndarray, kind: str = "<i4") -> int:
        """Write a list of numbers."""
        return int(self.builder.CreateNumpyVector(np.asarray(values, kind)))

    def tables(self, places: list[int]) -> int:
        """Write a list of tables."""
        self.builder.StartVector(4, len(places), 4)
        for place in reversed(places):
            self.builder.PrependUOffsetTRelative(place)
        return int(self.builder.EndVector())


def written(kernel: np.ndarray, slopes: np.ndarray) -> bytes:
    """Return a file: a convolution of stride 2 (its kernel sparse, of 16 bits), then leaky slopes."""
    w = Writer()
    rows, columns = kernel.reshape(len(kernel), -1).nonzero()
    _, height, width, channels = kernel.shape
    stored = kernel.reshape(len(kernel), -1)[rows, columns].astype("<f2")
    blobs = [b"", stored.tobytes(), np.zeros(len(kernel), "<f4").tobytes(), slopes.astype("<f4").tobytes()]
    buffers = [w.table(f0=("offset", w.numbers(np.frombuffer(blob, "u1"), "u1"))) for blob in blobs]
    # the outer axis whole, then (axes of 1 whole and) a list of the channels that are stored for each entry
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(kernel)))])
    segments = w.table(f0=("offset", w.numbers(starts)))
    places = w.table(f0=("offset", w.numbers(columns)))
    levels = [w.table(f1=("Int32", size)) for size in (len(kernel), height, width)]
    levels.append(
        w.table(
            f0=("Int8", 1),
            f2=("Uint8", 1),
            f3=("offset", segments),
            f4=("Uint8", 1),
            f5=("offset", places),
        )
    )
    sparsity = w.table(f0=("offset", w.numbers([0, 1, 2, 3])), f2=("offset", w.tables(levels)))
    size = [1, 9, 8, channels]
    half = [1, 5, 4, len(kernel)]
    tensors = [
        w.table(f0=("offset", w.numbers(shape)), f1=("Int8", kind), f2=("Uint32", buffer), **more)
        for shape, kind, buffer, more in (
            (size, FLOAT, 0, {}),
            (list(kernel.shape), HALF, 1, {"f6": ("offset", sparsity)}),
            (list(kernel.shape), HALF, 0, {}),
            (list(kernel.shape), FLOAT, 0, {}),
            ([len(kernel)], FLOAT, 2, {}),
            (half, FLOAT, 0, {}),
            ([1, 1, len(kernel)], FLOAT, 3, {}),
            (half, FLOAT, 0, {}),
        )
    ]
    steps = w.table(f1=("Int32", 2), f2=("Int32", 2))
    layers = [
        w.table(f0=("Uint32", 0), f1=("offset", w.numbers([1])), f2=("offset", w.numbers([2]))),
        w.table(f0=("Uint32", 1), f1=("offset", w.numbers([2])), f2=("offset", w.numbers([3]))),
        w.table(
            f0=("Uint32", 2),
            f1=("offset", w.numbers([0, 3, 4])),
            f2=("offset", w.numbers([5])),
            f4=("offset", steps),
        ),
        w.table(f0=("Uint32", 3), f1=("offset", w.numbers([5, 6])), f2=("offset", w.numbers([7]))),
    ]
    graph = w.table(
        f0=("offset", w.tables(tensors)),
        f1=("offset", w.numbers([0])),
        f2=("offset", w.numbers([7])),
        f3=("offset", w.tables(layers)),
    )
    codes = [w.table(f3=("Int32", kind)) for kind in (DENSIFY, DEQUANTIZE, CONVOLVE, PRELU)]
    model = w.table(
        f1=("offset", w.tables(codes)), f2=("offset", w.tables([graph])), f4=("offset", w.tables(buffers))
    )
    w.builder.Finish(model)
    return bytes(w.builder.Output())


def test_a_converted_net_answers_as_torch_does(tmp_path: Path) -> None:
    """Sparse weights, strides, slopes for each channel and the order of axes are read as they are meant."""
    rng = np.random.default_rng(1)
    kernel = np.where(rng.random((6, 1, 1, 5)) < 0.4, rng.normal(size=(6, 1, 1, 5)), 0).astype(np.float16)
    slopes = rng.random(6).astype(np.float32)
    onnx.save(convert(written(kernel, slopes)), tmp_path / "net.onnx")
    images = rng.normal(size=(3, 5, 9, 8)).astype(np.float32)
    weights = torch.from_numpy(kernel.astype(np.float32)).permute(0, 3, 1, 2)
    wanted = F.prelu(F.conv2d(torch.from_numpy(images), weights, stride=2), torch.from_numpy(slopes))
    found = answer(tmp_path / "net.onnx", images)
    np.testing.assert_allclose(found, wanted.flatten(1).numpy(), atol=1e-5)


def test_layers_that_are_not_known_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer that was not written down is an error, and no net without it."""
    monkeypatch.delitem(LAYERS, PRELU)
    with pytest.raises(ValueError, match="kind 54"):
        convert(written(np.ones((6, 1, 1, 5), np.float16), np.ones(6, np.float32)))
