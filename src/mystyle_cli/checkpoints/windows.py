"""What a file of weights may ask for, and stretches of it that cannot be read past their end."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import BinaryIO

AGAIN = "fetch the file again, and compare its size and sha256 with its source's"
SPARE = 16 << 20  # bytes of tensors that any file may declare, however small it is
GROWTH = 4  # times its own size that a file's tensors may take beyond that


class Refused(Exception):
    """Something in a file is refused, as a clause whose subject, the file's name, `read_checkpoint` adds."""

    def __init__(self, reason: str, hint: str = AGAIN) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


@dataclass(frozen=True)
class Limits:
    """Bounds on one file."""

    # size of the file (the largest known encoder has 1.2 GB, a training checkpoint 2 GB)
    file_bytes: int = 4 << 30
    tensor_bytes: int = 8 << 30  # of all tensors, however the file spells them
    steps: int = 500_000  # pickle instructions, and what they cost; also the values of the finished content
    depth: int = 64  # of containers within each other


class Budget:
    """What is left of a file's limits while it is read."""

    def __init__(self, limits: Limits, size: int) -> None:
        self.limits = limits
        self._steps = limits.steps
        self._bytes = min(limits.tensor_bytes, GROWTH * size + SPARE)

    def step(self, cost: int = 1) -> None:
        """Charge work; raises Refused where the file asks for more than any checkpoint needs."""
        self._steps -= cost
        if self._steps < 0:
            raise Refused(f"asks for more than {self.limits.steps:,} steps to be read, as no checkpoint does")

    def allocate(self, count: int) -> None:
        """Charge `count` bytes of memory, before they are taken.

        Raises:
            Refused: the tensors would outgrow the file or the limit.
        """
        self._bytes -= count
        if count < 0 or self._bytes < 0:
            raise Refused("declares tensors far larger than the file that should hold them")


AHEAD = 4096  # bytes that are read in one go
LINE = 256  # bytes that a line, which is part of a global's name, may have


class Window:
    """A stretch of a file; what is asked for is checked against what is there before memory is taken."""

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self._file, self.position, self.end = file, start, end
        self._ahead, self._ahead_at = b"", 0  # bytes read ahead, and where they lie

    @property
    def left(self) -> int:
        """Bytes not yet read."""
        return self.end - self.position

    def take(self, count: int) -> bytes:
        """The next `count` bytes; raises Refused where there are fewer."""
        start = self._claim(count)
        skip = start - self._ahead_at
        if skip < 0 or skip + count > len(self._ahead):
            self._file.seek(start)
            self._ahead = self._file.read(min(max(count, AHEAD), self.end - start))
            self._ahead_at = start
            skip = 0
        data = self._ahead[skip : skip + count]
        if len(data) != count:
            raise Refused("became shorter while it was read")
        return data

    def part(self, count: int) -> Window:
        """The next `count` bytes as a window of their own, unread; raises Refused where there are fewer."""
        start = self._claim(count)
        return Window(self._file, start, start + count)

    def copy(self) -> Window:
        """A window on what is left, which can be read without moving this one."""
        return Window(self._file, self.position, self.end)

    def fill(self, buffer: memoryview) -> None:
        """Read the next bytes into a buffer; raises Refused where there are fewer than it holds."""
        self._file.seek(self._claim(len(buffer)))
        done = 0
        while done < len(buffer):
            data = self._file.read(min(len(buffer) - done, 1 << 24))
            if not data:
                raise Refused("became shorter while it was read")
            buffer[done : done + len(data)] = data
            done += len(data)

    def number(self, form: str) -> int:
        """The next number, in a form of `struct`."""
        value: int = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        return value

    def line(self) -> str:
        """The next line of ASCII, without its end."""
        self._file.seek(self.position)
        data = self._file.readline(min(LINE, self.left))
        if not data.endswith(b"\n"):
            raise Refused("is damaged: a name in it has no end")
        self.position += len(data)
        return data[:-1].decode("ascii", "backslashreplace")

    def _claim(self, count: int) -> int:
        """Move over the next `count` bytes; returns where they start."""
        if not 0 <= count <= self.left:
            raise Refused(f"ends too soon: byte {self.position + count:,} is past its end")
        start = self.position
        self.position += count
        return start


def window_on(data: bytes) -> Window:
    """A window on bytes in memory."""
    return Window(io.BytesIO(data), 0, len(data))
