"""Companions as ONNX files of a prior's roles: resizing, tracing, parity, and nets of others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from torch import Tensor, nn

from mystyle_cli.errors import ModelError
from mystyle_cli.faces.align import FFHQ, Crop, warp
from mystyle_cli.foreign import roles
from mystyle_cli.foreign.companions import read_encoder, read_identity
from mystyle_cli.foreign.nets import ArcFace, StyleBlock, Unit, UnitLength, WEncoder
from mystyle_cli.foreign.onnx_files import inspect
from mystyle_cli.foreign.resample import face_window, whole
from mystyle_cli.foreign.roles import Companion, write_role
from mystyle_cli.foreign.trace import write_onnx
from mystyle_cli.nets.generator import FullyConnected
from mystyle_cli.nets.sessions import open_session


def noise(count: int, size: int) -> Tensor:
    """Random pictures, (count, 3, size, size)."""
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(2)) * 2 - 1


@pytest.mark.parametrize("resolution", [64, 100, 512, 1024])
def test_encoders_see_what_pillow_resizes(resolution: int) -> None:
    """Resizing to 256 equals Pillow's, which the encoders were trained with, to a millionth."""
    picture = noise(1, resolution)
    resized = Image.fromarray(picture[0, 1].numpy()).resize((256, 256), Image.Resampling.BILINEAR)
    step = whole(resolution)
    assert step is not None
    assert np.abs(step(picture)[0, 1].numpy() - np.asarray(resized)).max() < 1e-6
    assert whole(256) is None


@pytest.mark.parametrize("resolution", [64, 256, 1024])
def test_arcface_sees_the_window_of_the_identity_loss(resolution: int) -> None:
    """Rows 35 to 223 and columns 32 to 220 of the picture at 256 pixels, averaged down to 112."""
    picture = noise(1, resolution)
    small = F.interpolate(picture, (256, 256), mode="bilinear", antialias=True)
    want = F.adaptive_avg_pool2d(small[:, :, 35:223, 32:220], (112, 112))
    assert (face_window(resolution, FFHQ)(picture) - want).abs().max() < 1e-6


@pytest.mark.parametrize("crop", [Crop(1.25, 0.05), Crop(0.85, 0.0)])
def test_arcface_sees_the_same_of_a_face_in_any_crop(crop: Crop) -> None:
    """On another crop of the same picture the window lies elsewhere, and shows the same."""
    soft = F.interpolate(noise(1, 12), (400, 400), mode="bicubic").clamp(0, 1)
    pixels = np.rint(soft[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    corners = np.array([[0.0, 0], [0, 1], [1, 1], [1, 0]])

    def seen(shown: Crop, taken_for: Crop) -> Tensor:
        picture = warp(pixels, shown.to_ffhq(corners) * 400, 256).astype(np.float32)
        return cast(Tensor, face_window(256, taken_for)(torch.from_numpy(picture).permute(2, 0, 1)[None]))

    usual = seen(FFHQ, FFHQ)
    assert (seen(crop, crop) - usual).abs().mean() < 2
    assert (seen(crop, FFHQ) - usual).abs().mean() > 8


class Everything(nn.Module):
    """A small net with every kind of layer that the companions are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.PReLU(16))
        self.units = nn.Sequential(Unit(16, 16, 2), Unit(16, 32, 2))
        self.narrow = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(32 * 4, 8), nn.BatchNorm1d(8))
        self.leaky = nn.LeakyReLU(0.01)
        self.last, self.unit = FullyConnected(8, 5), UnitLength()
        self.register_buffer("average", torch.linspace(-1, 1, 5))

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, 3, 16, 16) to (B, 5)."""
        rows: Tensor = self.unit(self.last(self.leaky(self.narrow(self.units(self.first(images))))))
        return rows + self.average


def shake(net: nn.Module) -> nn.Module:
    """Move weights and statistics off the values that they begin with."""
    source = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if value.is_floating_point() and "average" not in name:
                moved = value + 0.1 * torch.randn(value.shape, generator=source)
                value.copy_(moved.abs() + 0.1 if name.endswith("running_var") else moved)
    return net.eval().requires_grad_(False)


def test_every_layer_is_written_as_it_computes(tmp_path: Path) -> None:
    """A file with all kinds of layer is valid ONNX, takes any batch, and answers as torch does."""
    net, path = shake(Everything()), tmp_path / "net.onnx"
    write_onnx(net, path, (3, 16, 16), 5)
    onnx.checker.check_model(str(path), full_check=True)
    session = open_session(path, threads=1)
    for count in (1, 3):
        images = noise(count, 16)
        assert np.abs(session.run(images.numpy()) - net(images).numpy()).max() < 1e-6


def test_unknown_layer_is_refused(tmp_path: Path) -> None:
    """A layer without a node is an error, not a file that computes something else."""
    with pytest.raises(TypeError, match="no ONNX node"):
        write_onnx(nn.Sequential(nn.Tanh()), tmp_path / "net.onnx", (3, 16, 16), 5)


def test_roles_take_the_priors_pictures(tmp_path: Path) -> None:
    """The files of encoder and identity net hold crop and resizing, and agree with torch."""
    torch.manual_seed(0)
    encoder = Companion("encoder", "w-encoder", Path("e.pt"), "", WEncoder(), 32, 512)
    identity = Companion("identity", "arcface", Path("a.pth"), "", ArcFace(), 112, 512)
    for companion in (encoder, identity):
        assert isinstance(companion.net, nn.Module)
        companion.net.eval()
        path = tmp_path / f"{companion.role}.onnx"
        assert write_role(companion, path, 64, FFHQ) < 1e-4
        assert open_session(path).run(noise(1, 64).numpy()).shape == (1, 512)


def test_disagreement_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that answers otherwise than its net does not become a role."""
    net = nn.Sequential(nn.Conv2d(3, 512, 3, 2, 1), StyleBlock(4)).eval().requires_grad_(False)
    companion = Companion("encoder", "e4e", Path("e.pt"), "", net, 32, 512)
    assert write_role(companion, tmp_path / "good.onnx", 32, FFHQ) < 1e-4
    other = nn.Sequential(nn.Conv2d(3, 512, 3, 2, 1), StyleBlock(4)).eval()
    monkeypatch.setattr(roles, "write_onnx", lambda _net, *rest: write_onnx(other, *rest))
    with pytest.raises(ModelError, match="differs by"):
        write_role(companion, tmp_path / "bad.onnx", 32, FFHQ)


Change = Callable[[onnx.ModelProto], Any]


def foreign_net(path: Path, change: Change | None = None, size: int = 112) -> Path:
    """Write a recognition net as insightface's are: one convolution, flattened into a row of 24."""
    rng = np.random.default_rng(0)
    side = size // 8
    arrays = {
        "k": rng.normal(size=(4, 3, 8, 8)).astype(np.float32) / 14,
        "m": rng.normal(size=(4 * side**2, 24)).astype(np.float32) / 28,
    }
    nodes = [
        helper.make_node("Conv", ["input.1", "k"], ["x"], strides=[8, 8]),
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("MatMul", ["f", "m"], ["683"]),
    ]
    entry = helper.make_tensor_value_info("input.1", TensorProto.FLOAT, ["None", 3, size, size])
    listed = helper.make_tensor_value_info("683", TensorProto.FLOAT, [1, 24])  # w600k_r50 says 1 as well
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "net", [entry], [listed], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
    if change:
        change(model)
    path.write_bytes(model.SerializeToString())
    return path


def test_insightface_net_becomes_a_role(tmp_path: Path) -> None:
    """A net of others is given the crop, and stays what it was behind it."""
    path = foreign_net(tmp_path / "w600k.onnx")
    companion = read_identity(path)
    assert (companion.kind, companion.size, companion.dim) == ("onnx", 112, 24)
    assert write_role(companion, tmp_path / "identity.onnx", 64, FFHQ) < 1e-5
    onnx.checker.check_model(str(tmp_path / "identity.onnx"))
    images = noise(2, 64)
    got = open_session(tmp_path / "identity.onnx").run(images.numpy())
    want = open_session(path).run(face_window(64, FFHQ)(images).numpy())
    assert np.abs(got - want).max() < 1e-5 * np.abs(want).max()
    assert np.abs(want[0] - want[1]).max() > 0.1 * np.abs(want).max()


def test_arcface_is_refused_where_a_crop_shows_too_little(tmp_path: Path) -> None:
    """A window that the prior's pictures cut through is told; a net of their own size is taken."""
    companion, tight = read_identity(foreign_net(tmp_path / "w600k.onnx")), Crop(0.58, 0.054)
    with pytest.raises(ModelError, match=r"0\.58 FFHQ sides") as refused:
        write_role(companion, tmp_path / "identity.onnx", 64, tight)
    assert "without it" in refused.value.hint
    own = foreign_net(tmp_path / "own.onnx", size=64)
    write_role(read_identity(own), tmp_path / "identity.onnx", 64, tight)
    assert (tmp_path / "identity.onnx").read_bytes() == own.read_bytes()


def test_onnx_net_of_the_priors_own_size_passes_through(tmp_path: Path) -> None:
    """A net that takes the prior's pictures already is copied as it is."""
    path = foreign_net(tmp_path / "own.onnx", size=64)
    write_role(read_encoder(path), tmp_path / "encoder.onnx", 64, FFHQ)
    assert (tmp_path / "encoder.onnx").read_bytes() == path.read_bytes()
    write_role(read_encoder(path), tmp_path / "larger.onnx", 128, FFHQ)
    assert open_session(tmp_path / "larger.onnx").run(noise(1, 128).numpy()).shape == (1, 24)
    with pytest.raises(ModelError, match="64 pixels"):
        write_role(read_identity(path), tmp_path / "identity.onnx", 128, FFHQ)


def test_role_files_of_ours_are_taken_again(tmp_path: Path) -> None:
    """A role's file of one prior is an encoder for others of other sizes, whatever its tensors are called."""
    net, path = shake(Everything()), tmp_path / "16.onnx"
    write_onnx(net, path, (3, 16, 16), 5)
    for resolution in (32, 64):
        before, path = path, tmp_path / f"{resolution}.onnx"
        assert write_role(read_encoder(before), path, resolution, FFHQ) < 1e-5
    images = noise(2, 64)
    smaller = whole(32, 16)(whole(64, 32)(images))
    assert np.abs(open_session(path).run(images.numpy()) - net(smaller).numpy()).max() < 1e-5


def rename_domain(model: onnx.ModelProto) -> None:
    """Ask for operators of a library that is not there."""
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def fix_batch(model: onnx.ModelProto) -> None:
    """Take one picture at a time only."""
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def scale_inside(model: onnx.ModelProto) -> None:
    """Subtract and scale within the net, as old insightface files do."""
    model.graph.node.insert(0, helper.make_node("Sub", ["input.1", "k0"], ["shifted"]))
    model.graph.node[1].input[0] = "shifted"
    model.graph.initializer.append(numpy_helper.from_array(np.float32(127.5), "k0"))


def second_input(model: onnx.ModelProto) -> None:
    """Want something besides the picture."""
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1]))


def store_outside(model: onnx.ModelProto) -> None:
    """Keep a tensor in a file of the attacker's choice."""
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def grow_old(model: onnx.ModelProto) -> None:
    """Be of an opset that nothing runs."""
    model.opset_import[0].version = 6


def take_numbers(model: onnx.ModelProto) -> None:
    """Want whole numbers."""
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (rename_domain, "com.microsoft"),
        (fix_batch, "batches of exactly 1"),
        (scale_inside, "scales pixels itself"),
        (second_input, "2 inputs"),
        (store_outside, "another file"),
        (grow_old, "opset 6"),
        (take_numbers, "not float32"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_unfit_onnx_is_refused(tmp_path: Path, change: Change, said: str) -> None:
    """What cannot be a role is refused with the reason, before it is run."""
    path = foreign_net(tmp_path / "net.onnx", change)
    with pytest.raises(ModelError, match=said) as caught:
        inspect(path)
    assert "net.onnx" in caught.value.message
    assert caught.value.hint


def test_damaged_onnx_is_refused(tmp_path: Path) -> None:
    """Whatever bytes are lost or changed, reading the header ends well or with an error of ours."""
    whole_file = foreign_net(tmp_path / "net.onnx", size=16).read_bytes()
    rng = np.random.default_rng(0)
    path, refused = tmp_path / "damaged.onnx", []
    for i in range(300):
        data = bytearray(whole_file[: int(rng.integers(len(whole_file)))] if i % 2 else whole_file)
        for at in rng.integers(0, min(len(data), 400) or 1, 4):
            data[at : at + 1] = bytes([rng.integers(256)])
        path.write_bytes(data)
        try:
            inspect(path)
        except ModelError as error:
            refused.append(error.message)
    assert len(refused) > 100
    assert all("damaged.onnx" in message for message in refused)
