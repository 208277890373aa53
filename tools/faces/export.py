"""Assembles the prior `faces` from the runs' files.

    python -m tools.faces.export DATA RUNS [--out src/mystyle_cli/prior/bundled/faces]

RUNS holds one folder for each run: ae, perceptual, identity, cover, matte. Training goes on from what is
written here (`train_autoencoder --start`). The nets are measured on the `val` faces, which none of them was
trained on; the figures go into the model card and into RUNS/figures.json, pairs and random samples into
RUNS/sheet.png, and the samples alone, which show no real person, into RUNS/samples.png.
"""

from __future__ import annotations

import argparse
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mystyle_cli.analysis.properties import measure_properties
from mystyle_cli.faces.align import Crop
from mystyle_cli.faces.face import aligned_face
from mystyle_cli.nets.generator import Generator, save_generator
from mystyle_cli.nets.perceptual import load_perceptual, save_perceptual
from mystyle_cli.prior.directions import save_direction
from mystyle_cli.prior.registry import Prior, open_prior
from tools.bundle import BUNDLED, begin, finish, write_metadata
from tools.faces.autoencoder import CHANNELS, W_DIM, Autoencoder, save_encoder
from tools.faces.crops import Crops
from tools.faces.dataset import DOWN, SCALE
from tools.faces.find_directions import (
    amount_of,
    calibrate,
    draw_glasses,
    find,
    read_labels,
    read_properties,
    wear_glasses,
)
from tools.faces.train_autoencoder import sharpness
from tools.faces.train_perceptual import judge
from tools.portraits.export import enlarged, render
from tools.portraits.find_directions import closed_form
from tools.portraits.fit_mapping import fit_mapping, move_origin
from tools.portraits.pictures import face_masks, grid, to_bytes, to_images
from tools.portraits.to_onnx import export
from tools.portraits.train_autoencoder import psnr

NAME = "faces"
LIMIT = 40_000_000  # bytes of the whole folder
ENCODED = 8000  # training crops whose codes give density and directions
DRAWN_ON = 1000  # of these get glasses drawn on, to learn which codes wear some
MOVED = 96  # of these are moved along each direction, to see how far a step goes
LABELLED = ("age", "gender", "glasses")  # properties that no landmark tells
MEASURED = 480  # val crops
MADE = ("identity", "cover", "matte")  # roles whose files their own scripts export
PSI = 0.7  # truncation of the random samples looked at
SOURCES = {
    "generator": "tools/faces/train_autoencoder.py and tools/portraits/fit_mapping.py",
    "encoder": "tools/faces/train_autoencoder.py",
    "perceptual": "tools/faces/train_perceptual.py",
    "identity": "dlib's descriptor net (public domain), centred and whitened by tools/faces/fit_identity.py",
    "cover": "tools/faces/train_cover.py",
    "matte": "tools/faces/train_matte.py",
}
FOREIGN = {"identity": "CC0-1.0"}  # dlib's author gave its nets away


def write_nets(out: Path, runs: Path, data: Path) -> int:
    """Write generator, encoder, directions and the other runs' files; returns the pictures shown to G."""
    crops = Crops(data, "train")
    state = torch.load(runs / "ae/state.pt", weights_only=True)
    model = Autoencoder()
    model.load_state_dict(state["average"])
    model.eval().requires_grad_(False)
    rows = np.linspace(0, len(crops) - 1, min(ENCODED, len(crops))).astype(int)
    codes = torch.cat([model.encoder(crops.images(part)) for part in np.array_split(rows, len(rows) // 50)])
    codes = move_origin(model.generator, model.encoder, codes)
    fit_mapping(model.generator, codes)
    save_generator(model.generator, out / "generator.safetensors", half=True)
    save_encoder(model.encoder)
    export(model.encoder, out / "encoder.onnx", Crops(data, "val").images(np.arange(16)))
    perceptual = load_perceptual(runs / "perceptual/perceptual.safetensors")
    save_perceptual(perceptual, out / "perceptual.safetensors", small=True)
    for role in MADE:
        shutil.copyfile(runs / role / f"{role}.onnx", out / f"{role}.onnx")
    names = {name: values[rows] for name, values in crops.names.items()}
    properties = read_properties(crops.landmarks[rows], crops.bytes(rows), names)
    some = slice(None, None, max(1, len(rows) // DRAWN_ON))
    drawn = to_images(draw_glasses(crops, rows[some]))
    drawn_codes = torch.cat([model.encoder(part) for part in drawn.split(50)]).numpy()
    glasses = wear_glasses(codes.numpy(), codes[some].numpy(), drawn_codes)
    properties |= {"glasses": glasses.astype(float)}
    found = find(codes.numpy(), properties, names["race"])
    amounts = {name: amount_of(name, properties) for name in found}
    moved = codes[:: max(1, len(codes) // MOVED)].numpy()
    found = calibrate(found, amounts, moved, sight(model, codes.numpy(), properties))
    (out / "directions").mkdir()
    for name, direction in (found | closed_form(model.generator, codes.numpy())).items():
        save_direction(direction, out / "directions" / f"{name}.safetensors")
    return int(state["images"])


def sight(
    model: Autoencoder, codes: np.ndarray, properties: dict[str, np.ndarray]
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Return what draws codes (K, w_dim) and reads each property off the pictures.

    Landmarks and pixels are measured; what only labels tell is read off the encoder's codes of the pictures,
    as learned from the codes and labels of photographs.
    """
    labelled = read_labels(codes, {name: properties[name] for name in LABELLED})
    crop = Crop(SCALE, DOWN)

    def see(asked: np.ndarray) -> dict[str, np.ndarray]:
        drawn = [render(model.generator, part) for part in torch.from_numpy(asked).float().split(16)]
        crops = np.concatenate([to_bytes(part) for part in drawn])
        marks = np.stack([aligned_face(one, crop).landmarks / len(one) for one in crops])
        again = torch.cat([model.encoder(part) for part in drawn])
        return measure_properties(marks, crops) | labelled(again.numpy())

    return see


@torch.no_grad()
def measure(prior: Prior, data: Path, preview: Path) -> dict[str, object]:
    """Measure the written prior on faces that nothing was trained on; writes a sheet of pairs and samples."""
    unseen = Crops(data, "val")
    rows = np.linspace(0, len(unseen) - 1, MEASURED).astype(int)
    images = unseen.images(rows)
    crops = images.contiguous().numpy()
    generator = prior.generator()
    made = torch.cat([render(generator, part) for part in torch.from_numpy(prior.encode(crops)).split(24)])
    masks = torch.from_numpy(face_masks(unseen.landmarks[rows] * prior.resolution, prior.resolution)).float()
    crop, face = psnr(made, images, masks)
    sheet(prior, images, made).save(preview)
    perceptual = prior.perceptual()
    pairs = zip(made.split(24), images.split(24), strict=True)
    true, got = prior.embed(crops), prior.embed(made.contiguous().numpy())
    strangers = (true @ true.T)[~np.eye(len(true), dtype=bool)]
    return {
        "psnr_crop": crop,
        "psnr_face": face,
        "lpips": float(torch.cat([perceptual.distance(a, b) for a, b in pairs]).mean()),
        "detail": float(sharpness(made, masks) / sharpness(images, masks)),
        "cosine_reconstruction": float((true * got).sum(1).mean()),
        "cosine_strangers": float(strangers.mean()),
        "cosine_strangers_99": float(np.quantile(strangers, 0.99)),
        "cosine_enlarged": float((true * prior.embed(enlarged(crops))).sum(1).mean()),
        "ranked": judge(perceptual, unseen)["all"],
        "measured": len(rows),
    }


def sheet(prior: Prior, images: Tensor, made: Tensor) -> Image.Image:
    """24 unseen faces with what is made of their codes, and 24 random samples."""
    chosen = np.linspace(0, len(images) - 1, 24).astype(int)
    true, got = to_bytes(images[chosen]), to_bytes(made[chosen])
    return grid([true[:12], got[:12], true[12:], got[12:], *random_people(prior)])


def random_people(prior: Prior) -> tuple[np.ndarray, np.ndarray]:
    """Two rows of twelve random samples."""
    generator: Generator = prior.generator()
    noise = torch.randn(24, generator.z_dim, generator=torch.Generator().manual_seed(0))
    samples = to_bytes(generator(noise, psi=PSI))
    return samples[:12], samples[12:]


def assemble(args: argparse.Namespace) -> None:
    """Write the whole folder beside its place, measure it, then put it there."""
    partial = begin(args.out)
    seen = write_nets(partial, args.runs, args.data)
    about = {
        "name": NAME,
        "resolution": max(CHANNELS),
        "w_dim": W_DIM,
        "num_ws": 2 * len(CHANNELS),
        "crop": {"scale": SCALE, "down": DOWN},
        **tomllib.loads((args.runs / "identity/identity.toml").read_text()),
    }
    write_metadata(partial, about, SOURCES, "tools/faces/find_directions.py", FOREIGN)
    prior = open_prior(partial)
    figures = measure(prior, args.data, args.runs / "sheet.png")
    grid(list(random_people(prior))).save(args.runs / "samples.png")
    figures["trained_on"] = seen
    train, every = Crops(args.data, "train"), Crops(args.data, "train", every=True)
    figures |= {"pictures": len(train), "left_out": len(every) - len(train)}
    figures |= {"unseen": len(Crops(args.data, "val")), "size": max(CHANNELS), "w_dim": W_DIM}
    figures["channels"] = ", ".join(str(CHANNELS[size]) for size in sorted(CHANNELS))
    text = finish(partial, args.out, Path(__file__).parent / "card.md", figures, LIMIT)
    (args.runs / "figures.json").write_text(text)
    print(text)


def main() -> None:
    """Read the options and assemble."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--out", type=Path, default=BUNDLED / NAME)
    args = parser.parse_args()
    torch.set_num_threads(1)
    assemble(args)


if __name__ == "__main__":
    main()
