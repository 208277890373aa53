"""What other ways to store a tuned generator take, and what they do to pictures, beside the program's own.

Nothing is searched, so that codings can be told apart: pictures of the anchors against their photos, of the
codes nearest to the encoder's against held-out photos, and of codes drawn from the hull.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping

import numpy as np
import torch

from benchmarks.measure import Report, spread
from mystyle_cli.analysis.metrics import lpips, psnr
from mystyle_cli.hull.sampling import sample_uniform
from mystyle_cli.hull.solve import nearest_alpha
from mystyle_cli.learn.learn import learn
from mystyle_cli.learn.settings import LearnSettings
from mystyle_cli.person.difference import difference, store_difference
from mystyle_cli.person.profile import Profile
from mystyle_cli.person.quantise import ENDINGS, SMALL, decode
from mystyle_cli.person.score import synthesise
from mystyle_cli.prior.registry import open_prior
from mystyle_cli.store.store import Store
from tools.figures.common import OUT, Person

PEOPLE = OUT / "whole"
PRIORS = ("portraits-128", "faces")
NAME = "ada"
DRAWN = 24
"""Codes of the hull that are rendered."""

Changes = dict[str, np.ndarray]
Coding = Callable[[np.ndarray], tuple[int, np.ndarray]]
"""Takes an array as rows (O, n), returns bytes and what is read back."""


def int8(rows: np.ndarray) -> tuple[int, np.ndarray]:
    """Round each row (an output channel) to 127 steps either way."""
    integers, steps = _rounded(rows, 127)
    return integers.nbytes + steps.nbytes, integers * steps


def float8(rows: np.ndarray) -> tuple[int, np.ndarray]:
    """Store each row, scaled to what it holds, as torch's float8_e4m3fn."""
    scales = _scales(rows, torch.finfo(torch.float8_e4m3fn).max)
    values = torch.from_numpy(rows / scales).to(torch.float8_e4m3fn)
    return values.numel() + scales.nbytes, values.float().numpy() * scales


def four_bits(rows: np.ndarray) -> tuple[int, np.ndarray]:
    """Round each row to 7 steps either way, an integer a byte, and compress."""
    integers, steps = _rounded(rows, 7)
    return len(zlib.compress(integers.tobytes(), 9)) + steps.nbytes, integers * steps


CODINGS: Mapping[str, Coding] = {"int8": int8, "float8_e4m3fn": float8, "4 bits, DEFLATE": four_bits}


def _scales(rows: np.ndarray, largest: float) -> np.ndarray:
    """Return what makes each row's largest entry `largest`, float32 (O, 1)."""
    return (np.abs(rows).max(axis=1, keepdims=True) / largest).clip(1e-30).astype(np.float32)


def _rounded(rows: np.ndarray, levels: int) -> tuple[np.ndarray, np.ndarray]:
    steps = _scales(rows, levels)
    return np.rint(rows / steps).astype(np.int8), steps


def run(rounds: int) -> Report:
    """Store a person of each bundled prior in every way; there is nothing to repeat."""
    figures = {}
    for prior in PRIORS:
        for coding, values in measure(prior).items():
            figures |= {f"{prior}, {coding}, {what}": spread([value]) for what, value in values.items()}
    return Report("Codings of a tuned generator", figures, {}, {"person": NAME, "priors": PRIORS})


def learned(prior: str) -> Profile:
    """Learn the person from a prior, whole, unless that was done."""
    settings = LearnSettings(whole=True, export=False, instant=None)
    return learn(Store(PEOPLE), f"{NAME}-{prior}", Person(NAME).photos, open_prior(prior), settings).profile


def measure(prior: str) -> dict[str, dict[str, float]]:
    """Return size and pictures of every coding."""
    profile = learned(prior)
    tuned = {name: p for name, p in profile.generator().named_parameters() if name.startswith("synthesis.")}
    changes = difference(profile.prior.generator(), tuned)
    stored = {"float16": _half(changes), "the program's own": _own(profile, tuned, changes)}
    stored |= {name: _coded(changes, coding) for name, coding in CODINGS.items()}
    return {name: {"MB": size / 1e6, **judged(profile, read)} for name, (size, read) in stored.items()}


def _half(changes: Changes) -> tuple[int, Changes]:
    halves = {name: change.astype(np.float16) for name, change in changes.items()}
    return sum(half.nbytes for half in halves.values()), {k: v.astype(np.float32) for k, v in halves.items()}


def _own(profile: Profile, tuned: dict[str, torch.nn.Parameter], changes: Changes) -> tuple[int, Changes]:
    stored = store_difference(profile.prior, tuned, profile.anchors())
    layers = json.loads(stored.notes["layers"])
    read = {name: np.zeros_like(change) for name, change in changes.items()}
    for name in layers:
        parts = {end: stored.tensors[name + end] for end in ENDINGS if name + end in stored.tensors}
        read[name] = decode(parts, layers[name], changes[name].shape)
    for name in changes.keys() & stored.tensors.keys():
        read[name] = stored.tensors[name].astype(np.float32)
    return sum(tensor.nbytes for tensor in stored.tensors.values()) + len(stored.notes["layers"]), read


def _coded(changes: Changes, coding: Coding) -> tuple[int, Changes]:
    """Code all arrays that are large enough; the others stay in half precision, as with the program's own."""
    total, read = 0, {}
    for name, change in changes.items():
        if change.ndim < 2 or change.size < SMALL or not change.any():
            total, read[name] = total + 2 * change.size, change.astype(np.float16).astype(np.float32)
            continue
        size, found = coding(change.reshape(len(change), -1))
        total, read[name] = total + size, found.reshape(change.shape).astype(np.float32)
    return total, read


def judged(profile: Profile, read: Changes) -> dict[str, float]:
    """Return what pictures of a generator with these changes are like."""
    prior, anchors = profile.prior, profile.anchors()
    generator, perceptual = prior.generator(), prior.perceptual()
    with torch.no_grad():
        for name, change in read.items():
            generator.get_parameter(name).add_(torch.from_numpy(change))
    train, held_out = profile.faces(), profile.faces("held-out")
    nearest = nearest_alpha(prior.encode(held_out), anchors, 0.05) @ anchors
    drawn = sample_uniform(len(anchors), 0.02, range(DRAWN)) @ anchors
    made = {}
    for what, codes in (("train", anchors), ("held-out", nearest), ("drawn", drawn)):
        w_plus = np.repeat(codes.astype(np.float32)[:, None], generator.num_ws, axis=1)
        parts = [synthesise(generator, w_plus[first : first + 8]) for first in range(0, len(codes), 8)]
        made[what] = np.concatenate(parts).clip(-1, 1)
    return {
        "train, PSNR": float(psnr(made["train"], train).mean()),
        "train, LPIPS": float(lpips(perceptual, made["train"], train).mean()),
        "held-out, PSNR": float(psnr(made["held-out"], held_out).mean()),
        "held-out, LPIPS": float(lpips(perceptual, made["held-out"], held_out).mean()),
        "held-out, ID": float(profile.id_score(made["held-out"]).mean()),
        "drawn, ID": float(profile.id_score(made["drawn"]).mean()),
    }
