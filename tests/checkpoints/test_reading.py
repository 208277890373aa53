"""Foreign files are read to the bit, whatever container they are in, and agree with torch's own reader."""

import argparse
import hashlib
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mystyle_cli.checkpoints.reading import read_checkpoint
from mystyle_cli.checkpoints.records import Record, module_tensors
from mystyle_cli.checkpoints.windows import Limits
from mystyle_cli.errors import ModelError
from mystyle_cli.nets.generator import Generator
from tests.support.checkpoints import write_nvidia_pickle, write_nvidia_torch


def small(clamp: float | None = 256) -> Generator:
    """An 8-pixel generator with random values everywhere."""
    torch.manual_seed(5)
    return Generator(channels={4: 5, 8: 3}, z_dim=6, w_dim=7, mapping_layers=2, clamp=clamp)


def assert_same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    """Names, dtypes, shapes and every bit agree; what was found is contiguous and has no gradient."""
    assert found.keys() == wanted.keys()
    for key, tensor in found.items():
        assert tensor.dtype == wanted[key].dtype
        assert tensor.shape == wanted[key].shape
        assert tensor.contiguous().numpy().tobytes() == wanted[key].contiguous().numpy().tobytes()
        assert tensor.is_contiguous()
        assert not tensor.requires_grad


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_nvidia_pickle(tmp_path: Path, protocol: int) -> None:
    """A training snapshot gives every tensor of G_ema, and what the generator was made with."""
    generator = small()
    path = write_nvidia_pickle(tmp_path / "snapshot.pkl", generator, protocol=protocol)
    checkpoint = read_checkpoint(path)
    network = checkpoint.content["G_ema"]
    assert checkpoint.container == "pickle"
    assert network.class_name == "Generator"
    assert_same(module_tensors(network), generator.state_dict())
    made_with = network.state["_init_kwargs"]
    assert made_with["synthesis_kwargs"]["conv_clamp"] == 256
    assert type(made_with) is dict
    affine = network.state["_modules"]["synthesis"].state["_modules"]["b4"].state["_modules"]["conv1"]
    gain = affine.state["_modules"]["affine"].state["weight_gain"]
    assert (type(gain), gain) == (float, 1 / np.sqrt(7))


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_whole_objects(tmp_path: Path, legacy: bool, whole: bool) -> None:
    """What PTI and google/mystyle save with torch.save is read as records, in both formats of torch."""
    generator = small()
    path = write_nvidia_torch(tmp_path / "model.pt", generator, whole=whole, legacy=legacy)
    checkpoint = read_checkpoint(path)
    wanted = (generator if whole else generator.synthesis).state_dict()
    assert checkpoint.container == "torch"
    assert checkpoint.content.class_name == ("Generator" if whole else "SynthesisNetwork")
    assert_same(module_tensors(checkpoint.content), wanted)


def mixed() -> dict[str, object]:
    """Values as encoder files hold them: many dtypes and layouts, options, an optimizer's state."""
    torch.manual_seed(6)
    base = torch.randn(6, 4, 3, 3)
    tensors = OrderedDict(
        single=base[0].clone(),
        turned=base.transpose(0, 1),
        last=base.contiguous(memory_format=torch.channels_last),
        part=base[2:4, 1:],
        tied=base,
        half=base.half(),
        bfloat=base.bfloat16(),
        double=base.double(),
        count=torch.tensor(7),
        empty=torch.zeros(0, 3),
        parameter=torch.nn.Parameter(torch.randn(3)),
        repeated=torch.randn(1, 7).expand(5, 7),
    )
    tensors._metadata = {"": {"version": 2}}  # type: ignore[attr-defined]
    options = {"encoder_type": "WEncoder", "start": True, "none": None, "rate": 1e-4, "list": [1, (2, -3)]}
    optimizer = {"state": {0: {"step": 12, "mean": torch.randn(4)}}, "groups": [{"lr": 0.1, "params": [0]}]}
    return {"state_dict": tensors, "opts": options, "g_optim": optimizer, "big": 1 << 40, "size": base.shape}


def equal(left: object, right: object) -> bool:
    """Whether two contents agree to the bit."""
    if isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
        return left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(equal, left, right))
    return type(left) is type(right) and left == right


@pytest.mark.parametrize("legacy", [False, True])
def test_agrees_with_torch(tmp_path: Path, legacy: bool) -> None:
    """Whatever torch's weights-only reader finds in a file of torch.save, ours finds to the bit."""
    path = tmp_path / "encoder.pt"
    torch.save(mixed(), path, _use_new_zipfile_serialization=not legacy)
    assert equal(read_checkpoint(path).content, torch.load(path, map_location="cpu", weights_only=True))


def test_saved_on_a_gpu(tmp_path: Path) -> None:
    """Tensors that were saved on a GPU come to the CPU, without one."""
    path = tmp_path / "smile.pt"
    torch.save(torch.arange(4.0), path, _use_new_zipfile_serialization=False)
    data = path.read_bytes().replace(b"\x03\x00\x00\x00cpu", b"\x06\x00\x00\x00cuda:0")
    assert b"cuda:0" in data
    path.write_bytes(data)
    assert torch.equal(read_checkpoint(path).content, torch.arange(4.0))


def test_bare_pickle_of_tensors(tmp_path: Path) -> None:
    """Tensors in an ordinary pickle, which spells storages as bytes, are read with their views."""
    path = tmp_path / "latents.pkl"
    path.write_bytes(pickle.dumps(mixed(), protocol=4))
    assert equal(read_checkpoint(path).content, mixed())


def test_options_as_namespace(tmp_path: Path) -> None:
    """Arguments that rosinality's training saves beside its weights are a record."""
    path = tmp_path / "training.pt"
    torch.save({"g_ema": {}, "args": argparse.Namespace(size=256, lr=0.002)}, path)
    arguments = read_checkpoint(path).content["args"]
    assert isinstance(arguments, Record)
    assert arguments.state == {"size": 256, "lr": 0.002}


def test_safetensors(tmp_path: Path) -> None:
    """Tensors by name and the header's strings."""
    tensors = {key: tensor.contiguous() for key, tensor in small().state_dict().items()}
    path = tmp_path / "weights.bin"  # the name says nothing
    save_file(tensors, path, metadata={"note": "mine"})
    checkpoint = read_checkpoint(path)
    assert checkpoint.container == "safetensors"
    assert checkpoint.metadata == {"note": "mine"}
    assert_same(checkpoint.content, tensors)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=">f8").reshape(3, 4),
        np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4)),
        np.zeros((0, 4), np.float16),
        np.float64(3.5) * np.ones(()),
        np.arange(5),
    ],
    ids=["big-endian", "columns first", "empty", "scalar", "int64"],
)
def test_array(tmp_path: Path, array: np.ndarray) -> None:
    """An .npy file in any byte order and layout gives its values."""
    path = tmp_path / "boundary.npy"
    np.save(path, array)
    tensor = read_checkpoint(path).content
    assert tensor.shape == array.shape
    assert np.array_equal(tensor.numpy(), array)


def test_onnx_is_left_unread(tmp_path: Path) -> None:
    """An ONNX model is recognised by its content and passed through."""
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value], [value])
    path = tmp_path / "recognition.dat"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    checkpoint = read_checkpoint(path)
    assert (checkpoint.container, checkpoint.content) == ("onnx", None)


def test_digest(tmp_path: Path) -> None:
    """The digest is the file's, as sha256sum prints it."""
    path = tmp_path / "one.npy"
    np.save(path, np.zeros(3))
    assert read_checkpoint(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_limits_are_the_callers(tmp_path: Path) -> None:
    """Every limit can be set, and a file just beyond it is refused."""
    path = write_nvidia_pickle(tmp_path / "a.pkl", small())
    size = path.stat().st_size
    read_checkpoint(path, Limits(file_bytes=size))
    for limits in (Limits(file_bytes=size - 1), Limits(tensor_bytes=500), Limits(steps=500), Limits(depth=5)):
        with pytest.raises(ModelError):
            read_checkpoint(path, limits)


def test_modules_only() -> None:
    """A record that is no module is refused by name, not with a KeyError."""
    with pytest.raises(ModelError, match="Namespace"):
        module_tensors(Record("Namespace", {"size": 4}))
