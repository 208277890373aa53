"""Rendered crops for training: shards picked up as they appear, batches, held-out people, face weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from tools.portraits.dataset import is_held_out

JAW, BROWS = range(17), range(26, 16, -1)  # of the 68 landmarks: the outline of the face


class Pictures:
    """Rows of all shards in a folder; `refresh` takes in those made since.

    Args:
        folder: where the shards are.
        held_out: take only people never trained on, or only the others.
        names: arrays kept, besides `crops` and `people`.
        marked: take in the doubles with signature traits too; only the identity net's discriminant may.
    """

    def __init__(
        self, folder: Path, *, held_out: bool, names: tuple[str, ...] = (), marked: bool = False
    ) -> None:
        """Read what is there now."""
        self.folder, self.held_out = folder, held_out
        self.kinds = ("shard", "marked") if marked else ("shard",)
        self.names = ("crops", "people", *names)
        self.seen: set[Path] = set()
        self.parts: dict[str, list[np.ndarray]] = {name: [] for name in self.names}
        self.state_names: list[str] = []
        self.starts = np.zeros(1, np.int64)
        self.refresh()

    def refresh(self) -> int:
        """Read new shards; returns how many pictures there are now."""
        for path in sorted(p for kind in self.kinds for p in self.folder.glob(f"{kind}-[0-9]*[0-9].npz")):
            if path in self.seen:
                continue
            self.seen.add(path)
            with np.load(path) as shard:
                self.state_names = [str(name) for name in shard["state_names"]]
                rows = np.flatnonzero(is_held_out(shard["people"]) == self.held_out)
                if len(rows):
                    for name in self.names:
                        self.parts[name].append(shard[name][rows])
        self.starts = np.cumsum([0, *(len(part) for part in self.parts["crops"])])
        return len(self)

    def __len__(self) -> int:
        """Number of pictures."""
        return int(self.starts[-1])

    def rows(self, name: str, indices: np.ndarray) -> np.ndarray:
        """Rows of one array."""
        shards = np.searchsorted(self.starts, indices, side="right") - 1
        picked = zip(shards, indices - self.starts[shards], strict=True)
        return np.stack([self.parts[name][shard][row] for shard, row in picked])

    def all(self, name: str) -> np.ndarray:
        """All rows of one array."""
        return np.concatenate(self.parts[name])

    def images(self, indices: np.ndarray) -> Tensor:
        """Crops as floats (B, 3, R, R) in [-1, 1], channels last."""
        return to_images(self.rows("crops", indices))


def to_images(crops: np.ndarray | Tensor) -> Tensor:
    """Bytes (B, R, R, 3) as floats (B, 3, R, R) in [-1, 1], channels last."""
    given = crops if isinstance(crops, Tensor) else torch.from_numpy(np.array(crops))
    return given.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def to_bytes(images: Tensor) -> np.ndarray:
    """Floats (B, 3, R, R) in [-1, 1] as bytes (B, R, R, 3)."""
    scaled = images.detach().clamp(-1, 1).add(1).mul(127.5).round()
    return scaled.byte().permute(0, 2, 3, 1).cpu().numpy()


def face_masks(landmarks: np.ndarray, size: int) -> np.ndarray:
    """Bool masks (B, size, size) of the faces: inside jaw and brows; landmarks (B, 68, 2) in crop pixels."""
    masks = []
    for points in landmarks:
        canvas = Image.new("L", (size, size))
        outline = [tuple(points[i]) for i in (*JAW, *BROWS)]
        ImageDraw.Draw(canvas).polygon([(float(x), float(y)) for x, y in outline], fill=1)
        masks.append(np.asarray(canvas, bool))
    return np.stack(masks)


def grid(rows: list[np.ndarray]) -> Image.Image:
    """One picture from rows of equally many crops (B, R, R, 3) bytes."""
    return Image.fromarray(np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0))
