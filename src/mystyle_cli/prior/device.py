"""Choice of the device that torch computes on."""

from __future__ import annotations

from mystyle_cli.errors import DeviceError, UsageError


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
