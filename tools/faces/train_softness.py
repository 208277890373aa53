"""Trains the net that tells how blurred a small picture of a face is: `restore` starts from what it says.

    python -m tools.faces.train_softness SHARED/faces RUN --minutes 30

It learns from crisp real faces and from rendered ones, cut, made small, blurred, made noisy and compressed at
random; only luma counts. Where RUN holds `softness.pt` it goes on from that. A run ends with `softness.onnx`
and `softness.json`: how far it is off on faces of the split `val` and on rendered people it has not seen.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from mystyle_cli.photos.pixels import area_kernel
from mystyle_cli.projection.damage import LUMA, gaussian
from mystyle_cli.projection.softness import FLOOR, SMALLEST
from tools.portraits.dataset import HELD_OUT, render_photo
from tools.portraits.loop import Journal, options, save_atomic, timed_steps
from tools.portraits.to_onnx import shrink

CHIP = 224  # pixels of the pictures that are cut
CRISP = 9.0  # least sharpness of a real face that is learned from, as its labels tell
REAL, RENDERED, JUDGED = 4000, 600, 150  # how many there are, and how many of each kind judge
SIDES = (SMALLEST, 124)  # pixels of a small photo
SMALLER = 1.6  # how many times smaller than it was cut a photo becomes at least: as sharp as photos are
SHARP = 0.1  # share of photos that are not blurred at all
WIDTHS = (0.2, 6.0)  # standard deviation of the blur, in pixels of the small photo

Bytes = np.ndarray


class Softness(nn.Module):
    """Luma (B, 1, h, w) of 255 -> logarithm of the blur's standard deviation, `FLOOR` added in squares."""

    def __init__(self, widths: tuple[int, ...] = (16, 32, 48, 64)) -> None:
        """Make the layers: each but the first halves the picture."""
        super().__init__()
        ends = zip((1, *widths), widths, strict=False)
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 3, 1 if row == 0 else 2, 1) for row, (before, after) in enumerate(ends)
        )
        self.out = nn.Sequential(nn.Linear(2 * widths[-1], 64), nn.SiLU(), nn.Linear(64, 1))

    def forward(self, luma: Tensor) -> Tensor:
        """See the class."""
        seen = (luma - luma.mean(dim=(2, 3), keepdim=True)) / 32  # (B, 1, h, w)
        for layer in self.layers:
            seen = F.silu(layer(seen))  # (B, C, h', w')
        mean = seen.mean(dim=(2, 3))
        spread = (seen - mean[..., None, None]).square().mean(dim=(2, 3)).add(1e-4).sqrt()
        return self.out(torch.cat([mean, spread], dim=1)).squeeze(1)  # (B,)


def read_chips(shared: Path, split: str, most: int) -> Bytes:
    """Return the luma of crisp faces of a split, uint8 (N, CHIP, CHIP)."""
    with (shared / "labels.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    rows = [row for row in rows if float(row["sharpness"]) >= CRISP][:most]
    chips = []
    for shard in sorted({row["shard"] for row in rows}):
        with zipfile.ZipFile(shared / shard) as archive:
            for row in rows:
                if row["shard"] == shard:
                    with Image.open(io.BytesIO(archive.read(row["file"]))) as photo:
                        chips.append(np.asarray(photo.convert("L")))
    return np.stack(chips)


def render_chips(first: int, count: int) -> Bytes:
    """Return the luma of rendered faces, one of each person, uint8 (N, CHIP, CHIP)."""
    chips = []
    for person in range(first, first + count):
        portrait = render_photo(person, 0)
        middle = portrait.landmarks.mean(axis=0)
        left, top = np.rint(middle - CHIP / 2).astype(int)
        height, width = portrait.pixels.shape[:2]
        left, top = np.clip((left, top), 0, (width - CHIP, height - CHIP))
        luma = portrait.pixels[top : top + CHIP, left : left + CHIP] @ np.array(LUMA)
        chips.append(np.rint(luma).astype(np.uint8))
    return np.stack(chips)


def spoil(chip: Bytes, side: int, random: np.random.Generator) -> tuple[np.ndarray, float]:
    """Return a small photo float32 (side, side) of a face, and by how much it is blurred."""
    low = min(CHIP, round(SMALLER * side))
    size = int(random.integers(low, CHIP + 1))
    left, top = random.integers(0, CHIP - size + 1, 2)
    part = chip[top : top + size, left : left + size].astype(np.float64)
    if random.random() < 0.5:
        part = part[:, ::-1]
    part = 255 * (part / 255) ** random.uniform(0.7, 1.4) * random.uniform(0.6, 1.0)
    width = 0.0
    if random.random() > SHARP:
        width = float(np.exp(random.uniform(*np.log(WIDTHS))))
        width = min(width, side / 10)
    down = area_kernel(size, side) @ gaussian(size, width * size / side)
    small = down @ part @ down.T
    if random.random() < 0.6:
        small = small + random.normal(0, random.uniform(0, 20), small.shape)
    pixels = np.rint(small).clip(0, 255).astype(np.uint8)
    coder = random.random()
    if coder < 0.6:
        buffer = io.BytesIO()
        quality = int(random.integers(30, 99))
        Image.fromarray(pixels).save(buffer, "JPEG" if coder < 0.5 else "WEBP", quality=quality)
        pixels = np.asarray(Image.open(buffer).convert("L"))
    return pixels.astype(np.float32), width


class Spoilt(IterableDataset[tuple[Tensor, Tensor]]):
    """Endless batches of small photos of one size and of their blur."""

    def __init__(self, chips: Bytes, batch: int, seed: int) -> None:
        """Take the chips."""
        self.chips, self.batch, self.seed = chips, batch, seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Spoil some at a time."""
        random = np.random.default_rng(self.seed)
        while True:
            side = round(float(np.exp(random.uniform(*np.log(SIDES)))))
            rows = random.integers(0, len(self.chips), self.batch)
            made = [spoil(self.chips[row], side, random) for row in rows]
            yield (
                torch.from_numpy(np.stack([photo for photo, _ in made])[:, None]),
                torch.tensor([width for _, width in made], dtype=torch.float32),
            )


def wanted(widths: Tensor) -> Tensor:
    """Return what the net says of blurs."""
    return 0.5 * (widths.square() + FLOOR**2).log()


@torch.no_grad()
def judge(net: Softness, chips: Bytes) -> dict[str, float]:
    """Return by how many pixels the net is off in the middle, for little, some and much blur."""
    net.eval()
    batches = iter(Spoilt(chips, 32, 1))
    pairs = [(net(photos), widths) for photos, widths in (next(batches) for _ in range(40))]
    net.train()
    told, true = (torch.cat(part) for part in zip(*pairs, strict=True))
    off = ((2 * told).exp() - FLOOR**2).clamp(min=0).sqrt() - true
    bands = {"none": (0, 0.01), "to 1": (0.01, 1), "to 2": (1, 2), "more": (2, 99)}
    return {
        name: float(off[(true >= low) & (true < high)].abs().median()) for name, (low, high) in bands.items()
    }


def export(net: Softness, path: Path, probes: Tensor) -> None:
    """Write the net as ONNX, for photos of any size."""
    axes = {"luma": {0: "batch", 2: "height", 3: "width"}, "out": {0: "batch"}}
    torch.onnx.export(
        net.eval(),
        (probes,),
        str(path),
        input_names=["luma"],
        output_names=["out"],
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )
    shrink(path)


def main() -> None:
    """Train, judge, export."""
    arguments = options(__doc__, minutes=30, batch=32).parse_args()
    shared, run = arguments.shards, arguments.run
    journal = Journal(run)
    kept = run / "chips.npz"
    if not kept.exists():
        np.savez(
            kept,
            train=np.concatenate([read_chips(shared, "train", REAL), render_chips(HELD_OUT, RENDERED)]),
            real=read_chips(shared, "val", JUDGED),
            rendered=render_chips(0, min(JUDGED, HELD_OUT)),
        )
    chips = dict(np.load(kept))
    net, state = Softness(), run / "softness.pt"
    if state.exists():
        net.load_state_dict(torch.load(state))
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-4)
    batches = iter(DataLoader(Spoilt(chips["train"], arguments.batch, 0), batch_size=None, num_workers=1))
    for step, _ in timed_steps(optimiser, 2e-3, arguments.minutes):
        photos, widths = next(batches)
        loss = F.smooth_l1_loss(net(photos), wanted(widths), beta=0.1)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        journal.add({"loss": float(loss.detach())})
        if step % 500 == 499:
            journal.write(step + 1, judge(net, chips["real"]))
            save_atomic(net.state_dict(), state)
    found = {name: judge(net, chips[name]) for name in ("real", "rendered")}
    (run / "softness.json").write_text(json.dumps(found, indent=1) + "\n")
    photos, _ = next(iter(Spoilt(chips["real"], 2, 2)))
    save_atomic(net.state_dict(), state)
    export(net, run / "softness.onnx", photos)


if __name__ == "__main__":
    main()
