"""Trains the cover net: aligned crop -> how much of each part of the face is hidden.

python -m tools.faces.train_cover DATA RUN --minutes 12

Covered faces are made from clear ones (`occluders`); real ones that were found by eye (labels-cover.csv) come
on top, and what the eye could not decide is left out. The labels were found in rounds: a net trained without
them scored all faces, the highest were looked at, and training went on (`--start`) with what was seen.
"""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from mystyle_cli.prior.registry import FACE_PARTS
from tools.faces.crops import Crops
from tools.faces.disguises import disguised
from tools.faces.drawing import Scene
from tools.faces.occluders import covered
from tools.faces.parts import shares
from tools.portraits.loop import Journal, options, save_atomic, timed_steps
from tools.portraits.nets import Cover
from tools.portraits.pictures import to_images

Example = tuple[np.ndarray, np.ndarray, np.ndarray, bool]

SEEN = 64  # pixels of the crops that the net sees
WIDTHS = (32, 48, 80, 96)
MIRRORED = [
    FACE_PARTS.index(name) for name in ("right eye", "left eye", "nose", "mouth", "right cheek", "left cheek")
]
LABELS = Path(__file__).with_name("labels-cover.csv")
COVERED, DISGUISED, TWICE = 0.5, 0.6, 0.1  # odds of something drawn, of a disguise, of a second thing
REAL = 0.16  # share of a batch that is really covered
GREY, TINTED = 0.12, 0.25  # odds of a grey photo, of coloured light
SMALL, NOISY, JPEG = 0.5, 0.4, 0.35  # odds of too few pixels, of noise, of compression
NEW, POOL = 4, 100  # one face of so many in a batch is new; batches of drawn faces kept


def make_cover() -> Cover:
    """The cover net, random weights."""
    return Cover(len(FACE_PARTS), WIDTHS)


def read_labels() -> dict[str, str]:
    """Return file -> what the eye saw on it.

    That is "" for a clear face, "?" for one that tells nothing (no face, wrong landmarks, hidden in part),
    else the hidden parts joined by "+".
    """
    with LABELS.open(newline="") as file:
        return {row["file"]: row["hidden"] for row in csv.DictReader(file)}


def seen(text: str) -> np.ndarray:
    """Hidden shares (parts,) that a label tells; NaN where it leaves them open.

    The eye said which part is hidden, not how much of its neighbours: glasses reach over cheeks, what hides a
    mouth over the nose.
    """
    names = text.split("+") if text else []
    open_parts = ({"left cheek", "right cheek"} if names else set()) | (
        {"nose"} if "mouth" in names else set()
    )
    told = [1.0 if part in names else np.nan if part in open_parts else 0.0 for part in FACE_PARTS]
    return np.array(told, np.float32)


class Source:
    """Draws training examples from the clear and the covered faces of the train split."""

    def __init__(self, crops: Crops, labels: dict[str, str], seed: int) -> None:
        """Sort the faces by what the eye saw."""
        self.crops, self.rng = crops, np.random.default_rng(seed)
        found = [labels.get(str(name), "") for name in crops.photo]
        self.truth = {row: seen(text) for row, text in enumerate(found) if text not in ("", "?")}
        self.clear = np.array([row for row, text in enumerate(found) if not text])
        self.real = np.array(sorted(self.truth), int)
        self.kept: list[Example] = []

    def examples(self, count: int) -> list[Example]:
        """Some new ones, the rest drawn before: drawing is slow, so each is photographed several times."""
        new = count - min(len(self.kept), count - count // NEW)
        self.kept = [*(self.example() for _ in range(new)), *self.kept][: POOL * count]
        order = self.rng.permutation(len(self.kept) - new)[: count - new] + new
        return [*self.kept[:new], *(self.kept[i] for i in order)]

    def example(self) -> Example:
        """One face and its cover's opacity, bytes of 64 x 64, hidden shares, whether the opacity holds."""
        rng = self.rng
        real = len(self.real) > 0 and rng.random() < REAL
        row = int(rng.choice(self.real if real else self.clear))
        other = int(rng.choice(self.clear))
        pixels, donor = self.crops.bytes(np.array([row, other]))
        size = len(pixels)
        own, lent = self.crops.landmarks[[row, other]].astype(np.float64) * size
        scene = Scene(pixels.astype(np.float32), own, donor, lent)
        if not real and rng.random() < DISGUISED:
            scene = disguised(scene, rng)
        opacity = np.zeros((size, size), np.float32)
        if rng.random() < COVERED:
            for _ in range(1 + (rng.random() < TWICE)):
                scene, added = covered(scene, rng)
                opacity = np.maximum(opacity, added)
        told = shares(opacity, own / size)
        if real:
            told = np.maximum(told, self.truth[row])
        face, cover = (
            np.asarray(Image.fromarray(plane.clip(0, 255).astype(np.uint8)).reduce(size // SEEN))
            for plane in (scene.pixels, opacity * 255)
        )
        return face, cover, np.asarray(told, np.float32), not real

    def batch(self, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Images (B, 3, 64, 64), map (B, 16, 16), shares (B, parts), whether each map holds (B,)."""
        pixels, maps, parts, whole = [], [], [], []
        for face, opacity, told, known in self.examples(count):
            photo, seen_opacity = photographed(face, opacity, self.rng)
            flip = self.rng.random() < 0.5
            pixels.append(photo[:, ::-1] if flip else photo)
            maps.append(seen_opacity[:, ::-1] if flip else seen_opacity)
            parts.append(told[MIRRORED] if flip else told)
            whole.append(known)
        hidden = torch.from_numpy(np.stack(maps))[:, None].float() / 255
        images = to_images(np.stack(pixels))
        return (
            images,
            F.avg_pool2d(hidden, SEEN // 16)[:, 0],
            torch.from_numpy(np.stack(parts)),
            torch.tensor(whole),
        )


def photographed(
    face: np.ndarray, opacity: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Take a drawn face (R, R, 3) as another camera would, bytes; its opacity (R, R) moves with it, bytes.

    Another alignment, coloured light or no colour, too few pixels, noise, compression.
    """
    size = len(face)
    turn, scale = rng.uniform(-0.05, 0.05), rng.uniform(0.93, 1.07)
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    x, y = size / 2 + rng.uniform(-0.04, 0.04, 2) * size
    shift = (x - cos * size / 2 + sin * size / 2, y - sin * size / 2 - cos * size / 2)
    moved = (cos, -sin, shift[0], sin, cos, shift[1])
    photo, mask = (
        Image.fromarray(plane).transform(
            (size, size), Image.Transform.AFFINE, moved, Image.Resampling.BILINEAR
        )
        for plane in (face, opacity)
    )
    if rng.random() < GREY:
        photo = photo.convert("L").convert("RGB")
    tint = rng.uniform(0.6, 1.25, 3) if rng.random() < TINTED else rng.uniform(0.92, 1.08, 3)
    gain, lift = rng.uniform(0.8, 1.2), rng.uniform(-20, 20)
    ramp = np.arange(256) * gain + lift
    photo = photo.point(np.concatenate([ramp * share for share in tint]).clip(0, 255).astype(int).tolist())
    if rng.random() < SMALL:
        side = int(size / 2 ** rng.uniform(0.2, 1.6))
        photo = photo.resize((side, side), Image.Resampling.BILINEAR)
        photo = photo.resize((size, size), Image.Resampling.BICUBIC)
    if rng.random() < NOISY:
        noise = rng.standard_normal((size, size, 3), np.float32) * np.float32(12 * rng.random() ** 2)
        photo = Image.fromarray((np.asarray(photo) + noise).clip(0, 255).astype(np.uint8))
    if rng.random() < JPEG:
        file = io.BytesIO()
        photo.save(file, "JPEG", quality=int(rng.integers(15, 80)))
        photo = Image.open(file)
    return np.asarray(photo), np.asarray(mask)


def train(args: argparse.Namespace) -> None:
    """Train for the given minutes."""
    torch.manual_seed(5)
    source = Source(Crops(args.shards, "train", every=True), read_labels(), seed=5)
    net = make_cover().to(memory_format=torch.channels_last)
    if args.start is not None:
        net.load_state_dict(torch.load(args.start, weights_only=True))
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, betas=(0.9, 0.99), weight_decay=0.02)
    journal = Journal(args.run)
    for step, _ in timed_steps(optimiser, 2e-3, args.minutes):
        images, maps, told, whole = source.batch(args.batch)
        with torch.autocast("cpu", torch.bfloat16):
            parts, mapped = net.logits(images)
        mapping = F.binary_cross_entropy_with_logits(mapped.float(), maps, reduction="none").mean((1, 2))
        known = ~told.isnan()
        loss = F.binary_cross_entropy_with_logits(parts.float()[known], told[known])
        total = loss + (mapping * whole).sum() / whole.sum().clamp(min=1)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        error = (parts.float().sigmoid() - told)[known].abs().mean()
        journal.add({"loss": float(loss.detach()), "error": float(error.detach())})
        if step % 100 == 99:
            journal.write(step + 1, {})
    save_atomic(net.state_dict(), args.run / "cover.pt")
    journal.write(step + 1, {"faces": float((step + 1) * args.batch)})


def main() -> None:
    """Read the options and train."""
    parser = options(__doc__, minutes=12, batch=32)
    parser.add_argument("--start", type=Path, help="weights of an earlier run to go on from")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
