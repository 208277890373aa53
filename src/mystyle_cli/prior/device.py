"""Choice of the device that torch computes on, and of its arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from mystyle_cli.errors import DeviceError, UsageError

Precision = Literal["auto", "float32", "bfloat16"]

BFLOAT16_CAPABILITY: Final = (8, 0)
"""CUDA's number of the first GPUs that multiply bfloat16 in hardware; torch emulates it on older ones."""


def parse_device(wanted: str) -> tuple[str, int]:
    """Split a device's name into its kind ("auto", "cpu", "cuda" or "mps") and number.

    Raises:
        UsageError: no such kind of device.
    """
    kind, _, index = wanted.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps") or (index and not (kind == "cuda" and index.isdigit())):
        raise UsageError(f"unknown device {wanted!r}", "use auto, cpu, cuda, cuda:0 or mps")
    return kind, int(index or 0)


def choose_device(wanted: str = "auto") -> str:
    """Turn what was asked for into a device that is there.

    Args:
        wanted: "auto" (the best there is), "cpu", "cuda", "cuda:1" or "mps".

    Returns:
        A torch device name, never another device than the one asked for.

    Raises:
        DeviceError: the device asked for cannot be had.
        UsageError: no such kind of device.
    """
    import torch

    kind, index = parse_device(wanted)
    cuda = torch.cuda.is_available()
    mps = torch.backends.mps.is_available()
    if kind == "auto":
        return "cuda" if cuda else "mps" if mps else "cpu"
    if kind == "cuda" and not (cuda and index < torch.cuda.device_count()):
        raise DeviceError(
            f"device {wanted} is not available here", "use --device cpu, or check the GPU driver"
        )
    if kind == "mps" and not mps:
        raise DeviceError("device mps is not available here", "use --device cpu")
    return wanted


def choose_precision(wanted: Precision, device: str) -> str:
    """Settle "auto": bfloat16 where the device multiplies it in hardware, float32 elsewhere."""
    import torch

    if wanted != "auto":
        return wanted
    if device.startswith("cuda"):
        has_units = torch.cuda.get_device_capability(device) >= BFLOAT16_CAPABILITY
        return "bfloat16" if has_units else "float32"
    if device == "cpu":
        return "bfloat16" if _cpu_has_matrix_units() else "float32"
    return "float32"


def _cpu_has_matrix_units() -> bool:
    """Tell whether this CPU has matrix units for bfloat16; by AVX-512 alone it is slower than float32."""
    import torch

    capabilities: Callable[[], Mapping[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    return bool(capabilities().get("amx_bf16"))
