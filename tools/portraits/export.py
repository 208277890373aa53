"""Assembles the bundled prior from the runs' checkpoints.

    python -m tools.portraits.export SHARDS RUNS [--out src/mystyle_cli/prior/bundled/portraits-128]

RUNS holds one folder for each run: autoencoder, perceptual, identity, matte. The nets are measured on people
never seen, and the figures go into the model card and into figures.json beside the runs.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mystyle_cli.nets.generator import Generator, save_generator
from mystyle_cli.nets.perceptual import load_perceptual, save_perceptual
from mystyle_cli.prior.directions import save_direction
from mystyle_cli.prior.registry import Prior, open_prior
from tools.bundle import BUNDLED, begin, finish, write_metadata
from tools.portraits import PRIOR, train_identity, train_matte
from tools.portraits.find_directions import closed_form, from_labels
from tools.portraits.fit_identity import fit_identity
from tools.portraits.fit_mapping import fit_mapping, move_origin
from tools.portraits.nets import Encoder
from tools.portraits.pictures import Pictures, face_masks, grid, to_bytes
from tools.portraits.to_onnx import export
from tools.portraits.train_autoencoder import CHANNELS, W_DIM, Autoencoder, psnr

LIMIT = 20_000_000  # bytes of the whole folder
ENCODED = 6000  # training pictures whose codes give density and directions


@dataclass
class Nets:
    """G and E as exported, and the codes of training pictures."""

    generator: Generator
    encoder: Encoder
    codes: Tensor
    images: int


def read_autoencoder(runs: Path, pictures: Pictures) -> tuple[Nets, np.ndarray]:
    """Read the averaged nets, encode training pictures, fit the mapping; also the rows encoded."""
    state = torch.load(runs / "autoencoder/state.pt", weights_only=True)
    model = Autoencoder()
    model.load_state_dict(state["average"])
    model.eval().requires_grad_(False)
    rows = np.linspace(0, len(pictures) - 1, min(ENCODED, len(pictures))).astype(int)
    codes = torch.cat(
        [model.encoder(pictures.images(part)) for part in np.array_split(rows, len(rows) // 50 + 1)]
    )
    generator = Generator(
        channels=CHANNELS, z_dim=W_DIM, w_dim=W_DIM, mapping_layers=1, mapping_multiplier=1.0
    )
    generator.requires_grad_(False).synthesis.load_state_dict(model.generator.synthesis.state_dict())
    codes = move_origin(generator, model.encoder, codes)
    fit_mapping(generator, codes)
    return Nets(generator.eval(), model.encoder, codes, int(state["images"])), rows


def write_files(out: Path, runs: Path, shards: Path) -> tuple[dict[str, str], int]:
    """Write every role; returns file -> how it was made, and the pictures the generator saw."""
    pictures = Pictures(shards, held_out=False, names=("states",))
    nets, rows = read_autoencoder(runs, pictures)
    probes = Pictures(shards, held_out=True).images(np.arange(16))
    save_generator(nets.generator, out / "generator.safetensors", half=True)
    export(nets.encoder, out / "encoder.onnx", probes)
    identity = train_identity.make_identity()
    identity.load_state_dict(torch.load(runs / "identity/identity.pt", weights_only=True))
    seen = Pictures(shards, held_out=False, marked=True)
    export(fit_identity(identity, seen), out / "identity.onnx", probes)
    matte = train_matte.make_matte()
    matte.load_state_dict(torch.load(runs / "matte/matte.pt", weights_only=True))
    export(matte, out / "matte.onnx", probes)
    perceptual = load_perceptual(runs / "perceptual/perceptual.safetensors")
    save_perceptual(perceptual, out / "perceptual.safetensors", small=True)
    (out / "directions").mkdir()
    codes = nets.codes.numpy()
    found = from_labels(
        codes, pictures.rows("states", rows), pictures.state_names, pictures.rows("people", rows)
    )
    for name, direction in (found | closed_form(nets.generator, codes)).items():
        save_direction(direction, out / "directions" / f"{name}.safetensors")
    made = {
        "generator": "tools/portraits/train_autoencoder.py and fit_mapping.py",
        "encoder": "tools/portraits/train_autoencoder.py",
        "perceptual": "tools/portraits/train_perceptual.py",
        "identity": "tools/portraits/train_identity.py and fit_identity.py",
        "matte": "tools/portraits/train_matte.py",
    }
    return made, nets.images


def cosines(prior: Prior, crops: np.ndarray, made: np.ndarray, people: np.ndarray) -> dict[str, float]:
    """Identity of reconstructions, of the same and of different people."""
    true, got = prior.embed(crops), prior.embed(made)
    all_pairs = true @ true.T
    same = people[:, None] == people[None]
    off = ~np.eye(len(people), dtype=bool)
    return {
        "cosine_reconstruction": float((true * got).sum(1).mean()),
        "cosine_same": float(all_pairs[same & off].mean()),
        "cosine_different": float(all_pairs[~same].mean()),
        "cosine_enlarged": float((true * prior.embed(enlarged(crops))).sum(1).mean()),
    }


def enlarged(crops: np.ndarray) -> np.ndarray:
    """Crops (B, 3, R, R) reduced to 16 pixels and enlarged again."""
    small = F.adaptive_avg_pool2d(torch.from_numpy(crops), 16)
    return F.interpolate(small, crops.shape[-2:], mode="bicubic").numpy()


@torch.no_grad()
def measure(prior: Prior, shards: Path, preview: Path) -> dict[str, float]:
    """Measure the written prior on every picture of people never seen; writes a preview."""
    unseen = Pictures(shards, held_out=True, names=("landmarks", "mattes"))
    rows = np.arange(len(unseen))
    images = unseen.images(rows)
    crops = images.contiguous().numpy()
    generator = prior.generator()
    codes = torch.from_numpy(prior.encode(crops))
    made = torch.cat([render(generator, part) for part in codes.split(24)])
    masks = torch.from_numpy(face_masks(unseen.rows("landmarks", rows), prior.resolution)).float()
    crop, face = psnr(made, images, masks)
    matte, truth = prior.matte(crops) > 0.5, unseen.rows("mattes", rows) > 127
    samples = generator(torch.randn(16, W_DIM, generator=torch.Generator().manual_seed(0)), psi=0.8)
    shown = np.linspace(0, len(rows) - 1, 16).astype(int)
    true, got, random = to_bytes(images[shown]), to_bytes(made[shown]), to_bytes(samples)
    grid([true[:8], got[:8], true[8:], got[8:], random[:8], random[8:]]).save(preview)
    perceptual = prior.perceptual()
    pairs = zip(made.split(24), images.split(24), strict=True)
    return {
        "psnr_crop": crop,
        "psnr_face": face,
        "lpips": float(torch.cat([perceptual.distance(a, b) for a, b in pairs]).mean()),
        "matte_iou": float(((matte & truth).sum((1, 2)) / (matte | truth).sum((1, 2))).mean()),
        **cosines(prior, crops, made.contiguous().numpy(), unseen.rows("people", rows)),
        "unseen_pictures": len(rows),
    }


def render(generator: Generator, codes: Tensor) -> Tensor:
    """Images (B, 3, R, R) of codes (B, w_dim)."""
    return torch.as_tensor(generator.synthesis(codes[:, None].expand(-1, generator.num_ws, -1)))


def assemble(args: argparse.Namespace) -> None:
    """Write the whole folder beside its place, measure it, then put it there."""
    partial = begin(args.out)
    made, seen = write_files(partial, args.runs, args.shards)
    about = {"name": PRIOR, "resolution": max(CHANNELS), "w_dim": W_DIM, "num_ws": 2 * len(CHANNELS)}
    write_metadata(partial, about, made, "tools/portraits/find_directions.py")
    figures = measure(open_prior(partial), args.shards, args.runs / "preview.png")
    figures |= {"trained_on": seen, "pictures": len(Pictures(args.shards, held_out=False))}
    text = finish(partial, args.out, Path(__file__).parent / "card.md", figures, LIMIT)
    (args.runs / "figures.json").write_text(text)
    print(text)


def main() -> None:
    """Read the options and assemble."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shards", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--out", type=Path, default=BUNDLED / PRIOR)
    args = parser.parse_args()
    torch.set_num_threads(1)
    assemble(args)


if __name__ == "__main__":
    main()
