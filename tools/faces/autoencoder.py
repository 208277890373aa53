"""The faces prior's generator and encoder, and how a trained one grows without a change."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mystyle_cli.nets.generator import Generator
from tools.portraits.nets import Encoder

CHANNELS = {4: 256, 8: 256, 16: 256, 32: 160, 64: 80, 128: 32}
W_DIM = 384
ENCODER = Path(__file__).parent / "encoder.safetensors"
SEEN = 128  # pixels a side that the encoder looks at
WIDTHS, BLOCKS = (32, 64, 128, 192, 192), (1, 2, 3, 2, 1)


class ShrinkingEncoder(Encoder):
    """E that looks at 128 pixels, whatever the picture's size: most photos to learn from hold no more."""

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, R, R) in [-1, 1] to w (B, w_dim); R is a multiple of 128."""
        return super().forward(F.avg_pool2d(images, images.shape[-1] // SEEN))


class Autoencoder(nn.Module):
    """E and G through W: x -> E -> w -> G -> x."""

    def __init__(self, channels: dict[int, int] | None = None, w_dim: int | None = None) -> None:
        """Make both nets with random weights; of the prior's shape where nothing else is said."""
        super().__init__()
        channels, w_dim = channels or CHANNELS, w_dim or W_DIM
        self.encoder = ShrinkingEncoder(SEEN, w_dim, WIDTHS, BLOCKS)
        self.generator = Generator(
            channels=channels, z_dim=w_dim, w_dim=w_dim, mapping_layers=1, mapping_multiplier=1.0
        )

    def decode(self, w: Tensor) -> Tensor:
        """Images (B, 3, R, R) of codes (B, w_dim), without noise."""
        plus = w[:, None].expand(-1, self.generator.num_ws, -1)  # (B, num_ws, w_dim)
        return self.generator.synthesis(plus, "none")  # type: ignore[no-any-return]


def load_start(path: Path) -> dict[str, Tensor]:
    """State dict of an autoencoder to begin with: a file, or the folder of the exported prior.

    The prior holds the generator; its encoder, which it keeps in 8 bits, stands beside this module in 16.
    """
    if path.is_file():
        return load_file(path)
    parts = {"generator": path / "generator.safetensors", "encoder": ENCODER}
    return {
        f"{part}.{name}": value for part, file in parts.items() for name, value in load_file(file).items()
    }


def save_encoder(encoder: Encoder) -> None:
    """Write the encoder where `load_start` finds it."""
    save_file({name: value.half().contiguous() for name, value in encoder.state_dict().items()}, ENCODER)


@torch.no_grad()
def grow(narrow: dict[str, Tensor], wide: Autoencoder, *, fresh: float = 0.1) -> None:
    """Give an autoencoder the weights of a narrower or smaller one; what it computes stays.

    Old weights go into the first rows and columns. New channels read the old ones by random weights, and
    nothing old reads them yet (zero weights), so that they start silent and learn from there; new numbers of
    w start at `fresh` of the usual spread and nothing reads them. A block for a higher resolution starts by
    adding nothing to the enlarged picture.

    Args:
        narrow: state dict of the narrower one; of the mapping only w_avg is taken.
        wide: changed in place.
        fresh: spread of the new numbers of w.
    """
    for name, new in wide.state_dict().items():
        if "resample" in name:
            continue
        if name not in narrow or "mapping" in name:  # of a higher resolution, or fitted at the end
            if name.endswith("w_avg") and name in narrow:
                new[: len(narrow[name])] = narrow[name]
            if name.endswith("torgb.weight"):
                new.zero_()
            continue
        old = narrow[name].float()
        if old.ndim < 2 or "noise" in name:  # biases: new ones stay as they were made
            new[tuple(slice(n) for n in old.shape)] = old
            continue
        rows, columns = old.shape[0], old.shape[1]
        gain = 1.0
        if "affine" in name or name == "encoder.head.weight" or "torgb" in name:
            gain = math.sqrt(new.shape[1] / columns)  # equalised learning rate divides by sqrt(inputs)
        if name == "encoder.head.weight":
            new[rows:] *= fresh
        elif name.endswith("const"):
            pass  # (C, 4, 4): new channels random
        else:
            new[:rows, columns:] = 0  # nothing old reads what is new
        if "affine" in name:
            new[:, columns:] = 0  # nor do styles read new numbers of w
            new[rows:] *= 0.1
        new[:rows, :columns] = old * gain
