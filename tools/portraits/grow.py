"""Deepens the encoder of a training state without changing what it computes.

    python -m tools.portraits.grow STATE GROWN

The bundle's autoencoder was begun with a shallower encoder. The new residual blocks start silent (their
second convolution is zero), so that training goes on where it was; the optimiser starts anew.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from torch import Tensor

from tools.portraits.nets import Encoder
from tools.portraits.train_autoencoder import BLOCKS, W_DIM, WIDTHS, make_encoder

PREFIX = "encoder."


def count_blocks(state: dict[str, Tensor]) -> list[int]:
    """Residual blocks at each resolution of an encoder's state dict."""
    count = [0]
    for index in range(1 + max(int(name.split(".")[1]) for name in state if name.startswith("stages."))):
        if f"stages.{index}.conv0.weight" in state:
            count[-1] += 1
        else:
            count.append(0)
    return count


def deepen(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """An encoder's state dict with the blocks that `make_encoder` has more, silent."""
    old = Encoder(128, W_DIM, WIDTHS, count_blocks(state))
    old.load_state_dict(state)
    new = make_encoder()
    new.stem.load_state_dict(old.stem.state_dict())
    new.head.load_state_dict(old.head.state_dict())
    source = iter(old.stages)
    followed = [new.stages[sum(BLOCKS[: i + 1]) + i] for i in range(len(BLOCKS) - 1)] + [new.head]
    for level, (before, after) in enumerate(zip(count_blocks(state), BLOCKS, strict=True)):
        start = sum(BLOCKS[:level]) + level  # of this level's blocks among the stages
        if level:
            new.stages[start - 1].load_state_dict(next(source).state_dict())
        for i in range(after):
            block = new.stages[start + i]
            if i < before:
                block.load_state_dict(next(source).state_dict())
            else:
                torch.nn.init.zeros_(block.conv1.weight)
        followed[level].grown = math.sqrt(2) ** (after - before)  # a silent block divides by sqrt(2)
    with torch.no_grad():
        for layer in followed:
            layer.weight.mul_(layer.grown)
    return new.state_dict()


def main() -> None:
    """Read a state, write the grown one."""
    parser = argparse.ArgumentParser(description="Deepens the encoder of a training state.")
    parser.add_argument("state", type=Path)
    parser.add_argument("grown", type=Path)
    args = parser.parse_args()
    state = torch.load(args.state, weights_only=True)
    for part in ("model", "average"):
        torch.manual_seed(1)  # the same new blocks in both
        net = state[part]
        encoder = {name.removeprefix(PREFIX): net.pop(name) for name in list(net) if name.startswith(PREFIX)}
        net.update({PREFIX + name: value for name, value in deepen(encoder).items()})
    del state["optimiser"]
    torch.save(state, args.grown)


if __name__ == "__main__":
    main()
