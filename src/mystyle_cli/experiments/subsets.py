"""Fewer photos: what size and diversity of the set are worth (sec. 4.2; fig 6), IDS by their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from mystyle_cli.analysis.metrics import lpips
from mystyle_cli.experiments.cases import SMALL
from mystyle_cli.experiments.experiment import (
    Experiment,
    Measured,
    Values,
    failures_in,
    mean_of,
    means_of,
    sheet_of,
)
from mystyle_cli.photos.pixels import to_unit
from mystyle_cli.projection.degradations import Identity
from mystyle_cli.projection.projection import Problem, project
from mystyle_cli.projection.settings import ProjectionSettings
from mystyle_cli.report.report import Cell, Curve, Plot, Report, Table, Target
from mystyle_cli.tuning.settings import TuneSettings, passes_for
from mystyle_cli.tuning.tuning import Reconstruction, tune

if TYPE_CHECKING:
    from mystyle_cli.experiments.bench import Arrays, Bench
    from mystyle_cli.nets.generator import Generator
    from mystyle_cli.photos.pixels import Pixels


def draw_subsets(count: int, sizes: Sequence[int], repeats: int, seed: int) -> list[list[int]]:
    """Draw subsets of `count` photos, the sizes in their order; the whole set is drawn once.

    Args:
        count: N.
        sizes: of subsets; those above N are left out, and N itself is always there.
        repeats: of each size.
        seed: makes them repeatable.
    """
    rng = np.random.default_rng(seed)
    found = [
        sorted(rng.permutation(count)[:size].tolist())
        for size in sizes
        if size < count
        for _ in range(repeats)
    ]
    return [*found, list(range(count))]


def tuned_on(bench: Bench, rows: Sequence[int]) -> Generator:
    """Return G_p tuned on some of the photos from scratch, kept on the bench's shelf."""
    import torch

    profile, passes = bench.profile, bench.protocol.passes
    usual = TuneSettings(seed=bench.protocol.seed)
    shown = passes_for(len(rows), usual.passes if passes is None else passes, usual.batch)
    settings = replace(usual, passes=shown)

    def make() -> Arrays:
        generator = profile.prior.generator()
        anchors, faces = profile.anchors()[list(rows)], profile.faces()[list(rows)]
        wanted = Reconstruction(generator, anchors, faces, bench.judge.perceptual)
        result = tune(wanted, settings, progress=bench.progress)
        return {name: value.numpy() for name, value in result.state.items()}

    key = f"tuned {profile.manifest.digests()} {list(rows)} {settings}"
    generator = profile.prior.generator()
    state = {
        name: torch.from_numpy(np.array(value)) for name, value in bench.shelf.tensors(key, make).items()
    }
    generator.load_state_dict(state, strict=False)
    return generator


def diversity(bench: Bench, rows: Sequence[int], seed: int, most: int = 200) -> float:
    """Return the mean LPIPS of pairs of reference photos, at most so many drawn pairs (sec. 4.2)."""
    first, second = np.triu_indices(len(rows), 1)
    if not len(first):
        return float("nan")
    chosen = np.random.default_rng(seed).permutation(len(first))[:most]
    faces = bench.profile.faces()[list(rows)]
    return float(lpips(bench.judge.perceptual, faces[first[chosen]], faces[second[chosen]]).mean())


def measure(bench: Bench) -> Measured:
    """Tune on subsets, invert held-out photos into their P_0, and enlarge them.

    Returns:
        size, diversity (S,); lpips (S, B) of inversions into P_0; truth_id, id, small_lpips (S, B) of photos
        enlarged 8 times as the command does it: ID to the truth and to the nearest of all reference photos,
        LPIPS; NaN where one failed.
    """
    protocol, profile = bench.protocol, bench.profile
    groups = draw_subsets(len(profile.anchors()), protocol.sizes, protocol.repeats, protocol.seed)
    truths = to_unit(bench.held_out)
    shape = (len(groups), len(truths))
    found: dict[str, Values] = {
        name: np.full(shape, np.nan) for name in ("lpips", "truth_id", "id", "small_lpips")
    }
    shown: dict[int, Pixels] = {}
    settings = ProjectionSettings(space="p", beta=0.0, steps=protocol.steps)
    shipped = bench.settings(SMALL.task, space=None)
    for number, rows in enumerate(groups):
        generator = tuned_on(bench, rows)
        anchors = profile.anchors()[rows]
        problem = Problem(generator, anchors, truths, Identity(), bench.judge.perceptual)
        result = project(problem, settings, bench.progress)
        made = result.images.clip(-1, 1)
        found["lpips"][number] = lpips(bench.judge.perceptual, made, truths)
        person = profile.drawn_by(generator, anchors)
        enlarged = SMALL.answered(person, bench.photos, shipped, bench.progress)
        scores = bench.judged(enlarged)
        for name, kind in (("truth_id", "truth_id"), ("id", "id"), ("small_lpips", "lpips")):
            found[name][number] = scores[kind]
        shown[len(rows)] = enlarged.pixels
    sizes = np.array([len(rows) for rows in groups], np.float64)
    spread = np.array([diversity(bench, rows, protocol.seed) for rows in groups])
    sheet = sheet_of(np.stack([*shown.values(), bench.held_out], axis=1))
    return Measured(found | {"size": sizes, "diversity": spread}, {"by-number-of-photos": sheet})


# IDS of ReF-LDM by number of references, on other photos and by another net: only its shape compares
REF_LDM: Final = {1: 0.52, 3: 0.62, 5: 0.65, 8: 0.66}


def tell(measured: Mapping[str, Measured]) -> Report:
    """Lay fig 6 and the IDS by number of photos out."""
    rows: list[list[Cell]] = []
    curves, scatter, targets = [], [], []
    for name, found in measured.items():
        values = found.values
        sizes = values["size"].astype(int)
        for size in np.unique(sizes):
            which = sizes == size
            rows.append(
                [
                    name,
                    int(size),
                    int(which.sum()),
                    *(
                        mean_of(values[kind][which])
                        for kind in ("diversity", "lpips", "truth_id", "id", "small_lpips")
                    ),
                    failures_in(values["id"][which]),
                    REF_LDM.get(int(size)),
                ]
            )
        scatter.append(Curve(name, values["diversity"].tolist(), means_of(values["lpips"]).tolist()))
        of = {size: mean_of(values["lpips"][sizes == size]) for size in np.unique(sizes)}
        curves.append(Curve(name, [float(size) for size in of], list(of.values())))
        gain = of[int(sizes.min())] - of[int(sizes.max())]
        targets.append(Target(f"{name}: LPIPS in P_0, fewest less all photos", gain, "above", 0.0))
    columns = [
        "person",
        "photos",
        "draws",
        "diversity",
        "LPIPS in P_0",
        "ID to the truth, enlarged 8 times",
        "ID to the set",
        "LPIPS, enlarged 8 times",
        "failed",
        "IDS of ReF-LDM",
    ]
    return Report(
        "photos",
        "what the number and the diversity of photos are worth (fig 6)",
        [Table("held-out photos by a profile of fewer photos", columns, rows)],
        targets,
        plots=[
            Plot("Fig 6: inversion into P_0", "photos", "LPIPS", curves),
            Plot("Fig 6: diversity of the set", "mean LPIPS of pairs", "LPIPS in P_0", scatter, "points"),
        ],
        findings=[_finding(name, found) for name, found in measured.items()],
    )


def _finding(name: str, found: Measured) -> str:
    sizes = found.values["size"]
    most = float(sizes.max())
    half = sizes[sizes <= most / 2]
    if not len(half):
        return f"{name}: {most:.0f} photos are too few to see what more would give."
    near = half.max()
    few, all_ = (mean_of(found.values["lpips"][sizes == size]) for size in (near, most))
    return f"{name}: with {near:.0f} photos LPIPS in P_0 is {few:.3f}, with all {most:.0f} it is {all_:.3f}."


EXPERIMENTS: Final = (
    Experiment(
        "photos", "Are there enough photos, and of the right kind?", measure, tell, held_out=1, version=2
    ),
)
