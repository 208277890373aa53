"""What resolution the photographs hold: how much of a crop is lost when it is made small and enlarged again.

    python -m tools.faces.resolution SHARED/faces

A prior draws no finer than what it has seen, so this says which size of prior the photographs can teach.
"""

from __future__ import annotations

import argparse
import csv
import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from mystyle_cli.faces.align import quad_side, warp
from mystyle_cli.photos.pixels import resize
from tools.faces.dataset import tight_quad

SIZE, SMALLER = 256, (128, 96, 64)
MIDDLE = slice(SIZE // 8, -SIZE // 8)  # the face; sharp backgrounds say nothing of it
EVERY = 8  # val photos between two that are measured


def measure(source: Path) -> tuple[np.ndarray, np.ndarray]:
    """Crop sides in chip pixels (N,), and PSNR (N, 3) of the crop's middle after a way through each size."""
    with (source / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    points = np.load(source / "landmarks.npz")
    landmarks = points[points.files[0]].astype(np.float64)
    sides, found = [], []
    for number in [n for n, row in enumerate(rows) if row["split"] == "val"][::EVERY]:
        with zipfile.ZipFile(source / rows[number]["shard"]) as archive:
            chip = Image.open(io.BytesIO(archive.read(rows[number]["file"]))).convert("RGB")
        quad = tight_quad(landmarks[number])
        crop = warp(np.asarray(chip), quad, SIZE)
        sides.append(quad_side(quad))
        found.append([through(crop, size) for size in SMALLER])
    return np.array(sides), np.array(found)


def through(crop: np.ndarray, size: int) -> float:
    """PSNR of the middle of a crop (SIZE, SIZE, 3) after it was made `size` pixels and enlarged again."""
    again = resize(resize(crop, (size, size), "area"), (SIZE, SIZE), "bicubic")
    error = (crop.astype(float) - again)[MIDDLE, MIDDLE]
    return float(20 * np.log10(255) - 10 * np.log10(np.square(error).mean()))


def main() -> None:
    """Print the percentiles."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    sides, found = measure(parser.parse_args().source)
    print(f"{len(sides)} photos, 5, 50 and 95 of 100")
    print("side of the crop in chip pixels:", *np.percentile(sides, [5, 50, 95]).round().astype(int))
    for size, column in zip(SMALLER, found.T, strict=True):
        print(f"through {size} pixels, dB:", *np.percentile(column, [5, 50, 95]).round(1))


if __name__ == "__main__":
    main()
