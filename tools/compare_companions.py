"""Compare our encoders and ArcFace with the published ones, run from their own repositories.

    git clone https://github.com/yuval-alaluf/hyperstyle /tmp/hyperstyle
    git clone https://github.com/omertov/encoder4editing /tmp/e4e
    git clone https://github.com/eladrich/pixel2style2pixel /tmp/psp
    git clone https://github.com/TreB1eN/InsightFace_Pytorch /tmp/arcface
    python -m tools.compare_companions w-encoder /tmp/hyperstyle
    python -m tools.compare_companions e4e /tmp/e4e
    python -m tools.compare_companions psp /tmp/psp
    python -m tools.compare_companions arcface /tmp/arcface

Each network gets random weights and batch statistics, is saved as its own training code saves it, read by our
reader, and both look at the same pictures; so does the ONNX file that a prior of 1024 pixels would hold, at
pictures of that size. Of e4e and pSp the first row is compared. Nothing of these repositories is part of this
one.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mystyle_cli.faces.align import FFHQ
from mystyle_cli.foreign.companions import read_encoder, read_identity
from mystyle_cli.foreign.roles import Companion, write_role
from mystyle_cli.nets.sessions import open_session

BOUND = 1e-4  # greatest difference allowed, relative to the greatest value
RESOLUTION = 1024  # of the prior whose file is compared
NETS = {
    "w-encoder": ("models.encoders.w_encoder", "WEncoder"),
    "e4e": ("models.encoders.psp_encoders", "Encoder4Editing"),
    "psp": ("models.encoders.psp_encoders", "GradualStyleEncoder"),
    "arcface": ("model", "Backbone"),
}
SIZES = {"w-encoder": 256, "e4e": 256, "psp": 256, "arcface": 112}


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare one net; the exit status tells whether both agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("net", choices=list(NETS))
    parser.add_argument("repository", type=Path, help="folder of the checked-out repository")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    sys.path.insert(0, str(chosen.repository.resolve()))
    torch.manual_seed(chosen.seed)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        found = compare(chosen.net, Path(folder))
    for title, worst in found.items():
        print(f"{chosen.net:<10} {title:<36} {worst:.2e}")
    return 0 if max(found.values()) <= BOUND else 1


def compare(kind: str, folder: Path) -> dict[str, float]:
    """Return the greatest difference, relative to the greatest value, of each thing compared."""
    theirs, average = _published(kind), torch.randn(18, 512)[:1].repeat(18, 1)
    path = folder / "network.pt"
    torch.save(_checkpoint(kind, theirs, average), path)
    ours = read_identity(path) if kind == "arcface" else read_encoder(path)
    print(f"{kind:<10} {len(theirs.state_dict())} keys, {_values(theirs):,} values; read as {ours.kind}")
    whole = F.interpolate(torch.randn(2, 3, 16, 16), (RESOLUTION, RESOLUTION), mode="bilinear").clamp(-1, 1)
    seen = _as_trained(kind, whole)
    want = theirs(seen)
    if kind != "arcface":
        want = (want + average)[:, 0]
    del theirs
    largest = want.abs().max()
    spread = float((want[0] - want[1]).abs().max() / largest)
    print(f"{kind:<10} {'control: the two pictures differ by':<36} {spread:.2f}")
    answers = {"torch": _torch_answer(ours, seen), "ONNX at 1024 pixels": _role(ours, whole, folder)}
    return {title: float((answer - want).abs().max() / largest) for title, answer in answers.items()}


def _published(kind: str) -> Any:
    """Make a published net in eval mode, every parameter random, statistics somewhat off those of noise.

    Statistics of no relation to the weights would let activations grow from layer to layer until the net
    magnifies rounding a thousandfold, which no trained net does.
    """
    import torch.utils.cpp_extension as extensions

    setattr(extensions, "load", lambda *_, **__: None)  # noqa: B010  # the CPU needs no compiled operation
    module, name = NETS[kind]
    make = getattr(importlib.import_module(module), name)
    options = SimpleNamespace(output_size=1024, stylegan_size=1024, input_nc=3, n_styles=18)
    with torch.device("meta"):
        net = make(50, 0.6, "ir_se") if kind == "arcface" else make(50, "ir_se", options)
    net.to_empty(device="cpu")
    for key, value in net.state_dict().items():
        if key.endswith("num_batches_tracked"):
            value.zero_()
        elif key.endswith(("running_mean", "bias")):
            value.uniform_(-0.3, 0.3)
        elif value.dim() < 2:  # slopes, and scales and variances of norms
            value.uniform_(0.5, 1.5) if value.numel() > 1 else value.fill_(0.25)
        else:
            spread = 1.7 if "linear" in key else (3 / value[0].numel()) ** 0.5
            value.uniform_(-spread, spread)
    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    net.train()(torch.rand(4, 3, *(SIZES[kind],) * 2) * 2 - 1)
    for norm in norms:
        norm.running_mean += 0.2 * norm.running_var.sqrt() * torch.randn_like(norm.running_mean)
        norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.5, 1.5)
    return net.eval()


def _checkpoint(kind: str, net: nn.Module, average: Tensor) -> dict[str, Any]:
    """What the net's training code saves."""
    if kind == "arcface":
        return dict(net.state_dict())
    return {
        "state_dict": {f"encoder.{key}": value for key, value in net.state_dict().items()},
        "latent_avg": average,
        "opts": {"encoder_type": NETS[kind][1], "start_from_latent_avg": True, "device": "cuda:0"},
    }


def _as_trained(kind: str, whole: Tensor) -> Tensor:
    """Preprocess as the published code does: resized with antialiasing, for ArcFace cropped as pSp's loss."""
    small = F.interpolate(whole, (256, 256), mode="bilinear", antialias=True)
    return F.adaptive_avg_pool2d(small[:, :, 35:223, 32:220], (112, 112)) if kind == "arcface" else small


def _torch_answer(companion: Companion, images: Tensor) -> Tensor:
    """What our own net answers."""
    assert isinstance(companion.net, nn.Module)
    answer: Tensor = companion.net(images)
    return answer


def _role(companion: Companion, whole: Tensor, folder: Path) -> Tensor:
    """What the role's file answers."""
    write_role(companion, folder / "role.onnx", RESOLUTION, FFHQ)
    return torch.from_numpy(open_session(folder / "role.onnx").run(whole.numpy()))


def _values(net: nn.Module) -> int:
    """Numbers that a net holds."""
    return sum(value.numel() for value in net.state_dict().values())


if __name__ == "__main__":
    sys.exit(main())
