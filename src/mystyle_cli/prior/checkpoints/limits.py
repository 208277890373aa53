"""What a file of weights may ask for, and the account that is kept of it."""

from __future__ import annotations

from dataclasses import dataclass

AGAIN = "fetch the file again, and compare its size and sha256 with its source's"
SPARE = 16 << 20  # bytes of tensors that any file may declare, however small it is
GROWTH = 4  # times its own size that a file's tensors may take beyond that


class Refused(Exception):
    """Something in a file is refused; `read_checkpoint` adds the file's name.

    Args:
        reason: what is refused, a clause without a subject's name.
        hint: what to do next.
    """

    def __init__(self, reason: str, hint: str = AGAIN) -> None:
        """Keep both parts for the error that people see."""
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


@dataclass(frozen=True)
class Limits:
    """Bounds on one file.

    Args:
        file_bytes: size of the file (the largest known encoder has 1.2 GB, a training checkpoint 2 GB).
        tensor_bytes: of all tensors, however the file spells them.
        steps: pickle instructions, and what they cost; also the values of the finished content.
        depth: of containers within each other.
    """

    file_bytes: int = 4 << 30
    tensor_bytes: int = 8 << 30
    steps: int = 500_000
    depth: int = 64


class Budget:
    """What is left of a file's limits while it is read."""

    def __init__(self, limits: Limits, size: int) -> None:
        """Start the account of a file of `size` bytes."""
        self.limits = limits
        self._steps = limits.steps
        self._bytes = min(limits.tensor_bytes, GROWTH * size + SPARE)

    def step(self, cost: int = 1) -> None:
        """Charge work.

        Raises:
            Refused: the file asks for more than any checkpoint needs.
        """
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
