"""Where a command computes: one device, chosen once, for torch and for onnxruntime.

"auto" takes for each of the two the best that works here, tried with a small computation whose answer is
known; a graphics card that is there and does not work is told in one line. A device that is named is taken at
its word: it works, or it is refused with the reason.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

from mystyle_cli.errors import DeviceError, UsageError
from mystyle_cli.nets import memory
from mystyle_cli.nets.providers import (
    CUDA_PROVIDER,
    PROVIDERS,
    Provider,
    cuda_devices,
    find_provider,
)

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "float32", "bfloat16"]

# kinds of devices. ROCm's cards are torch's "cuda"; DirectML is onnxruntime's alone.
KINDS: Final = ("cpu", "cuda", "mps", "directml")

NUMBERED: Final = ("cuda", "directml")  # kinds of which a machine can have several

# kinds whose providers "auto" takes. CoreML makes every net anew at each start; only `mps` asks for it.
UNASKED: Final = ("cuda", "directml")

# kinds of torch's devices that have every operation; a Mac's GPU lacks some, done in parts there
WHOLE: Final = ("cpu", "cuda")

# CUDA's number of the first GPUs that multiply bfloat16 in hardware; torch emulates it on older ones
BFLOAT16_CAPABILITY: Final = (8, 0)

# beginnings of the names of AMD's GPUs that do
BFLOAT16_ROCM: Final = ("gfx908", "gfx90a", "gfx94", "gfx95", "gfx11", "gfx12")


def _say_nothing(text: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Device:
    """What was asked for, and, found when first needed, what that is for torch and for onnxruntime.

    Raises:
        UsageError: no such kind of device.
    """

    wanted: str = "cpu"  # "auto", "cpu", "cuda", "cuda:1", "mps" or "directml"
    # told, in one line each, of what is there and cannot be used
    tell: Callable[[str], None] = field(default=_say_nothing, compare=False, repr=False)

    def __post_init__(self) -> None:
        kind, _, index = self.wanted.partition(":")
        if kind not in ("auto", *KINDS) or (index and not (kind in NUMBERED and index.isdecimal())):
            raise UsageError(
                f"unknown device {self.wanted!r}", "use auto, cpu, cuda, cuda:0, mps or directml"
            )

    @classmethod
    def of(cls, place: torch.device) -> Device:
        """Return the one that a tensor of torch's is on, which has a number there whatever its kind."""
        return cls(str(place) if place.type in NUMBERED else place.type)

    @property
    def _index(self) -> int:
        return int(self.wanted.partition(":")[2] or 0)

    def _refused(self, library: str, reason: str) -> DeviceError:
        return DeviceError(
            f"{library} cannot compute on {self.wanted}: {reason}",
            "Use --device auto, which takes what works, or --device cpu.",
        )

    def of_process(self, number: int, beside: int) -> Device:
        """Return the one that this is for one of several processes; each has a graphics card of its own.

        Args:
            number: of the process among these.
            beside: how many there are.

        Raises:
            UsageError: one device was asked for by its number, or it is the only one of its kind.
        """
        card = f"cuda:{number}"
        if self.wanted == "auto":
            reason = torch_fault(card)
            if reason and cuda_devices():
                self.tell(f"graphics card {number} is not used by torch: {reason}")
            return Device("cpu" if reason else card, self.tell)
        if self.wanted == "cuda":
            return Device(card, self.tell)
        if self.wanted != "cpu" and beside > 1:
            raise UsageError(
                f"--device {self.wanted} is one device, and {beside} processes were started for it",
                "Give --device cuda, by which each takes a card of its own, or --device cpu.",
            )
        return self

    @cached_property
    def torch(self) -> str:
        """Torch's name of where its nets compute; raises DeviceError where it cannot be there."""
        if self.wanted == "auto":
            return self._best_of_torch()
        reason = torch_fault(self.wanted)
        if reason:
            raise self._refused("torch", reason)
        return self.wanted

    @cached_property
    def provider(self) -> Provider:
        """Where onnxruntime's nets compute; raises DeviceError where it cannot be there."""
        if self.wanted == "auto":
            return self._best_of_onnxruntime()
        found, reason = find_provider(self.wanted.partition(":")[0], self._index)
        if found is None:
            raise self._refused("onnxruntime", reason)
        return found

    @cached_property
    def helpers(self) -> Provider:
        """Where nets compute that stand beside torch's: encoder, identity, matte, cover.

        "mps" is torch's name; without CoreML these stay on the CPU there.

        Raises:
            DeviceError: as `provider`.
        """
        try:
            return self.provider
        except DeviceError:
            if self.wanted != "mps":
                raise
            return Provider()

    @property
    def kind(self) -> str:
        """The kind of torch's device."""
        return self._name.partition(":")[0]

    @property
    def _name(self) -> str:
        """Torch's name of it; one that was asked for is not tried for that."""
        return self.torch if self.wanted == "auto" else self.wanted

    @property
    def has_own_memory(self) -> bool:
        """Whether torch's device has memory apart from the machine's."""
        return self.kind == "cuda"

    def free_memory(self) -> int | None:
        """Return the bytes that more of torch's work may take, or None where nothing tells."""
        if not self.has_own_memory:
            return memory.free_memory()
        import torch

        held = torch.cuda.memory_reserved(self._name) - torch.cuda.memory_allocated(self._name)
        return int(torch.cuda.mem_get_info(self._name)[0]) + int(held)

    def held_memory(self) -> int:
        """Return the bytes that this process holds on torch's device."""
        if not self.has_own_memory:
            return memory.used_memory()
        import torch

        return torch.cuda.memory_reserved(self._name)

    def give_back(self) -> None:
        """Give back the memory that torch keeps for later on a graphics card."""
        module = self._module()
        if module is not None:
            module.empty_cache()

    def finish(self) -> None:
        """Wait until a graphics card has done what it was given."""
        module = self._module()
        if module is not None:
            module.synchronize()

    def _module(self) -> Any:
        """Return torch's module of a graphics card, or None."""
        import torch

        return {"cuda": torch.cuda, "mps": torch.mps}.get(self.kind)

    def precision(self, wanted: Precision) -> str:
        """Settle "auto": bfloat16 where the device multiplies it in hardware, float32 elsewhere."""
        if wanted != "auto":
            return wanted
        native = {"cuda": self._card_has_units, "cpu": _cpu_has_units}.get(self.kind, bool)
        return "bfloat16" if native() else "float32"

    def _card_has_units(self) -> bool:
        import torch

        if torch.version.hip is not None:
            name = str(torch.cuda.get_device_properties(self._name).gcnArchName)
            return name.startswith(BFLOAT16_ROCM)
        return torch.cuda.get_device_capability(self._name) >= BFLOAT16_CAPABILITY

    def arithmetic(self, precision: str) -> AbstractContextManager[Any]:
        """Run networks in a precision; in float32 nothing is asked of torch, which need not know how to."""
        import torch

        if precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.kind, dtype=torch.bfloat16)

    def _best_of_torch(self) -> str:
        for kind in ("cuda", "mps"):
            reason = torch_fault(kind)
            if not reason:
                return kind
            if kind == "cuda" and cuda_devices():
                self.tell(f"the graphics card is not used by torch: {reason}")
        return "cpu"

    def _best_of_onnxruntime(self) -> Provider:
        import onnxruntime as ort

        there = ort.get_available_providers()
        for kind in UNASKED:
            listed = [name for name in PROVIDERS[kind] if name in there]
            if listed == [CUDA_PROVIDER] and not cuda_devices():
                continue  # its build of onnxruntime is what everybody has
            if listed:
                found, reason = find_provider(kind, 0)
                if found is not None:
                    return found
                self.tell(f"the graphics card is not used by onnxruntime: {reason}")
        return Provider()


CPU: Final = Device("cpu")


@cache
def torch_fault(name: str) -> str:
    """Return why torch cannot compute on a device, tried with a small computation; "" where it can."""
    import torch
    import torch.nn.functional as F

    kind, _, index = name.partition(":")
    if kind == "cpu":
        return ""
    reason = {"cuda": _cuda_fault, "mps": _mps_fault}.get(kind, lambda: "torch has no such device")()
    if reason:
        return reason
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        return f"there is no number {index}, but {torch.cuda.device_count()} in all"
    picture, kernel = torch.arange(64.0).view(1, 1, 8, 8) / 64, torch.ones(1, 1, 3, 3)
    right = F.conv2d(picture, kernel) @ torch.ones(6, 2)
    try:
        found = (F.conv2d(picture.to(name), kernel.to(name)) @ torch.ones(6, 2, device=name)).cpu()
    except Exception as error:  # drivers and libraries raise what they like
        return _first_line(error)
    return "" if torch.allclose(found, right, rtol=1e-2) else "it computes wrongly"


def _first_line(error: object) -> str:
    """Return the first line of what torch says; those of CUDA go on with advice for its developers."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _cuda_fault() -> str:
    import torch

    if torch.version.cuda is None and torch.version.hip is None:
        return "this torch was built without CUDA"
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            return ""
    return _first_line(said[0].message) if said else "torch finds none"


def _mps_fault() -> str:
    import torch

    if not torch.backends.mps.is_built():
        return "this torch was built without MPS"
    return "" if torch.backends.mps.is_available() else "torch finds none"


def _cpu_has_units() -> bool:
    """Tell whether this CPU has matrix units for bfloat16; by AVX-512 alone it is slower than float32."""
    import torch

    capabilities: Callable[[], Mapping[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    return bool(capabilities().get("amx_bf16"))
