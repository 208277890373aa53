"""Restoration as the field measures it: blur, shrinking, noise and JPEG, Moderate and Severe."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from mystyle_cli.analysis.metrics import lpips
from mystyle_cli.experiments.enhancement import OURS, ROWS, SHIPPED, SYNTHESIS, methods_told, told_of
from mystyle_cli.experiments.experiment import Experiment, Measured, Values, mean_of, sheet_of, spread_of
from mystyle_cli.find.locate import Subject
from mystyle_cli.photos.pixels import resize, to_unit
from mystyle_cli.projection.jpeg import coded
from mystyle_cli.report.report import Cell, Report, Table, Target
from mystyle_cli.restore.trials import Answers

if TYPE_CHECKING:
    from mystyle_cli.experiments.bench import Bench
    from mystyle_cli.faces.align import Crop
    from mystyle_cli.photos.pixels import Pixels

SIDE: Final = 512  # Pixels of the crops that the published ranges are for

# left top and right bottom of the face, brows to chin, in sides of the FFHQ square
FACE: Final = ((0.2, 0.24), (0.8, 0.92))


@dataclass(frozen=True)
class Ranges:
    """What a photo suffers, each drawn evenly: x = (((hq * blur) down r) + noise) JPEG q."""

    name: str  # "moderate" or "severe"
    sigma: tuple[float, float]  # standard deviation of the blur, in pixels of a crop of `SIDE`
    shrunk: tuple[float, float]  # r, how much smaller it becomes
    noise: tuple[float, float]  # standard deviation of the noise, of 255
    quality: tuple[float, float]  # of JPEG


LEVELS: Final = (
    Ranges("moderate", (0, 8), (1, 8), (0, 15), (60, 100)),
    Ranges("severe", (8, 16), (8, 32), (0, 20), (30, 100)),
)


@dataclass(frozen=True)
class Drawn:
    """What one photo suffers, for a crop of its own side."""

    sigma: float  # of the blur, in its pixels
    side: int  # pixels that it becomes small to
    noise: float
    quality: int


def _draw(ranges: Ranges, random: np.random.Generator, side: int) -> Drawn:
    sigma = random.uniform(*ranges.sigma) * side / SIDE
    shrunk = max(1.0, random.uniform(*ranges.shrunk) * side / SIDE)
    noise, quality = random.uniform(*ranges.noise), round(random.uniform(*ranges.quality))
    return Drawn(sigma, max(4, round(side / shrunk)), noise, quality)


def _random(key: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big"))


def draw(ranges: Ranges, key: str, side: int) -> Drawn:
    """Return what `degrade` does to a crop of a side."""
    return _draw(ranges, _random(key), side)


def degrade(photo: Pixels, ranges: Ranges, key: str) -> Pixels:
    """Return what becomes of a crop, before it is brought back to its size.

    Blur and shrinking are scaled by the crop's side over `SIDE`, so that as much of the face is lost as
    there; where that would enlarge a small crop it keeps its size.

    Args:
        photo: uint8 (R, R, 3).
        ranges: how bad it gets.
        key: what the draw depends on; the same key suffers the same.
    """
    from scipy.ndimage import gaussian_filter

    random = _random(key)
    drawn = _draw(ranges, random, len(photo))
    blur = (drawn.sigma, drawn.sigma, 0)
    blurred = gaussian_filter(photo.astype(np.float64), blur, mode="nearest")  # (R, R, 3)
    size = (drawn.side, drawn.side)
    less = resize(np.rint(blurred).astype(np.uint8), size, "area").astype(np.float64)
    noisy = np.rint(less + drawn.noise * random.standard_normal(less.shape)).clip(0, 255).astype(np.uint8)
    return coded(noisy, drawn.quality)


def cut_face(images: np.ndarray, crop: Crop) -> np.ndarray:
    """Return the faces (B, 3, h, h) of aligned crops (B, 3, R, R), brows to chin."""
    edges = crop.from_ffhq(np.array(FACE)).clip(0, 1) * images.shape[-1]
    (left, top), (right, bottom) = np.rint(edges).astype(int).tolist()
    side = min(right - left, bottom - top)
    return np.ascontiguousarray(images[:, :, top : top + side, left : left + side])


def measure(bench: Bench) -> Measured:
    """Degrade held-out photos as the field does, and restore them by every method.

    The answers are `upscale`'s, which takes the photo as it is before it is brought back to size.

    Returns:
        For every measure and face_lpips (levels, methods, B); failed (levels, methods).
    """
    names = (*bench.measures, "face_lpips")
    shape = (len(LEVELS), len(ROWS), len(bench.held_out))
    found: dict[str, Values] = {name: np.full(shape, np.nan) for name in names}
    failed = np.full(shape[:2], np.nan)
    sheets = {}
    for place, ranges in enumerate(LEVELS):
        keys = [
            f"{bench.profile.name}/{name}/{ranges.name}/{bench.protocol.seed}" for name in bench.photos.names
        ]
        small = [degrade(photo, ranges, key) for photo, key in zip(bench.held_out, keys, strict=True)]
        given = np.stack([resize(photo, bench.held_out.shape[1:3], "bicubic") for photo in small])
        shown = [given]
        _note(bench, found, given, place, 0)
        failed[place, 0] = 0
        for method in bench.methods:
            if method.name in SYNTHESIS:
                continue
            settings, row = bench.settings("upscale"), ROWS.index(method.name)
            subjects = [
                Subject(photo, name=name) for photo, name in zip(small, bench.photos.names, strict=True)
            ]
            restored = method.restore(
                bench.profile, bench.trained(method), subjects, "upscale", settings, bench.progress
            )
            answers = Answers.of([one.face for one in restored], given)
            failed[place, row] = answers.failed
            _note(bench, found, answers.pixels, place, row)  # a failure counts as the photo as it was
            shown.append(answers.pixels)
        sheets[f"field-{ranges.name}"] = sheet_of(np.stack([*shown, bench.held_out], axis=1))
    return Measured(found | {"failed": failed}, sheets)


def _note(bench: Bench, found: dict[str, Values], made: Pixels, place: int, row: int) -> None:
    crop = bench.profile.prior.crop
    faces = [cut_face(to_unit(pixels), crop) for pixels in (made, bench.held_out)]
    scores: dict[str, Values] = {
        **bench.score(made),
        "face_lpips": np.asarray(lpips(bench.judge.perceptual, *faces), np.float64),
    }
    for name, column in scores.items():
        found[name][place, row] = column


# IDS of ReF-LDM with five references on FFHQ-Ref, by another net: to be read beside, not compared
PUBLISHED: Final = {"moderate": 0.840, "severe": 0.676}


def tell(measured: Mapping[str, Measured]) -> Report:
    """Lay the field's protocol out, all people's photos together."""
    tables, targets, titles = [], [], told_of(measured, COLUMNS)
    for place, ranges in enumerate(LEVELS):
        rows: list[list[Cell]] = []
        means: dict[str, float] = {}
        for row, method in enumerate(ROWS):
            columns = {
                name: np.concatenate([found.values[name][place, row] for found in measured.values()])
                for name in titles
            }
            failures = np.array([found.values["failed"][place, row] for found in measured.values()])
            if np.isnan(failures).all():
                continue  # the prior lacks what the method needs
            failed = int(np.nansum(failures))
            means[method] = mean_of(columns["truth_id"])
            rows.append([method, *(spread_of(columns[name]) for name in titles), failed])
        rows.append(["ReF-LDM, five references", f"{PUBLISHED[ranges.name]:.3f}", *[None] * len(titles)])
        tables.append(Table(ranges.name, ["method", *titles.values(), "failed"], rows))
        rivals = {name: value for name, value in means.items() if name not in (OURS, SHIPPED)}
        best = max(rivals, key=lambda name: rivals[name])
        targets.append(Target(f"{ranges.name}: IDS over {best}", means[SHIPPED] - rivals[best], "above", 0.0))
    tables.append(methods_told(list(means)))
    return Report(
        "damage",
        "the field's own degradations, Moderate and Severe",
        tables,
        targets,
        {"scaled": f"blur and shrinking by the crop's side over {SIDE}"},
        findings=[f"{t.name}: {t.value:+.3f}" for t in targets],
    )


COLUMNS: Final = {
    "truth_id": "IDS to the truth",
    "id": "IDS to the nearest reference",
    "face_lpips": "LPIPS on the face",
    "dlib_truth": "dlib to the truth",
    "judge_truth": "judge to the truth",
    "judge": "judge to the nearest reference",
}

EXPERIMENTS: Final = (
    Experiment(
        "damage",
        "What becomes of blurred, noisy, compressed photos?",
        measure,
        tell,
        held_out=1,
        methods=ROWS,
        judged=True,
        version=2,
    ),
)
