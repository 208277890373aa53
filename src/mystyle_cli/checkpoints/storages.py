"""Tensors as files declare them: a storage, and a view of it; memory is taken when both are known to fit."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mystyle_cli.checkpoints.windows import Budget, Refused, Window

AXES = 8  # that a tensor may have
CHUNK = 1 << 22  # values looked at in one go

DTYPES = {
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
}


@dataclass(eq=False)
class Storage:
    """A run of values."""

    dtype: torch.dtype
    count: int  # how many the file says there are
    window: Window | None = None  # where their bytes lie, once that is known
    _values: Tensor | None = field(default=None, repr=False)

    def values(self, budget: Budget) -> Tensor:
        """All values, (count,); raises Refused where the file does not hold them, or some are not finite."""
        if self._values is None:
            self._values = self._read(budget)
        return self._values

    def _read(self, budget: Budget) -> Tensor:
        size = self.count * self.dtype.itemsize
        if self.window is None:
            raise Refused("names values that it does not hold")
        if self.window.left != size:
            raise Refused(f"holds {self.window.left:,} bytes where it declares {size:,}")
        budget.allocate(size)
        values = torch.empty(size, dtype=torch.uint8)
        self.window.fill(values.numpy().data)
        values = values.view(self.dtype)
        if not is_finite(values):
            raise Refused("holds values that are not finite", "use a file from before its training broke")
        return values


@dataclass(eq=False)
class View:
    """A tensor: a shape laid over a storage."""

    storage: Storage
    offset: int  # offset, size, stride: as in torch, checked to lie within the storage
    size: tuple[int, ...]
    stride: tuple[int, ...]
    _tensor: Tensor | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Check that every element lies within the storage."""
        numbers = (self.offset, *self.size, *self.stride)
        if any(type(n) is not int for n in numbers):  # and no repr of what they are: it may have no end
            raise Refused("declares a tensor whose shape is not made of numbers")
        if min(numbers) < 0:
            raise Refused(f"declares a tensor of the shape {self.size!r:.80}, with negative numbers")
        if len(self.size) != len(self.stride) or len(self.size) > AXES:
            raise Refused(f"declares a tensor with {len(self.size)} axes and {len(self.stride)} strides")
        last = self.offset + sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))
        if 0 not in self.size and last >= self.storage.count:
            raise Refused(f"declares a tensor of shape {self.size!r:.80} over {self.storage.count:,} values")

    def tensor(self, budget: Budget) -> Tensor:
        """The tensor, contiguous, on the CPU.

        Raises:
            Refused: it would take more memory than the file's size can explain, or its values are refused.
        """
        if self._tensor is None:
            count = math.prod(self.size)
            budget.allocate(count * self.storage.dtype.itemsize)
            values = self.storage.values(budget)
            laid = values.as_strided(self.size, self.stride, self.offset if count else 0)
            own = count == self.storage.count and laid.is_contiguous()
            self._tensor = laid if own else laid.clone(memory_format=torch.contiguous_format)
        return self._tensor


def is_finite(values: Tensor) -> bool:
    """Whether all values are finite, looked at piece by piece to need little memory."""
    if not values.is_floating_point():
        return True
    return all(bool(torch.isfinite(part).all()) for part in torch.split(values.flatten(), CHUNK))
