"""The change of one weight array in few bytes: integers in steps as fine as pictures need, then DEFLATE.

Decoding gives the same float32 on every machine: it multiplies integers by stored steps, each product rounded
once; what is summed (factors) is summed exactly, in float64.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
Parts = dict[str, NDArray[np.generic]]
Integers = NDArray[np.int8] | NDArray[np.int16]

# arrays of fewer entries stay in half precision: they weigh nothing, and pictures feel them most
SMALL: Final = 1024

# the widest step, in root-mean-squares of the array. Wider ones drop most entries to zero, and what they lose
# adds up in one direction instead of cancelling.
COARSEST: Final = 2.0

FINEST: Final = 32767  # steps to the array's largest entry at most, so that integers fit 16 bits

# rows and columns that pictures hardly feel are still taken for this part of the mean
LEAST_SHARE: Final = 1e-3

# bits that finer steps cost for each squared step by which they lower the squared error: a step s errs by s^2
# / 12, a bit more quarters that
BITS_FOR_ERROR: Final = 12 / (2 * math.log(2))

# a factor is kept whose energy is above this many squared steps an entry, for an entry takes some 2 bits
KEPT_ENERGY: Final = 2 / BITS_FOR_ERROR

FINEST_SHIFT: Final = 15

BYTE: Final = 127

ENDINGS: Final = (".integers", ".rows", ".columns")  # what follows an array's name in the names of its parts


@dataclass(frozen=True)
class Sensitivity:
    """What a small change of a weight does to pictures: mean squared change of a pixel / squared change."""

    rows: FloatArray  # (O,) float32, mean over a row (an output channel)
    columns: FloatArray  # (I,) float32, mean over a column (an input channel)

    @property
    def mean(self) -> float:
        """Mean over the array."""
        return float(self.rows.mean())

    def relative_steps(self) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
        """Return how wide the steps of rows and columns may be against each other, about 1 each."""
        return _relative_steps(self.rows), _relative_steps(self.columns)


def _relative_steps(felt: FloatArray) -> NDArray[np.float16]:
    """Return steps in proportion to sensitivity ** -0.5, for the mean sensitivity 1."""
    shares = felt / felt.mean() if felt.any() else np.ones_like(felt)
    steps: NDArray[np.float16] = (1 / np.sqrt(shares + LEAST_SHARE)).astype(np.float16)
    return steps


@dataclass(frozen=True)
class Coded:
    """One array as it is stored."""

    parts: Parts  # arrays by the ending of their name; the ending of an array kept in half precision is ""
    # what else decoding needs, as plain JSON; empty for an array kept in half precision
    facts: dict[str, Any]

    @property
    def size(self) -> int:
        """Bytes of the arrays."""
        return sum(part.nbytes for part in self.parts.values())


def encode(change: FloatArray, sensitivity: Sensitivity | None, accuracy: float) -> Coded:
    """Store a change in as few bytes as an accuracy allows.

    Args:
        sensitivity: of its weights; only small arrays need none.
        accuracy: the step of a weight of sensitivity 1; steps are in proportion to sensitivity ** -0.5.

    Returns:
        Half precision for small arrays, otherwise integers on a grid, or the factors of a matrix where they
        are smaller: the matrices that styles come from are of low rank, for codes lie near a few anchors.
    """
    if change.ndim < 2 or change.size < SMALL or sensitivity is None or not change.any():
        return in_half(change)
    found = [_on_grid(change, sensitivity, accuracy)]
    if change.ndim == 2:
        found.append(_as_factors(change, sensitivity, accuracy))
    return min(found, key=lambda coded: _cost(coded, change, sensitivity))


def _cost(coded: Coded, change: FloatArray, sensitivity: Sensitivity) -> float:
    """Return bytes and error in bits: what finer steps would cost that take the same from the error."""
    rows, columns = (steps.astype(np.float64) for steps in sensitivity.relative_steps())
    error = decode(coded.parts, coded.facts, change.shape) - change
    felt = error.reshape(len(rows), len(columns), -1) / (rows[:, None] * columns)[:, :, None]
    spent: float = 8 * coded.size + np.square(felt).sum() * BITS_FOR_ERROR / coded.facts["step"] ** 2
    return spent


def in_half(change: FloatArray) -> Coded:
    """Keep a change in half precision; one beyond its range stays as it is."""
    fits = not change.size or float(np.abs(change).max()) <= float(np.finfo(np.float16).max)
    return Coded({"": change.astype(np.float16 if fits else np.float32)}, {})


def decode(
    parts: Mapping[str, NDArray[np.generic]], facts: Mapping[str, Any], shape: tuple[int, ...]
) -> FloatArray:
    """Return a change from what `encode` made of it.

    Raises:
        ValueError: the parts do not belong together or do not fit the shape.
        KeyError, TypeError: a part or a fact is missing or of another kind.
    """
    if not facts:
        change = parts[""].astype(np.float32)
    elif facts["how"] == "grid":
        change = _from_grid(parts, facts, shape)
    elif facts["how"] == "factors":
        change = _from_factors(parts, facts, shape)
    else:
        raise ValueError(f"unknown coding {facts['how']!r}")
    if change.shape != shape or not np.isfinite(change).all():
        raise ValueError(f"shape {change.shape} instead of {shape}, or not finite")
    return change


def _on_grid(change: FloatArray, sensitivity: Sensitivity, accuracy: float) -> Coded:
    """Round to a grid whose steps are a product over rows and columns, within bounds."""
    rows, columns = sensitivity.relative_steps()
    step, least, most = _bounded(change, float(np.abs(change).max()), sensitivity, accuracy)
    facts = {"how": "grid", "step": step, "least": least, "most": most}
    steps = _grid_steps(rows, columns, facts)
    integers = _to_integers(change.reshape(*steps.shape, -1) / steps[:, :, None])
    data, largest = pack(integers)
    return Coded({".integers": data, ".rows": rows, ".columns": columns}, {**facts, "largest": largest})


def _from_grid(
    parts: Mapping[str, NDArray[np.generic]], facts: Mapping[str, Any], shape: tuple[int, ...]
) -> FloatArray:
    if parts[".rows"].shape != shape[:1] or parts[".columns"].shape != shape[1:2]:
        raise ValueError(f"steps do not fit {shape}")
    steps = _grid_steps(parts[".rows"], parts[".columns"], facts)
    integers = unpack(parts[".integers"], int(np.prod(shape)), facts["largest"])
    # (O I k k), float32; quicker than a product of (O, I, k k) and (O, I, 1), whose rows are short
    change = np.repeat(steps.reshape(-1), math.prod(shape[2:]))
    np.multiply(change, integers, out=change)
    return change.reshape(shape)


def _grid_steps(rows: NDArray[Any], columns: NDArray[Any], facts: Mapping[str, Any]) -> FloatArray:
    """Return the steps (O, I) of a grid."""
    step, least, most = (np.float32(facts[name]) for name in ("step", "least", "most"))
    # the order of the products is part of the format: each is rounded to float32
    wide = (step * rows.astype(np.float32))[:, None] * columns.astype(np.float32)
    steps: FloatArray = np.clip(wide, least, most)
    return steps


def _bounded(
    change: FloatArray, largest: float, sensitivity: Sensitivity, accuracy: float
) -> tuple[float, float, float]:
    """Return step, narrowest and widest step as numbers that float32 holds."""
    most = COARSEST * float(np.sqrt(np.mean(np.square(change, dtype=np.float64))))
    least = min(largest / FINEST, most)
    mean = sensitivity.mean
    # where pictures feel nothing, as coarse as is allowed
    step = most if mean <= 0 else min(max(accuracy / mean**0.5, least), most / LEAST_SHARE)
    return float(np.float32(step)), float(np.float32(least)), float(np.float32(most))


def _as_factors(change: FloatArray, sensitivity: Sensitivity, accuracy: float) -> Coded:
    """Round the factors of a matrix: coefficients in its steps, directions as finely as their energy asks."""
    rows = sensitivity.relative_steps()[0]
    # rows that pictures feel more count for more in what the fewest factors must keep
    scaled = change / rows.astype(np.float32)[:, None]
    left, energy, right = np.linalg.svd(scaled, full_matrices=False)
    step, least, most = _bounded(scaled, float(energy[0]), sensitivity, accuracy)
    step = min(max(step, least), most)
    rank = max(1, int((energy**2 > KEPT_ENERGY * step**2 * sum(change.shape)).sum()))
    # a direction's error is multiplied by its energy: it takes as many bits as that has steps
    shifts = np.clip(np.ceil(np.log2(energy[:rank] / step)), 0, FINEST_SHIFT).astype(int)  # (K,)
    coefficients = _to_integers(left[:, :rank] * energy[:rank] / step)  # a, (O, K)
    directions = _to_integers(right[:rank] * np.exp2(shifts)[:, None])  # b^T, (K, I)
    data, largest = pack(np.concatenate([coefficients, directions.T]))
    facts = {"how": "factors", "step": step, "shifts": shifts.tolist(), "largest": largest}
    return Coded({".integers": data, ".rows": rows}, facts)


def _from_factors(
    parts: Mapping[str, NDArray[np.generic]], facts: Mapping[str, Any], shape: tuple[int, ...]
) -> FloatArray:
    """Invert `_as_factors`; sums of integers times powers of two below 2**53 are exact in any order."""
    shifts = np.asarray(facts["shifts"], np.float64)
    if len(shape) != 2 or parts[".rows"].shape != shape[:1] or not 1 <= len(shifts) <= min(shape):
        raise ValueError(f"factors do not fit {shape}")
    if not np.isin(shifts, np.arange(FINEST_SHIFT + 1)).all():
        raise ValueError(f"shifts {shifts} out of range")
    count, rank = sum(shape), len(shifts)
    flat = unpack(parts[".integers"], count * rank, facts["largest"])
    integers = flat.reshape(count, rank).astype(np.float64)
    product = (integers[: shape[0]] * np.exp2(-shifts)) @ integers[shape[0] :].T
    change: FloatArray = (product * float(facts["step"]) * parts[".rows"].astype(np.float64)[:, None]).astype(
        np.float32
    )
    return change


def _to_integers(values: NDArray[Any]) -> NDArray[np.int16]:
    integers: NDArray[np.int16] = np.clip(np.rint(values), -FINEST, FINEST).astype(np.int16)
    return integers


def pack(integers: NDArray[np.int16]) -> tuple[NDArray[np.uint8], int]:
    """Compress integers by Huffman's code, several to a byte if they are small; returns the largest, too."""
    flat = integers.reshape(-1).astype(np.int32)
    largest = int(np.abs(flat).max(initial=0))
    if largest > BYTE:
        symbols = flat.astype("<i2").view(np.uint8).reshape(-1, 2).T
    else:
        # Huffman's code spends a whole bit at least on a symbol, and most entries are worth less
        base, digits = _digits(largest)
        padded = np.pad(flat + largest, (0, -len(flat) % digits)).reshape(-1, digits)
        symbols = (padded @ base ** np.arange(digits)).astype(np.uint8)
    coder = zlib.compressobj(9, zlib.DEFLATED, 15, 9, zlib.Z_HUFFMAN_ONLY)
    return np.frombuffer(coder.compress(symbols.tobytes()) + coder.flush(), np.uint8), largest


def unpack(data: NDArray[np.generic], count: int, largest: int) -> Integers:
    """Invert `pack`; raises ValueError where the data are damaged, or not `count` such integers."""
    if not 0 <= largest <= FINEST or data.dtype != np.uint8:
        raise ValueError(f"integers up to {largest} in {data.dtype}")
    if largest > BYTE:
        halves = np.frombuffer(_inflate(data.tobytes(), 2 * count), np.uint8).reshape(2, count)
        return np.ascontiguousarray(halves.T).view("<i2").reshape(count).astype(np.int16)
    base, digits = _digits(largest)
    symbols = _inflate(data.tobytes(), -(-count // digits))
    values = np.empty((len(symbols), digits), np.int8)
    for digit in range(digits):  # looked up, not divided: every start decodes some four million of them
        table = (np.arange(256) // base**digit % base - largest).astype(np.int8)
        values[:, digit] = np.frombuffer(symbols.translate(table.tobytes()), np.int8)
    return values.reshape(-1)[:count]


def _digits(largest: int) -> tuple[int, int]:
    """Return the base in which integers up to `largest` are digits, and how many of them a byte holds."""
    base, digits = 2 * largest + 1, 1
    while base > 1 and base ** (digits + 1) <= 256:
        digits += 1
    return base, digits


def _inflate(data: bytes, size: int) -> bytes:
    decoder = zlib.decompressobj()
    try:
        # a byte more shows that it holds too much, and bounds a bomb
        found = decoder.decompress(data, size + 1)
    except zlib.error as error:
        raise ValueError(f"not compressed integers: {error}") from error
    if len(found) != size or not decoder.eof or decoder.unused_data:
        raise ValueError(f"{len(found)} bytes of integers instead of {size}")
    return found
