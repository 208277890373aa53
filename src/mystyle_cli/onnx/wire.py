"""The encoding of protocol buffers, of which ONNX files are made: numbered fields, each a number or bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

Chunk = bytes | memoryview

NUMBER, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5  # how a field's value is stored


class Message:
    """A message being written, kept in pieces so that large tensors are never copied."""

    def __init__(self) -> None:
        """Start without a field."""
        self.parts: list[Chunk] = []
        self.size = 0

    def number(self, field: int, value: int) -> Message:
        """Add a whole number; returns the message itself, as all of these do."""
        return self.raw(_varint(field << 3 | NUMBER) + _varint(value % (1 << 64)))

    def single(self, field: int, value: float) -> Message:
        """Add a float32."""
        return self.raw(_varint(field << 3 | FOUR_BYTES) + struct.pack("<f", value))

    def text(self, field: int, value: str) -> Message:
        """Add a text."""
        return self.data(field, value.encode())

    def data(self, field: int, value: Chunk) -> Message:
        """Add bytes."""
        self.raw(_varint(field << 3 | BYTES) + _varint(len(value)))
        return self.raw(value)

    def message(self, field: int, value: Message) -> Message:
        """Add another message."""
        self.raw(_varint(field << 3 | BYTES) + _varint(value.size))
        self.parts += value.parts
        self.size += value.size
        return self

    def raw(self, chunk: Chunk) -> Message:
        """Add fields that are encoded already."""
        self.parts.append(chunk)
        self.size += len(chunk)
        return self

    def write(self, file: BinaryIO) -> None:
        """Write the message."""
        for part in self.parts:
            file.write(part)


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview, memoryview]]:
    """Yield number, value and the whole encoding of each field of a message.

    Args:
        data: the message, of one byte an element.

    Raises:
        ValueError: it is no message.
    """
    at = 0
    while at < len(data):
        start = at
        key, at = _read_varint(data, at)
        value: int | memoryview
        kind = key & 7
        if kind == NUMBER:
            value, at = _read_varint(data, at)
        else:
            if kind == BYTES:
                length, at = _read_varint(data, at)
            elif kind in (EIGHT_BYTES, FOUR_BYTES):
                length = 8 if kind == EIGHT_BYTES else 4
            else:
                raise ValueError(f"field of unknown kind {kind} at byte {start}")
            if at + length > len(data):
                raise ValueError(f"field at byte {start} ends behind the end")
            value, at = data[at : at + length], at + length
        yield key >> 3, value, data[start:at]


def _varint(value: int) -> bytes:
    """Encode a number >= 0, seven bits a byte, the lowest first."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return a number and the place behind it."""
    value = 0
    for i in range(10):
        if at + i >= len(data):
            raise ValueError(f"number at byte {at} ends behind the end")
        value |= (data[at + i] & 127) << 7 * i
        if data[at + i] < 128:
            return value, at + i + 1
    raise ValueError(f"number at byte {at} is too long")
