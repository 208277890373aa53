"""Ten minutes on a graphics card: crops packed to travel, the prior trained on, what came of it taken over.

    python -m tools.faces.gpu pack SHARED/faces .gpu --limits 12 58     # here: archives of so many MB at most
    python -m tools.faces.gpu train .gpu $OUT --minutes 8               # there
    python -m tools.faces.gpu train .gpu OUT --minutes 1 --device cpu --batch 4    # tiny, to check it here
    python -m tools.faces.gpu take OUT RUNS/ae                          # here: a run for `tools.faces.export`

`train` begins with the exported prior (`src/mystyle_cli/prior/bundled/faces`, `encoder.safetensors` beside
this file, the judge among the baselines) and writes all three nets in half precision, each under 16 MB,
metrics and a preview. A step takes a card the same .1 s with 128 and with 256 pictures; have the next command
ready, as a lent machine is given back within half a minute.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import time
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tools.bundle import BUNDLED
from tools.faces import train_autoencoder
from tools.faces.crops import Crops
from tools.faces.dataset import cut
from tools.faces.train_autoencoder import VALIDATED

SIDE = 128  # pixels: what most of the photographs hold (`tools.faces.resolution`)
READ = ("grey", "photo", "split", "age", "gender", "race")  # what training reads of the index, with landmarks
PARTS = ("generator", "encoder", "judge")


def pack(args: argparse.Namespace) -> None:
    """Cut the crops and store those that training reads in archives beside their index."""
    args.folder.mkdir(parents=True, exist_ok=True)
    if any(args.folder.glob("crops-*.zip")):
        raise SystemExit(f"{args.folder} holds archives of before: name another folder, or clear it")
    if not (args.folder / f"crops-{SIDE}.npy").exists():
        cut(args.source, SIDE, args.folder)
    files: list[tuple[str, bytes]] = []
    train, val = (Crops(args.folder, split, SIDE) for split in ("train", "val"))
    judged = np.linspace(0, len(val) - 1, VALIDATED).astype(int)  # all that a run looks at
    for row in sorted({*train.rows, *val.rows[judged]}):
        file = io.BytesIO()
        Image.fromarray(train.pixels[row]).save(file, args.codec, quality=args.quality)
        files.append((f"{row:05d}", file.getvalue()))
    (args.folder / f"crops-{SIDE}.npy").unlink()
    index = np.load(args.folder / "index.npz")
    light = {name: index[name] for name in READ} | {"landmarks": index["landmarks"].astype(np.float16)}
    np.savez_compressed(args.folder / "index.npz", **light)
    for number, limit in enumerate(args.limits):
        left = int(limit * 1e6)
        with zipfile.ZipFile(args.folder / f"crops-{number}.zip", "w", zipfile.ZIP_STORED) as archive:
            while files and (left := left - len(files[0][1]) - 128) > 0:
                archive.writestr(*files.pop(0))
    if files:
        raise SystemExit(f"{len(files)} crops are left over: pack again with a lower --quality")


def unpack(folder: Path, work: Path) -> None:
    """Write the crops and their index into a working folder as `tools.faces.dataset` does."""
    work.mkdir(parents=True, exist_ok=True)
    count = len(np.load(folder / "index.npz")["photo"])
    shape = (count, SIDE, SIDE, 3)
    pixels = np.lib.format.open_memmap(work / f"crops-{SIDE}.npy", "w+", np.uint8, shape)
    for path in sorted(folder.glob("crops-*.zip")):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                pixels[int(name)] = Image.open(io.BytesIO(archive.read(name)))
    for name in ("left-out.txt", "index.npz"):  # the index last, by which a whole folder is known
        if (folder / name).exists():
            shutil.copyfile(folder / name, work / name)


def train(args: argparse.Namespace) -> None:
    """Train for so many minutes, the rate going down to zero, and write the nets' averages."""
    began = time.time()
    work = args.out / "work"
    if not (args.data / "index.npz").exists():
        unpack(args.folder, args.data)
    left = args.minutes - (time.time() - began) / 60
    words = [str(args.data), str(work), "--start", str(args.start), "--device", args.device, "--report", "30"]
    words += ["--batch", str(args.batch), "--rate", str(args.rate), "--decay", str(left)]
    words += ["--adversarial", str(args.adversarial), "--psnr-weight", "0.02", "--drawn", str(args.drawn)]
    words += ["--perceptual", str(args.start / "perceptual.safetensors")]
    words += ["--judge", args.judge] if args.judge else []
    trained = train_autoencoder.train(train_autoencoder.read_options(words))
    nets = (trained.average.generator, trained.average.encoder, trained.judge)
    for part, net in zip(PARTS, nets, strict=True):
        save_file(halved(net), args.out / f"{part}.safetensors")
    for name in ("metrics.jsonl", "preview.png"):
        shutil.copyfile(work / name, args.out / name)
    shutil.rmtree(work)


def halved(net: nn.Module) -> dict[str, Tensor]:
    """The weights in half precision, on the CPU."""
    return {name: value.detach().cpu().half().contiguous() for name, value in net.state_dict().items()}


def take(args: argparse.Namespace) -> None:
    """Write the state of a run that what was brought back is the end of."""
    parts = {part: load_file(args.out / f"{part}.safetensors") for part in PARTS}
    average = {f"{part}.{name}": value for part in PARTS[:2] for name, value in parts[part].items()}
    shown = json.loads((args.out / "metrics.jsonl").read_text().splitlines()[-1])["images"]
    args.run.mkdir(parents=True, exist_ok=True)
    state = {"average": average, "judge": parts["judge"], "images": args.before + shown}
    torch.save(state, args.run / "state.pt")
    print(f"{state['images']} pictures shown in all")


def read_options(words: list[str] | None = None) -> argparse.Namespace:
    """The options of a command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    packing = verbs.add_parser("pack")
    packing.set_defaults(work=pack)
    packing.add_argument("source", type=Path)
    packing.add_argument("folder", type=Path)
    packing.add_argument("--codec", default="WEBP")
    packing.add_argument("--quality", type=int, default=80)
    packing.add_argument("--limits", type=float, nargs="+", default=[60], help="MB of each archive")
    training = verbs.add_parser("train")
    training.set_defaults(work=train)
    training.add_argument("folder", type=Path)
    training.add_argument("out", type=Path)
    training.add_argument(
        "--data", type=Path, default=Path("/tmp/crops"), help="where the crops are unpacked"
    )
    training.add_argument("--start", type=Path, default=BUNDLED / "faces")
    training.add_argument(
        "--judge", default="faces", help="prior with whose judge to begin; empty: a new one"
    )
    training.add_argument("--minutes", type=float, default=8)
    training.add_argument("--device", default="cuda")
    training.add_argument("--batch", type=int, default=128)
    training.add_argument("--rate", type=float, default=4e-3)
    training.add_argument("--adversarial", type=float, default=1.5)
    training.add_argument("--drawn", type=int, default=32)
    taking = verbs.add_parser("take")
    taking.set_defaults(work=take)
    taking.add_argument("out", type=Path)
    taking.add_argument("run", type=Path)
    taking.add_argument("--before", type=int, default=114108, help="pictures shown before")
    return parser.parse_args(words)


def main() -> None:
    """Pack, train or take over."""
    args = read_options()
    # cuDNN is not told to try all its ways: it would at each size, and batches vary by their grey photos
    args.work(args)


if __name__ == "__main__":
    main()
