"""Trains the perceptual trunk of real faces: an AlexNet that tells people, faces and damage apart.

    python -m tools.faces.train_perceptual DATA RUN --minutes 15
    python -m tools.faces.train_perceptual DATA RUN --judge      # how often LPIPS ranks damage rightly

One trunk carries three tasks on real crops, so that every layer means something: which of two lightly changed
pictures are of one photo (contrastive, from the last layer), what is known of the face (landmarks, age,
gender, race, from the last layer), and which damage was done and how strong it is (from the first three
layers, which keeps them sensitive to sharpness). Its layers are then weighted as
`tools.portraits.train_perceptual.calibrate` says.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mystyle_cli.nets.perceptual import Perceptual, load_perceptual, save_perceptual
from tools.faces.crops import Crops
from tools.faces.degrade import KINDS, degrade
from tools.portraits.degrade import nudge, relight
from tools.portraits.loop import Journal, options, timed_steps
from tools.portraits.train_perceptual import calibrate, measure, start

RATE = 5e-4
JUDGED = 400  # pairs of each kind of damage that the judgement counts


class Tasks(nn.Module):
    """Heads on the trunk's features."""

    def __init__(self, labels: int) -> None:
        """Make the heads for this many labels."""
        super().__init__()
        self.embed = nn.Linear(256 * 9, 128)
        self.labels = nn.Linear(256 * 9, labels)
        self.damage = nn.Linear(64 + 192 + 384, 2 * len(KINDS) + 1)  # which, and how strong for each kind

    def forward(self, layers: list[Tensor]) -> dict[str, Tensor]:
        """Answers from the trunk's five layers."""
        last = F.adaptive_avg_pool2d(layers[4].float(), 3).flatten(1)
        early = torch.cat([layer.float().mean((2, 3)) for layer in layers[:3]], 1)
        return {
            "who": F.normalize(self.embed(last)),
            "labels": self.labels(last),
            "damage": self.damage(early),
        }


def same_photo(embedded: Tensor) -> Tensor:
    """Contrastive loss of embeddings (2 B, D): row i and row B + i are of one photo."""
    half = len(embedded) // 2
    likeness = 12 * embedded[:half] @ embedded[half:].T
    truth = torch.arange(half)
    return (F.cross_entropy(likeness, truth) + F.cross_entropy(likeness.T, truth)) / 2


def train(args: argparse.Namespace) -> None:
    """Train for the given minutes, then calibrate and save."""
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    crops = Crops(args.data, "train")
    probes = Crops(args.data, "val").images(np.arange(0, 960, 10))
    perceptual = Perceptual(128)
    trunk, tasks = start(perceptual), Tasks(crops.labels.shape[1])
    optimiser = torch.optim.Adam([*trunk.parameters(), *tasks.parameters()], lr=RATE, betas=(0.9, 0.99))
    journal = Journal(args.run)
    for step, _ in timed_steps(optimiser, RATE, args.minutes):
        rows = rng.integers(len(crops), size=args.batch)
        images = crops.images(rows)
        harmed = rng.random(args.batch) < 0.6
        kinds, strengths = rng.integers(len(KINDS), size=args.batch), rng.random(args.batch) ** 1.5
        damaged = images.clone()
        damaged[harmed] = degrade(images[harmed], kinds[harmed], strengths[harmed], rng)
        other = relight(nudge(images))
        other[::2] = other[::2].flip(3)
        with torch.autocast("cpu", torch.bfloat16, enabled=not args.float32):
            layers = list(trunk(perceptual.net.scaling_layer(torch.cat([damaged, other]))))
        answers = tasks(layers)
        done = torch.from_numpy(np.where(harmed, kinds, len(KINDS)))
        strength = torch.from_numpy(np.where(harmed, strengths, 0)).float()
        damage = answers["damage"][: args.batch]
        kind, strengths_told = damage.split([len(KINDS) + 1, len(KINDS)], 1)
        told = strengths_told.gather(1, done.clamp(max=len(KINDS) - 1)[:, None])[:, 0]
        parts = {
            "who": 0.3 * same_photo(answers["who"]),
            "labels": F.huber_loss(answers["labels"][: args.batch], torch.from_numpy(crops.labels[rows])),
            "kind": 0.3 * F.cross_entropy(kind, done),
            "strength": F.mse_loss(told.sigmoid(), strength),
        }
        optimiser.zero_grad()
        torch.stack(list(parts.values())).sum().backward()
        nn.utils.clip_grad_norm_(trunk.parameters(), 5.0)
        optimiser.step()
        journal.add({name: float(part.detach()) for name, part in parts.items()})
        if step % 200 == 199:
            calibrate(perceptual, probes)
            journal.write(step + 1, measure(perceptual, probes))
    trunk.requires_grad_(False)
    calibrate(perceptual, probes)
    partial = args.run / "perceptual.partial"
    save_perceptual(perceptual, partial)
    partial.rename(args.run / "perceptual.safetensors")


@torch.no_grad()
def judge(perceptual: Perceptual, crops: Crops, seed: int = 5) -> dict[str, float]:
    """How often of two strengths of one damage to one photo the stronger is the farther, by kind.

    Strengths are drawn evenly and at least .1 apart. The noise of the two is drawn apart.
    """
    rng = np.random.default_rng(seed)
    agreed = {}
    for kind, name in enumerate(KINDS):
        rows = rng.choice(len(crops), JUDGED, replace=False)
        strengths = np.sort(rng.random((JUDGED, 2)), 1)
        strengths[:, 1] = np.maximum(strengths[:, 1], strengths[:, 0] + 0.1)
        hits = []
        for part in np.array_split(np.arange(JUDGED), JUDGED // 50):
            images = crops.images(rows[part])
            kinds = np.full(len(part), kind)
            weak, strong = (degrade(images, kinds, strengths[part, i], rng) for i in (0, 1))
            features = perceptual.features(images)
            hits.append(perceptual.distance_to(features, weak) < perceptual.distance_to(features, strong))
        agreed[name] = float(torch.cat(hits).float().mean())
    return agreed | {"all": float(np.mean(list(agreed.values())))}


def main() -> None:
    """Read the options; train or judge."""
    parser = options(__doc__, minutes=15, batch=32)
    parser.add_argument("--float32", action="store_true")
    parser.add_argument(
        "--judge", type=Path, metavar="FILE", help="print how often this net ranks damage rightly"
    )
    args = parser.parse_args()
    args.data = args.shards
    if args.judge:
        print(json.dumps(judge(load_perceptual(args.judge), Crops(args.data, "val")), indent=1))
    else:
        train(args)


if __name__ == "__main__":
    main()
