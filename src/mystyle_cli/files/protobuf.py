"""Protobuf as it lies in a file: numbered fields one after another.

Reading the few that tell takes no package.
"""

from __future__ import annotations

from collections.abc import Iterator

# a field's number, its value (a number, or the bytes of a part), and all of its bytes
Field = tuple[int, "int | memoryview", memoryview]


def fields(data: memoryview) -> Iterator[Field]:
    """Yield each field of a message; raises ValueError where it is cut off or damaged."""
    at = 0
    while at < len(data):
        start = at
        tag, at = _number(data, at)
        # how the value lies there: 0 a number, 1 eight bytes, 5 four, 2 a part behind its size
        kind = tag & 7
        if kind == 0:
            value, at = _number(data, at)
            yield tag >> 3, value, data[start:at]
            continue
        if kind == 2:
            size, at = _number(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError("it is damaged, or no ONNX file")
        if size > len(data) - at:
            raise ValueError("it is cut off")
        yield tag >> 3, data[at : at + size], data[start : at + size]
        at += size


def part(value: int | memoryview) -> memoryview:
    """Return a field's value, which must be a part."""
    if isinstance(value, int):
        raise ValueError("it is damaged: a number stands where a part of it should")
    return value


def head(number: int, size: int) -> bytes:
    """Return what stands before a part of a size in bytes, as a field with a number."""
    return _varint(number << 3 | 2) + _varint(size)


def _number(data: memoryview, at: int) -> tuple[int, int]:
    """Return the number at a place, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):  # ten bytes of 7 bits hold 64
        if at >= len(data):
            raise ValueError("it is cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("it is damaged: a number in it has no end")


def _varint(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
