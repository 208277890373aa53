"""Averages the weights of checkpoints of one net.

    python -m tools.portraits.average FILE FILE ... OUT

A net trained on, on harder examples, gains there and loses elsewhere; the mean of before and after keeps most
of both. The bundled identity net is such a mean.

Source: Wortsman et al. 2022, "Robust fine-tuning of zero-shot models".
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from tools.portraits.loop import save_atomic


def average(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Mean of state dicts with the same names; counters are the first's."""
    return {
        name: torch.stack([state[name] for state in states]).mean(0) if first.is_floating_point() else first
        for name, first in states[0].items()
    }


def main() -> None:
    """Read the files, write their mean."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    save_atomic(average([torch.load(file, weights_only=True) for file in args.files]), args.out)


if __name__ == "__main__":
    main()
