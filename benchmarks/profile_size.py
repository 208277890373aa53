"""What a person takes on disk, and what that costs in identity: the tuned generator small and whole.

The demonstration people are learned once, whole, in figures/whole. Their held-out photos, as many as rounds,
are then enlarged 8 times with the weights as they are and with those that a small file gives back.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch

from benchmarks.measure import Report, Spread, spread
from mystyle_cli.analysis.judge import Truths
from mystyle_cli.learn.learn import learn
from mystyle_cli.learn.settings import LearnSettings
from mystyle_cli.nets.generator import Generator
from mystyle_cli.person.difference import (
    Difference,
    apply_difference,
    read_changes,
    store_difference,
)
from mystyle_cli.person.files import save_tensors
from mystyle_cli.person.profile import Profile
from mystyle_cli.person.quantise import SMALL
from mystyle_cli.photos.pixels import to_unit
from mystyle_cli.prior.registry import open_prior
from mystyle_cli.restore.restore import restore
from mystyle_cli.restore.task import default_settings
from mystyle_cli.restore.trials import comparison_settings, pictures, subjects
from mystyle_cli.store.store import Store
from tools.figures.common import NAMES, OUT, Person, truths_of
from tools.portraits import PRIOR

PEOPLE: Final = OUT / "whole"
FFHQ: Final = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64, 1024: 32}
"""Channels of the published generator at 1024."""


class Rounded(Profile):
    """A person with the generator that another file gives."""

    def __init__(self, profile: Profile, file: Path) -> None:
        """Take everything else from a profile."""
        super().__init__(profile.path, profile.manifest, profile.prior)
        self.other = file

    def generator(self) -> Generator:
        """Return G_p as the file has it."""
        generator = self.prior.generator()
        apply_difference(generator, self.other, self.prior.digest)
        return generator


@dataclass(frozen=True)
class Found:
    """What was found of one person.

    Args:
        size, float32: bytes of the file, and of all parameters in float32.
        seconds: of the processor, for encoding and for decoding.
        whole, small: ID scores of the same restored photos.
        rates: bits of a weight of kernels, and bytes of a row or column of style matrices.
    """

    size: int
    float32: int
    seconds: tuple[float, float]
    whole: np.ndarray
    small: np.ndarray
    rates: tuple[float, float]


def run(rounds: int) -> Report:
    """Measure both people."""
    found = {name: measure(name, rounds) for name in NAMES}
    figures: dict[str, Spread] = {}
    for name, one in found.items():
        figures[f"{name}, generator, MB"] = spread([one.size / 1e6])
        figures[f"{name}, % of float32"] = spread([100 * one.size / one.float32])
        figures[f"{name}, seconds of processor to encode"] = spread([one.seconds[0]])
        figures[f"{name}, seconds of processor to decode"] = spread([one.seconds[1]])
        figures[f"{name}, ID lost, each photo"] = spread((one.whole - one.small).tolist())
    lost = np.concatenate([one.whole - one.small for one in found.values()])
    figures["ID lost, mean of all photos"] = spread([float(lost.mean())])
    figures |= full_size([one.rates for one in found.values()])
    facts = {
        "photos": len(lost),
        "standard_error": float(lost.std(ddof=1) / len(lost) ** 0.5) if len(lost) > 1 else None,
        "id_whole": {name: one.whole.tolist() for name, one in found.items()},
        "id_small": {name: one.small.tolist() for name, one in found.items()},
        "target": "at most 15 % of float32, ID lower by at most 0.005",
    }
    return Report("Profile size: the tuned generator, small against whole", figures, {}, facts)


def measure(name: str, photos: int) -> Found:
    """Learn a person unless that was done, store the generator small, and restore photos with both."""
    settings = LearnSettings(whole=True, export=False, instant=None)
    profile = learn(Store(PEOPLE), name, Person(name).photos, open_prior(PRIOR), settings).profile
    generator = profile.generator()
    tuned = {key: p for key, p in generator.named_parameters() if key.startswith("synthesis.")}
    started = time.process_time()
    stored = store_difference(profile.prior, tuned, profile.anchors())
    encoding = time.process_time() - started
    shapes = {key: tuple(p.shape) for key, p in generator.named_parameters()}
    truths = truths_of(name).first(photos)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "generator.safetensors"
        save_tensors(file, stored.tensors, stored.notes)
        started = time.process_time()
        read_changes(file, shapes, profile.prior.digest)
        decoding = time.process_time() - started
        whole, small = (restored_ids(one, truths) for one in (profile, Rounded(profile, file)))
        size = file.stat().st_size
    float32 = 4 * sum(p.numel() for p in generator.parameters())
    return Found(size, float32, (encoding, decoding), whole, small, rates_of(stored, shapes))


def restored_ids(profile: Profile, truths: Truths) -> np.ndarray:
    """Return the ID scores (B,) of photos enlarged 8 times."""
    settings = replace(comparison_settings("upscale", default_settings("upscale", space="p+")), batch=12)
    degraded = subjects(truths.crops, "upscale", [path.name for path in truths.paths], truths.crop)
    made = pictures(restore(profile, degraded, "upscale", settings))
    return profile.id_score(to_unit(made))


def rates_of(stored: Difference, shapes: dict[str, tuple[int, ...]]) -> tuple[float, float]:
    """Return bits of a weight on grids, and bytes for each row and column of factors."""
    sums = {"grid": [0.0, 0], "factors": [0.0, 0]}
    for name, facts in json.loads(stored.notes["layers"]).items():
        size = sum(part.nbytes for key, part in stored.tensors.items() if key.startswith(f"{name}."))
        kind = sums[facts["how"]]
        kind[0] += size
        kind[1] += int(np.prod(shapes[name])) if facts["how"] == "grid" else sum(shapes[name])
    return 8 * sums["grid"][0] / sums["grid"][1], sums["factors"][0] / max(1, sums["factors"][1])


def full_size(rates: list[tuple[float, float]]) -> dict[str, Spread]:
    """Apply the same rates to the shapes of the published generator at 1024."""
    with torch.device("meta"):
        generator = Generator(channels=FFHQ, z_dim=512, w_dim=512)
    float32 = 4 * sum(p.numel() for p in generator.parameters())
    totals = []
    for bits, row in rates:
        total = 0.0
        for name, p in generator.named_parameters():
            if not name.startswith("synthesis."):
                continue
            if p.dim() < 2 or p.numel() < SMALL:
                total += 2 * p.numel()
            else:
                total += row * sum(p.shape) if p.dim() == 2 else bits / 8 * p.numel()
        totals.append(total)
    return {
        "FFHQ 1024 at the same rates, float32, MB": spread([float32 / 1e6]),
        "FFHQ 1024 at the same rates, generator, MB": spread([total / 1e6 for total in totals]),
        "FFHQ 1024 at the same rates, % of float32": spread([100 * total / float32 for total in totals]),
    }
