"""Two albums of real people: what is kept of them, and their held-out photos restored.

The albums are read from ../shared/people; their pictures stay in figures/, which git ignores. In the first
split each person is learned from the same photos with the rendered people's prior too. With
MYSTYLE_JUDGE=FOLDER, the nets of `tools.faces.judge` judge beside ours.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mystyle_cli.analysis.judge import Judge, Truths
from mystyle_cli.analysis.metrics import describe_faces, lpips
from mystyle_cli.config import DEFAULT_PRIOR
from mystyle_cli.curate.settings import CurateSettings
from mystyle_cli.experiments.cases import CASES, Case
from mystyle_cli.experiments.enhancement import MARGINS
from mystyle_cli.faces.align import FFHQ, align, warp
from mystyle_cli.faces.face import aligned_face
from mystyle_cli.faces.faces import find_faces
from mystyle_cli.learn.learn import Learned, learn
from mystyle_cli.learn.settings import LearnSettings
from mystyle_cli.person.profile import Profile
from mystyle_cli.person.reference import HELD_OUT
from mystyle_cli.photos.decode import decode
from mystyle_cli.photos.pixels import Pixels, grid, to_pixels, to_unit
from mystyle_cli.prior.registry import open_prior
from mystyle_cli.report.report import Cell, Report, Table, Target
from mystyle_cli.restore.restore import restore
from mystyle_cli.restore.task import default_settings
from mystyle_cli.restore.trials import comparison_settings, pictures, subjects
from mystyle_cli.store.store import Store
from tools.faces import judge as outside
from tools.figures.common import OUT, ROOT, report_progress, save_picture, spread
from tools.figures.restored import METHODS, Enhancement, enhance
from tools.portraits import PRIOR

PEOPLE = ROOT.parent / "shared" / "people"
ALBUMS = ("a", "b")
JUDGE_VARIABLE = "MYSTYLE_JUDGE"  # folder of the outside judge's nets
SEEDS_VARIABLE = "MYSTYLE_FIGURE_SEEDS"  # how many splits are tried; each takes some twenty minutes
HELD = 0.2  # share of the photos that is held out
SHOWN = 8  # photos on a sheet


def make() -> Report:
    """Learn both people with some photos held out, and restore those."""
    if not PEOPLE.is_dir():
        return Report("albums", "real people", [], [], {"skipped": "no folder ../shared/people"})
    seeds = range(int(os.environ.get(SEEDS_VARIABLE, "3")))
    kept: list[list[Cell]] = []
    found: dict[str, list[Scored]] = {case.name: [] for case in CASES}
    for album in ALBUMS:
        for seed in seeds:
            name = f"{album}-{seed}"
            learned = learn_photos(name, album_photos(album), DEFAULT_PRIOR, HELD, seed)
            kept.append(_kept(album, seed, learned))
            profile = learned.profile
            truths = _truths(profile, PEOPLE / album)
            rendered = _learn_rendered(f"{name}-rendered", album, profile) if seed == 0 else None
            for case in CASES:
                found[case.name].append(_score(profile, truths, case, name, rendered))
    tables = [Table("photos kept, held out and refused", ["album", "seed", *_KEPT], kept)]
    tables += [_table(name, runs) for name, runs in found.items()]
    return Report(
        "albums",
        f"two albums of real people, {HELD:.0%} of the photos held out ({len(seeds)} random splits)",
        tables,
        [target for case in CASES for target in _targets(case, found[case.name])],
        {
            "reference": "distance to the nearest reference photo by dlib's descriptors, lower is nearer",
            "truth": "distance to the true photo by the same",
            "outside": f"cosine to the true photo by {outside.NET}, of which nothing here knows",
            "lpips": f"to the truth, by {PRIOR}'s perceptual net, which neither search nor tuning used",
            "features": f"distance to the truth by {outside.NET}'s features",
            PRIOR: "the person learned from the same photos with that prior, first split only",
            "pictures": "figures/albums-*.png: input, domain prior, personal prior, truth",
        },
    )


_KEPT = ("photos", "kept", "held out", "seconds", "refused, by reason")


def album_photos(album: str) -> list[Path]:
    """Photos of an album."""
    return sorted(path for path in (PEOPLE / album).iterdir() if path.suffix != ".md")


def learn_photos(name: str, photos: list[Path], prior: str, held: float, seed: int) -> Learned:
    """Learn photos with the default settings but for the share held out."""
    settings = LearnSettings(curation=CurateSettings(held_out=held), seed=seed)
    return learn(Store(OUT / "albums"), name, photos, open_prior(prior), settings, report_progress)


def _learn_rendered(name: str, album: str, profile: Profile) -> Profile:
    """Learn the photos of a profile's reference set with the prior of rendered people."""
    photos = [PEOPLE / album / record.file for record in profile.photos()]
    return learn_photos(name, photos, PRIOR, 0.0, 0).profile


def _kept(album: str, seed: int, learned: Learned) -> list[Cell]:
    records, profile = learned.profile.records, learned.profile
    refused = Counter(str(record.reason) for record in records if not record.kept)
    reasons = ", ".join(f"{reason} {count}" for reason, count in refused.most_common())
    held, seconds = len(profile.photos(HELD_OUT)), round(sum(learned.seconds.values()))
    return [album, seed, len(records), len(profile.photos()), held, seconds, reasons]


def _truths(profile: Profile, album: Path) -> Truths:
    """Return the held-out photos as `enhance` takes them; nobody knows of marks on them."""
    crops = to_pixels(profile.faces(HELD_OUT))
    paths = tuple(album / record.file for record in profile.photos(HELD_OUT))
    return Truths(paths, crops, np.zeros(crops.shape[:3], bool), profile.prior.crop)


@dataclass(frozen=True)
class Scored:
    """One case of one split: for each method its figures, one value a photo."""

    id: dict[str, np.ndarray]
    reference: dict[str, np.ndarray]
    truth: dict[str, np.ndarray]
    outside: dict[str, np.ndarray]
    lpips: dict[str, np.ndarray]
    features: dict[str, np.ndarray]
    psnr: dict[str, np.ndarray]


def _score(profile: Profile, truths: Truths, case: Case, name: str, rendered: Profile | None) -> Scored:
    """Restore the held-out photos of a split and judge what came of them."""
    judge, perceptual = Judge(profile), open_prior(PRIOR).perceptual()
    settings = replace(default_settings(case.task), batch=12)
    run = enhance(judge, truths, case, settings, report_progress)
    _show(f"albums-{name}-{case.name.replace(' ', '-')}", run)
    shown, scores = dict(run.pictures), dict(run.scores)
    if rendered is not None and case.task == "upscale":
        shown[PRIOR] = _enlarge_rendered(rendered, truths, case)
        scores[PRIOR] = judge.score(shown[PRIOR], truths)
    made = {method: to_unit(pictures) for method, pictures in shown.items()}
    true = describe_faces(truths.images, truths.crop)
    strange = outside_judge()
    unknown = np.full(len(truths.crops), np.nan)
    return Scored(
        id={method: found.id for method, found in scores.items()},
        reference={method: found.dlib for method, found in scores.items()},
        truth={
            method: np.linalg.norm(describe_faces(images, truths.crop) - true, axis=1)
            for method, images in made.items()
        },
        outside={
            method: _cosines(strange, pictures, truths) if strange else unknown
            for method, pictures in shown.items()
        },
        lpips={
            method: np.asarray(lpips(perceptual, images, truths.images)) for method, images in made.items()
        },
        features={
            method: strange.distance(pictures, truths.crops) if strange else unknown
            for method, pictures in shown.items()
        },
        psnr={method: found.psnr for method, found in scores.items()},
    )


def outside_judge() -> outside.Judge | None:
    """The judge whose nets MYSTYLE_JUDGE names, if any."""
    folder = os.environ.get(JUDGE_VARIABLE)
    return outside.Judge(Path(folder)) if folder else None


def _cosines(judge: outside.Judge, pictures: Pixels, truths: Truths) -> np.ndarray:
    """Return the outside judge's cosine (B,) of pictures and the truth, each cut by its own landmarks."""
    rows = [
        np.stack([judge.describe(one, aligned_face(one, truths.crop).landmarks) for one in crops])
        for crops in (pictures, truths.crops)
    ]
    return np.asarray((rows[0] * rows[1]).sum(1))


def _enlarge_rendered(rendered: Profile, truths: Truths, case: Case) -> Pixels:
    """Return what the other prior makes of the same faces as small, cut to the crop that is judged."""
    size, crop = rendered.prior.resolution, truths.crop
    whole = np.stack(
        [_wider(path, true, truths, size) for path, true in zip(truths.paths, truths.crops, strict=True)]
    )
    small = round(case.small(truths.crops.shape[1]) / crop.scale)
    names = [path.name for path in truths.paths]
    settings = replace(comparison_settings("upscale"), start="centre", batch=12)
    found = restore(rendered, subjects(whole, "upscale", names, FFHQ, small=small), "upscale", settings)
    corners = crop.to_ffhq(np.array([[0, 0], [0, 1], [1, 1], [1, 0]])) * size
    return np.stack([warp(one, corners, truths.crops.shape[1]) for one in pictures(found)])


def _wider(path: Path, true: Pixels, truths: Truths, size: int) -> Pixels:
    """Return the FFHQ crop (size, size, 3) of a photo's face, that one of its faces that `true` shows."""
    pixels = decode(path).pixels
    faces = [face.landmarks for face in find_faces(pixels)]

    def difference(landmarks: np.ndarray) -> float:
        cut = align(pixels, landmarks, len(true), truths.crop).pixels
        return float(np.square(cut.astype(float) - true).mean())

    return align(pixels, min(faces, key=difference), size, FFHQ).pixels


def _show(name: str, run: Enhancement) -> None:
    rows = np.concatenate([run.pictures[method][:SHOWN] for method in METHODS])
    save_picture(name, grid(rows, columns=min(SHOWN, len(run.pictures[METHODS[0]]))))


def _all(runs: Sequence[Scored], figure: str, method: str) -> np.ndarray:
    return np.concatenate([found[method] for run in runs if method in (found := getattr(run, figure))])


def _table(name: str, runs: Sequence[Scored]) -> Table:
    columns = ("id", "reference", "truth", "outside", "lpips", "features", "psnr")
    rows: list[list[Cell]] = [
        [method, *(spread(_all(runs, figure, method)) for figure in columns)] for method in runs[0].id
    ]
    photos = len(_all(runs, "id", METHODS[0]))
    return Table(f"{name}, both albums, {photos} photos (mean ± spread)", ["", *columns], rows)


def _targets(case: Case, runs: Sequence[Scored]) -> list[Target]:
    """What must hold: nearer to the person and to the truth than the domain prior and the input."""
    shown, theirs, ours, _ = METHODS

    def nearer(other: str) -> float:
        return float((_all(runs, "truth", ours) < _all(runs, "truth", other)).mean())

    gain = float((_all(runs, "id", ours) - _all(runs, "id", theirs)).mean())
    name, (margin, _) = case.name, MARGINS[case.task]
    return [
        Target(f"{name}: ID above the domain prior's by", gain, "at least", margin),
        Target(f"{name}: share nearer to the truth than the domain prior", nearer(theirs), "at least", 0.8),
        Target(f"{name}: share nearer to the truth than the input", nearer(shown), "at least", 0.8),
    ]
