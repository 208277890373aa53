"""Run everything at full size with random weights: does it work, how long does it take, how much memory?

    python -m tools.full_size WORK [--resolution 1024] [--memory 16] [--threads 2] [--portrait PHOTO]
    python -m tools.full_size WORK --card --steps 40     # on a graphics card

Makes a generator, a W encoder, ArcFace, AlexNet and a direction with random weights in the files' published
formats and shapes, imports them, and drives the whole chain through `mystyle` itself, each command a process
of its own whose addresses are limited (`ulimit -v`), without a graphics card. Writes WORK/table.md and
WORK/table.json.

The photos are the demonstration's, enlarged, with grain added: curation rightly refuses enlarged photos for
their lack of detail. Random weights know nobody, so that commands which look for the person take --force.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
PHOTOS = ROOT / "profiles" / "photos"
START = "from mystyle_cli.cli import main; main()"
GIB = 1 << 30
FACE = 220
"""Side of a face's crop on the demonstration's photos, about, in pixels."""


@dataclass(frozen=True)
class Row:
    """One command's line of the table."""

    name: str
    seconds: float
    memory: int
    note: str = ""


@dataclass
class Chain:
    """The commands under way, in a home of their own.

    Args:
        work: where everything is written.
        memory: limit of each process's addresses, in bytes; 0: none, and the graphics card is used.
        threads: of every library.
        steps: of tuning and of each search.
    """

    work: Path
    memory: int
    threads: int
    steps: int
    rows: list[Row] = field(default_factory=list)

    def run(self, name: str, *command: str, note: str = "") -> dict[str, Any]:
        """Run `mystyle COMMAND --json`; note its time and peak memory, and return its document.

        A command that was run before, with the same folder, is not run again.
        """
        document = self.work / f"{name}.json"
        if any(row.name == name for row in self.rows):
            return dict(json.loads(document.read_text()))
        own = {"MYSTYLE_HOME": str(self.work / "home"), "OMP_NUM_THREADS": str(self.threads)}
        own |= {"CUDA_VISIBLE_DEVICES": ""} if self.memory else {}
        started = time.perf_counter()
        with document.open("w") as out, (self.work / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", START, *command, "--json"],
                stdout=out, stderr=log, env=os.environ | own, preexec_fn=self._limit,
            )  # fmt: skip
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            seconds = time.perf_counter() - started
        print(f"{name}: {seconds:.1f} s, {usage.ru_maxrss / (1 << 20):.2f} GB", flush=True)
        if process.returncode:
            sys.exit(f"{name} ended with {process.returncode}:\n{(self.work / f'{name}.log').read_text()}")
        self.note(Row(name, seconds, usage.ru_maxrss * 1024, note))
        return dict(json.loads(document.read_text()))

    def note(self, row: Row) -> None:
        """Add a line to the table on disk."""
        if all(before.name != row.name for before in self.rows):
            self.rows.append(row)
        (self.work / "table.json").write_text(json.dumps([vars(row) for row in self.rows], indent=1))
        (self.work / "table.md").write_text(table(self.rows))

    def _limit(self) -> None:
        if self.memory:
            resource.setrlimit(resource.RLIMIT_AS, (self.memory, self.memory))


def write_files(folder: Path, resolution: int) -> dict[str, Path]:
    """Write every file with random weights, under the names that their authors gave them."""
    import torch

    from mystyle_cli.foreign.nets import ArcFace, WEncoder
    from mystyle_cli.nets.generator import Generator
    from mystyle_cli.nets.perceptual import Perceptual, trunk_tensors
    from tests.support.checkpoints import write_nvidia_pickle
    from tests.support.rosinality import rosinality_tensors

    files = {
        "generator": folder / "ffhq.pkl",
        "encoder": folder / "faces_w_encoder.pt",
        "identity": folder / "model_ir_se50.pth",
        "perceptual": folder / "alexnet-owt-7be5be79.pth",
        "direction": folder / "smile.pt",
    }
    if all(path.exists() for path in files.values()):
        return files
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    sizes = [4 << step for step in range(resolution.bit_length() - 2)]
    channels = {size: min(32768 // size, 512) for size in sizes}  # config-f
    generator = Generator(channels=channels, z_dim=512, w_dim=512, clamp=256.0).eval()
    write_nvidia_pickle(files["generator"], generator)
    state = {f"encoder.{name}": tensor for name, tensor in WEncoder().state_dict().items()}
    state |= {f"decoder.{name}": tensor for name, tensor in rosinality_tensors(generator).items()}
    average = generator.w_avg.repeat(generator.num_ws, 1)
    options = {"encoder_type": "WEncoder", "start_from_latent_avg": True, "stylegan_size": resolution}
    torch.save({"state_dict": state, "latent_avg": average, "opts": options}, files["encoder"])
    torch.save(ArcFace().state_dict(), files["identity"])
    alex = trunk_tensors(Perceptual(resolution))
    shapes = {"1": (4096, 9216), "4": (4096, 4096), "6": (1000, 4096)}  # the classifier, which nobody needs
    alex |= {f"classifier.{layer}.weight": torch.zeros(shape) for layer, shape in shapes.items()}
    torch.save(alex, files["perceptual"])
    direction = torch.randn(1, 512)
    torch.save(direction / direction.norm(), files["direction"])
    return files


def write_photos(folder: Path, sources: Sequence[Path], resolution: int) -> list[Path]:
    """Enlarge photos until their faces fill the generator's pictures, with the grain of a photo."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for number, source in enumerate(sources):
        with Image.open(source) as image:
            size = [round(side * max(1.0, resolution / FACE)) for side in image.size]
            large = image.convert("RGB").resize((size[0], size[1]), Image.Resampling.LANCZOS)
        grain = np.random.default_rng(number).normal(0, 10, (size[1], size[0], 1))
        pixels = (np.asarray(large, np.float64) + grain).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{source.stem}.jpg", quality=95)
        found.append(folder / f"{source.stem}.jpg")
    return found


def write_mask(photo: Path, path: Path) -> Path:
    """Write a mask over the lower middle of a photo."""
    from PIL import Image

    with Image.open(photo) as image:
        width, height = image.size
    mask = np.zeros((height, width), np.uint8)
    mask[height // 2 : height * 5 // 8, width * 3 // 8 : width * 5 // 8] = 255
    Image.fromarray(mask).save(path)
    return path


def run_chain(chain: Chain, resolution: int, portrait: Path | None) -> None:
    """Run every command once."""
    work = chain.work
    files = make_files(work / "files", resolution)
    sources = sorted((PHOTOS / "ada").glob("IMG_21[12]*.jpg"))[:4]
    photos = [str(path) for path in write_photos(work / "photos", sources, resolution)]
    unseen = sorted((PHOTOS / "ada-held-out").glob("*.jpg"))[0]
    large = write_photos(work / "unseen", [unseen], resolution)[0]
    parts = [f"--{role}={files[role]}" for role in ("generator", "encoder", "identity", "perceptual")]
    chain.run("import", "prior", "import", "full", *parts, f"--direction=smile={files['direction']}")
    learn(chain, photos)
    force = ["--force", "--steps", str(chain.steps), "-o"]
    mask = str(write_mask(large, work / "mask.png"))
    note = f"{chain.steps} steps"
    chain.run("invert", "invert", "ada", str(large), *force, str(work / "inverted.png"), note=note)
    inpaint = ["inpaint", "ada", str(large), "--mask", mask]
    chain.run("inpaint", *inpaint, *force, str(work / "inpainted.png"), note=note)
    chain.run("upscale", "upscale", "ada", str(portrait or unseen), *force, str(work / "up.png"), note=note)
    chain.run("export", "export", "ada", note="in float32 and in half precision, both compared with torch")
    sample = ["sample", "ada", "-n", "2", "--seed", "0"]
    chain.run("sample", *sample, "-o", str(work / "onnx"), note="two pictures, ONNX")
    chain.run("sample, torch", *sample, "--backend", "torch", "-o", str(work / "torch"), note="two pictures")
    edit = ["edit", "ada", str(large), "-d", "smile", "-s", "1"]
    chain.run("edit", *edit, *force, str(work / "edited.png"), note=note)


def make_files(folder: Path, resolution: int) -> dict[str, Path]:
    """Write the files from another process: a large parent would make its children look large."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        files = pool.submit(write_files, folder, resolution).result()
    for path in files.values():
        print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")
    return files


def learn(chain: Chain, photos: Sequence[str]) -> None:
    """Tell what the steps of tuning will take, learn the person with them, and compare."""
    how = [
        *photos,
        "--prior",
        "full",
        "--held-out",
        "0",
        "--passes",
        str(chain.steps // 2),  # of four photos, two in a step
        "--batch",
        "2",
        "--no-export",
        "--no-instant",
    ]
    create = ["profile", "create", "ada"]
    told = chain.run("dry run", *create, *how, "--dry-run", note="loads the nets and tries a step")
    learned = chain.run("create", *create, *how, note="in one process:")
    held = next(row.memory for row in chain.rows if row.name == "create")
    for stage, seconds in learned["seconds"].items():
        chain.note(Row(f"- {stage}", seconds, 0))
    manifest = tomllib.loads((Path(learned["folder"]) / "profile.toml").read_text())
    each = float(manifest["stages"]["tune"]["tuning_seconds"]) / told["steps"]
    of_memory, of_time = told["memory"] / held - 1, told["seconds_per_step"] / each - 1
    chain.note(Row("a step of tuning", each, 0, "two pictures"))
    chain.note(Row("told by the dry run", told["seconds_per_step"], 0, f"a step: {of_time:+.0%}"))
    chain.note(Row("told by the dry run of create", 0.0, told["memory"], f"{of_memory:+.0%}"))


def table(rows: Sequence[Row]) -> str:
    """Lay the rows out as Markdown."""
    lines = ["| step | seconds | peak memory, GB | |", "|---|---|---|---|"]
    for row in rows:
        seconds = f"{row.seconds:.1f}" if row.seconds else ""
        memory = f"{row.memory / GIB:.2f}" if row.memory else ""
        lines.append(f"| {row.name} | {seconds} | {memory} | {row.note} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Run the chain and write its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("work", type=Path, help="an empty folder; about 3 GB at 1024")
    parser.add_argument("--resolution", type=int, default=1024)
    parser.add_argument("--memory", type=float, default=16, help="GB that each process may address")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--portrait", type=Path, help="a small real photo to upscale")
    parser.add_argument("--card", action="store_true", help="use the graphics card, and all memory")
    parser.add_argument("--steps", type=int, default=2, help="of tuning and of each search")
    given = parser.parse_args()
    memory = 0 if given.card else round(given.memory * GIB)
    chain = Chain(given.work.resolve(), memory, given.threads, given.steps)
    before = chain.work / "table.json"
    if before.exists():
        chain.rows = [Row(**row) for row in json.loads(before.read_text())]
    run_chain(chain, given.resolution, given.portrait)
    print(table(chain.rows))


if __name__ == "__main__":
    main()
