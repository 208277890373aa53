"""The bundled prior on people that it has never seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mystyle_cli.analysis.metrics import lpips, psnr
from mystyle_cli.nets.generator import Generator
from mystyle_cli.person.score import synthesise
from mystyle_cli.photos.pixels import grid, to_pixels
from mystyle_cli.prior.registry import open_prior
from mystyle_cli.report.report import Report, Table, Target
from tools.figures.common import save_picture, spread
from tools.figures.strangers import draw_strangers
from tools.portraits import PRIOR

SAMPLES = 24


def make() -> Report:
    """Encode and generate held-out people, and draw random ones."""
    prior, strangers = open_prior(PRIOR), draw_strangers()
    images = strangers.images
    made = synthesise(prior.generator(), prior.encode(images)).clip(-1, 1)
    crop, face = psnr(made, images), psnr(made, images, strangers.face)
    cosine = (prior.embed(made) * prior.embed(images)).sum(axis=1)
    distance = lpips(prior.perceptual(), made, images)
    rows = [
        ["PSNR over the crop, dB", spread(crop)],
        ["PSNR over the face, dB", spread(face)],
        ["identity cosine", spread(cosine)],
        ["LPIPS", spread(distance)],
        ["size of the prior, MB", f"{_bytes(prior.path) / 1e6:.2f}"],
    ]
    pairs = np.stack([to_pixels(images[:12]), to_pixels(made[:12])]).reshape(
        24, *to_pixels(images[:1]).shape[1:]
    )
    save_picture("prior-unseen", grid(pairs, columns=12))
    save_picture("prior-samples", grid(to_pixels(_samples(prior.generator())), columns=12))
    return Report(
        "prior",
        "G(E(x)) on people never seen",
        [
            Table(
                f"{len(images)} photos of {len(set(strangers.people))} people",
                ["figure", "mean ± spread"],
                rows,
            )
        ],
        [
            Target("PSNR over the crop", float(crop.mean()), "at least", 29.0),
            Target("PSNR over the face", float(face.mean()), "at least", 27.0),
            Target("identity cosine", float(cosine.mean()), "at least", 0.6),
            Target("megabytes", _bytes(prior.path) / 1e6, "at most", 20.0),
        ],
        {"pictures": "figures/prior-unseen.png (truth above), figures/prior-samples.png (random samples)"},
    )


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _samples(generator: Generator) -> np.ndarray:
    """Return pictures of random z."""
    z = np.random.default_rng(0).standard_normal((SAMPLES, generator.z_dim), np.float32)
    with torch.no_grad():
        codes = generator.mapping(torch.from_numpy(z)).numpy()
    return synthesise(generator, codes).clip(-1, 1)
