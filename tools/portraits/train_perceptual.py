"""Trains the perceptual trunk: an AlexNet that tells people, states, mattes and damage apart.

    python -m tools.portraits.train_perceptual SHARDS RUN --minutes 10

One trunk carries four tasks on rendered crops, so that every layer means something: who it is (softmax
over people, from the last layer), the state (pose, mouth, light), the matte (from the middle layers), and how
blurred and noisy the picture was made (from the first three, which keeps them sensitive to sharpness). The
layer weights of LPIPS are then calibrated: within a layer all channels alike, between layers such that each
adds a fifth of the mean distance between pictures of different people, which is set to 0.6.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mystyle_cli.nets.perceptual import Perceptual, save_perceptual
from tools.portraits.degrade import damage
from tools.portraits.loop import Journal, options, timed_steps
from tools.portraits.pictures import Pictures

STATES = ("yaw", "pitch", "smile", "mouth", "lids", "gaze_x", "light_x", "light_y", "light_level")
CHANNELS = (64, 192, 384, 256, 256)  # of AlexNet's five layers
MEAN_DISTANCE = 0.6  # between pictures of different people, all layers together


class Tasks(nn.Module):
    """Heads on the trunk's features."""

    def __init__(self, people: int) -> None:
        """Make the heads for this many people."""
        super().__init__()
        self.embed = nn.Linear(256 * 9, 128)
        self.people = nn.Parameter(torch.randn(people, 128))
        self.states = nn.Linear(256 * 9, len(STATES))
        self.matte = nn.Conv2d(192 + 384, 16, 1)
        self.damage = nn.Linear(64 + 192 + 384, 2)

    def forward(self, layers: list[Tensor]) -> dict[str, Tensor]:
        """Answers from the trunk's five layers."""
        last = F.adaptive_avg_pool2d(layers[4], 3).flatten(1)
        who = 16 * F.normalize(self.embed(last)) @ F.normalize(self.people).T
        middle = torch.cat([layers[1], F.interpolate(layers[2], layers[1].shape[-2:])], 1)
        early = torch.cat([layer.mean((2, 3)) for layer in layers[:3]], 1)
        return {
            "who": who,
            "states": self.states(last),
            "matte": self.matte(middle),  # (B, 16, 15, 15): a 4x4 matte for each place
            "damage": self.damage(early),
        }


def losses(answers: dict[str, Tensor], truth: dict[str, Tensor]) -> dict[str, Tensor]:
    """Loss of each task."""
    matte = F.pixel_shuffle(answers["matte"], 4)[:, 0]
    return {
        "who": 0.3 * F.cross_entropy(answers["who"], truth["who"]),
        "states": F.mse_loss(answers["states"], truth["states"]),
        "matte": F.binary_cross_entropy_with_logits(matte, truth["matte"]),
        "damage": F.mse_loss(answers["damage"], truth["damage"]),
    }


@torch.no_grad()
def calibrate(perceptual: Perceptual, images: Tensor) -> list[float]:
    """Set the layer weights as the module says; returns each layer's weight."""
    for lin in perceptual.net.lins:
        lin.model[-1].weight.fill_(1)
    half = len(images) // 2
    layers = [perceptual.features(part) for part in (images[:half], images[half:])]
    weights = []
    for lin, a, b in zip(perceptual.net.lins, *layers, strict=True):
        distance = (a - b).square().sum(1).mean()
        weights.append(float(MEAN_DISTANCE / len(CHANNELS) / distance))
        lin.model[-1].weight.fill_(weights[-1])
    return weights


@torch.no_grad()
def measure(perceptual: Perceptual, images: Tensor) -> dict[str, float]:
    """Distances that should rank: slight damage < strong blur < another person."""

    def blurred(factor: int) -> Tensor:
        small = F.avg_pool2d(images, factor)
        return F.interpolate(small, images.shape[-2:], mode="bicubic", align_corners=False)

    return {
        "blur_2": float(perceptual.distance(images, blurred(2)).mean()),
        "blur_4": float(perceptual.distance(images, blurred(4)).mean()),
        "blur_8": float(perceptual.distance(images, blurred(8)).mean()),
        "another": float(perceptual.distance(images, images.roll(1, 0)).mean()),
    }


def start(perceptual: Perceptual) -> nn.Module:
    """Give the trunk He-normal weights and free it for training."""
    trunk = perceptual.net.net
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
    return trunk.requires_grad_(True)


def train(args: argparse.Namespace) -> None:
    """Train for the given minutes, then calibrate and save."""
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    pictures = Pictures(args.shards, held_out=False, names=("states", "mattes"))
    unseen = Pictures(args.shards, held_out=True)
    probes = unseen.images(np.linspace(0, len(unseen) - 1, 96).astype(int))
    numbers, who = np.unique(pictures.all("people"), return_inverse=True)
    columns = [pictures.state_names.index(name) for name in STATES]
    states = pictures.all("states")[:, columns]
    states = torch.from_numpy((states - states.mean(0)) / states.std(0))
    perceptual = Perceptual(128)
    trunk, tasks = start(perceptual), Tasks(len(numbers))
    optimiser = torch.optim.Adam([*trunk.parameters(), *tasks.parameters()], lr=5e-4, betas=(0.9, 0.99))
    journal = Journal(args.run)
    for step, _ in timed_steps(optimiser, 5e-4, args.minutes):
        rows = rng.integers(len(pictures), size=args.batch)
        images, harm = damage(pictures.images(rows))
        mattes = torch.from_numpy(pictures.rows("mattes", rows)).float()[:, None] / 255
        truth = {
            "who": torch.from_numpy(who[rows]),
            "states": states[rows],
            "matte": F.interpolate(mattes, (60, 60), mode="bilinear", antialias=True)[:, 0],
            "damage": harm * torch.tensor([1.0, 10.0]),
        }
        layers = list(trunk(perceptual.net.scaling_layer(images)))
        parts = losses(tasks(layers), truth)
        optimiser.zero_grad()
        torch.stack(list(parts.values())).sum().backward()
        nn.utils.clip_grad_norm_(trunk.parameters(), 5.0)
        optimiser.step()
        journal.add({name: float(part.detach()) for name, part in parts.items()})
        if step % 100 == 99:
            calibrate(perceptual, probes)
            journal.write(step + 1, measure(perceptual, probes))
    trunk.requires_grad_(False)
    weights = calibrate(perceptual, probes)
    partial = args.run / "perceptual.partial"
    save_perceptual(perceptual, partial)
    partial.rename(args.run / "perceptual.safetensors")
    layer_weights = {f"weight_{i + 1}": weight for i, weight in enumerate(weights)}
    journal.write(step + 1, measure(perceptual, probes) | layer_weights)


def main() -> None:
    """Read the options and train."""
    train(options(__doc__, minutes=10, batch=24).parse_args())


if __name__ == "__main__":
    main()
