"""ONNX nets, run in batches on the provider that was asked for, inputs and outputs in its memory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.errors import DeviceError, ModelError, reason_of
from mystyle_cli.prior.memory import ran_out
from mystyle_cli.prior.net_files import read_net

if TYPE_CHECKING:
    import onnxruntime

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


@dataclass(frozen=True)
class Session:
    """An open net; its first input and its first output have the batch as their first axis.

    Args:
        path: the file it came from.
        provider: the onnxruntime provider that runs it.
        batch: most rows given to it at once.
        memory: where inputs and outputs are bound: "cpu" or "cuda", and the device's number.
    """

    path: Path
    provider: str
    batch: int
    memory: tuple[str, int]
    _session: onnxruntime.InferenceSession

    def place(self, array: NDArray[np.float32]) -> onnxruntime.OrtValue:
        """Copy an array to where the net computes; an input that stays the same travels there once."""
        import onnxruntime as ort

        return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array, np.float32), *self.memory)

    def run(
        self, array: NDArray[np.float32], fixed: Mapping[str, onnxruntime.OrtValue] | None = None
    ) -> NDArray[np.float32]:
        """Run the net on an array whose first axis is the batch; any number of rows, at least one.

        Args:
            array: for the first input.
            fixed: for other inputs, by name, where `place` put them.

        Raises:
            ModelError: the array does not fit the net's input.
            MemoryError: there is too little for so many rows.
        """
        rows = np.ascontiguousarray(array, np.float32)
        try:
            parts = [
                self._run_bound(rows[first : first + self.batch], fixed or {})
                for first in range(0, len(rows), self.batch)
            ]
        except Exception as error:  # onnxruntime's errors share no public base class
            if ran_out(error):
                raise MemoryError(f"{self.path.name}, input of shape {rows.shape}") from error
            raise ModelError(
                f"{self.path.name} cannot take input of shape {rows.shape}: {reason_of(error)}",
                "check that the net belongs to this prior",
            ) from error
        return np.concatenate(parts).astype(np.float32, copy=False)

    def _run_bound(
        self, rows: NDArray[np.float32], fixed: Mapping[str, onnxruntime.OrtValue]
    ) -> NDArray[np.float32]:
        """Run at most `batch` rows, without copies through the CPU where the provider is elsewhere."""
        binding = self._session.io_binding()
        binding.bind_ortvalue_input(self._session.get_inputs()[0].name, self.place(rows))
        for name, value in fixed.items():
            binding.bind_ortvalue_input(name, value)
        binding.bind_output(self._session.get_outputs()[0].name, *self.memory)
        self._session.run_with_iobinding(binding)
        return np.asarray(binding.copy_outputs_to_cpu()[0])


def available_cpus() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def open_session(path: Path, device: str = "cpu", *, threads: int | None = None, batch: int = 32) -> Session:
    """Open an ONNX file on the provider that belongs to `device`.

    Args:
        path: the file.
        device: "cpu", "cuda" or "cuda:1"; "mps" runs on the CPU provider, there is no other.
        threads: CPU threads of the net; as many as this process may use when None.
        batch: most rows run at once.

    Raises:
        DeviceError: onnxruntime has no provider for the device.
        ModelError: the file is missing or damaged.
    """
    import onnxruntime as ort

    kind, _, index = device.partition(":")
    memory = ("cuda", int(index or 0)) if kind == "cuda" else ("cpu", 0)
    provider = PROVIDERS[memory[0]]
    if provider not in ort.get_available_providers():
        raise DeviceError(f"onnxruntime has no provider for {device}", "use --device cpu, or onnxruntime-gpu")
    options = ort.SessionOptions()
    options.log_severity_level = 4  # what it says is raised below, once
    options.intra_op_num_threads = threads or available_cpus()
    # a thread that waits lets others work: spinning took 30 % more of the processor for 16 samples
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    choice: Any = provider
    if memory[0] == "cuda":
        if hasattr(ort, "preload_dlls"):
            ort.preload_dlls()  # CUDA's libraries where pip put them, found without importing torch
        choice = (provider, {"device_id": str(memory[1]), "use_tf32": "0"})
    try:
        data = read_net(path)
        session = ort.InferenceSession(data, options, providers=[choice])
    except Exception as error:  # onnxruntime's errors share no public base class
        reason = error.strerror if isinstance(error, OSError) else reason_of(error)
        raise ModelError(f"cannot read {path}: {reason}", "restore or fetch the file again") from error
    used = session.get_providers()[0]
    if used != provider:
        raise DeviceError(
            f"{path.name} would run on {used}, not on {device}", "use --device cpu, or check CUDA"
        )
    return Session(path=path, provider=used, batch=batch, memory=memory, _session=session)
