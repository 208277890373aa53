"""Trains the matte net: aligned crop -> how much of each pixel is the person.

python -m tools.portraits.train_matte SHARDS RUN --minutes 4
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tools.portraits.degrade import damage, relight
from tools.portraits.loop import Journal, options, save_atomic, timed_steps
from tools.portraits.nets import Matte
from tools.portraits.pictures import Pictures

WIDTHS = (12, 24, 40, 56)


def make_matte() -> Matte:
    """The bundled prior's matte net, random weights."""
    return Matte(WIDTHS)


def truth(pictures: Pictures, rows: np.ndarray) -> Tensor:
    """Mattes (B, R, R) in [0, 1]."""
    return torch.from_numpy(pictures.rows("mattes", rows)).float() / 255


@torch.no_grad()
def measure(net: Matte, pictures: Pictures) -> dict[str, float]:
    """Overlap of thresholded mattes (intersection over union) and mean absolute error."""
    net.eval()
    rows = np.linspace(0, len(pictures) - 1, 96).astype(int)
    made, true = net(pictures.images(rows)), truth(pictures, rows)
    net.train()
    a, b = made > 0.5, true > 0.5
    union = (a | b).sum((1, 2)).clamp(min=1)
    return {"iou": float(((a & b).sum((1, 2)) / union).mean()), "error": float((made - true).abs().mean())}


def train(args: argparse.Namespace) -> None:
    """Train for the given minutes."""
    torch.manual_seed(3)
    rng = np.random.default_rng(3)
    pictures = Pictures(args.shards, held_out=False, names=("mattes",))
    unseen = Pictures(args.shards, held_out=True, names=("mattes",))
    net = make_matte().to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3, betas=(0.9, 0.99))
    journal = Journal(args.run)
    for step, _ in timed_steps(optimiser, 3e-3, args.minutes):
        rows = rng.integers(len(pictures), size=args.batch)
        images, _ = damage(relight(pictures.images(rows)))
        loss = F.binary_cross_entropy_with_logits(net.logits(images), truth(pictures, rows))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        journal.add({"loss": float(loss.detach())})
        if step % 100 == 99:
            journal.write(step + 1, measure(net, unseen))
    save_atomic(net.state_dict(), args.run / "matte.pt")
    journal.write(step + 1, measure(net, unseen))


def main() -> None:
    """Read the options and train."""
    train(options(__doc__, minutes=4, batch=16).parse_args())


if __name__ == "__main__":
    main()
