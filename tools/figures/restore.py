"""Damaged held-out photos restored: the field's protocol, Moderate and Severe, and photos without damage.

What is restored is the damaged photo brought back to its size, as people have it; `upscale` gets what it
needs, the photo as small as it was, and does not know of blur, noise and JPEG. The profiles are those of the
store in MYSTYLE_RESTORE_STORE that MYSTYLE_RESTORE_NAMES lists; their pictures stay in figures/.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageFilter

from mystyle_cli.analysis.metrics import lpips, psnr
from mystyle_cli.baselines.untuned import DomainPrior
from mystyle_cli.experiments.damage import LEVELS, Ranges, cut_face, degrade, draw
from mystyle_cli.find.locate import Subject
from mystyle_cli.person.profile import Profile
from mystyle_cli.person.reference import HELD_OUT
from mystyle_cli.photos.pixels import Pixels, grid, resize, to_pixels, to_unit
from mystyle_cli.report.report import Cell, Report, Table, Target
from mystyle_cli.restore.restore import restore
from mystyle_cli.restore.task import Restoration, TaskName
from mystyle_cli.restore.trials import comparison_settings
from mystyle_cli.store.store import Store
from tools.figures.common import OUT, report_progress, save_picture, spread

STORE: Final = Path(os.environ.get("MYSTYLE_RESTORE_STORE", str(OUT / "store")))
NAMES: Final = tuple(os.environ.get("MYSTYLE_RESTORE_NAMES", "ada").split(","))
PHOTOS: Final = int(os.environ.get("MYSTYLE_RESTORE_PHOTOS", "8"))
UNSHARP: Final = ImageFilter.UnsharpMask(radius=2, percent=150, threshold=3)
OURS: Final = "restore"
METHODS: Final = ("input", "bicubic, unsharp", "upscale", "domain prior", OURS)
MEASURES: Final = {
    "lpips": "LPIPS on the face, lower is better",
    "truth": "ID to the truth",
    "reference": "ID to the nearest reference",
    "psnr": "PSNR, dB",
}


@dataclass(frozen=True)
class Made:
    """What the methods made of one person's photos at one level."""

    pictures: dict[str, Pixels]  # uint8 (B, R, R, 3) by method
    scores: dict[str, dict[str, np.ndarray]]  # by method and measure, (B,) each
    failed: dict[str, int]
    damages: list[Cell]  # rows of true and estimated numbers


def make() -> Report:
    """Damage held-out photos, restore them by every method, and compare."""
    tables, targets, rows = [], [], []
    people = [Store(STORE).open(name) for name in NAMES]
    for ranges in LEVELS:
        found = [_level(profile, ranges) for profile in people]
        tables.append(_table(ranges.name, found))
        targets += _targets(ranges.name, found)
        rows += [row for made in found for row in made.damages]
    tables.append(Table("true and estimated", list(_NUMBERS), rows))
    clean = [_undamaged(profile) for profile in people]
    tables.append(Table("photos without damage", ["person", "PSNR to the input", "estimated"], clean))
    return Report(
        "restore",
        f"damaged photos restored ({', '.join(NAMES)}; {PHOTOS} held-out photos each)",
        tables,
        targets,
        {
            "id": "cosine of the prior's identity net",
            "lpips": "of the prior's perceptual net, brows to chin",
            "upscale": "knows how small the photo was, nothing else",
            "domain prior": "the same phi, in W+ of the prior that the person was learned from",
            "pictures": "figures/restore-*.png: " + ", ".join((*METHODS, "truth")),
        },
    )


_NUMBERS = ("photo", "blur", "found", "side", "found", "noise", "found", "JPEG", "found")


def truths_of(profile: Profile) -> Pixels:
    """Return the first held-out photos, uint8 (B, R, R, 3)."""
    return to_pixels(profile.faces(HELD_OUT)[:PHOTOS])


def _level(profile: Profile, ranges: Ranges) -> Made:
    truths = truths_of(profile)
    keys = [f"{profile.name}/{number}/{ranges.name}" for number in range(len(truths))]
    small = [degrade(photo, ranges, key) for photo, key in zip(truths, keys, strict=True)]
    given = np.stack([resize(photo, truths.shape[1:3], "bicubic") for photo in small])
    sharpened = np.stack([np.asarray(Image.fromarray(photo).filter(UNSHARP)) for photo in given])
    found = {OURS: answers(profile, list(given), "restore")}
    found["domain prior"] = answers(profile, list(given), "restore", domain=True)
    found["upscale"] = answers(profile, small, "upscale")
    pictures = {"input": given, "bicubic, unsharp": sharpened}
    failed = dict.fromkeys(METHODS, 0)
    for method, results in found.items():
        pictures[method] = faces_of(results, given)
        failed[method] = sum(one.error is not None for one in results)
    damages = []
    for number, (key, answer) in enumerate(zip(keys, found[OURS], strict=True)):
        true, damage = draw(ranges, key, truths.shape[1]), answer.damage
        if damage is not None:
            label = f"{profile.name} {number} {ranges.name}"
            pairs = (
                (f"{true.sigma:.2f}", f"{damage.sigma:.2f}"),
                (true.side, damage.side),
                (f"{true.noise:.1f}", f"{damage.noise:.1f}"),
                (true.quality, damage.quality),
            )
            damages.append([label, *(cell for pair in pairs for cell in pair)])
    scores = {method: score(profile, made, truths) for method, made in pictures.items()}
    stack = np.stack([*(pictures[method] for method in METHODS), truths], axis=1)
    save_picture(f"restore-{profile.name}-{ranges.name}", grid(stack.reshape(-1, *truths.shape[1:]), 6))
    return Made(pictures, scores, failed, damages)


def answers(
    profile: Profile, photos: list[Pixels], task: TaskName, *, domain: bool = False
) -> list[Restoration]:
    """Return the answers to aligned crops; a failure is in its answer."""
    settings = comparison_settings(task)
    subjects = [Subject(photo, name=str(number)) for number, photo in enumerate(photos)]
    if domain:
        method = DomainPrior()
        trained = method.train(profile, 0)
        return method.restore(profile, trained, subjects, task, settings, report_progress)
    return restore(profile, subjects, task, settings, report_progress)


def faces_of(results: list[Restoration], given: Pixels) -> Pixels:
    """Return the answers' faces, the photo as it was where there is none."""
    pairs = zip(results, given, strict=True)
    return np.stack([photo if one.face is None else one.face for one, photo in pairs])


def score(profile: Profile, made: Pixels, truths: Pixels) -> dict[str, np.ndarray]:
    """Return every measure (B,) of pictures against the truth."""
    images, wanted = to_unit(made), to_unit(truths)
    own, other = profile.prior.embed(images), profile.prior.embed(wanted)
    faces = [cut_face(one, profile.prior.crop) for one in (images, wanted)]
    return {
        "lpips": np.asarray(lpips(profile.prior.perceptual(), *faces), np.float64),
        "truth": np.asarray((own * other).sum(axis=1), np.float64),
        "reference": np.asarray(profile.id_score(images), np.float64),
        "psnr": psnr(images, wanted),
    }


def _table(name: str, found: list[Made]) -> Table:
    rows: list[list[Cell]] = []
    for method in METHODS:
        columns = [np.concatenate([made.scores[method][one] for made in found]) for one in MEASURES]
        rows.append([method, *map(spread, columns), sum(made.failed[method] for made in found)])
    return Table(name, ["method", *MEASURES.values(), "failed"], rows)


def _targets(name: str, found: list[Made]) -> list[Target]:
    """Return that ours is ahead of every other on each measure."""
    targets = []
    for measure, sign in (("lpips", -1), ("truth", 1), ("reference", 1)):
        means = {
            method: sign * float(np.concatenate([made.scores[method][measure] for made in found]).mean())
            for method in METHODS
        }
        best = max((method for method in METHODS if method != OURS), key=lambda method: means[method])
        gain = means[OURS] - means[best]
        targets.append(Target(f"{name}: {MEASURES[measure]}, over {best}", gain, "above", 0.0))
    return targets


def _undamaged(profile: Profile) -> list[Cell]:
    truths = truths_of(profile)
    results = answers(profile, list(truths), "restore")
    found = psnr(to_unit(faces_of(results, truths)), to_unit(truths))
    told = [
        f"blur {one.damage.sigma:.1f}, side {one.damage.side}, noise {one.damage.noise:.1f}"
        for one in results
        if one.damage is not None and (one.damage.sigma or one.damage.noise or one.damage.side < 128)
    ]
    return [profile.name, spread(found), "; ".join(told) or "nothing"]
