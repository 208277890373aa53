"""ONNX sessions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mystyle_cli.errors import DeviceError, ModelError
from mystyle_cli.nets.device import Device
from mystyle_cli.nets.providers import find_provider
from mystyle_cli.nets.sessions import open_session


def test_batches_do_not_matter(tiny_prior: Path) -> None:
    """The same rows come out whatever the batch a session runs at once."""
    images = np.random.default_rng(1).normal(size=(5, 3, 32, 32)).astype(np.float32)
    whole = open_session(tiny_prior / "encoder.onnx")
    pieces = open_session(tiny_prior / "encoder.onnx", batch=2)
    assert whole.provider == "CPUExecutionProvider"
    assert np.allclose(whole.run(images), pieces.run(images), atol=1e-5)


def test_damaged_file_is_named(tmp_path: Path) -> None:
    """A file that is no ONNX net raises an error with its name."""
    (tmp_path / "net.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"net\.onnx"):
        open_session(tmp_path / "net.onnx")


def test_wrong_shape_is_named(tiny_prior: Path) -> None:
    """Input that does not fit is an error that names net and shape."""
    with pytest.raises(ModelError, match=r"encoder\.onnx.*\(1, 3, 8, 8\)"):
        open_session(tiny_prior / "encoder.onnx").run(np.zeros((1, 3, 8, 8), np.float32))


def test_absent_provider_is_an_error(tiny_prior: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that was asked for and is absent is never replaced by the CPU."""
    import onnxruntime

    find_provider.cache_clear()
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(DeviceError):
        open_session(tiny_prior / "encoder.onnx", Device("cuda"))


class Full:
    """An onnxruntime session without memory left, with onnxruntime's words."""

    def io_binding(self) -> None:
        """Fail as its arena does."""
        raise Exception(
            "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested"
        )


def test_too_little_memory_is_not_the_net_s_fault(tiny_prior: Path) -> None:
    """It is raised as what it is, so that fewer rows can be tried."""
    session = replace(open_session(tiny_prior / "encoder.onnx"), _session=Full())
    with pytest.raises(MemoryError, match=r"encoder\.onnx"):
        session.run(np.zeros((1, 3, 32, 32), np.float32))
