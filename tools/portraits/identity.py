"""Who a rendered person is: about sixty numbers, and the population they are drawn from.

Lengths are in head units: the eye line is at y = 0, the chin near y = -1.08, the crown near y = 1.06,
x grows to the picture's right and z towards the camera.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Identity(NamedTuple):
    """What stays the same in every photo of one person. Shape numbers are offsets, 0 is the average face."""

    # skull and face outline
    face_length: float  # [-1, 1] short to long
    forehead_height: float
    skull_width: float
    cheek_width: float
    jaw_width: float
    chin_width: float
    chin_length: float
    chin_forward: float
    cheek_fullness: float
    # eyes
    eye_spacing: float
    eye_height: float
    eye_width: float
    eye_opening: float
    eye_slant: float
    eye_depth: float
    lid_crease: float
    iris_hue: float  # [0, 1] brown, hazel, green, blue, grey
    iris_value: float
    lash: float  # [0, 1]
    # brows
    brow_height: float
    brow_arch: float
    brow_slant: float
    brow_thickness: float
    brow_length: float
    brow_density: float  # [0, 1]
    # nose
    nose_length: float
    nose_width: float
    nose_bridge: float
    nose_hump: float
    nose_tip: float
    nose_tip_up: float
    nose_out: float
    # mouth
    mouth_height: float
    mouth_width: float
    lip_upper: float
    lip_lower: float
    cupid_bow: float
    lip_redness: float  # [0, 1]
    # skin
    skin_tone: float  # [0, 1] light to deep
    skin_red: float
    skin_yellow: float
    freckles: float  # [0, 1]
    age: float  # [0, 1]
    blush: float  # [0, 1]
    ear_size: float
    neck_width: float
    # hair
    hair_hue: float  # [0, 1] black, brown, auburn, blond
    hair_value: float
    hair_grey: float  # [0, 1]
    hair_length: float  # [0, 1] cropped to below the shoulder
    hair_volume: float  # [0, 1]
    hair_curl: float  # [0, 1]
    hairline: float
    hair_fringe: float  # [0, 1] none to the brows
    hair_part: float  # [-1, 1]
    hair_opening: float  # [-1, 1] how far long hair frames the face
    baldness: float  # [0, 1]
    beard: float  # [0, 1]
    moustache: float  # [0, 1]
    stubble: float  # [0, 1]
    texture_seed: float


class Traits(NamedTuple):
    """Signature traits; the population has none, the demonstration people do. Zero size means absent."""

    birthmark_x: float = 0.0
    birthmark_y: float = 0.0
    birthmark_size: float = 0.0  # radius in head units
    scar_x: float = 0.0
    scar_y: float = 0.0
    scar_angle: float = 0.0  # radians
    scar_size: float = 0.0  # half-length in head units
    streak_angle: float = 0.0  # azimuth of a light hair streak, radians
    streak_size: float = 0.0  # half-width, radians
    odd_eye: float = 0.0  # 1: the eye on the picture's right has another colour
    tooth_gap: float = 0.0  # half-width in head units
    odd_brow: float = 0.0  # how far one brow is raised, head units


def draw_identity(seed: int) -> Identity:
    """Draw one person of the population.

    Args:
        seed: any non-negative integer; the same seed is the same person.

    Returns:
        An identity without signature traits.
    """
    rng = np.random.default_rng([seed, 101])
    values = {name: float(np.clip(rng.normal(0.0, 0.5), -1.1, 1.1)) for name in Identity._fields}
    womanly = rng.random() < 0.5  # correlates hair, beard, jaw and lips, as in a crowd
    tone = float(np.clip(rng.beta(1.1, 1.5), 0.0, 1.0))
    dark = tone > 0.45
    values |= {
        "skin_tone": tone,
        "iris_hue": float(rng.beta(0.7, 3.0) if dark else rng.random()),
        "iris_value": float(rng.random()),
        "lash": float(rng.uniform(0.4, 1.0) if womanly else rng.uniform(0.0, 0.5)),
        "brow_density": float(rng.uniform(0.4, 1.0)),
        "lip_redness": float(rng.uniform(0.35, 1.0) if womanly else rng.uniform(0.0, 0.5)),
        "freckles": float(max(0.0, rng.uniform(-1.2, 1.0)) * (not dark)),
        "age": float(rng.beta(1.2, 1.8)),
        "blush": float(rng.random()),
        "hair_hue": float(rng.beta(0.8, 4.0) if dark else rng.random()),
        "hair_value": float(rng.uniform(0.0, 0.4) if dark else rng.random()),
        "hair_length": float(rng.beta(2.0, 1.6) if womanly else rng.beta(0.8, 4.5)),
        "hair_volume": float(rng.random()),
        "hair_curl": float(max(0.0, rng.uniform(-0.6, 1.0))),
        "hair_fringe": float(
            max(0.0, rng.uniform(-1.0, 1.0)) if womanly else max(0.0, rng.uniform(-1.2, 0.6))
        ),
        "hair_part": float(rng.uniform(-1.0, 1.0)),
        "baldness": float(0.0 if womanly else max(0.0, rng.uniform(-2.0, 1.0))),
        "beard": float(0.0 if womanly else max(0.0, rng.uniform(-1.5, 1.0))),
        "moustache": float(0.0 if womanly else max(0.0, rng.uniform(-1.5, 1.0))),
        "stubble": float(0.0 if womanly else max(0.0, rng.uniform(-0.8, 0.8))),
        "texture_seed": float(rng.integers(0, 4096)),
    }
    values["hair_grey"] = float(max(0.0, values["age"] - 0.55) * rng.uniform(0.0, 2.2))
    shift = -0.35 if womanly else 0.35
    for name in ("jaw_width", "chin_width", "brow_thickness", "neck_width", "nose_width", "cheek_width"):
        values[name] += shift
    values["lip_upper"] -= shift
    values["lip_lower"] -= shift
    return Identity(**values)


def draw_traits(seed: int) -> Traits:
    """Draw signature traits of the face for someone whom the prior never sees: one to three of them.

    Args:
        seed: any non-negative integer; the same seed draws the same traits.
    """
    rng = np.random.default_rng([seed, 103])
    side = rng.choice([-1.0, 1.0], 2)
    kinds = {
        "birthmark": {
            "birthmark_x": side[0] * rng.uniform(0.05, 0.40),
            "birthmark_y": rng.uniform(-0.75, 0.42),
            "birthmark_size": rng.uniform(0.045, 0.10),
        },
        "scar": {
            "scar_x": side[1] * rng.uniform(0.05, 0.38),
            "scar_y": rng.uniform(-0.70, 0.42),
            "scar_angle": rng.uniform(-1.5, 1.5),
            "scar_size": rng.uniform(0.10, 0.24),
        },
        "eye": {"odd_eye": 1.0},
        "teeth": {"tooth_gap": rng.uniform(0.010, 0.020)},
        "brow": {"odd_brow": rng.uniform(0.02, 0.06)},
    }
    chosen = rng.choice(list(kinds), rng.integers(1, 4), replace=False, p=[0.35, 0.35, 0.1, 0.1, 0.1])
    return Traits(**{name: float(value) for kind in chosen for name, value in kinds[kind].items()})
