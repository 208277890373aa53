"""The crops that `tools.faces.dataset` made, in batches, with labels and a weight for each pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tools.portraits.pictures import to_images

AGES = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70")


class Crops:
    """Crops of one split; those listed in `left-out.txt` beside them only where `every` one is wanted."""

    def __init__(self, folder: Path, split: str, size: int = 128, *, every: bool = False) -> None:
        """Open the array; pixels are read as they are asked for."""
        index = np.load(folder / "index.npz")
        chosen = index["split"] == split
        left_out = folder / "left-out.txt"
        if left_out.exists() and split == "train" and not every:
            chosen &= ~np.isin(index["photo"], left_out.read_text().split())
        self.rows = np.flatnonzero(chosen)
        self.there: Tensor | None = None
        self.pixels = np.load(folder / f"crops-{size}.npy", mmap_mode="r")
        self.landmarks: np.ndarray = index["landmarks"][chosen]
        self.grey: np.ndarray = index["grey"][chosen]
        self.photo: np.ndarray = index["photo"][chosen]
        self.names = {name: index[name][chosen] for name in ("age", "gender", "race")}
        self.labels = standardise(self.landmarks, self.names)

    def __len__(self) -> int:
        """Number of crops."""
        return len(self.rows)

    def bring(self, device: torch.device) -> None:
        """Keep all pixels on a device; `images` then gathers its batches there."""
        self.there = torch.from_numpy(self.pixels[self.rows]).to(device)

    def images(self, rows: np.ndarray, mirrored: np.ndarray | None = None) -> Tensor:
        """Crops as floats (B, 3, R, R) in [-1, 1], channels last; some mirrored."""
        if self.there is None:
            crops = torch.from_numpy(self.bytes(rows))
        else:
            crops = self.there[torch.from_numpy(rows).to(self.there.device)]
        if mirrored is not None:
            turned = torch.from_numpy(np.flatnonzero(mirrored)).to(crops.device)
            crops[turned] = crops[turned].flip(2)
        return to_images(crops)

    def bytes(self, rows: np.ndarray) -> np.ndarray:
        """Crops as bytes (B, R, R, 3)."""
        return np.stack([self.pixels[self.rows[row]] for row in rows])


def standardise(landmarks: np.ndarray, names: dict[str, np.ndarray]) -> np.ndarray:
    """What is known of each face as float32 (N, L) of mean 0 and spread 1: landmarks, age, gender, race."""
    age = np.array([AGES.index(name) for name in names["age"]], np.float32)
    columns = [landmarks.reshape(len(landmarks), -1), age[:, None]]
    for name in ("gender", "race"):
        columns.append(names[name][:, None] == np.unique(names[name])[None])
    labels = np.concatenate(columns, 1).astype(np.float32)
    labels = (labels - labels.mean(0)) / np.maximum(labels.std(0), 1e-3)
    return np.clip(labels, -4, 4)


def face_weight(landmarks: np.ndarray, size: int = 128) -> Tensor:
    """Weight of each pixel (1, 1, size, size), mean 1: more on the face, most on eyes and mouth.

    Alignment puts eyes and mouth at about the same place in every crop, so one map serves all.

    Args:
        landmarks: (68, 2) mean landmarks in crop sides.
    """
    y, x = torch.meshgrid(torch.arange(size) / size, torch.arange(size) / size, indexing="ij")

    def spot(centre: np.ndarray, rx: float, ry: float) -> Tensor:
        return torch.exp(-(((x - float(centre[0])) / rx) ** 2 + ((y - float(centre[1])) / ry) ** 2))

    eyes = spot(landmarks[36:42].mean(0), 0.15, 0.1) + spot(landmarks[42:48].mean(0), 0.15, 0.1)
    weight = 1 + 1.0 * spot(landmarks[27:36].mean(0), 0.4, 0.5) + 1.5 * eyes
    weight = weight + 1.0 * spot(landmarks[48:68].mean(0), 0.2, 0.12)
    return (weight / weight.mean())[None, None]
