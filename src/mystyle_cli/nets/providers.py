"""Where onnxruntime computes: providers that were tried with a small net."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from mystyle_cli.errors import DeviceError, reason_of
from mystyle_cli.nets.processors import threads as settled_threads

if TYPE_CHECKING:
    import onnxruntime


CPU_PROVIDER: Final = "CPUExecutionProvider"
CUDA_PROVIDER: Final = "CUDAExecutionProvider"

# what onnxruntime can have for each kind, by what it was built with; the first that works is taken
PROVIDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "cpu": (CPU_PROVIDER,),
    "cuda": (CUDA_PROVIDER, "ROCMExecutionProvider", "MIGraphXExecutionProvider"),
    "mps": ("CoreMLExecutionProvider",),
    "directml": ("DmlExecutionProvider",),
}


@dataclass(frozen=True)
class Provider:
    """Where onnxruntime computes."""

    name: str = CPU_PROVIDER  # onnxruntime's
    index: int = 0  # of the device, where there are several

    @property
    def memory(self) -> tuple[str, int]:
        """Where inputs and outputs are bound; but for CUDA's, providers fetch them from the CPU's memory."""
        return ("cuda", self.index) if self.name == CUDA_PROVIDER else ("cpu", 0)

    @property
    def on_cpu(self) -> bool:
        """Whether that is the CPU."""
        return self.name == CPU_PROVIDER


@cache
def find_provider(kind: str, index: int) -> tuple[Provider | None, str]:
    """Find where onnxruntime computes on a kind of device; no place, and the reason, where it cannot."""
    import onnxruntime as ort

    there = ort.get_available_providers()
    reasons = []
    for name in PROVIDERS[kind]:
        if name in there:
            provider = Provider(name, index)
            reason = "" if provider.on_cpu else fault_of(provider)
            if not reason:
                return provider, ""
            reasons.append(reason)
    return None, "; ".join(reasons) or f"this onnxruntime was built without a provider for {kind}"


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


# largest difference of a small net's answer in float32; half precision is off by ten times as much
PARITY: Final = 1e-4


def fault_of(provider: Provider) -> str:
    """Return why onnxruntime cannot compute at a place, tried with a small net; "" where it can.

    A provider that is listed need not run, and one that runs may compute in half precision, which the answer
    shows.
    """
    from mystyle_cli.nets.graph import OnnxGraph

    graph, random = OnnxGraph(), np.random.default_rng(0)
    kernel = random.normal(size=(4, 1, 3, 3)).astype(np.float32)
    picture = random.normal(size=(1, 1, 8, 8)).astype(np.float32)
    out = graph.node("Conv", ["picture", graph.constant(kernel)], "out")
    model = graph.model([("picture", ("batch", 1, 8, 8))], (out, ("batch", 4, 6, 6)))
    windows = np.lib.stride_tricks.sliding_window_view(picture[0, 0], (3, 3))
    try:
        (found,) = connect(model, provider, 1).run(None, {"picture": picture})
    except DeviceError as error:
        return error.message
    except Exception as error:  # drivers and libraries raise what they like
        return reason_of(error)
    difference = float(np.abs(found[0] - np.einsum("rcyx,kyx->krc", windows, kernel[:, 0])).max())
    return "" if difference < PARITY else f"{provider.name} is off by {difference:.1e} in a small net"


def connect(model: bytes, provider: Provider, threads: int | None) -> onnxruntime.InferenceSession:
    """Open a net at a place; a DeviceError where it would run elsewhere."""
    import onnxruntime as ort

    ort.disable_telemetry_events()  # if a host program loaded it before this package
    options = ort.SessionOptions()
    options.log_severity_level = 4  # what it says is raised below, once
    options.intra_op_num_threads = threads or settled_threads()
    # a thread that waits lets others work: spinning took 30 % more of the processor for 16 samples
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    settings = {} if provider.name.startswith(("CPU", "CoreML")) else {"device_id": str(provider.index)}
    if provider.name == CUDA_PROVIDER:
        settings["use_tf32"] = "0"  # which rounds factors to ten bits
        if hasattr(ort, "preload_dlls"):
            ort.preload_dlls()  # CUDA's libraries where pip put them, found without importing torch
    if provider.name.startswith("Dml"):
        options.enable_mem_pattern = False  # as DirectML needs it
    session = ort.InferenceSession(model, options, providers=[(provider.name, settings)])
    used = session.get_providers()[0]
    if used != provider.name:
        raise DeviceError(
            f"it would run on {used}, not on {provider.name}", "Use --device cpu, or check the driver."
        )
    return session
