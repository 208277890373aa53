"""Finds crops not to learn from: covered faces, and those that a first model reconstructs worst.

    python -m tools.faces.clean DATA PRIOR

Writes DATA/left-out.txt, which training reads, and a sheet of what is left out. Where a copy of the list lies
beside this file, `tools.faces.dataset` puts it into DATA.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from mystyle_cli.curate.cover import hidden_parts, too_hidden
from mystyle_cli.curate.settings import CurateSettings
from mystyle_cli.prior.registry import Prior, open_prior
from tools.faces.crops import Crops
from tools.portraits.export import render
from tools.portraits.pictures import grid

WORST = 0.01  # share of the crops left out for their reconstruction: wrong landmarks, hands, profiles
SHOWN = 120  # crops on the sheet


@torch.no_grad()
def errors(prior: Prior, crops: Crops, batch: int = 24) -> np.ndarray:
    """LPIPS (N,) of what generator and encoder make of each crop; grey ones count as they are."""
    generator, perceptual, found = prior.generator(), prior.perceptual(), []
    for rows in np.array_split(np.arange(len(crops)), len(crops) // batch + 1):
        images = crops.images(rows)
        made = render(generator, torch.from_numpy(prior.encode(images.contiguous().numpy())))
        found.append(perceptual.distance(images, made).numpy())
    return np.concatenate(found)


def hidden(prior: Prior, crops: Crops) -> np.ndarray:
    """Which (N,) of the faces curation would refuse as covered."""
    settings, rows = CurateSettings(), range(len(crops))
    scores = (hidden_parts(crops.bytes(np.array([row]))[0], prior.cover) for row in rows)
    return np.array([bool(too_hidden(score, settings)) for score in scores])


def main() -> None:
    """Score every crop and write the list."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("prior")
    args = parser.parse_args()
    torch.set_num_threads(1)
    prior, crops = open_prior(args.prior), Crops(args.data, "train", every=True)
    covered = hidden(prior, crops)
    error = errors(prior, crops)
    bad = error > np.quantile(error[~covered], 1 - WORST)
    out = np.flatnonzero(covered | bad)
    (args.data / "left-out.txt").write_text("".join(f"{crops.photo[row]}\n" for row in out))
    shown = out[np.linspace(0, len(out) - 1, min(SHOWN, len(out))).astype(int)]
    rows = [crops.bytes(part) for part in np.array_split(shown, max(1, len(shown) // 15))]
    grid([row[: min(map(len, rows))] for row in rows]).save(args.data / "left-out.png")
    print(f"{len(out)} of {len(crops)} left out: {covered.sum()} covered, {(bad & ~covered).sum()} others")


if __name__ == "__main__":
    main()
