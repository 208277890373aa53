"""Ten minutes on a graphics card: crops packed to travel, both resolutions trained in one call.

    python -m tools.faces.gpu pack SHARED/faces .gpu        # here: WebP crops, under 60 MB
    python -m tools.faces.gpu train .gpu $OUT --minutes 9   # there: 128 pixels, adversarially, then 256
    python -m tools.faces.gpu train .gpu OUT --minutes 1 --device cpu --batch 4    # tiny, to check it here

`train` begins with the exported prior (`src/mystyle_cli/prior/bundled/faces` and `encoder.safetensors` beside
this file) and writes generator.safetensors and encoder.safetensors in half precision, each under 16 MB,
metrics and a preview. Put the two in the places of those that it began with: `train_autoencoder --start` goes
on from them, and `tools.faces.export` makes the rest of the prior anew.
"""

from __future__ import annotations

import argparse
import io
import shutil
import time
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from mystyle_cli.nets.generator import save_generator
from tools.bundle import BUNDLED
from tools.faces import train_autoencoder
from tools.faces.dataset import cut

LIMIT = 60_000_000  # bytes of the pack
SIDE = 192  # pixels: what a chip holds of the crop
STAGES = ((128, 0.0, 0.25), (128, 1.0, 0.3), (256, 1.0, 0.45))  # size, adversarial weight, share of the time


def pack(source: Path, folder: Path, quality: int) -> None:
    """Cut the crops and store them as WebP in one archive beside their index."""
    cut(source, SIDE, folder)
    crops = np.load(folder / f"crops-{SIDE}.npy", mmap_mode="r")
    with zipfile.ZipFile(folder / "crops.zip", "w", zipfile.ZIP_STORED) as archive:
        for number, pixels in enumerate(crops):
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "WEBP", quality=quality, method=6)
            archive.writestr(f"{number:05d}.webp", file.getvalue())
    (folder / f"crops-{SIDE}.npy").unlink()
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{len(crops)} crops, {size / 1e6:.1f} MB")
    if size > LIMIT:
        raise SystemExit(f"more than {LIMIT / 1e6:.0f} MB: pack again with a lower --quality")


def unpack(folder: Path, work: Path, sizes: set[int]) -> None:
    """Write `crops-SIZE.npy` of each size and the index into a working folder."""
    work.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / "index.npz", work / "index.npz")
    with zipfile.ZipFile(folder / "crops.zip") as archive:
        names = archive.namelist()
        arrays = {
            size: np.lib.format.open_memmap(
                work / f"crops-{size}.npy", "w+", np.uint8, (len(names), size, size, 3)
            )
            for size in sizes
        }
        for number, name in enumerate(names):
            picture = Image.open(io.BytesIO(archive.read(name)))
            for size, array in arrays.items():
                array[number] = picture.resize((size, size), Image.Resampling.LANCZOS)


def train(args: argparse.Namespace) -> None:
    """Run the stages, each beginning with the weights of the one before, and write the last one's."""
    began = time.time()
    work = args.out / "work"
    unpack(args.folder, work, {size for size, _, _ in STAGES})
    left = 60 * args.minutes - (time.time() - began)
    start = args.start
    for number, (size, adversarial, share) in enumerate(STAGES):
        run = work / f"stage-{number}"
        words = [str(work), str(run), "--start", str(start), "--size", str(size), "--device", args.device]
        words += ["--batch", str(args.batch), "--rate", str(args.rate), "--report", "30"]
        words += ["--adversarial", str(adversarial), "--decay", str(share * left / 60)]
        words += ["--perceptual", str(args.start / "perceptual.safetensors")]
        options = train_autoencoder.read_options(words)
        trained = train_autoencoder.train(options)
        start = work / "weights.safetensors"
        state = trained.average.state_dict()
        save_file({name: value.cpu().contiguous() for name, value in state.items()}, start)
        for name in ("metrics.jsonl", "preview.png"):
            shutil.copyfile(run / name, args.out / f"{number}-{name}")
    save_generator(trained.average.generator, args.out / "generator.safetensors", half=True)
    encoder = trained.average.encoder.state_dict()
    save_file({k: v.cpu().half().contiguous() for k, v in encoder.items()}, args.out / "encoder.safetensors")
    shutil.rmtree(work)


def read_options(words: list[str] | None = None) -> argparse.Namespace:
    """The options of a command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    packing = verbs.add_parser("pack")
    packing.add_argument("source", type=Path)
    packing.add_argument("folder", type=Path)
    packing.add_argument("--quality", type=int, default=62)
    training = verbs.add_parser("train")
    training.add_argument("folder", type=Path)
    training.add_argument("out", type=Path)
    training.add_argument("--start", type=Path, default=BUNDLED / "faces")
    training.add_argument("--minutes", type=float, default=9)
    training.add_argument("--device", default="cuda")
    training.add_argument("--batch", type=int, default=64)
    training.add_argument("--rate", type=float, default=5e-3)
    return parser.parse_args(words)


def main() -> None:
    """Pack or train."""
    args = read_options()
    if args.verb == "pack":
        args.folder.mkdir(parents=True, exist_ok=True)
        pack(args.source, args.folder, args.quality)
    else:
        torch.backends.cudnn.benchmark = True
        train(args)


if __name__ == "__main__":
    main()
