"""Choice of device."""

import pytest
import torch

from mystyle_cli.errors import DeviceError, UsageError
from mystyle_cli.prior.device import choose_device


def test_cpu_is_always_there() -> None:
    """The CPU can be had anywhere, and auto finds something."""
    assert choose_device("cpu") == "cpu"
    torch.zeros(1, device=choose_device("auto"))


@pytest.mark.parametrize("wanted", ["gpu", "cpu:1", "cuda:x", ""])
def test_unknown_device_is_refused(wanted: str) -> None:
    """A device that does not exist as a kind is a usage error."""
    with pytest.raises(UsageError):
        choose_device(wanted)


def test_absent_device_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that was asked for and is absent is never replaced by the CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DeviceError):
        choose_device("cuda:1")
    assert choose_device("cuda:0") == "cuda:0"
