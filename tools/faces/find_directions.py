"""Semantic directions in the W of real faces: from landmarks, pixels and labels, and in closed form.

Codes are regressed on everything known at once, so that a direction is what one property changes in the code
while the others stay: a smile that does not make younger, an age that does not turn the head. How far a step
goes is then measured on pictures: regression alone makes steps of about half of what they are called, as what
is read off one photo is noisy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from mystyle_cli.analysis.properties import TURN, measure_properties
from mystyle_cli.prior.directions import Direction
from tools.faces.crops import AGES, Crops
from tools.faces.disguises import clear_glasses
from tools.faces.drawing import Scene

MIDDLES = dict(zip(AGES, (1, 6, 15, 25, 35, 45, 55, 65, 75), strict=True))  # years
RIDGE = 0.1  # of the codes' mean variance, that readers of labels are held back by
FACTORS = (0.5, 3.0)  # by which measuring may change a step in all


class Property(NamedTuple):
    """What one step of a direction means: so much of the property, and how that is called."""

    amount: float | None  # None: one standard deviation
    unit: str


PROPERTIES = {
    "yaw": Property(TURN, "about 10 degrees"),
    "pitch": Property(None, "one standard deviation"),
    "smile": Property(None, "one standard deviation of the mouth's width"),
    "mouth": Property(None, "one standard deviation of the gap between the lips"),
    "eyes-open": Property(None, "one standard deviation of the lids' distance"),
    "light": Property(None, "one standard deviation of the cheeks' difference in brightness"),
    "age": Property(10.0, "10 years"),
    "gender": Property(1.0, "half of the way from the women's mean to the men's"),
    "glasses": Property(1.0, "from none to glasses"),
}


def read_properties(
    landmarks: np.ndarray, crops: np.ndarray, names: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return each property of each face, measured or labelled.

    Args:
        landmarks: (N, 68, 2) in crop sides.
        crops: (N, R, R, 3) bytes.
        names: labels "age", "gender", "race", each (N,).
    """
    return measure_properties(landmarks, crops) | {
        "age": np.array([MIDDLES[str(age)] for age in names["age"]], float),
        "gender": (names["gender"] == "Male").astype(float) * 2 - 1,
    }


def draw_glasses(crops: Crops, rows: np.ndarray, seed: int = 0) -> np.ndarray:
    """Crops (N, R, R, 3) as bytes with spectacles drawn on them."""
    rng, drawn = np.random.default_rng(seed), []
    for pixels, marks in zip(crops.bytes(rows), crops.landmarks[rows].astype(float), strict=True):
        places = marks * len(pixels)
        scene = Scene(pixels.astype(np.float32), places, pixels, places)  # glasses borrow no texture
        drawn.append(clear_glasses(scene, rng).clip(0, 255).astype(np.uint8))
    return np.stack(drawn)


def wear_glasses(codes: np.ndarray, bare: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Which codes (N, w_dim) are of faces with glasses, taught by faces as they are and with drawn ones.

    No label says who wears glasses. A linear discriminant between codes of the same faces without and with
    drawn ones finds those who wear real ones.

    Args:
        codes: of the faces asked about.
        bare: (K, w_dim) of faces as they are; some wear glasses, which does no harm.
        drawn: (K, w_dim) of the same faces with glasses drawn on.
    """
    within = np.cov(bare.T) + np.cov(drawn.T)
    within += 0.1 * np.trace(within) / len(within) * np.eye(len(within))
    weights = np.linalg.solve(within, drawn.mean(0) - bare.mean(0))  # (w_dim,)
    return np.asarray(codes @ weights > (bare.mean(0) + drawn.mean(0)) / 2 @ weights)


def amount_of(name: str, properties: Mapping[str, np.ndarray]) -> float:
    """Return how much of a property one step of its direction is called."""
    amount = PROPERTIES[name].amount
    return float(properties[name].std()) if amount is None else amount


def find(codes: np.ndarray, properties: dict[str, np.ndarray], race: np.ndarray) -> dict[str, Direction]:
    """Directions of codes (N, w_dim): the change of code with each property, all regressed together."""
    others = (race[:, None] == np.unique(race)[None, 1:]).astype(
        float
    )  # one race is where the others are zero
    level = crops_level(properties)
    columns = np.column_stack([*properties.values(), *others.T, *level.T])
    columns = columns - columns.mean(0)
    effects, *_ = np.linalg.lstsq(columns, codes - codes.mean(0), rcond=1e-6)  # (P, w_dim)
    directions = {}
    for name, effect in zip(properties, effects, strict=False):
        unit = PROPERTIES[name].unit
        change = effect.astype(np.float64) * amount_of(name, properties)
        length = float(np.linalg.norm(change))
        source = "regression of the encoder's codes on landmarks, pixels and FairFace's labels"
        directions[name] = Direction(name, change / length, length, unit, source)
    return directions


def calibrate(
    directions: Mapping[str, Direction],
    amounts: Mapping[str, float],
    codes: np.ndarray,
    see: Callable[[np.ndarray], Mapping[str, np.ndarray]],
) -> dict[str, Direction]:
    """Scale the steps so that one moves its property, as pictures show it, by the amount that it is called.

    Args:
        directions: as `find` returns them.
        amounts: of each property, that one step is called.
        codes: (K, w_dim) that are moved both ways.
        see: draws codes (K, w_dim) and returns each property of the pictures, (K,).
    """
    scaled = {}
    for name, direction in directions.items():
        low, high = (factor * direction.step for factor in FACTORS)
        for _ in range(2):  # properties do not follow codes along a straight line
            change = direction.step * direction.vector
            moved = float((see(codes + change)[name] - see(codes - change)[name]).mean()) / 2
            step = direction.step * amounts[name] / moved if moved > 0 else high
            direction = replace(direction, step=float(np.clip(step, low, high)))
        scaled[name] = direction
    return scaled


def read_labels(codes: np.ndarray, labels: Mapping[str, np.ndarray]) -> Callable[[np.ndarray], dict]:
    """Return what reads labels off codes (K, w_dim), on average as large as they are.

    Args:
        codes: (N, w_dim) of faces.
        labels: theirs, each (N,).
    """
    centre = codes.mean(0)
    spread = (codes - centre).T @ (codes - centre)
    held = spread + RIDGE * np.trace(spread) / len(spread) * np.eye(len(spread))
    readers = {}
    for name, values in labels.items():
        weights = np.linalg.solve(held, (codes - centre).T @ (values - values.mean()))  # (w_dim,)
        shrunk = np.polyfit(values, (codes - centre) @ weights, 1)[0]  # ridge reads less than there is
        readers[name] = weights / shrunk
    return lambda asked: {name: (asked - centre) @ weights for name, weights in readers.items()}


def crops_level(properties: dict[str, np.ndarray]) -> np.ndarray:
    """Squares (N, 2) of turn and light: no directions of their own, but they must not leak into others."""
    return np.column_stack([properties["yaw"] ** 2, properties["light"] ** 2])
