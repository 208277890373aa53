"""One device for torch and onnxruntime: what auto takes, what is refused, what says that memory ran out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import onnxruntime
import pytest
import torch

from mystyle_cli.errors import DeviceError, ModelError, UsageError, ran_out
from mystyle_cli.nets import device as module
from mystyle_cli.nets import providers as nets_providers
from mystyle_cli.nets import sessions
from mystyle_cli.nets.device import CPU, Device
from mystyle_cli.nets.providers import Provider

CUDA, ROCM, DML, COREML = (f"{name}ExecutionProvider" for name in ("CUDA", "ROCM", "Dml", "CoreML"))


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """What was tried on the real machine is not known in a test, nor the other way round."""
    for found in (module.torch_fault, nets_providers.find_provider):
        found.cache_clear()
    yield
    for found in (module.torch_fault, nets_providers.find_provider):
        found.cache_clear()


@pytest.fixture
def said() -> list[str]:
    """What a device tells."""
    return []


def machine(
    monkeypatch: pytest.MonkeyPatch,
    *,
    cards: int = 0,
    torch_has: Callable[[], bool] = lambda: False,
    providers: tuple[str, ...] = (),
    faults: dict[str, str] | None = None,
) -> None:
    """Stand in for a machine: its cards, whether torch sees them, what onnxruntime lists and runs."""
    monkeypatch.setattr(nets_providers, "cuda_devices", lambda: cards)
    monkeypatch.setattr(module, "cuda_devices", lambda: cards)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", torch_has)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    listed = [*providers, nets_providers.CPU_PROVIDER]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)
    monkeypatch.setattr(nets_providers, "fault_of", lambda provider: (faults or {}).get(provider.name, ""))


def test_the_cpu_is_always_there() -> None:
    """The CPU can be had anywhere, and auto finds something, for either library."""
    assert (CPU.torch, CPU.provider) == ("cpu", Provider())
    torch.zeros(1, device=Device("auto").torch)
    assert Device("auto").provider.name in onnxruntime.get_available_providers()


@pytest.mark.parametrize("wanted", ["gpu", "cpu:1", "cuda:x", "mps:0", "cuda:²", ""])
def test_an_unknown_device_is_refused(wanted: str) -> None:
    """A device that does not exist as a kind is a usage error."""
    with pytest.raises(UsageError):
        Device(wanted)


@pytest.mark.parametrize(
    ("providers", "faults", "expected"),
    [
        ((), {}, nets_providers.CPU_PROVIDER),
        ((CUDA,), {}, CUDA),
        ((CUDA,), {CUDA: "libcudnn.so.9 is missing"}, nets_providers.CPU_PROVIDER),
        ((ROCM,), {}, ROCM),
        ((DML,), {}, DML),
        ((CUDA, DML), {CUDA: "no kernels"}, DML),
        ((COREML,), {}, nets_providers.CPU_PROVIDER),
    ],
)
def test_auto_takes_the_best_provider_that_works(
    monkeypatch: pytest.MonkeyPatch,
    said: list[str],
    providers: tuple[str, ...],
    faults: dict[str, str],
    expected: str,
) -> None:
    """One that is listed and does not work is passed over, with its reason in one line, told once."""
    machine(monkeypatch, cards=1, providers=providers, faults=faults)
    device = Device("auto", said.append)
    assert device.provider.name == device.helpers.name == expected
    assert [line.count("\n") for line in said] == [0] * len(faults)
    assert all(reason in line for reason, line in zip(faults.values(), said, strict=True))


def test_a_provider_that_is_only_installed_is_no_word_worth(
    monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    """Without a card the CUDA that everybody's onnxruntime lists is not even tried."""
    machine(monkeypatch, providers=(CUDA,), faults={CUDA: "it was tried"})
    assert Device("auto", said.append).provider == Provider()
    assert Device("auto", said.append).torch == "cpu"
    assert said == []


@pytest.mark.parametrize("name", ["cpu", "cuda:1", "mps"])
def test_the_device_of_a_tensor_is_one_that_can_be_asked_for(name: str) -> None:
    """Torch calls a Mac's only graphics card mps:0, and --device calls it mps."""
    import torch

    kind, _, number = name.partition(":")
    assert Device.of(torch.device(kind, int(number or 0))).wanted == name


def test_no_device_is_asked_for_by_torch_s_name_for_it() -> None:
    """Anywhere in the program: that is no name of a device of ours, but for those that have numbers."""
    from pathlib import Path

    import mystyle_cli

    texts = [path.read_text("utf-8") for path in Path(mystyle_cli.__file__).parent.rglob("*.py")]
    assert not [text for text in texts if "Device(str(" in text]


def test_a_card_that_torch_cannot_use_is_told(monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    """auto goes on with the CPU and says why in one line; asked for by name it is refused with the reason."""

    def too_old() -> bool:
        warnings.warn("The NVIDIA driver on your system is too old.\nUpdate it.", stacklevel=1)
        return False

    machine(monkeypatch, cards=1, torch_has=too_old)
    assert Device("auto", said.append).torch == "cpu"
    assert said == ["the graphics card is not used by torch: The NVIDIA driver on your system is too old."]
    with pytest.raises(DeviceError, match="too old") as caught:
        _ = Device("cuda").torch
    assert "auto" in caught.value.hint


def test_a_card_that_torch_only_lists_is_tried(monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    """A card for which torch has no kernels looks available until something is computed on it."""
    machine(monkeypatch, cards=1, torch_has=lambda: True)

    def fail(self: torch.Tensor, name: str) -> torch.Tensor:
        raise RuntimeError("CUDA error: no kernel image is available\nCompile with TORCH_USE_CUDA_DSA")

    monkeypatch.setattr(torch.Tensor, "to", fail)
    assert Device("auto", said.append).torch == "cpu"
    assert said[0].endswith("no kernel image is available")
    with pytest.raises(DeviceError, match="no kernel image"):
        _ = Device("cuda:0").torch
    with pytest.raises(DeviceError, match="no number 1"):
        _ = Device("cuda:1").torch


@pytest.mark.parametrize("wanted", ["cuda", "cuda:1", "mps", "directml"])
def test_what_is_named_and_absent_is_refused(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    """It is never replaced by another, neither by torch nor by onnxruntime."""
    machine(monkeypatch)
    with pytest.raises(DeviceError, match=wanted):
        _ = Device(wanted).torch
    with pytest.raises(DeviceError, match=wanted):
        _ = Device(wanted).provider


def test_what_is_named_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each name has its providers; with ROCm "cuda" is ROCm's, and CoreML runs where mps is asked for."""
    machine(monkeypatch, cards=2, providers=(CUDA, COREML, DML))
    assert Device("cuda:1").provider == Provider(CUDA, 1)
    assert Device("cuda:1").provider.memory == ("cuda", 1)
    assert Device("mps").provider == Provider(COREML)
    assert Device("directml:1").provider == Provider(DML, 1)
    assert Device("directml").provider.memory == ("cpu", 0)
    nets_providers.find_provider.cache_clear()
    machine(monkeypatch, cards=0, providers=(ROCM,))
    assert Device("cuda").provider == Provider(ROCM)


def test_helpers_stay_on_the_cpu_of_a_mac_without_coreml(monkeypatch: pytest.MonkeyPatch) -> None:
    """mps is torch's name; for any other name they are as strict as the nets that do the work."""
    machine(monkeypatch)
    assert Device("mps").helpers == Provider()
    with pytest.raises(DeviceError):
        _ = Device("cuda").helpers


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_the_trial_finds_half_precision_and_other_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small net's answer in float32 passes; one in half precision, or an exception, is a fault."""
    assert nets_providers.fault_of(Provider()) == ""
    connect = nets_providers.connect

    def halved(model: bytes, provider: Provider, threads: int) -> SimpleNamespace:
        real = connect(model, Provider(), threads)
        return SimpleNamespace(
            run=lambda _, given: [out.astype("float16").astype("float32") for out in real.run(None, given)]
        )

    monkeypatch.setattr(nets_providers, "connect", halved)
    monkeypatch.setattr(sessions, "connect", halved)
    assert "off by" in nets_providers.fault_of(Provider(COREML))
    monkeypatch.undo()
    assert "no such provider" in nets_providers.fault_of(Provider("no such provider"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("gfx90a:sramecc+", "bfloat16"), ("gfx1100", "bfloat16"), ("gfx1030", "float32"), ("gfx906", "float32")],
)
def test_rocm_has_other_names_for_what_multiplies_bfloat16(
    monkeypatch: pytest.MonkeyPatch, name: str, expected: str
) -> None:
    """Their numbers look like those of newer NVIDIA cards and mean something else."""
    monkeypatch.setattr(torch.version, "hip", "6.4")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(gcnArchName=name))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (10, 3))
    assert Device("cuda").precision("auto") == expected


def test_float32_asks_nothing_of_autocast() -> None:
    """An older torch has none for Macs, not even one that is switched off."""
    with Device("mps").arithmetic("float32"):
        pass
    with CPU.arithmetic("bfloat16"):
        assert torch.is_autocast_enabled("cpu")


SHORT = [
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.79 GiB",
    "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
    "HIP out of memory. Tried to allocate 512.00 MiB",
    "MPS backend out of memory (MPS allocated: 8.88 GB, other allocations: 1.01 GB, max allowed: 9.07 GB).",
    "Invalid buffer size: 19.45 GB",
    "Error: command buffer exited with error status. The Metal Performance Shaders operations encoded on it "
    "may not have completed. Error: (null) Insufficient Memory (00000008:kIOGPUCommandBufferCallbackError"
    "OutOfMemory)",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`",
    "Unable to find a valid cuDNN algorithm to run convolution",
    "GET was unable to find an engine to execute this computation",
    "[enforce fail at alloc_cpu.cpp:114] . DefaultCPUAllocator: can't allocate memory: you tried to allocate",
    "[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: not enough memory: you tried to allocate",
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested buffer of size 99",
    "[ONNXRuntimeError] : 1 : FAIL : CUDA failure 2: out of memory ; GPU=0",
    "BFCArena::AllocateRawInternal Available memory of 12 is smaller than requested bytes of 99",
    "BucketizedBufferAllocator.cpp(122): Exception(1) tid(4790) 8007000E Not enough memory resources are "
    "available to complete this operation.",
    "Exception(1) tid(77) 8007000E Nicht genügend Speicherressourcen verfügbar",
    "std::bad_alloc",
    "bad allocation",
    "unable to mmap 1024 bytes: Cannot allocate memory (12)",
]


@pytest.mark.parametrize("text", SHORT)
def test_short_memory_is_recognised(text: str) -> None:
    """In the words of torch on each device, of cuBLAS, cuDNN, onnxruntime and Windows."""
    assert ran_out(RuntimeError(text))


def test_short_memory_has_numbers_too() -> None:
    """The system's errors count by number: Linux's, and Windows' for a paging file that is full."""
    full = OSError(22, "Die Auslagerungsdatei ist zu klein")
    full.winerror = 1455  # type: ignore[attr-defined]
    assert ran_out(MemoryError())
    assert ran_out(OSError(12, "Cannot allocate memory"))
    assert ran_out(full)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle )`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("MPS: Unsupported Border padding mode"),
        ModelError("cannot read out of memory.onnx", ""),
        FileNotFoundError(2, "No such file", "out of memory.png"),
        OSError(28, "No space left on device"),
    ],
)
def test_other_errors_are_not_short_memory(error: Exception) -> None:
    """Fewer photos at once would not help, and a file may be called what it likes."""
    assert not ran_out(error)


def test_each_process_has_a_card_of_its_own(monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    """Of several on a machine: a card by its number, the CPU where there are too few, one device refused."""
    machine(monkeypatch)
    assert Device("auto").of_process(1, 2).wanted == "cpu"
    assert Device("cpu").of_process(1, 2).wanted == "cpu"
    assert Device("cuda").of_process(1, 2).wanted == "cuda:1"
    machine(monkeypatch, cards=1, torch_has=lambda: True)
    module.torch_fault.cache_clear()
    assert Device("auto", said.append).of_process(1, 2).wanted == "cpu"
    assert said == ["graphics card 1 is not used by torch: there is no number 1, but 1 in all"]
    monkeypatch.setattr(module, "torch_fault", lambda name: "")
    assert Device("auto").of_process(1, 2).wanted == "cuda:1"
    for one in ("cuda:0", "mps", "directml"):
        with pytest.raises(UsageError, match="is one device, and 2 processes"):
            Device(one).of_process(0, 2)
    assert Device("cuda:3").of_process(0, 1).wanted == "cuda:3"  # alone on its machine
