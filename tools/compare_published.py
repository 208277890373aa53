"""Compare our generator with the published ones, run from their own repositories with random weights.

    git clone https://github.com/NVlabs/stylegan2-ada-pytorch /tmp/nvidia
    git clone https://github.com/rosinality/stylegan2-pytorch /tmp/rosinality
    python -m tools.compare_published nvidia /tmp/nvidia
    python -m tools.compare_published rosinality /tmp/rosinality --resolution 256

Each network is made with random weights, biases, noise strengths and patterns, saved as its own code saves
it, read by our reader, and both render the same W+ codes and the same z. On the CPU, their compiled
operations are not needed. Nothing of these repositories is part of this one.
"""

from __future__ import annotations

import argparse
import pickle
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from mystyle_cli.foreign.generators import read_generator

BOUND = 5e-5  # greatest difference allowed, relative to the greatest value of the image
Render = Callable[[torch.Tensor], torch.Tensor]


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare at each resolution asked for; the exit status tells whether all agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("dialect", choices=["nvidia", "rosinality"])
    parser.add_argument("repository", type=Path, help="folder of the checked-out repository")
    parser.add_argument("--resolution", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    sys.path.insert(0, str(chosen.repository.resolve()))
    agree = True
    for resolution in chosen.resolution:
        with tempfile.TemporaryDirectory() as folder:
            for title, worst in compare(chosen.dialect, resolution, chosen.seed, Path(folder)).items():
                print(f"{chosen.dialect:<10} {resolution:>5} px  {title:<28} {worst:.2e}")
                agree &= worst <= BOUND
    return 0 if agree else 1


def compare(dialect: str, resolution: int, seed: int, folder: Path) -> dict[str, float]:
    """Return the greatest difference, relative to the greatest value, of each thing compared."""
    torch.manual_seed(seed)
    if dialect == "nvidia":
        return {
            f"clamp {clamp}, {title}": worst
            for clamp in (None, 256, 2)
            for title, worst in _compare_nvidia(resolution, clamp, folder).items()
        }
    return _compare_rosinality(resolution, folder)


def _compare_nvidia(resolution: int, clamp: float | None, folder: Path) -> dict[str, float]:
    from training.networks import Generator  # type: ignore[import-not-found]  # of the repository

    mapping, synthesis = {"num_layers": 8}, {"channel_base": 32768, "channel_max": 512, "conv_clamp": clamp}
    theirs = Generator(
        z_dim=512, c_dim=0, w_dim=512, img_resolution=resolution, img_channels=3,
        mapping_kwargs=mapping, synthesis_kwargs=synthesis,
    ).eval()  # fmt: skip
    _randomise(theirs)
    theirs.mapping.w_avg.normal_()
    snapshot = {"training_set_kwargs": None, "G": theirs, "D": None, "G_ema": theirs, "augment_pipe": None}
    path = folder / "network.pkl"
    path.write_bytes(pickle.dumps(snapshot))
    return _differences(
        path,
        lambda codes: theirs.synthesis(codes, noise_mode="const", force_fp32=True),
        lambda z: theirs(z, None, truncation_psi=0.7, truncation_cutoff=5, noise_mode="const"),
        {"psi": 0.7, "cutoff": 5},
    )


def _compare_rosinality(resolution: int, folder: Path) -> dict[str, float]:
    import torch.utils.cpp_extension as extensions

    setattr(extensions, "load", lambda *_, **__: None)  # noqa: B010  # the CPU needs no compiled operation
    from model import Generator  # type: ignore[import-not-found]  # of the repository

    theirs = Generator(resolution, 512, 8).eval()
    _randomise(theirs)
    mean = torch.randn(512)
    path = folder / "network.pt"
    torch.save({"g_ema": theirs.state_dict(), "g": theirs.state_dict(), "latent_avg": mean}, path)
    fixed = {"randomize_noise": False}
    return _differences(
        path,
        lambda codes: theirs([codes], input_is_latent=True, **fixed)[0],
        lambda z: theirs([z], truncation=0.7, truncation_latent=mean, **fixed)[0],
        {"psi": 0.7},
    )


def _randomise(network: torch.nn.Module) -> None:
    """Give biases and noise strengths, which begin at constants, random values."""
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.endswith(("bias", "noise_strength", "noise.weight")):
                value.add_(torch.randn_like(value) * 0.3)


@torch.no_grad()
def _differences(
    path: Path, from_codes: Render, from_z: Render, truncation: dict[str, Any]
) -> dict[str, float]:
    """Read the file, and render the same with both."""
    ours = read_generator(path).generator
    codes, z = torch.randn(2, ours.num_ws, ours.w_dim), torch.randn(2, ours.z_dim)
    pairs = {
        "W+, noise on": (from_codes(codes), ours.synthesis(codes, "const")),
        "z truncated by 0.7": (from_z(z), ours(z, **truncation)),
    }
    return {title: float((b - a).abs().max() / a.abs().max()) for title, (a, b) in pairs.items()}


if __name__ == "__main__":
    sys.exit(main())
