"""What is drawn on faces and hides nothing, to learn what cover is not: shade, visors, glasses, beards."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from tools.faces.drawing import (
    Rng,
    Scene,
    aim,
    cloth,
    colour,
    filled,
    frame,
    hair_colour,
    lenses,
    noise,
    repainted,
    rim_colour,
    shaded,
)


def shadow(scene: Scene, rng: Rng) -> np.ndarray:
    """Half of the face, a band under a visor, or a blob in shade, with sharp or soft edge."""
    size, unit = scene.size, scene.apart
    kind = rng.random()
    if kind < 0.4:
        turn = rng.uniform(0, 2 * np.pi)
        grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1) - scene.marks[30]
        shade = (grid @ np.array([np.cos(turn), np.sin(turn)]) / unit + rng.normal(0, 0.3)) * rng.uniform(
            1, 12
        )
    elif kind < 0.75:
        line = scene.marks[30] + rng.uniform(-1.0, 0.5) * unit * scene.down
        grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1) - line
        bend = rng.uniform(-0.3, 0.3) * ((grid @ scene.across) / unit) ** 2
        shade = (-(grid @ scene.down) / unit + bend) * rng.uniform(2, 15)
    else:
        shade = noise(size, int(rng.integers(3, 9)), rng) * rng.uniform(1, 8)
    tint = 1 - rng.uniform(0.25, 0.88) * (1 + rng.normal(0, 0.05, 3))
    return np.asarray(scene.pixels * (1 + (tint - 1) * np.clip(shade, 0, 1)[..., None]))


def visor(scene: Scene, rng: Rng) -> np.ndarray:
    """A cap, visor, helmet or headscarf above the brows."""
    size, unit = scene.size, scene.apart
    brow = scene.marks[17:27].min(0)[1] - unit * rng.uniform(0.02, 0.7)
    middle = np.array([scene.marks[27][0], brow])
    reach = np.linspace(-2.5, 2.5, 12)
    bend = rng.uniform(-0.25, 0.25) * unit
    edge = [middle + x * unit * scene.across + bend * (x**2 - 0.4) * scene.down for x in reach]
    far = -4 * unit * scene.down
    opacity = filled(size, [*edge, edge[-1] + far, edge[0] + far])[..., None]
    return scene.pixels + (cloth(scene, rng).clip(0, 255) - scene.pixels) * opacity


def clear_glasses(scene: Scene, rng: Rng) -> np.ndarray:
    """Spectacles through which the eyes are seen, with a little tint and glare."""
    size, shapes = scene.size, lenses(scene, rng)
    rims = frame(scene, shapes, rng)[..., None]
    glass = filled(size, *shapes)[..., None]
    out = scene.pixels + (colour(rng) - scene.pixels) * glass * rng.uniform(0, 0.22)
    glare = (noise(size, int(rng.integers(6, 16)), rng) > rng.uniform(1.2, 2.5))[..., None]
    out = out + (rng.uniform(170, 255) - out) * glass * glare * rng.uniform(0, 0.8)
    return np.asarray(out + (shaded(size, rim_colour(rng), rng) - out) * rims)


def beard(scene: Scene, rng: Rng) -> np.ndarray:
    """A beard or a moustache of any density around an open or closed mouth."""
    marks, size = scene.marks, scene.size
    start = int(rng.integers(2, 5))
    jaw = marks[start : 17 - start] + 0.06 * (marks[start : 17 - start] - marks[30])
    upper = rng.choice([0.0, 0.35, 0.7])
    corners = marks[[54, 48]] + upper * 0.4 * (marks[[35, 31]] - marks[[54, 48]])
    shape = [*jaw, corners[0], marks[33] * 0.75 + marks[51] * 0.25, corners[1]]
    if rng.random() < 0.25:  # a moustache alone
        shape = [marks[48], marks[31], marks[33], marks[35], marks[54], marks[51]]
    lips = filled(size, marks[48:60]) * rng.uniform(0.4, 1)  # hair grows over lips
    hairs = Image.fromarray((rng.random((size, size)) * 255).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(0.8)
    )
    coarse = (np.asarray(hairs, np.float32) / 255 - 0.5) * 4
    opacity = filled(size, shape, soft=rng.uniform(1, 4)) * (1 - lips) * rng.uniform(0.3, 0.97)
    opacity = np.clip(opacity * (1 + 0.5 * coarse), 0, 1)[..., None]
    paint = hair_colour(scene, rng) * (1 + 0.5 * coarse[..., None])
    return scene.pixels + (paint.clip(0, 255) - scene.pixels) * opacity


def face_paint(scene: Scene, rng: Rng) -> np.ndarray:
    """Make-up or paint: colour over a part of the face under which its relief stays."""
    size = scene.size
    spread = scene.apart * rng.uniform(0.2, 1.2)
    where = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1) - aim(scene, rng)
    opacity = np.clip(3 * (1 - np.linalg.norm(where, axis=-1) / spread + 0.2 * noise(size, 8, rng)), 0, 1)
    luma = scene.pixels.mean(-1, keepdims=True)
    dyed = luma / max(float(luma.mean()), 1.0) * colour(rng)
    return scene.pixels + (dyed.clip(0, 255) - scene.pixels) * opacity[..., None] * rng.uniform(0.2, 0.85)


_DISGUISES: tuple[tuple[Callable[[Scene, Rng], np.ndarray], float], ...] = (
    (shadow, 0.4),
    (visor, 0.3),
    (clear_glasses, 0.2),
    (beard, 0.35),
    (face_paint, 0.12),
)


def disguised(scene: Scene, rng: Rng) -> Scene:
    """Add what looks like cover and hides nothing: shade, a visor, clear glasses, a beard, paint."""
    for make, odds in _DISGUISES:
        if rng.random() < odds:
            scene = repainted(scene, make(scene, rng))
    return scene
