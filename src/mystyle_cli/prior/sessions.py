"""ONNX nets with one input and one output, run in batches on a provider that was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.errors import DeviceError, ModelError

if TYPE_CHECKING:
    import onnxruntime

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


@dataclass(frozen=True)
class Session:
    """An open net.

    Args:
        path: the file it came from.
        provider: the onnxruntime provider that runs it.
        batch: most rows given to it at once.
    """

    path: Path
    provider: str
    batch: int
    _session: onnxruntime.InferenceSession

    def run(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the net on an array whose first axis is the batch; any number of rows, at least one.

        Raises:
            ModelError: the array does not fit the net's input.
        """
        name = self._session.get_inputs()[0].name
        rows = np.ascontiguousarray(array, np.float32)
        try:
            parts = [
                self._session.run(None, {name: rows[i : i + self.batch]})[0]
                for i in range(0, len(rows), self.batch)
            ]
        except Exception as error:  # onnxruntime's errors share no public base class
            raise ModelError(
                f"{self.path.name} cannot take input of shape {rows.shape}: {error}",
                "check that the net belongs to this prior",
            ) from error
        return np.concatenate(parts).astype(np.float32, copy=False)


def open_session(path: Path, device: str = "cpu", *, threads: int | None = None, batch: int = 32) -> Session:
    """Open an ONNX file on the provider that belongs to `device`.

    Args:
        path: the file.
        device: "cpu", "cuda" or "cuda:1"; "mps" runs on the CPU provider, there is no other.
        threads: CPU threads of the net; all cores when None.
        batch: most rows run at once.

    Raises:
        DeviceError: onnxruntime has no provider for the device.
        ModelError: the file is missing or damaged.
    """
    import onnxruntime as ort

    kind, _, index = device.partition(":")
    provider = PROVIDERS["cuda" if kind == "cuda" else "cpu"]
    if provider not in ort.get_available_providers():
        raise DeviceError(f"onnxruntime has no provider for {device}", "use --device cpu, or onnxruntime-gpu")
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    choice: Any = (provider, {"device_id": index or "0"}) if kind == "cuda" else provider
    try:
        session = ort.InferenceSession(str(path), options, providers=[choice])
    except Exception as error:  # onnxruntime's errors share no public base class
        raise ModelError(f"cannot read {path}: {error}", "restore or fetch the file again") from error
    used = session.get_providers()[0]
    if used != provider:
        raise DeviceError(
            f"{path.name} would run on {used}, not on {device}", "use --device cpu, or check CUDA"
        )
    return Session(path=path, provider=used, batch=batch, _session=session)
