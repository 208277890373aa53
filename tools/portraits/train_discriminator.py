"""Trains the discriminator that adversarial baselines of rendered people begin with.

    python -m tools.portraits.train_discriminator [--pictures 480 --steps 400]

It tells rendered people, aligned as photos are, from what the prior's generator draws of nobody; the
generator stays as it is. It begins as the faces prior's, which knows much of what makes a picture; the loss
and the lazy R1 are StyleGAN2's.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mystyle_cli.baselines.baseline import draw_codes
from mystyle_cli.baselines.discriminator import Discriminator, keep_discriminator, load_discriminator
from mystyle_cli.config import DEFAULT_PRIOR
from mystyle_cli.person.score import synthesise
from mystyle_cli.prior.registry import Prior, open_prior
from tools.portraits import PRIOR
from tools.portraits.dataset import HELD_OUT, crop_portrait, render_photo
from tools.portraits.pictures import to_images

BATCH, RATE, BETAS = 12, 1e-3, (0.0, 0.99)
R1_EVERY, R1_WEIGHT = 16, 0.5


def render_crops(count: int) -> Tensor:
    """Render one photo each of so many people, as crops (count, 3, 128, 128) in [-1, 1]."""
    crops: list[np.ndarray] = []
    person = HELD_OUT
    while len(crops) < count:
        found = crop_portrait(render_photo(person, 0))
        if found is not None:
            crops.append(found["crops"])
        person += 1
    return to_images(np.stack(crops))


def train(net: Discriminator, prior: Prior, true: Tensor, steps: int) -> None:
    """Train the net on true pictures (N, 3, R, R) and as many drawn ones, in place."""
    generator = prior.generator()
    made = torch.from_numpy(synthesise(generator, draw_codes(generator, len(true), 0, 1.0)))
    optimiser = torch.optim.Adam(net.parameters(), lr=RATE, betas=BETAS)
    rng, started = np.random.default_rng(0), time.monotonic()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 20, 4 * (steps - step) / steps)
        some, others = (pictures[rng.integers(len(pictures), size=BATCH)] for pictures in (true, made))
        if step % 2:
            some, others = some.flip(3), others.flip(3)
        optimiser.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            real, drawn = net(some), net(others)
        loss = F.softplus(drawn.float()).mean() + F.softplus(-real.float()).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        if step % R1_EVERY == 0:
            part = some[: BATCH // 2].clone().requires_grad_(True)
            gradient = torch.autograd.grad(net(part).sum(), part, create_graph=True)[0]
            (R1_EVERY * R1_WEIGHT * gradient.square().sum((1, 2, 3)).mean()).backward()
        optimiser.step()
        if step % 20 == 0:
            told = f"{real.detach().float().mean():.2f} {drawn.detach().float().mean():.2f}"
            print(
                f"step {step}: {float(loss.detach()):.3f}, logits {told}, {time.monotonic() - started:.0f} s",
                flush=True,
            )


def main() -> None:
    """Render, train and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=480)
    parser.add_argument("--steps", type=int, default=400)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    prior = open_prior(PRIOR)
    net = load_discriminator(open_prior(DEFAULT_PRIOR)) or Discriminator(prior.resolution)
    started = time.monotonic()
    true = render_crops(args.pictures)
    print(f"{len(true)} pictures in {time.monotonic() - started:.0f} s", flush=True)
    train(net, prior, true, args.steps)
    print(keep_discriminator(net, prior))


if __name__ == "__main__":
    main()
