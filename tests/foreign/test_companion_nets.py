"""IR-SE-50, the encoders and ArcFace, against a slow transcription of their description."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from mystyle_cli.foreign.nets import ArcFace, FirstRowEncoder, WEncoder, pyramid_shapes

Tensors = Mapping[str, Tensor]
UNITS = [64] * 3 + [128] * 4 + [256] * 14 + [512] * 3
HALVING = {0, 3, 7, 21}  # units of stride 2
WIDENING = {3, 7, 21}  # units whose shortcut has weights


def randomise(net: nn.Module, size: int) -> nn.Module:
    """Give a net random weights, and statistics near those of noise, so that it does not magnify rounding."""
    source = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if name.endswith("bias"):
                value.uniform_(-0.3, 0.3, generator=source)
            elif value.dim() == 1:
                value.uniform_(0.2, 1.2, generator=source)
            elif value.dim() > 1:
                spread = 1.7 if "linear" in name else (3 / value[0].numel()) ** 0.5
                value.uniform_(-spread, spread, generator=source)
        norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = 1.0
        net.train()(torch.rand(4, 3, size, size, generator=source) * 2 - 1)
        for norm in norms:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean += 0.2 * norm.running_var.sqrt()
            norm.running_var *= torch.empty(norm.num_features).uniform_(0.5, 1.5, generator=source)
    return net.eval().requires_grad_(False)


def column(values: Tensor) -> Tensor:
    """One value for each channel of a picture."""
    return values[:, None, None]


def convolve(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Cross-correlation as a sum over the kernel's places, padded so that stride 1 keeps the size."""
    size = weight.shape[-1]
    padded = torch.zeros(*x.shape[:2], x.shape[2] + size - 1, x.shape[3] + size - 1)
    edge = size // 2
    padded[:, :, edge : edge + x.shape[2], edge : edge + x.shape[3]] = x
    total = torch.zeros(())
    for i in range(size):
        for j in range(size):
            shifted = padded[:, :, i : i + x.shape[2] : stride, j : j + x.shape[3] : stride]
            total = total + torch.einsum("oi,bihw->bohw", weight[:, :, i, j], shifted)
    return total


def normalise(x: Tensor, t: Tensors, name: str) -> Tensor:
    """Batch norm by the running statistics."""
    scale = t[f"{name}.weight"] / (t[f"{name}.running_var"] + 1e-5).sqrt()
    return (x - column(t[f"{name}.running_mean"])) * column(scale) + column(t[f"{name}.bias"])


def bend(x: Tensor, slope: Tensor) -> Tensor:
    """PReLU."""
    return torch.where(x > 0, x, x * column(slope))


def transcribed_trunk(t: Tensors, x: Tensor) -> Tensor:
    """IR-SE-50 as its description has it, from named tensors alone."""
    x = convolve(x, t["input_layer.0.weight"], 1)
    x = bend(normalise(x, t, "input_layer.1"), t["input_layer.2.weight"])
    for i in range(len(UNITS)):
        stride, unit = 2 if i in HALVING else 1, f"body.{i}"
        y = convolve(normalise(x, t, f"{unit}.res_layer.0"), t[f"{unit}.res_layer.1.weight"], 1)
        y = convolve(bend(y, t[f"{unit}.res_layer.2.weight"]), t[f"{unit}.res_layer.3.weight"], stride)
        y = normalise(y, t, f"{unit}.res_layer.4")
        squeezed = y.mean((2, 3))
        squeezed = (squeezed @ t[f"{unit}.res_layer.5.fc1.weight"][:, :, 0, 0].T).clamp(min=0)
        excited = 1 / (1 + (-(squeezed @ t[f"{unit}.res_layer.5.fc2.weight"][:, :, 0, 0].T)).exp())
        shortcut = x[:, :, ::stride, ::stride]
        if i in WIDENING:
            shortcut = normalise(
                convolve(x, t[f"{unit}.shortcut_layer.0.weight"], stride), t, f"{unit}.shortcut_layer.1"
            )
        x = y * excited[:, :, None, None] + shortcut
    return x


def equalised(x: Tensor, t: Tensors, name: str) -> Tensor:
    """The equalised linear layer."""
    return x @ (t[f"{name}.weight"] / 512**0.5).T + t[f"{name}.bias"]


def assert_close(got: Tensor, want: Tensor) -> None:
    """Compare relative to the largest value, and see that the answers are not all alike."""
    assert (want[0] - want[1]).abs().max() > 0.1 * want.abs().max()
    assert (got - want).abs().max() < 2e-5 * want.abs().max()


def pictures(size: int) -> Tensor:
    """Two random pictures."""
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_w_encoder_is_as_described() -> None:
    """The features' mean over places, a linear layer and the mean of w give the code."""
    net, x = randomise(WEncoder(), 32), pictures(32)
    average = torch.linspace(-1, 1, 512)
    net.register_buffer("average", average, persistent=False)
    t = net.state_dict()
    assert_close(net(x), equalised(transcribed_trunk(t, x).mean((2, 3)), t, "linear") + average)


def test_first_row_is_as_described() -> None:
    """Four strided convolutions with leaky ReLU of slope 0.01, and a linear layer, give the first row."""
    net, x = randomise(FirstRowEncoder(), 64), pictures(64)
    t = net.state_dict()
    y = transcribed_trunk(t, x)
    for i in range(4):
        name = f"styles.0.convs.{2 * i}"
        y = convolve(y, t[f"{name}.weight"], 2) + column(t[f"{name}.bias"])
        y = torch.where(y > 0, y, 0.01 * y)
    assert_close(net(x), equalised(y[:, :, 0, 0], t, "styles.0.linear"))


def test_arcface_is_as_described() -> None:
    """Norm, flattening by channel, linear layer, norm and unit length give the embedding."""
    net, x = randomise(ArcFace(), 112), pictures(112)
    t = net.state_dict()
    y = normalise(transcribed_trunk(t, x), t, "output_layer.0").reshape(2, -1)
    y = y @ t["output_layer.3.weight"].T + t["output_layer.3.bias"]
    y = normalise(y[:, :, None, None], t, "output_layer.4")[:, :, 0, 0]
    assert_close(net(x), y / y.square().sum(1, keepdim=True).sqrt())


@pytest.mark.parametrize(
    ("make", "beside", "keys", "millions"),
    [
        (WEncoder, {}, 387, 31.24),
        (FirstRowEncoder, pyramid_shapes(18), 621, 267.16),
        (ArcFace, {}, 397, 43.82),
    ],
    ids=["w-encoder", "e4e and psp", "arcface"],
)
def test_key_sets_have_the_published_sizes(
    make: type[nn.Module], beside: dict[str, tuple[int, ...]], keys: int, millions: float
) -> None:
    """As many names and numbers as the published state dicts hold."""
    with torch.device("meta"):
        own = make().state_dict()
    shapes = {name: tuple(value.shape) for name, value in own.items()} | beside
    assert len(shapes) == keys == len(own) + len(beside)
    assert round(sum(torch.Size(shape).numel() for shape in shapes.values()) / 1e6, 2) == millions
