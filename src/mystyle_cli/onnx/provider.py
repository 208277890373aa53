"""Choice of the device that onnxruntime computes on, made without torch."""

from __future__ import annotations

import ctypes

from mystyle_cli.errors import DeviceError
from mystyle_cli.prior.device import parse_device


def choose_provider(wanted: str = "auto") -> str:
    """Turn what was asked for into a device that onnxruntime can have.

    Args:
        wanted: "auto" (the best there is), "cpu", "cuda" or "cuda:1".

    Returns:
        "cpu", "cuda" or "cuda:1", never another device than the one asked for.

    Raises:
        DeviceError: the device asked for cannot be had.
        UsageError: no such kind of device.
    """
    kind, index = parse_device(wanted)
    if kind == "mps":
        raise DeviceError("onnxruntime has no provider for mps", "use --backend torch, or --device cpu")
    if kind == "auto":
        return "cuda" if cuda_devices() else "cpu"
    if kind == "cuda" and index >= cuda_devices():
        raise DeviceError(
            f"device {wanted} is not available here", "use --device cpu, or check the GPU driver"
        )
    return wanted


def cuda_devices() -> int:
    """Return how many GPUs the CUDA driver offers this process; 0 without a driver."""
    for library in ("libcuda.so.1", "nvcuda.dll"):
        try:
            driver = ctypes.CDLL(library)
        except OSError:
            continue
        count = ctypes.c_int(0)
        if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0:
            return count.value
    return 0
