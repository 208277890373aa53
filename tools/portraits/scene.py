"""What changes from photo to photo: pose, expression, light, background, clothes and framing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class State(NamedTuple):
    """Pose and expression."""

    yaw: float = 0.0  # degrees, positive turns the face to the picture's right
    pitch: float = 0.0  # degrees, positive looks down
    roll: float = 0.0  # degrees, positive tilts clockwise in the picture
    smile: float = 0.0  # [-0.5, 1]
    mouth: float = 0.0  # [0, 1] closed to open
    lids: float = 0.0  # [-1, 1] wide to nearly shut
    gaze_x: float = 0.0  # [-1, 1]
    gaze_y: float = 0.0  # [-1, 1]
    brows: float = 0.0  # [-1, 1] lowered to raised


class Scene(NamedTuple):
    """Light, surroundings and framing."""

    light_x: float = 0.3  # direction to the key light, [-1, 1] picture left to right
    light_y: float = 0.4  # [-1, 1] below to above
    light_level: float = 1.0  # key strength
    light_warmth: float = 0.0  # [-1, 1] cool to warm
    fill_level: float = 0.5
    background_r: float = 0.5  # two colours of a graded background, linear light
    background_g: float = 0.5
    background_b: float = 0.5
    background_r2: float = 0.3
    background_g2: float = 0.3
    background_b2: float = 0.3
    background_angle: float = 0.0  # radians
    background_spot_x: float = 0.3  # one soft spot of the second colour, in picture widths
    background_spot_y: float = 0.3
    background_spot_size: float = 0.3
    background_spot: float = 0.0  # [0, 1]
    clothes_r: float = 0.2
    clothes_g: float = 0.25
    clothes_b: float = 0.4
    neckline: float = 0.3  # [0, 1] high collar to deep
    neckline_v: float = 0.0  # [0, 1] round to V
    width: float = 300.0  # photo, pixels
    height: float = 380.0
    centre_x: float = 0.5  # the eyes' middle, in photo widths and heights
    centre_y: float = 0.42
    scale: float = 82.0  # pixels per head unit
    tilt: float = 0.0  # degrees, the camera's own roll
    mask: float = 0.0  # 1: a cloth mask over mouth and nose
    sunglasses: float = 0.0  # 1: dark glasses


def draw_state(rng: np.random.Generator, *, yaw: float = 30.0) -> State:
    """Draw pose and expression; `yaw` is the largest turn of the head in degrees."""
    return State(
        yaw=float(np.clip(rng.normal(0.0, yaw * 0.5), -yaw, yaw)),
        pitch=float(np.clip(rng.normal(0.0, 6.0), -14.0, 14.0)),
        roll=float(np.clip(rng.normal(0.0, 5.0), -14.0, 14.0)),
        smile=float(np.clip(rng.normal(0.35, 0.4), -0.4, 1.0)),
        mouth=float(max(0.0, rng.uniform(-0.8, 1.0))),
        lids=float(np.clip(rng.normal(0.0, 0.3), -0.8, 0.8)),
        gaze_x=float(np.clip(rng.normal(0.0, 0.35), -1.0, 1.0)),
        gaze_y=float(np.clip(rng.normal(0.0, 0.25), -0.8, 0.8)),
        brows=float(np.clip(rng.normal(0.0, 0.35), -1.0, 1.0)),
    )


def _colour(rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    """Draw a linear-light colour, mostly muted."""
    value = low * (high / low) ** rng.random()
    tint = rng.dirichlet([14.0, 14.0, 14.0]) * 3.0
    return np.asarray(np.clip(value * tint, 0.01, 0.95))


def draw_scene(rng: np.random.Generator, *, width: int = 300, height: int = 380, face: float = 82.0) -> Scene:
    """Draw light, surroundings and framing.

    Args:
        rng: source of chance.
        width, height: the photo's size in pixels.
        face: mean size of the head in pixels per head unit; a face is about 1.4 units wide.
    """
    one, two, cloth = _colour(rng, 0.03, 0.75), _colour(rng, 0.03, 0.75), _colour(rng, 0.015, 0.6)
    return Scene(
        light_x=float(rng.uniform(-0.9, 0.9)),
        light_y=float(rng.uniform(-0.1, 0.8)),
        light_level=float(rng.uniform(0.65, 1.25)),
        light_warmth=float(np.clip(rng.normal(0.0, 0.4), -1.0, 1.0)),
        fill_level=float(rng.uniform(0.3, 0.8)),
        background_r=one[0], background_g=one[1], background_b=one[2],
        background_r2=two[0], background_g2=two[1], background_b2=two[2],
        background_angle=float(rng.uniform(0.0, 2.0 * np.pi)),
        background_spot_x=float(rng.uniform(0.0, 1.0)),
        background_spot_y=float(rng.uniform(0.0, 0.8)),
        background_spot_size=float(rng.uniform(0.15, 0.5)),
        background_spot=float(max(0.0, rng.uniform(-0.6, 0.8))),
        clothes_r=cloth[0], clothes_g=cloth[1], clothes_b=cloth[2],
        neckline=float(rng.random()),
        neckline_v=float(rng.random()),
        width=float(width), height=float(height),
        centre_x=float(np.clip(rng.normal(0.5, 0.05), 0.38, 0.62)),
        centre_y=float(np.clip(rng.normal(0.44, 0.035), 0.36, 0.52)),
        scale=float(face * np.clip(rng.normal(1.0, 0.09), 0.8, 1.22)),
        tilt=float(np.clip(rng.normal(0.0, 3.0), -9.0, 9.0)),
    )  # fmt: skip
