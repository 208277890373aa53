"""Trains the identity net on rendered people with an additive angular margin.

    python -m tools.portraits.train_identity SHARDS RUN --minutes 20

Pictures are nudged, mirrored and recoloured strongly, a part of them to grey, so that features count and not
complexion; but never blurred: a net that is taught to see through blur calls a blurred face the same person,
and cannot tell a restored face from one that lost its features. A stopped run goes on with `--resume`.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tools.portraits.degrade import nudge
from tools.portraits.loop import Journal, options, save_atomic, timed_steps
from tools.portraits.nets import Identity
from tools.portraits.pictures import Pictures

DIM, WIDTHS = 96, (24, 48, 96, 128, 160)
SCALE, MARGIN = 24.0, 0.3


def make_identity() -> Identity:
    """The bundled prior's identity net, random weights."""
    net = Identity(DIM, WIDTHS)
    net(torch.zeros(2, 3, 128, 128))  # gives the lazy layer its shape
    return net


def margin_logits(embeddings: Tensor, centres: Tensor, who: Tensor, margin: float) -> Tensor:
    """Scaled cosines (B, people), the right one made harder by `margin` radians."""
    cosine = (embeddings @ F.normalize(centres).T).clamp(-0.9999, 0.9999)
    harder = torch.cos((cosine.acos() + margin).clamp(max=3.1415))
    right = F.one_hot(who, centres.shape[0]).bool()
    return SCALE * torch.where(right, harder, cosine)


@torch.no_grad()
def measure(net: Identity, pictures: Pictures) -> dict[str, float]:
    """Mean cosines of same and different unseen people and to one's own 16 px enlargement, and the AUC."""
    net.eval()
    rows = np.arange(len(pictures))
    embeddings = torch.cat([net(pictures.images(part)) for part in np.array_split(rows, len(rows) // 50 + 1)])
    sharp = pictures.images(rows[::10])
    small = F.interpolate(F.adaptive_avg_pool2d(sharp, 16), sharp.shape[-2:], mode="bicubic")
    enlarged = (net(sharp) * net(small)).sum(1).mean()
    net.train()
    cosines = (embeddings @ embeddings.T).numpy()
    people = pictures.all("people")
    above = np.triu_indices(len(people), 1)
    same = (people[:, None] == people[None])[above]
    values = cosines[above]
    ranks = values.argsort().argsort() + 1.0
    positives, negatives = same.sum(), (~same).sum()
    auc = (ranks[same].sum() - positives * (positives + 1) / 2) / (positives * negatives)
    return {
        "same": float(values[same].mean()),
        "different": float(values[~same].mean()),
        "auc": float(auc),
        "enlarged": float(enlarged),
    }


def prepare(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Augment a batch (B, 3, R, R)."""
    flipped = torch.from_numpy(rng.random(len(images)) < 0.5)
    images[flipped] = images[flipped].flip(3)
    return recolour(nudge(images), rng)


def recolour(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Change brightness, contrast and colour strongly, and turn a quarter of the pictures grey."""
    batch = len(images)
    light = rng.uniform(0.6, 1.4, (batch, 1, 1, 1)) * rng.uniform(0.75, 1.25, (batch, 3, 1, 1))
    shift = rng.uniform(-0.2, 0.2, (batch, 1, 1, 1))
    grey = torch.from_numpy(rng.random(batch) < 0.25)
    out = (images + 1) * torch.from_numpy(light).float() - 1 + torch.from_numpy(shift).float()
    out[grey] = out[grey].mean(1, keepdim=True)
    return out.clamp(-1, 1)


def train(args: argparse.Namespace) -> None:
    """Train for the given minutes."""
    torch.manual_seed(2)
    rng = np.random.default_rng(2)
    pictures, unseen = Pictures(args.shards, held_out=False), Pictures(args.shards, held_out=True)
    numbers, who = np.unique(pictures.all("people"), return_inverse=True)
    net, centres = make_identity(), nn.Parameter(torch.randn(len(numbers), DIM))
    if args.resume:
        net.load_state_dict(torch.load(args.run / "identity.pt", weights_only=True))
    net.to(memory_format=torch.channels_last)
    groups = [*net.parameters(), centres]
    optimiser = torch.optim.AdamW(groups, lr=args.rate, betas=(0.9, 0.99), weight_decay=5e-3)
    journal = Journal(args.run)
    for step, gone in timed_steps(optimiser, args.rate, args.minutes):
        rows = rng.integers(len(pictures), size=args.batch)
        embeddings = net(prepare(pictures.images(rows), rng))
        target = torch.from_numpy(who[rows])
        loss = F.cross_entropy(margin_logits(embeddings, centres, target, MARGIN * min(1, 4 * gone)), target)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(groups, 5.0)
        optimiser.step()
        journal.add({"loss": float(loss.detach())})
        if step % 200 == 199:
            journal.write(step + 1, measure(net, unseen) | {"people": len(numbers)})
            save_atomic(net.state_dict(), args.run / "identity.pt")
    save_atomic(net.state_dict(), args.run / "identity.pt")
    journal.write(step + 1, measure(net, unseen))


def main() -> None:
    """Read the options and train."""
    parser = options(__doc__, minutes=20, batch=48)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--resume", action="store_true", help="start from the weights in RUN")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
