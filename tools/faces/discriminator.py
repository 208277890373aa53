"""Keeps the judge of the adversarial stage, for the baselines that need a discriminator.

    python -m tools.faces.discriminator RUN/state.pt [--prior faces]

The state is that of the run whose generator the prior holds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from mystyle_cli.baselines.discriminator import Discriminator, keep_discriminator
from mystyle_cli.prior.registry import open_prior


def main() -> None:
    """Read the state and write the net."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("state", type=Path)
    parser.add_argument("--prior", default="faces")
    args = parser.parse_args()
    prior = open_prior(args.prior)
    net = Discriminator(prior.resolution)
    net.load_state_dict(torch.load(args.state, weights_only=True)["judge"])
    print(keep_discriminator(net, prior))


if __name__ == "__main__":
    main()
