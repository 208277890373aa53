"""Makes the identity role of `faces`: dlib's descriptor on the prior's crop, centred and whitened.

    python -m tools.faces.fit_identity DATA OUT [--size 128]

DATA is what `tools.faces.dataset` wrote. OUT gets `identity.onnx`, and `identity.toml` with what the net can
tell apart, as prior.toml states it.

dlib's net sees a chip of 150 pixels that reaches a little out of the crop. Where dlib would cut it on an
average face is the same place on every aligned crop, so that cutting is two matrices inside the net. Raw
descriptors lie about one point, strangers have a cosine of 0.85: the mean of the training faces goes off, and
the directions in which they spread are made alike, so that strangers come out at 0.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import tomli_w
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mystyle_cli.faces.models import model_path
from mystyle_cli.nets.sessions import Session, open_session
from tools.faces.crops import Crops
from tools.faces.descriptor import CHIP, DIM, FILE, Descriptor, read_descriptor
from tools.portraits.degrade import nudge, relight
from tools.portraits.to_onnx import export

PADDING = 0.25  # of dlib's chip
FITTED = 3000  # training faces
RIDGE = 0.3  # of the mean variance, added to every direction's
ACCEPTED = 0.01  # share of strangers that may reach the threshold
REFERENCES = (1, 3, 10, 30, 100)
DRAWS = 300  # sets of references drawn for each number of them
SIZES = (64, 48, 32, 24, 20, 16, 12, 8)
SEEN_AGAIN = 200  # faces that are made small
KNOWN = 0.95  # share of small faces that must reach the threshold beside the same face
USUAL = 20  # references, in that comparison


def chip_window(landmarks: np.ndarray) -> tuple[float, float, float, float]:
    """Where dlib cuts its chips: left, top, right and bottom in crop sides; means over faces (N, 68, 2)."""
    import dlib

    scale = 1000  # dlib's points are whole numbers
    whole, found = dlib.rectangle(0, 0, scale, scale), []
    for points in np.rint(landmarks * scale).astype(int).tolist():
        shape = dlib.full_object_detection(whole, [dlib.point(x, y) for x, y in points])
        box = dlib.get_face_chip_details(shape, CHIP, PADDING).rect
        found.append([box.left(), box.top(), box.right(), box.bottom()])
    left, top, right, bottom = (np.mean(found, axis=0) / scale).tolist()
    return left, top, right, bottom


def resampling(size: int, start: float, end: float) -> Tensor:
    """The matrix (CHIP, size) that takes the stretch from `start` to `end`, in sides, of a row of pixels.

    Linear, and as wide as the step where that is more than a pixel. Beyond the border the row is mirrored,
    which brings descriptors nearer to those of true chips than repeated pixels or a plain colour do.
    """
    step = (end - start) * size / CHIP
    places = start * size + (np.arange(CHIP) + 0.5) * step - 0.5
    pixels = np.arange(-size, 2 * size)
    weights = np.clip(1 - np.abs(pixels - places[:, None]) / max(1.0, step), 0, None)
    matrix = np.zeros((size, CHIP))
    np.add.at(
        matrix, np.concatenate([np.arange(size)[::-1], np.arange(size), np.arange(size)[::-1]]), weights.T
    )
    return torch.from_numpy((matrix / matrix.sum(0)).T).float()


class ChipIdentity(nn.Module):
    """Aligned crop -> unit embedding whose cosine tells people apart."""

    rows: Tensor
    columns: Tensor
    mean: Tensor
    matrix: Tensor

    def __init__(self, net: Descriptor, size: int, window: tuple[float, float, float, float]) -> None:
        """Put the cut before the net and, until they are fitted, no mean and no matrix behind it."""
        super().__init__()
        left, top, right, bottom = window
        self.net = net
        self.register_buffer("rows", resampling(size, top, bottom))
        self.register_buffer("columns", resampling(size, left, right))
        self.register_buffer("mean", torch.zeros(DIM))
        self.register_buffer("matrix", torch.eye(DIM))

    def describe(self, images: Tensor) -> Tensor:
        """Map images (B, 3, R, R) in [-1, 1] to dlib's descriptors (B, 128)."""
        return self.net(self.rows @ ((images + 1) * 127.5) @ self.columns.T)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, R, R) in [-1, 1] to embeddings (B, 128) of unit length."""
        return F.normalize(F.linear(self.describe(images) - self.mean, self.matrix), dim=1)

    @torch.no_grad()
    def fit(self, descriptors: np.ndarray) -> None:
        """Centre and whiten by descriptors (N, 128) of different people."""
        spread, axes = np.linalg.eigh(np.cov(descriptors.T))
        matrix = axes.T / np.sqrt(spread + RIDGE * spread.mean())[:, None]
        self.mean.copy_(torch.from_numpy(descriptors.mean(0)))
        self.matrix.copy_(torch.from_numpy(matrix))


def some(crops: Crops, count: int) -> np.ndarray:
    """Numbers of `count` crops, evenly spread."""
    return np.linspace(0, len(crops) - 1, min(count, len(crops))).astype(int)


def batches(rows: np.ndarray) -> list[np.ndarray]:
    """Cut rows into parts of about 32."""
    return np.array_split(rows, len(rows) // 32 + 1)


@torch.no_grad()
def make(crops: Crops, size: int) -> ChipIdentity:
    """Make and fit the net on training faces."""
    rows = some(crops, FITTED)
    net = ChipIdentity(read_descriptor(model_path(FILE)), size, chip_window(crops.landmarks[rows])).eval()
    net.fit(np.concatenate([net.describe(crops.images(part)).numpy() for part in batches(rows)]))
    return net


def threshold_law(strangers: np.ndarray) -> tuple[float, float]:
    """The ID that `ACCEPTED` of strangers reach against one photo, and what ten times as many photos add.

    Args:
        strangers: embeddings (N, D) of different people; the references are photos of as many of them, which
            are nearer to somebody than as many photos of one person are.
    """
    rng, levels = np.random.default_rng(0), []
    cosines = strangers @ strangers.T
    for count in REFERENCES:
        nearest = []
        for _ in range(DRAWS):
            chosen = np.zeros(len(strangers), bool)
            chosen[rng.choice(len(strangers), count, replace=False)] = True
            nearest.append(cosines[~chosen][:, chosen].max(1))
        levels.append(np.quantile(np.concatenate(nearest), 1 - ACCEPTED))
    tenfold, single = np.polyfit(np.log10(REFERENCES), levels, 1)
    return float(single), float(tenfold)


def made_small(images: Tensor, side: int) -> Tensor:
    """Reduce images to `side` pixels and enlarge them again, as small photos are."""
    small = F.interpolate(images, (side, side), mode="area")
    return F.interpolate(small, images.shape[-2:], mode="bicubic", align_corners=False).clamp(-1, 1)


def known_by_size(session: Session, crops: Crops, threshold: float) -> dict[int, float]:
    """Share of faces that reach the threshold beside their own moved, relit mirror image, by size."""
    torch.manual_seed(0)
    rows, known = some(crops, SEEN_AGAIN), dict.fromkeys(SIZES, 0)
    for part in batches(rows):
        images = crops.images(part)
        twins = session.run(relight(nudge(images.flip(3))).numpy())
        for side in SIZES:
            small = session.run(made_small(images, side).numpy())
            known[side] += int(((small * twins).sum(1) >= threshold).sum())
    return {side: count / len(rows) for side, count in known.items()}


def main() -> None:
    """Fit, export, find what the net can tell apart."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=128)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    unseen, path = Crops(args.data, "val", args.size), args.out / "identity.onnx"
    net = make(Crops(args.data, "train", args.size), args.size)
    difference = export(net, path, unseen.images(np.arange(16)))
    session, rows = open_session(path, threads=1), np.arange(len(unseen))
    strangers = np.concatenate([session.run(unseen.images(part).numpy()) for part in batches(rows)])
    single, tenfold = threshold_law(strangers)
    threshold = single + tenfold * float(np.log10(USUAL))
    known = known_by_size(session, unseen, threshold)
    least = min(side for side, share in known.items() if share >= KNOWN)
    limits = {"people": "real", "single": round(single, 3), "tenfold": round(tenfold, 3), "least_side": least}
    (args.out / "identity.toml").write_text(tomli_w.dumps({"identity": limits}))
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, {difference:.1e} from torch")
    print(f"threshold for 1, 20 and 100 photos: {single:.3f} {threshold:.3f} {single + 2 * tenfold:.3f}")
    for side, share in known.items():
        print(f"{side:3d} px: {share:.1%} of faces are known beside the same face")
    print(f"nobody is told below {least} px")


if __name__ == "__main__":
    main()
