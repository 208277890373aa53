"""ONNX nets, run in batches on the provider that was asked for, inputs and outputs in its memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.errors import DeviceError, ModelError, MystyleError, ran_out, reason_of
from mystyle_cli.nets.bounds import read_net
from mystyle_cli.nets.device import CPU, Device
from mystyle_cli.nets.providers import connect

if TYPE_CHECKING:
    import onnxruntime

    from mystyle_cli.files.gaps import Weights


@dataclass(frozen=True)
class Session:
    """An open net; its first input and its first output have the batch as their first axis."""

    path: Path
    provider: str
    batch: int  # rows given to it at once
    memory: tuple[str, int]  # where inputs and outputs are bound: "cpu" or "cuda", and the device's number
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


def open_session(
    path: Path,
    device: Device = CPU,
    *,
    threads: int | None = None,
    batch: int = 32,
    helper: bool = False,
    weights: Weights | None = None,
) -> Session:
    """Open an ONNX file on the provider that belongs to a device.

    Args:
        threads: CPU threads of the net; as many as were settled for the process when None.
        batch: most rows run at once on a graphics card. A CPU runs one after the other: that costs next to
            nothing, and no row then depends on its company, not even in its last bit.
        helper: the net stands beside torch's work, see `Device.helpers`.
        weights: what the file may leave out, see `files/gaps.py`.

    Raises:
        DeviceError: onnxruntime has no provider for the device.
        ModelError: the file is missing or damaged.
        MystyleError: raised by `weights`.
    """
    provider = device.helpers if helper else device.provider
    try:
        session = connect(read_net(path, weights), provider, threads)
    except DeviceError as error:
        raise DeviceError(f"{path.name}: {error.message}", error.hint) from error
    except MystyleError:
        raise
    except Exception as error:  # onnxruntime's errors share no public base class
        if ran_out(error):
            raise MemoryError(path.name) from error
        reason = error.strerror if isinstance(error, OSError) else reason_of(error)
        raise ModelError(f"cannot read {path}: {reason}", "restore or fetch the file again") from error
    return Session(
        path=path,
        provider=provider.name,
        batch=1 if provider.on_cpu else batch,
        memory=provider.memory,
        _session=session,
    )
