"""Real faces as training data: chips of FairFace cut to the prior's crop and kept as one memory-mapped array.

    python -m tools.faces.dataset SHARED/faces DATA [--size 256]

DATA gets `crops-SIZE.npy` (N, SIZE, SIZE, 3) uint8 and `index.npz`: for each crop its photo, split, labels,
landmarks in crop sides, the share of it inside its chip, whether it is grey. What cannot be used is left out
here by rule (crops that leave their chip, landmarks that contradict each other); what a first model
reconstructs badly is left out later (`tools.faces.clean`).
"""

from __future__ import annotations

import argparse
import csv
import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from mystyle_cli.photos.align import Crop, Points, face_quad, quad_side, to_crop, valid_mask, warp

SCALE, DOWN = 0.58, 0.054  # the crop: its side and how far its centre lies lower, in FFHQ sides
LEAST_INSIDE = 0.93  # share of a crop that must lie inside its chip
GREY = 4.0  # mean spread of the three channels (of 255) under which a photo counts as grey
LEFT_OUT = Path(__file__).with_name("left-out.txt")  # written by `tools.faces.clean`
LABELS = ("split", "age", "gender", "race", "sharpness", "turn")


def tight_quad(landmarks: np.ndarray) -> Points:
    """Corners (4, 2) of the prior's crop, from 68 landmarks in chip pixels."""
    return face_quad(landmarks, Crop(SCALE, DOWN))


def plausible(landmarks: np.ndarray) -> bool:
    """Whether 68 landmarks in crop sides could be a face's: in order and in proportion."""
    eyes = landmarks[36:48].mean(0)
    left, right = landmarks[36:42].mean(0), landmarks[42:48].mean(0)
    nose, mouth, chin = landmarks[30], landmarks[48:60].mean(0), landmarks[8]
    apart = right[0] - left[0]
    ordered = eyes[1] < nose[1] < mouth[1] < chin[1]
    centred = abs(nose[0] - eyes[0]) < 0.6 * apart and abs(mouth[0] - eyes[0]) < 0.5 * apart
    return bool(ordered and centred and 0.2 < apart < 0.6 and chin[1] - eyes[1] > 0.9 * apart)


def is_grey(pixels: np.ndarray) -> bool:
    """Whether a photo (H, W, 3) has no colour of its own: grey, or of one tone."""
    colours = pixels.reshape(-1, 3).astype(np.float32)
    chroma = colours - colours.mean(1, keepdims=True)
    return bool((chroma - chroma.mean(0)).std(0).mean() < GREY)


def cut(source: Path, size: int, folder: Path) -> int:
    """Cut every chip and write the array and its index; returns how many crops were kept."""
    with (source / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    points = np.load(source / "landmarks.npz")
    landmarks = points[points.files[0]].astype(np.float64)
    kept: list[int] = []
    columns: dict[str, list[object]] = {name: [] for name in ("landmarks", "inside", "grey")}
    crops = np.lib.format.open_memmap(
        folder / f"crops-{size}.partial.npy", "w+", np.uint8, (len(rows), size, size, 3)
    )
    archives: dict[str, zipfile.ZipFile] = {}
    for number, row in enumerate(rows):
        archive = archives.setdefault(row["shard"], zipfile.ZipFile(source / row["shard"]))
        pixels = np.asarray(Image.open(io.BytesIO(archive.read(row["file"]))).convert("RGB"))
        quad = tight_quad(landmarks[number])
        inside = valid_mask(pixels.shape[:2], quad, 64).mean()
        marks = to_crop(landmarks[number], quad, 1)
        if inside < LEAST_INSIDE or quad_side(quad) < 100 or not plausible(marks):
            continue
        crops[len(kept)] = warp(pixels, quad, size)
        columns["landmarks"].append(marks.astype(np.float32))
        columns["inside"].append(np.float32(inside))
        columns["grey"].append(is_grey(crops[len(kept)]))
        kept.append(number)
    index = {name: np.array(values) for name, values in columns.items()}
    index["photo"] = np.array([rows[i]["file"] for i in kept])
    index |= {name: np.array([rows[i][name] for i in kept]) for name in LABELS}
    np.savez(folder / "index.npz", **index)  # type: ignore[arg-type]
    np.save(folder / f"crops-{size}.npy", crops[: len(kept)])
    if LEFT_OUT.exists():
        shutil.copyfile(LEFT_OUT, folder / LEFT_OUT.name)
    crops.flush()
    (folder / f"crops-{size}.partial.npy").unlink()
    return len(kept)


def main() -> None:
    """Cut the crops."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=256)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    kept = cut(args.source, args.size, args.folder)
    print(f"{kept} crops of {args.size} x {args.size} in {args.folder}")


if __name__ == "__main__":
    main()
