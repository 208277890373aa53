"""Labels for the matte net: a published segmenter marks the person on every chip, cut to the prior's crop.

    pip download --no-deps mediapipe==0.10.14 && unzip mediapipe-*.whl '*/selfie_segmentation.tflite'
    pip install ai-edge-litert
    python -m tools.faces.teach_matte SHARED/faces DATA selfie_segmentation.tflite

MediaPipe's selfie segmenter (Apache-2.0) looks at the whole chip, where it sees hair, neck and surroundings
that the tight crop leaves out. DATA gets `mattes-128.npy`, uint8 (N, 128, 128) in the order of its index.
"""

from __future__ import annotations

import argparse
import csv
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from mystyle_cli.faces.align import warp

SIZE = 128
SEEN = 256  # side of the picture that the segmenter takes

Segment = Callable[[np.ndarray], np.ndarray]


def open_segmenter(path: Path) -> Segment:
    """Return chip float32 (256, 256, 3) in [0, 1] -> share of person (256, 256)."""
    from ai_edge_litert.interpreter import Interpreter

    net = Interpreter(str(path), num_threads=1)
    net.allocate_tensors()
    into, out = net.get_input_details()[0]["index"], net.get_output_details()[0]["index"]

    def segment(chip: np.ndarray) -> np.ndarray:
        net.set_tensor(into, chip[None])
        net.invoke()
        return np.array(net.get_tensor(out)[0, ..., 0])

    return segment


def matte_of(chip: Image.Image, segment: Segment) -> np.ndarray:
    """Return the person's matte uint8 (256, 256) of a chip: the mean of the picture and its mirror."""
    small = np.asarray(chip.convert("RGB").resize((SEEN, SEEN), Image.Resampling.BICUBIC), np.float32) / 255
    mean = (segment(small) + segment(np.ascontiguousarray(small[:, ::-1]))[:, ::-1]) / 2
    return np.asarray(np.rint(mean * 255).clip(0, 255), np.uint8)


def teach(source: Path, folder: Path, segment: Segment) -> int:
    """Write the mattes of all crops in the folder's index; returns how many."""
    with (source / "labels.csv").open(newline="") as file:
        shards = {row["file"]: row["shard"] for row in csv.DictReader(file)}
    with np.load(folder / "index.npz") as index:
        names, quads = [str(name) for name in index["photo"]], index["quad"]
    mattes = np.empty((len(names), SIZE, SIZE), np.uint8)
    archives: dict[str, zipfile.ZipFile] = {}
    for place, name in enumerate(names):
        shard = shards[name]
        if shard not in archives:
            archives[shard] = zipfile.ZipFile(source / shard)
        chip = Image.open(io.BytesIO(archives[shard].read(name)))
        quad = quads[place] * (SEEN / chip.width)
        mattes[place] = warp(matte_of(chip, segment), quad, SIZE)
    np.save(folder / "mattes-128.npy", mattes)
    return len(names)


def main() -> None:
    """Mark every person."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("segmenter", type=Path)
    args = parser.parse_args()
    print(f"{teach(args.source, args.folder, open_segmenter(args.segmenter))} mattes in {args.folder}")


if __name__ == "__main__":
    main()
