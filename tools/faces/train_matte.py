"""Trains the matte net: aligned crop -> how much of each pixel is the person.

python -m tools.faces.train_matte DATA RUN --minutes 6

It learns from the mattes that `teach_matte` made; those that leave out a part of the face itself are wrong
and are not used. A run ends with `matte.pt`, `matte.onnx`, `matte.json` (figures) and a sheet of unseen
faces.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tools.faces.at_size import AtSize
from tools.faces.crops import Crops
from tools.portraits.degrade import damage, relight
from tools.portraits.loop import Journal, options, save_atomic, timed_steps
from tools.portraits.nets import Matte
from tools.portraits.pictures import face_masks, grid
from tools.portraits.to_onnx import export
from tools.portraits.train_matte import make_matte

TRAINED = 128  # pixels of the crops
LEAST_FACE = 0.97  # mean share of the face's pixels that a right matte gives the person


class Matted(Crops):
    """Faces of one split with their teacher's mattes, wrong ones left out."""

    def __init__(self, folder: Path, split: str) -> None:
        """Read the mattes, find the right ones."""
        super().__init__(folder, split)
        self.mattes = np.load(folder / "mattes-128.npy", mmap_mode="r")[self.rows]
        size = self.mattes.shape[1]
        inside = [
            matte[face_masks(marks[None] * size, size)[0]].mean() / 255
            for matte, marks in zip(self.mattes, self.landmarks, strict=True)
        ]
        self.right = np.flatnonzero(np.array(inside) > LEAST_FACE)

    def truth(self, rows: np.ndarray) -> Tensor:
        """Mattes (B, R, R) in [0, 1]."""
        return torch.from_numpy(np.asarray(self.mattes[rows])).float() / 255


@torch.no_grad()
def answers(net: Matte, faces: Matted, rows: np.ndarray) -> Tensor:
    """The net's mattes (B, R, R) of some faces."""
    net.eval()
    made = torch.cat([net(faces.images(part)) for part in np.array_split(rows, len(rows) // 64 + 1)])
    net.train()
    return made


def measure(net: Matte, faces: Matted, rows: np.ndarray) -> dict[str, float]:
    """Overlap with the teacher of person and of background, over all pixels together, and mean error."""
    made, true = answers(net, faces, rows), faces.truth(rows)
    a, b = made > 0.5, true > 0.5
    return {
        "iou": float((a & b).sum() / (a | b).sum()),
        "iou_background": float((~a & ~b).sum() / (~a | ~b).sum()),
        "error": float((made - true).abs().mean()),
        "faces": float(len(rows)),
    }


def sheet(net: Matte, faces: Matted, rows: np.ndarray, path: Path) -> None:
    """Draw faces with the background that the teacher and the net see in green; 16 faces, teacher first."""
    pixels, green = faces.bytes(rows).astype(np.float32), np.array([0.0, 255.0, 0.0])
    lines = []
    for start in range(0, len(rows), 16):
        for mattes in (faces.truth(rows), answers(net, faces, rows)):
            matte = mattes[start : start + 16, ..., None].numpy()
            lines.append((pixels[start : start + 16] * matte + green * (1 - matte)).astype(np.uint8))
    grid([list(line) for line in lines]).save(path)


def train(args: argparse.Namespace) -> None:
    """Train for the given minutes."""
    torch.manual_seed(3)
    rng = np.random.default_rng(3)
    faces, unseen = Matted(args.shards, "train"), Matted(args.shards, "val")
    net = make_matte().to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3, betas=(0.9, 0.99))
    journal = Journal(args.run)
    for step, _ in timed_steps(optimiser, 3e-3, args.minutes):
        rows = rng.choice(faces.right, size=args.batch)
        images, truth = faces.images(rows), faces.truth(rows)
        flip = torch.from_numpy(rng.random(args.batch) < 0.5)[:, None, None]
        images = torch.where(flip[:, None], images.flip(3), images)
        truth = torch.where(flip, truth.flip(2), truth)
        grey = torch.from_numpy(rng.random(args.batch) < 0.1)[:, None, None, None]
        images = torch.where(grey, images.mean(1, keepdim=True), images)
        if step % 2:  # every other batch is damaged: damage costs as much as the net
            images, _ = damage(relight(images))
        with torch.autocast("cpu", torch.bfloat16):
            logits = net.logits(images.contiguous(memory_format=torch.channels_last))
        loss = F.binary_cross_entropy_with_logits(logits.float(), truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        journal.add({"loss": float(loss.detach())})
        if step % 200 == 199:
            journal.write(step + 1, measure(net, unseen, unseen.right[:256]))
    save_atomic(net.state_dict(), args.run / "matte.pt")
    figures = measure(net, unseen, unseen.right)
    journal.write(step + 1, figures)
    sheet(net, unseen, unseen.right[:48], args.run / "sheet.png")
    probes = F.interpolate(unseen.images(unseen.right[:4]), args.size)
    export(AtSize(net, TRAINED, args.size), args.run / "matte.onnx", probes)
    figures |= {
        "bytes": float((args.run / "matte.onnx").stat().st_size),
        "trained_on": float(len(faces.right)),
    }
    (args.run / "matte.json").write_text(json.dumps(figures, indent=1))


def main() -> None:
    """Read the options and train."""
    parser = options(__doc__, minutes=6, batch=16)
    parser.add_argument("--size", type=int, default=TRAINED, help="side of the prior's crops")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
