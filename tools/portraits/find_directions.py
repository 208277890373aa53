"""Finds semantic directions in W: from labels of rendered pictures, and in closed form from the generator.

From labels: codes are regressed on all labels at once, so that a direction is what one label changes in the
code while the others stay. (A hyperplane's normal, as in InterFaceGAN, is made conditional afterwards to the
same end.) Closed form, after SeFa: eigenvectors of the style layers' weights.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mystyle_cli.nets.generator import Generator, SynthesisLayer
from mystyle_cli.prior.directions import Direction


class Label(NamedTuple):
    """A label that becomes a direction: column of the states, and what one step of strength means."""

    column: str
    amount: float
    unit: str


LABELS = {
    "yaw": Label("yaw", 10.0, "10 degrees"),
    "pitch": Label("pitch", 10.0, "10 degrees"),
    "smile": Label("smile", 0.25, "a quarter of a full smile"),
    "mouth": Label("mouth", 0.25, "a quarter of an open mouth"),
    "light": Label("light_x", 0.5, "half of the way from frontal to side light"),
}
CLOSED_FORM = 4


def from_labels(
    codes: np.ndarray, states: np.ndarray, names: list[str], people: np.ndarray
) -> dict[str, Direction]:
    """Directions from labels.

    Args:
        codes: (N, w_dim).
        states: (N, S) labels of each picture, columns called `names`.
        names: S names.
        people: (N,) who is on each picture; each person's mean is taken out first.
    """
    varying = [i for i in range(states.shape[1]) if states[:, i].std() > 1e-6]
    labels, codes = within_people(states[:, varying], people), within_people(codes, people)
    effects, *_ = np.linalg.lstsq(labels, codes, rcond=1e-6)  # (S, w_dim): change of code per unit of label
    directions = {}
    for name, label in LABELS.items():
        change = effects[varying.index(names.index(label.column))].astype(np.float64) * label.amount
        length = float(np.linalg.norm(change))
        source = "regression of the encoder's codes on the renderer's labels"
        directions[name] = Direction(name, change / length, length, label.unit, source)
    return directions


def within_people(values: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Take each person's mean out of values (N, K)."""
    _, who = np.unique(people, return_inverse=True)
    counts = np.bincount(who)[:, None]
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, who, values)
    return np.asarray(values - (sums / counts)[who])


def closed_form(generator: Generator, codes: np.ndarray) -> dict[str, Direction]:
    """Directions that change styles most, from the style layers' weights; codes give their step."""
    layers = [m for m in generator.synthesis.modules() if isinstance(m, SynthesisLayer)]
    weights = np.concatenate([m.affine.weight.detach().double().numpy() for m in layers])
    _, _, axes = np.linalg.svd(weights, full_matrices=False)
    directions = {}
    for i, axis in enumerate(axes[:CLOSED_FORM]):
        step = float((codes @ axis).std())
        name = f"sefa-{i + 1}"
        source = "closed form from the styles (SeFa)"
        directions[name] = Direction(name, axis, step, "one standard deviation", source)
    return directions
