"""Encoders, identity nets, perceptual trunks and directions, in files as their authors publish them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lpips
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mystyle_cli.checkpoints.records import Checkpoint
from mystyle_cli.errors import ModelError
from mystyle_cli.foreign import companions
from mystyle_cli.foreign.companions import read_encoder, read_identity, read_perceptual
from mystyle_cli.foreign.directions import read_directions
from mystyle_cli.foreign.nets import ArcFace, FirstRowEncoder, WEncoder, pyramid_shapes
from mystyle_cli.nets.perceptual import load_perceptual, save_perceptual
from mystyle_cli.prior.directions import Direction, save_direction

Give = Callable[[Any], Path]


@pytest.fixture
def give(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Give:
    """Let the readers find a content in a file, without writing a gigabyte."""

    def set_content(content: Any) -> Path:
        path = tmp_path / "given.pt"
        checkpoint = Checkpoint(path, "0" * 64, "torch", content)
        monkeypatch.setattr(companions, "read_checkpoint", lambda _path: checkpoint)
        return path

    return set_content


def blank(make: type[nn.Module]) -> dict[str, Tensor]:
    """A state dict of the right names and shapes that takes no memory."""
    with torch.device("meta"):
        state = make().state_dict()
    return {name: torch.full((), 0.5).expand(value.shape) for name, value in state.items()}


def encoder_file(state: dict[str, Tensor], **more: Any) -> dict[str, Any]:
    """A checkpoint of the encoders' training code, a piece of its decoder included."""
    named = {f"encoder.{name}": value for name, value in state.items()}
    return {"state_dict": {"decoder.input.input": torch.zeros(1, 512, 4, 4), **named}, **more}


def pyramid(rows: int = 18) -> dict[str, Tensor]:
    """The state dict of e4e and pSp."""
    beside = {name: torch.zeros(()).expand(shape) for name, shape in pyramid_shapes(rows).items()}
    return blank(FirstRowEncoder) | beside


def test_published_files_are_read_as_they_are(tmp_path: Path) -> None:
    """Every tensor of a HyperStyle file, written by torch.save, arrives in the net, and the mean of w."""
    torch.manual_seed(0)
    net, path = WEncoder().eval(), tmp_path / "faces_w_encoder.pt"
    average = torch.randn(512).repeat(18, 1)
    options = {"encoder_type": "WEncoder", "device": "cuda:0", "start_from_latent_avg": True, "lr": 1e-4}
    torch.save(encoder_file(net.state_dict(), latent_avg=average, opts=options, global_step=5), path)
    read = read_encoder(path)
    assert (read.kind, read.size, read.dim, read.notes) == ("w-encoder", 256, 512, ())
    assert isinstance(read.net, nn.Module)
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in read.net.state_dict().items())
    assert torch.equal(read.net.get_buffer("average"), average[0])
    assert not read.net.training


@pytest.mark.parametrize(
    ("encoder_type", "kind"), [("Encoder4Editing", "e4e"), ("GradualStyleEncoder", "psp"), (None, "e4e")]
)
def test_first_row_of_e4e_and_psp(give: Give, encoder_type: str | None, kind: str) -> None:
    """Both pyramids are recognised, for generators of any size, and the first row is kept."""
    for rows in (18, 14):
        options = {"encoder_type": encoder_type, "start_from_latent_avg": False}
        read = read_encoder(give(encoder_file(pyramid(rows), opts=options)))
        assert read.kind == kind
        assert isinstance(read.net, FirstRowEncoder)
        assert torch.equal(read.net.average, torch.zeros(512))


def test_arcface_without_counters(give: Give) -> None:
    """The published identity file, which lacks the counters of its norms, is read."""
    state = {name: value for name, value in blank(ArcFace).items() if "num_batches" not in name}
    assert len(state) == 343
    read = read_identity(give(state))
    assert (read.role, read.kind, read.size, read.dim) == ("identity", "arcface", 112, 512)


@pytest.mark.parametrize(
    ("more", "want", "noted"),
    [
        ({"latent_avg": torch.arange(512.0)}, 511.0, "does not say"),
        (
            {"latent_avg": torch.arange(512.0).repeat(18, 1), "opts": {"start_from_latent_avg": True}},
            511.0,
            "",
        ),
        ({"latent_avg": torch.arange(512.0), "opts": {"start_from_latent_avg": False}}, 0.0, ""),
        ({"opts": {"start_from_latent_avg": True}}, 7.0, "the generator's"),
        ({}, 7.0, "the generator's"),
    ],
)
def test_mean_of_w_is_added_as_the_file_says(give: Give, more: Any, want: float, noted: str) -> None:
    """One code or 18 equal ones, or the generator's where the file has none, or none where it says so."""
    read = read_encoder(give(encoder_file(blank(WEncoder), **more)), torch.full((512,), 7.0))
    assert isinstance(read.net, WEncoder)
    assert read.net.average[-1] == want
    assert noted in " ".join(read.notes)


def test_pyramid_without_mean_adds_none(give: Give) -> None:
    """e4e and pSp store the mean where training added it: without one, and without options, none is added."""
    read = read_encoder(give(encoder_file(pyramid())), torch.full((512,), 7.0))
    assert isinstance(read.net, FirstRowEncoder)
    assert torch.equal(read.net.average, torch.zeros(512))


def without(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """A state dict that lacks one tensor."""
    return {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: blank(ArcFace), r"identity net.*--identity"),
        (lambda: {"g_ema": {"input.input": torch.zeros(1)}}, r"a generator.*--generator"),
        (lambda: {"features.0.weight": torch.zeros(64, 3, 11, 11)}, r"trunk.*--perceptual"),
        (
            lambda: encoder_file(without(blank(WEncoder), "body.9.res_layer.0.bias")),
            "missing: body.9.res_layer",
        ),
        (lambda: encoder_file(without(pyramid(), "styles.9.convs.4.bias")), "missing: styles.9.convs.4.bias"),
        (lambda: encoder_file(blank(WEncoder) | {"body.24.x": torch.zeros(1)}), "unexpected: body.24.x"),
        (
            lambda: encoder_file(blank(WEncoder) | {"input_layer.0.weight": torch.zeros(64, 6, 3, 3)}),
            r"input_layer.0.weight \(\[64, 6, 3, 3\] instead of \[64, 3, 3, 3\]\)",
        ),
        (
            lambda: encoder_file(blank(WEncoder) | {"linear.bias": torch.full((512,), torch.nan)}),
            "not finite",
        ),
        (lambda: encoder_file(blank(WEncoder)), "no mean of w"),
        (lambda: encoder_file(blank(WEncoder), latent_avg=torch.zeros(100)), "latent_avg"),
        (lambda: [1, 2], "no net that is known"),
        (lambda: {"state_dict": {"hypernet.x": torch.zeros(1)}}, "no net that is known"),
    ],
)
def test_other_files_are_no_encoder(give: Give, content: Callable[[], Any], said: str) -> None:
    """Whatever else is given as an encoder is named, with the tensor at fault or the option it belongs to."""
    with pytest.raises(ModelError, match=said) as caught:
        read_encoder(give(content()))
    assert "given.pt" in caught.value.message


@pytest.mark.parametrize("make", [WEncoder, FirstRowEncoder], ids=["w-encoder", "e4e"])
def test_encoder_is_no_identity_net(give: Give, make: type[nn.Module]) -> None:
    """An encoder has the backbone of ArcFace, and is not mistaken for it."""
    state = blank(make) if make is WEncoder else pyramid()
    for content in (encoder_file(state), state):
        with pytest.raises(ModelError, match=r"an encoder.*--encoder"):
            read_identity(give(content))


def test_half_an_identity_net_is_refused(give: Give) -> None:
    """A missing tensor of ArcFace is named."""
    with pytest.raises(ModelError, match=r"missing: output_layer\.4\.running_var"):
        read_identity(give(without(blank(ArcFace), "output_layer.4.running_var")))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every download an error."""

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("something was downloaded")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fail)
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    monkeypatch.setattr("urllib.request.urlopen", fail)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("trunk", ["alex", "vgg"])
def test_lpips_from_a_file_is_lpips(tmp_path: Path, trunk: str) -> None:
    """Trunk from a file, heads from the wheel: the distance is that of lpips with the same trunk."""
    torch.manual_seed(0)
    theirs = lpips.LPIPS(net=trunk, pnet_rand=True, verbose=False).eval()
    state = theirs.net.state_dict()
    published = {f"features.{name.split('.', 1)[1]}": value for name, value in state.items()}
    torch.save(published | {"classifier.6.bias": torch.zeros(1000)}, tmp_path / "trunk.pth")
    read = read_perceptual(tmp_path / "trunk.pth", 32)
    a, b = torch.rand(2, 2, 3, 32, 32) * 2 - 1
    want = theirs(a, b).flatten()
    assert torch.allclose(read.distance(a, b), want, rtol=1e-4)
    save_perceptual(read, tmp_path / "role.safetensors")
    stored = load_perceptual(tmp_path / "role.safetensors")
    assert (stored.trunk, stored.size) == (trunk, 32)
    assert torch.equal(stored.distance(a, b), read.distance(a, b))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"features.0.weight": torch.zeros(64, 3, 7, 7)}, "neither AlexNet nor VGG16"),
        ({"features.0.weight": torch.zeros(64, 3, 11, 11)}, "missing: features"),
        ({"g_ema": {}}, "no trunk"),
    ],
)
def test_other_files_are_no_trunk(tmp_path: Path, content: Any, said: str) -> None:
    """A file of another net is refused with what is wrong about it."""
    torch.save(content, tmp_path / "trunk.pth")
    with pytest.raises(ModelError, match=said):
        read_perceptual(tmp_path / "trunk.pth", 64)


VECTOR = np.random.default_rng(0).normal(size=16)
UNIT = VECTOR / np.linalg.norm(VECTOR)


@pytest.mark.parametrize("shape", [(16,), (1, 16), (1, 8, 16)], ids=str)
@pytest.mark.parametrize("kind", ["pt", "npy"])
def test_single_directions(tmp_path: Path, shape: tuple[int, ...], kind: str) -> None:
    """InterFaceGAN's files, in W or the same in each layer of W+, are one direction named after the file."""
    array, path = np.broadcast_to(3 * UNIT, shape).copy(), tmp_path / f"Smile.{kind}"
    torch.save(torch.from_numpy(array).float(), path) if kind == "pt" else np.save(path, array)
    (found,) = read_directions(path)
    assert found.name == "smile"
    assert np.allclose(found.vector, UNIT, atol=1e-6)
    assert found.step == pytest.approx(3)


def test_ganspace_components(tmp_path: Path) -> None:
    """Each component is a direction whose unit of strength is its standard deviation."""
    axes = torch.linalg.qr(torch.randn(16, 3)).Q.T.reshape(3, 1, 16)
    content = {"mean": torch.zeros(1, 16), "comp": axes, "std": torch.tensor([2.5, 2.0, 1.5])}
    torch.save(content, tmp_path / "ffhq_pca.pt")
    found = read_directions(tmp_path / "ffhq_pca.pt")
    assert [one.name for one in found] == ["ganspace-00", "ganspace-01", "ganspace-02"]
    assert [one.step for one in found] == [2.5, 2.0, 1.5]
    assert all(np.allclose(one.vector, axis[0], atol=1e-6) for one, axis in zip(found, axes, strict=True))
    assert {one.unit for one in found} == {"standard deviation"}


def test_anycost_boundaries(tmp_path: Path) -> None:
    """The entries of Anycost's file are directions under their attributes' names, of either precision."""
    content = {
        "31_Smiling": torch.from_numpy(UNIT[None]),
        "00_5_o_Clock_Shadow": torch.from_numpy(UNIT[None]).float(),
    }
    torch.save(content, tmp_path / "boundary.pt")
    found = read_directions(tmp_path / "boundary.pt")
    assert [one.name for one in found] == ["smiling", "5-o-clock-shadow"]
    assert all(np.allclose(one.vector, UNIT, atol=1e-6) for one in found)


def test_own_direction_files(tmp_path: Path) -> None:
    """A direction that this program wrote keeps its name, step and unit."""
    path = tmp_path / "other.safetensors"
    save_direction(Direction("yaw", UNIT, 0.5, "10 degrees", "fitted"), path)
    (found,) = read_directions(path)
    assert (found.name, found.step, found.unit) == ("yaw", 0.5, "10 degrees")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (torch.zeros(1, 16), "no length"),
        (torch.full((16,), torch.inf), "not finite"),
        (torch.eye(16)[None, :8], "differs from layer to layer"),
        ({"a": "text"}, "a is no vector"),
        ([], "no vector"),
        ({"mean": 1, "comp": 2, "std": 3}, "comp and std"),
        ({"mean": torch.zeros(4), "comp": torch.eye(4), "std": torch.tensor([1.0, 1, 0, 1])}, r"std\[2\]"),
    ],
)
def test_other_files_are_no_direction(tmp_path: Path, content: Any, said: str) -> None:
    """What holds no direction in W is refused with the reason."""
    torch.save(content, tmp_path / "direction.pt")
    with pytest.raises(ModelError, match=said):
        read_directions(tmp_path / "direction.pt")
