"""Identity along paths in W: between anchors and away from them (sec. 4.1, app. C.1; fig 4, 15, 16, 21a)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from mystyle_cli.analysis.tuned import Interpolation, interpolate
from mystyle_cli.experiments.experiment import Experiment, Measured, Values, spread_of
from mystyle_cli.person.score import id_scores, synthesise
from mystyle_cli.progress import Step
from mystyle_cli.report.report import Cell, Curve, Plot, Report, Table, Target

if TYPE_CHECKING:
    from mystyle_cli.experiments.bench import Bench

# how far a walk goes from its anchor, in mean distances of anchors from their nearest neighbour
REACH: Final = 1.5


def measure_lines(bench: Bench) -> Measured:
    """Score identity along lines between pairs of anchors, in G_d and G_p; the pair's photos do not count.

    Returns:
        pairs (P, 2); before, after (P, T): ID to the reference set; the same with `held_` to held-out photos.
    """
    protocol, profile = bench.protocol, bench.profile
    lines = interpolate(profile, protocol.pairs, protocol.points, protocol.seed, bench.progress)
    held = {}
    if len(bench.held_out):
        for name, generator in (("before", profile.prior.generator()), ("after", profile.generator())):
            rows = []
            for pair in lines.pairs:
                first, second = profile.anchors()[pair]
                codes = first + lines.thetas[:, None] * (second - first)  # (T, w_dim)
                images = synthesise(generator, codes.astype(np.float32)).clip(-1, 1)
                rows.append(id_scores(profile.prior.embed(images), bench.held_out_embeddings))
            held[f"held_{name}"] = np.array(rows, np.float64)
    found: dict[str, Values] = {
        "thetas": lines.thetas,
        "pairs": lines.pairs.astype(np.float64),
        "before": lines.before.astype(np.float64),
        "after": lines.after.astype(np.float64),
    }
    return Measured(found | held)


def lines_of(measured: Measured, kind: str = "") -> Interpolation:
    """Return what was measured along lines; kind "held_" takes the ID to held-out photos."""
    values = measured.values
    return Interpolation(
        values["thetas"],
        values["pairs"].astype(np.int64),
        values[f"{kind}before"].astype(np.float32),
        values[f"{kind}after"].astype(np.float32),
    )


# how much higher ID between anchors is after tuning, at least: the distance of fig 4's curves is larger
GAIN: Final = 0.15

# share of codes between anchors that score lower than both, in the paper. Source: fig 15
BELOW: Final = 0.067


def tell_lines(measured: Mapping[str, Measured]) -> Report:
    """Lay fig 4, 15, 16 and 21a out."""
    people = {name: lines_of(found) for name, found in measured.items()}
    rows: list[list[Cell]] = []
    for name, lines in people.items():
        held = lines_of(measured[name], "held_") if "held_after" in measured[name].values else None
        rows.append(
            [
                name,
                spread_of(lines.before[:, 1:-1]),
                spread_of(lines.after[:, 1:-1]),
                held.gain if held else None,
                100 * lines.below_both(),
                100 * lines.below_both(0.05),
                float(-lines.changes.min()),
                100 * _above(lines),
            ]
        )
    rows.append(["the paper", None, None, None, 6.7, 0.2, 0.1, 46.7])
    columns = [
        "person",
        "ID before tuning",
        "ID after tuning",
        "gain by held-out photos",
        "below both anchors, %",
        "by more than .05, %",
        "largest fall",
        "above both, %",
    ]
    targets = [
        *(
            Target(f"{name}: ID between anchors higher by", i.gain, "at least", GAIN)
            for name, i in people.items()
        ),
        Target(
            "share of codes below both their anchors",
            float(np.mean([lines.below_both() for lines in people.values()])),
            "at most",
            BELOW,
        ),
    ]
    gain = float(np.mean([lines.gain for lines in people.values()]))
    return Report(
        "interpolation",
        "identity between anchors (fig 4, 15, 16, 21a)",
        [Table("ID between pairs of anchors, whose own photos do not count", columns, rows)],
        targets,
        plots=[_along(people), _histogram(people), _from_better(people)],
        findings=[f"Between two photos ID is {gain:+.2f} higher after tuning than before."],
    )


def _above(lines: Interpolation) -> float:
    """Return the share of codes that score higher than both their anchors."""
    highest = lines.after[:, [0, -1]].max(axis=1, keepdims=True)
    return float((lines.after[:, 1:-1] > highest).mean())


def _along(people: Mapping[str, Interpolation]) -> Plot:
    curves = []
    for name, lines in people.items():
        for label, scores in (("before", lines.before), ("after", lines.after)):
            mean, spread = scores.mean(axis=0).tolist(), scores.std(axis=0).tolist()
            curves.append(Curve(f"{name}, {label}", lines.thetas.tolist(), mean, spread))
    return Plot("Fig 4: identity between anchors", "theta", "ID", curves)


def _histogram(people: Mapping[str, Interpolation]) -> Plot:
    edges = np.linspace(-0.2, 0.4, 25)
    middles = ((edges[1:] + edges[:-1]) / 2).tolist()
    curves = []
    for name, lines in people.items():
        counts = np.histogram(lines.changes.clip(edges[0], edges[-1]), edges)[0]
        curves.append(Curve(name, middles, (100 * counts / counts.sum()).tolist()))
    return Plot("Fig 15: change of ID against the worse anchor", "change of ID", "% of codes", curves, "bars")


def _from_better(people: Mapping[str, Interpolation]) -> Plot:
    curves = []
    for name, lines in people.items():
        for label, scores in (("before", lines.before), ("after", lines.after)):
            mean = lines.from_better(scores).mean(axis=0).tolist()
            curves.append(Curve(f"{name}, {label}", lines.thetas.tolist(), mean))
    return Plot("Fig 16: from the better anchor to the worse", "theta", "ID", curves)


def measure_walks(bench: Bench) -> Measured:
    """Score identity on walks from anchors in random directions, in G_d and G_p.

    Returns:
        steps (T,), in mean distances of anchors from their nearest neighbour; before, after (P, T).
    """
    protocol, profile = bench.protocol, bench.profile
    anchors = profile.anchors().astype(np.float64)
    rng = np.random.default_rng(protocol.seed)
    starts = rng.permutation(np.resize(np.arange(len(anchors)), protocol.walks))  # every anchor as often
    directions = rng.standard_normal((len(starts), anchors.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    between = np.linalg.norm(anchors[:, None] - anchors[None], axis=-1)  # (N, N)
    np.fill_diagonal(between, np.inf)
    unit = float(between.min(axis=1).mean()) if len(anchors) > 1 else 1.0
    steps = np.linspace(0, REACH, protocol.points)
    found: dict[str, Values] = {"steps": steps}
    generators = {"before": profile.prior.generator(), "after": profile.generator()}
    for turn, (name, generator) in enumerate(generators.items()):
        rows = []
        for number, (start, direction) in enumerate(zip(starts, directions, strict=True)):
            codes = anchors[start] + unit * steps[:, None] * direction  # (T, w_dim)
            images = synthesise(generator, codes.astype(np.float32)).clip(-1, 1)
            left_out = [[int(start)]] * len(steps) if len(anchors) > 1 else None
            rows.append(profile.id_score(images, left_out))
            bench.progress(Step("walk", turn * len(starts) + number + 1, 2 * len(starts)))
        found[name] = np.array(rows, np.float64)
    return Measured(found)


def tell_walks(measured: Mapping[str, Measured]) -> Report:
    """Lay fig 4's second half out."""
    rows: list[list[Cell]] = []
    curves, targets = [], []
    for name, found in measured.items():
        values = found.values
        before, after, steps = values["before"], values["after"], values["steps"].tolist()
        rows.append(
            [
                name,
                *(float(values[kind][:, place].mean()) for kind in ("before", "after") for place in (0, -1)),
            ]
        )
        for label, scores in (("before", before), ("after", after)):
            mean, spread = scores.mean(axis=0).tolist(), scores.std(axis=0).tolist()
            curves.append(Curve(f"{name}, {label}", steps, mean, spread))
        fall = float(after[:, 0].mean() - after[:, -1].mean())
        targets.append(Target(f"{name}: ID falls on the way out, by", fall, "above", 0.0))
    columns = ["person", "before: anchor", "before: end", "after: anchor", "after: end"]
    plot = Plot("Fig 4: walks from anchors", "distance, in distances of neighbours", "ID", curves)
    return Report(
        "walks",
        "identity in the neighbourhood of anchors (fig 4)",
        [Table("ID at the anchor and at the end of a walk in a random direction", columns, rows)],
        targets,
        plots=[plot],
        findings=[
            f"ID is {_mean(measured, 0):.2f} at a photo's code and {_mean(measured, -1):.2f} "
            f"{REACH:g} distances of neighbours away from it."
        ],
    )


def _mean(measured: Mapping[str, Measured], place: int) -> float:
    """Return the mean ID of all people's tuned walks at a place of theirs."""
    return float(np.mean([found.values["after"][:, place].mean() for found in measured.values()]))


EXPERIMENTS: Final = (
    Experiment(
        "interpolation",
        "Is what lies between two photos still the person?",
        measure_lines,
        tell_lines,
        own=True,
    ),
    Experiment("walks", "How far from the photos is it still the person?", measure_walks, tell_walks),
)
