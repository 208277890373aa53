"""A rendered person who moves, talks and blinks in front of a camera, frame by frame."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from tools.portraits.people import Person
from tools.portraits.render import Portrait, render
from tools.portraits.scene import Scene, State, draw_scene

BLINK_S = 0.25  # how long a blink lasts
SHAKE_S = 1.2  # how long the quick shake of the head in the middle lasts


def film(
    person: Person,
    seconds: float,
    *,
    rate: float = 25.0,
    width: int = 480,
    height: int = 360,
    face: float = 62.0,
) -> Iterator[Portrait]:
    """Yield the frames of a film of a person, the same for the same numbers.

    Args:
        rate: frames a second.
        face: size of the head in pixels per head unit; a face is about 1.4 units wide.
    """
    rng = np.random.default_rng([person.seed, 11])
    scene = draw_scene(rng, width=width, height=height, face=face)
    scene = scene._replace(scale=face, tilt=0.0, centre_x=0.5, centre_y=0.45)
    waves = {name: _waves(rng) for name in ("yaw", "pitch", "roll", "smile", "x", "y", "gaze", "brows")}
    blinks = np.cumsum(rng.uniform(1.2, 3.5, size=max(1, round(seconds))))
    for number in range(round(seconds * rate)):
        at = number / rate
        moved = {name: _sum(parts, at) for name, parts in waves.items()}
        yield render(
            person.identity,
            _state(moved, at, seconds, blinks),
            _scene(scene, moved, at, seconds),
            person.traits,
        )


def _waves(rng: np.random.Generator) -> np.ndarray:
    """Return amplitude, frequency in Hz and phase of the three waves that make up a movement, (3, 3)."""
    return np.stack(
        [[1.0, 0.5, 0.15], rng.uniform([0.08, 0.25, 0.7], [0.2, 0.6, 1.3]), rng.uniform(0, 6.28, 3)]
    )


def _sum(parts: np.ndarray, at: float) -> float:
    amplitude, frequency, phase = parts
    return float((amplitude * np.sin(2 * math.pi * frequency * at + phase)).sum() / 1.3)


def _state(moved: dict[str, float], at: float, seconds: float, blinks: np.ndarray) -> State:
    """Return pose and expression at a time; in the middle the head is shaken quickly."""
    shake = (at - (seconds - SHAKE_S) / 2) / SHAKE_S
    shaken = 14.0 * math.sin(6 * math.pi * shake) * math.sin(math.pi * shake) if 0 < shake < 1 else 0.0
    away = float(np.abs(at - blinks).min())
    shut = max(0.0, 1 - away / (BLINK_S / 2))
    talks = max(0.0, math.sin(2 * math.pi * 0.15 * at)) * (0.25 + 0.25 * math.sin(2 * math.pi * 2.7 * at))
    return State(
        yaw=12.0 * moved["yaw"] + shaken,
        pitch=4.0 * moved["pitch"],
        roll=4.0 * moved["roll"],
        smile=0.35 + 0.3 * moved["smile"],
        mouth=talks,
        lids=0.8 * shut,
        gaze_x=0.3 * moved["gaze"],
        brows=0.3 * moved["brows"],
    )


def _scene(scene: Scene, moved: dict[str, float], at: float, seconds: float) -> Scene:
    """Return the scene at a time: the person sways, and comes nearer."""
    return scene._replace(
        centre_x=0.5 + 0.05 * moved["x"],
        centre_y=0.45 + 0.025 * moved["y"],
        scale=scene.scale * (1 + 0.2 * at / seconds),
    )
