"""Real faces as training data: chips of FairFace cut to the prior's crop and kept as one memory-mapped array.

    python -m tools.faces.dataset SHARED/faces DATA [--size 256] [--processes 2]

DATA gets `crops-SIZE.npy` (N, SIZE, SIZE, 3) uint8 and `index.npz`: for each crop its photo, split, labels,
landmarks in crop sides, the share of it inside its chip, whether it is grey. The landmarks are the program's
own, so that a crop lies about its face as the crops of users' photos do. What cannot be used is left out here
by rule (crops that leave their chip, landmarks that are unsure or contradict each other); what a first model
reconstructs badly is left out later (`tools.faces.clean`).
"""

from __future__ import annotations

import argparse
import csv
import io
import shutil
import zipfile
from collections.abc import Iterator
from itertools import repeat
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from PIL import Image

from mystyle_cli.faces.align import Crop, Points, face_quad, quad_side, to_crop, valid_mask, warp
from mystyle_cli.faces.landmarks import find_landmarks

SCALE, DOWN = 0.58, 0.054  # the crop: its side and how far its centre lies lower, in FFHQ sides
LEAST_INSIDE = 0.93  # share of a crop that must lie inside its chip
LEAST_CERTAIN = 0.5  # of the landmark net, that this is a face
AROUND = 1.5  # side of the square that it is shown, in sides of the box of the chip's own landmarks
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


def cut_chip(file: bytes, landmarks: np.ndarray, size: int) -> tuple[np.ndarray, dict[str, object]] | None:
    """Cut one chip; None where it cannot be used.

    Args:
        file: of the chip.
        landmarks: (68, 2), about where its face is, chip pixels.
        size: edge length of the crop.

    Returns:
        The crop uint8 (size, size, 3), and what the index keeps of it.
    """
    pixels = np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))
    low, high = landmarks.min(0), landmarks.max(0)
    found = find_landmarks(pixels, (low + high) / 2, AROUND * float((high - low).max()))
    quad = tight_quad(found.points)
    inside = valid_mask(pixels.shape[:2], quad, 64).mean()
    marks = to_crop(found.points, quad, 1)
    unsure = found.certainty < LEAST_CERTAIN or not plausible(marks)
    if inside < LEAST_INSIDE or quad_side(quad) < 100 or unsure:
        return None
    crop = warp(pixels, quad, size)
    facts = {"landmarks": marks.astype(np.float32), "quad": quad.astype(np.float32)}
    return crop, facts | {"inside": np.float32(inside), "grey": is_grey(crop)}


def cut(source: Path, size: int, folder: Path, processes: int = 1) -> int:
    """Cut every chip and write the array and its index; returns how many crops were kept."""
    with (source / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    points = np.load(source / "landmarks.npz")
    landmarks = points[points.files[0]].astype(np.float64)
    kept: list[int] = []
    columns: dict[str, list[object]] = {}
    crops = np.lib.format.open_memmap(
        folder / f"crops-{size}.partial.npy", "w+", np.uint8, (len(rows), size, size, 3)
    )
    with Pool(processes) as pool:
        jobs = zip(_files(source, rows), landmarks, repeat(size), strict=False)
        for number, result in enumerate(pool.imap(_cut_chip, jobs, chunksize=16)):
            if result is None:
                continue
            crops[len(kept)], facts = result
            for name, fact in facts.items():
                columns.setdefault(name, []).append(fact)
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


def _files(source: Path, rows: list[dict[str, str]]) -> Iterator[bytes]:
    archives: dict[str, zipfile.ZipFile] = {}
    for row in rows:
        if row["shard"] not in archives:  # opening one reads its whole directory
            archives[row["shard"]] = zipfile.ZipFile(source / row["shard"])
        yield archives[row["shard"]].read(row["file"])


def _cut_chip(job: tuple[bytes, np.ndarray, int]) -> tuple[np.ndarray, dict[str, object]] | None:
    return cut_chip(*job)


def main() -> None:
    """Cut the crops."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--processes", type=int, default=1)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    kept = cut(args.source, args.size, args.folder, args.processes)
    print(f"{kept} crops of {args.size} x {args.size} in {args.folder}")


if __name__ == "__main__":
    main()
