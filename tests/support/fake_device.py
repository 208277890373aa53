"""A device that is not there: real numbers under the name of torch's "meta", as strict as a Mac's GPU.

Tensors "on" it hold ordinary ones, so that what is computed can be compared with the CPU. What such a device
refuses is refused: tensors of two places in one operation, float64, operations that it has not. What travels
between it and the CPU is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

NAME = "meta"
MISSING = ("grid_sampler_2d", "_upsample_bilinear2d_aa", "_linalg_eigh", "linalg_eigh")
"""Operations that torch 2.4 has not on a Mac's GPU, each with its way back."""

INDEXED = ("index", "index_put_")
"""Operations whose indices may lie on the CPU."""

FROM_NUMBERS = (torch.tensor, torch.as_tensor, torch.Tensor.new_tensor)


@dataclass
class Traffic:
    """What travelled.

    Args:
        there: shapes of what was brought to the device.
        back: shapes of what was fetched from it.
        computed: operations on it.
    """

    there: list[tuple[int, ...]] = field(default_factory=list)
    back: list[tuple[int, ...]] = field(default_factory=list)
    computed: int = 0


_traffic = Traffic()


class Away(torch.Tensor):
    """A tensor on the device."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Away:
        """Wrap a tensor of the CPU."""
        if inner.dtype == torch.float64:
            raise TypeError("this device has no float64")
        layout = {"strides": inner.stride(), "storage_offset": inner.storage_offset()}
        away = torch.Tensor._make_wrapper_subclass(
            cls, inner.size(), dtype=inner.dtype, device=NAME, **layout
        )
        away.inner = inner
        return away

    @classmethod
    def __torch_dispatch__(cls, work: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute inside."""
        return _compute(work, args, kwargs or {})


def _inner(value: Any) -> Any:
    return value.inner if isinstance(value, Away) else value


def _compute(work: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Do one operation of torch where its tensors, or the device it names, say."""
    given = [value for value in tree_leaves((args, kwargs)) if isinstance(value, torch.Tensor)]
    away = any(isinstance(value, Away) for value in given)
    named = kwargs.get("device")
    target = away if named is None else torch.device(named).type == NAME
    if named is not None:
        kwargs = kwargs | {"device": "cpu"}
    copies = work in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
    if copies and len(given) == 2:
        target = isinstance(given[0], Away)
        _count(given[1], target)
    elif copies:
        _count(given[0], target)
    elif away or target:
        _traffic.computed += 1
        name = str(work).split(".")[1]
        apart = [value for value in given if not isinstance(value, Away) and value.dim()]
        if any(value.is_floating_point() or name not in INDEXED for value in apart):
            raise RuntimeError(f"{work}: tensors of two devices")
        if name.removesuffix("_backward") in MISSING:
            raise NotImplementedError(f"{work} is not implemented on this device")
    done = work(*tree_map(_inner, args), **tree_map(_inner, kwargs))
    if work._schema.is_mutable and isinstance(args[0], torch.Tensor):
        return args[0]
    return tree_map(lambda value: Away(value) if target and isinstance(value, torch.Tensor) else value, done)


def _count(source: torch.Tensor, there: bool) -> None:
    if isinstance(source, Away) != there:
        (_traffic.there if there else _traffic.back).append(tuple(source.shape))


class _Mode(TorchDispatchMode):
    """Makes new tensors on the device, too."""

    def __torch_dispatch__(self, work: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute."""
        return _compute(work, args, kwargs or {})


class _Numbers(TorchFunctionMode):
    """Makes tensors from numbers on the CPU first: "meta" itself would forget the numbers."""

    def __torch_function__(self, work: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Make them, then bring them where they belong."""
        kwargs = kwargs or {}
        if work not in FROM_NUMBERS:
            return work(*args, **kwargs)
        if work is torch.Tensor.new_tensor:
            made = torch.tensor(args[1], dtype=kwargs.get("dtype", args[0].dtype))
            return made.to(kwargs.get("device", args[0].device))
        place = kwargs.pop("device", None)
        return work(*args, **kwargs) if place is None else work(*args, **kwargs).to(place)


@contextmanager
def fake_device() -> Iterator[Traffic]:
    """Have the device, under `NAME`; yields what travels."""
    _traffic.there, _traffic.back, _traffic.computed = [], [], 0
    with ExitStack() as stack:
        stack.enter_context(_Mode())
        stack.enter_context(_Numbers())
        yield _traffic
