"""Two albums of real people: what is kept of them, and their held-out photos restored.

The albums are read from ../shared/people and their pictures stay in figures/, which git ignores.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from mystyle_cli.analysis.baselines import BOX, MOUTH, Box, Task
from mystyle_cli.analysis.enhancement import METHODS, Enhancement, enhance
from mystyle_cli.analysis.judge import Judge
from mystyle_cli.analysis.metrics import describe_faces, lpips
from mystyle_cli.analysis.report import Cell, Report, Table, Target
from mystyle_cli.analysis.truths import Truths
from mystyle_cli.config import DEFAULT_PRIOR
from mystyle_cli.curate.settings import CurateSettings
from mystyle_cli.learn import LearnSettings, learn
from mystyle_cli.person.profile import Profile
from mystyle_cli.person.reference import HELD_OUT
from mystyle_cli.person.store import Store
from mystyle_cli.photos.decode import to_pixels, to_unit
from mystyle_cli.photos.grid import grid
from mystyle_cli.prior.registry import open_prior
from mystyle_cli.restore.restore import default_settings
from tools.figures.common import OUT, ROOT, report_progress, save_picture, spread
from tools.portraits import PRIOR

PEOPLE = ROOT.parent / "shared" / "people"
ALBUMS = ("a", "b")
SEEDS_VARIABLE = "MYSTYLE_FIGURE_SEEDS"  # how many splits are tried; each takes some twenty minutes
HELD = 0.2  # share of the photos that is held out
SHOWN = 8  # photos on a sheet


@dataclass(frozen=True)
class Case:
    """What is taken from a photo."""

    name: str
    task: Task
    small: int = 16
    box: Box = BOX


CASES: Final = (
    Case("enlarged from 16 px", "upscale"),
    Case("enlarged from 32 px", "upscale", small=32),
    Case("eyes and nose hidden", "inpaint"),
    Case("mouth hidden", "inpaint", box=MOUTH),
)


def make() -> Report:
    """Learn both people with some photos held out, and restore those."""
    if not PEOPLE.is_dir():
        return Report("albums", "real people", [], [], {"skipped": "no folder ../shared/people"})
    seeds = range(int(os.environ.get(SEEDS_VARIABLE, "3")))
    kept: list[list[Cell]] = []
    found: dict[str, list[Scored]] = {case.name: [] for case in CASES}
    for album in ALBUMS:
        for seed in seeds:
            profile, seconds = _learn(album, seed)
            kept.append(_kept(album, seed, profile, seconds))
            truths = _truths(profile)
            for case in CASES:
                found[case.name].append(_score(profile, truths, case, f"{album}-{seed}"))
    tables = [Table("photos kept, held out and refused", ["album", "seed", *_KEPT], kept)]
    tables += [_table(name, runs) for name, runs in found.items()]
    return Report(
        "albums",
        f"two albums of real people, {HELD:.0%} of the photos held out ({len(seeds)} random splits)",
        tables,
        [target for name, runs in found.items() for target in _targets(name, runs)],
        {
            "reference": "distance to the nearest reference photo by dlib's descriptors, lower is nearer",
            "truth": "distance to the true photo by the same",
            "lpips": f"to the truth, by {PRIOR}'s perceptual net, which neither search nor tuning used",
            "pictures": "figures/albums-*.png: input, domain prior, personal prior, truth",
        },
    )


_KEPT = ("photos", "kept", "held out", "seconds", "refused, by reason")


def _learn(album: str, seed: int) -> tuple[Profile, float]:
    """Learn an album with the default settings but for the share held out."""
    photos = sorted(path for path in (PEOPLE / album).iterdir() if path.suffix != ".md")
    settings = LearnSettings(curation=CurateSettings(held_out=HELD), seed=seed)
    start = time.perf_counter()
    learned = learn(
        Store(OUT / "albums"), f"{album}-{seed}", photos, open_prior(DEFAULT_PRIOR), settings, report_progress
    )
    return learned.profile, time.perf_counter() - start


def _kept(album: str, seed: int, profile: Profile, seconds: float) -> list[Cell]:
    records = profile.records
    refused = Counter(str(record.reason) for record in records if not record.kept)
    reasons = ", ".join(f"{reason} {count}" for reason, count in refused.most_common())
    held = len(profile.photos(HELD_OUT))
    return [album, seed, len(records), len(profile.photos()), held, round(seconds), reasons]


def _truths(profile: Profile) -> Truths:
    """Return the held-out photos as `enhance` takes them; nobody knows of marks on them."""
    crops = to_pixels(profile.faces(HELD_OUT))
    paths = tuple(Path(record.file) for record in profile.photos(HELD_OUT))
    return Truths(paths, crops, np.zeros(crops.shape[:3], bool), profile.prior.crop)


@dataclass(frozen=True)
class Scored:
    """One case of one split: for each method its figures, one value a photo."""

    id: dict[str, np.ndarray]
    reference: dict[str, np.ndarray]
    truth: dict[str, np.ndarray]
    lpips: dict[str, np.ndarray]
    psnr: dict[str, np.ndarray]


def _score(profile: Profile, truths: Truths, case: Case, name: str) -> Scored:
    """Restore the held-out photos of a split and judge what came of them."""
    judge, outside = Judge(profile), open_prior(PRIOR).perceptual()
    settings = replace(default_settings(case.task), batch=12)
    run = enhance(judge, truths, case.task, settings, report_progress, small=case.small, box=case.box)
    _show(f"albums-{name}-{case.name.replace(' ', '-')}", run)
    true = describe_faces(truths.images, truths.crop)
    made = {method: to_unit(pictures) for method, pictures in run.pictures.items()}
    return Scored(
        id={method: run.scores[method].id for method in METHODS},
        reference={method: run.scores[method].dlib for method in METHODS},
        truth={
            method: np.linalg.norm(describe_faces(images, truths.crop) - true, axis=1)
            for method, images in made.items()
        },
        lpips={method: np.asarray(lpips(outside, images, truths.images)) for method, images in made.items()},
        psnr={method: run.scores[method].psnr for method in METHODS},
    )


def _show(name: str, run: Enhancement) -> None:
    rows = np.concatenate([run.pictures[method][:SHOWN] for method in METHODS])
    save_picture(name, grid(rows, columns=min(SHOWN, len(run.pictures[METHODS[0]]))))


def _all(runs: Sequence[Scored], figure: str, method: str) -> np.ndarray:
    return np.concatenate([getattr(run, figure)[method] for run in runs])


def _table(name: str, runs: Sequence[Scored]) -> Table:
    columns = ("id", "reference", "truth", "lpips", "psnr")
    rows: list[list[Cell]] = [
        [method, *(spread(_all(runs, figure, method)) for figure in columns)] for method in METHODS
    ]
    photos = len(_all(runs, "id", METHODS[0]))
    return Table(f"{name}, both albums, {photos} photos (mean ± spread)", ["", *columns], rows)


def _targets(name: str, runs: Sequence[Scored]) -> list[Target]:
    """What must hold: nearer to the person and to the truth than the domain prior and the input."""
    shown, theirs, ours, _ = METHODS

    def nearer(other: str) -> float:
        return float((_all(runs, "truth", ours) < _all(runs, "truth", other)).mean())

    gain = float((_all(runs, "id", ours) - _all(runs, "id", theirs)).mean())
    margin = 0.16 if name.startswith("enlarged") else 0.17
    return [
        Target(f"{name}: ID above the domain prior's by", gain, "at least", margin),
        Target(f"{name}: share nearer to the truth than the domain prior", nearer(theirs), "at least", 0.8),
        Target(f"{name}: share nearer to the truth than the input", nearer(shown), "at least", 0.8),
    ]
