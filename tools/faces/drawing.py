"""What things over faces are drawn with: a face to draw on, shapes, and surfaces of cloth, skin and hair.

Everything takes its chance from one numpy generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Rng = np.random.Generator
Shape = Sequence[np.ndarray]


@dataclass(frozen=True)
class Scene:
    """A face to draw over.

    Args:
        pixels: float32 (R, R, 3) in [0, 255].
        marks: float64 (68, 2) landmarks in crop pixels.
        donor: uint8 (R, R, 3), another photo that lends textures.
        donor_marks: (68, 2) its landmarks in crop pixels.
    """

    pixels: np.ndarray
    marks: np.ndarray
    donor: np.ndarray
    donor_marks: np.ndarray

    @property
    def size(self) -> int:
        """Side of the crop."""
        return len(self.pixels)

    @property
    def apart(self) -> float:
        """Distance of the eyes in pixels, the unit of everything drawn."""
        return float(np.linalg.norm(self.marks[42:48].mean(0) - self.marks[36:42].mean(0)))

    @property
    def across(self) -> np.ndarray:
        """Unit vector (2,) from the left eye to the right one."""
        return (self.marks[42:48].mean(0) - self.marks[36:42].mean(0)) / max(self.apart, 1e-6)

    @property
    def down(self) -> np.ndarray:
        """Unit vector (2,) from brow to chin."""
        x, y = self.across
        return np.array([-y, x])


# ---- masks -------------------------------------------------------------------------------------------------


def filled(size: int, *shapes: np.ndarray | Shape, soft: float = 0.6) -> np.ndarray:
    """Return opacity (size, size) in [0, 1] of polygons, their edges softened by `soft` pixels."""
    canvas = Image.new("L", (size, size))
    draw = ImageDraw.Draw(canvas)
    for shape in shapes:
        draw.polygon([(float(x), float(y)) for x, y in shape], fill=255)
    return softened(canvas, soft)


def softened(canvas: Image.Image, radius: float) -> np.ndarray:
    """Return a drawn mask as opacity in [0, 1], blurred by `radius` pixels."""
    return np.asarray(canvas.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255


def ellipse(centre: np.ndarray, axis: np.ndarray, ratio: float, power: float = 2.0) -> np.ndarray:
    """Return the outline (32, 2) of a superellipse; power 2 is round, 4 nearly a rectangle."""
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    x, y = np.sign(c) * np.abs(c) ** (2 / power), np.sign(s) * np.abs(s) ** (2 / power)
    normal = np.array([-axis[1], axis[0]]) * ratio
    return np.asarray(centre + x[:, None] * axis + y[:, None] * normal)


def capsule(size: int, start: np.ndarray, end: np.ndarray, width: float) -> np.ndarray:
    """Return a round-ended bar's height (size, size): 1 along its middle, 0 at its edge, below outside."""
    axis, along = np.arange(size, dtype=np.float32) + 0.5, (end - start).astype(np.float32)
    x, y = axis[None] - np.float32(start[0]), axis[:, None] - np.float32(start[1])
    t = np.clip((x * along[0] + y * along[1]) / max(float(along @ along), 1e-6), 0, 1)
    return np.asarray(1 - np.hypot(x - t * along[0], y - t * along[1]) / (width / 2), np.float32)


def noise(size: int, cells: int, rng: Rng) -> np.ndarray:
    """Return smooth noise (size, size) of unit spread, `cells` to a side."""
    small = rng.standard_normal((cells, cells), np.float32)
    return np.asarray(Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC))


def grain(size: int, spread: float, rng: Rng) -> np.ndarray:
    """Return white noise (size, size, 1), the same in all colours."""
    return rng.standard_normal((size, size, 1), np.float32) * np.float32(spread)


# ---- textures ----------------------------------------------------------------------------------------------


def colour(rng: Rng) -> np.ndarray:
    """Return an RGB colour (3,): often dark, white or grey, else any."""
    kind = rng.random()
    if kind < 0.3:
        return np.full(3, rng.uniform(5, 60)) + rng.normal(0, 6, 3)
    if kind < 0.5:
        return np.full(3, rng.uniform(170, 250)) + rng.normal(0, 8, 3)
    return rng.uniform(10, 245, 3)


def rim_colour(rng: Rng) -> np.ndarray:
    """Return a colour (3,) of spectacle frames: black, metal, horn, seldom another."""
    tones = ((15, 15, 18), (35, 28, 25), (95, 60, 35), (140, 140, 145), (190, 165, 110))
    return (
        np.array(tones[rng.integers(len(tones))]) * rng.uniform(0.7, 1.2)
        if rng.random() < 0.8
        else colour(rng)
    )


def shaded(size: int, base: np.ndarray, rng: Rng, strength: float = 0.2) -> np.ndarray:
    """Return one colour under uneven light, (size, size, 3)."""
    ramp, (u, v) = np.linspace(-1, 1, size, dtype=np.float32), rng.normal(size=2).astype(np.float32)
    light = u * ramp + v * ramp[:, None] + np.float32(0.6) * noise(size, 5, rng)
    return np.float32(base) * (1 + np.float32(strength) * light[..., None]) + grain(
        size, rng.uniform(0.5, 5), rng
    )


def cloth(scene: Scene, rng: Rng) -> np.ndarray:
    """Return woven stuff (R, R, 3): plain, striped, dotted, or printed with a piece of another photo."""
    size, kind = scene.size, rng.random()
    if kind < 0.25:
        return patch(scene.donor, rng.uniform(0, size, 2), rng.uniform(0.15, 0.8) * size, rng)
    out = shaded(size, colour(rng), rng, 0.25)
    if kind < 0.6:
        return out
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    turn, pitch = rng.uniform(0, np.pi), rng.uniform(3, 18)
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    stripes = np.sin(2 * np.pi * u / pitch) > rng.uniform(-0.7, 0.7)
    dots = np.sin(2 * np.pi * u / pitch) * np.sin(2 * np.pi * v / pitch) > 0.4
    shown = (stripes, dots, stripes ^ (np.sin(2 * np.pi * v / pitch) > 0))[rng.integers(3)][..., None]
    return np.asarray(np.where(shown, shaded(size, colour(rng), rng, 0.2), out), np.float32)


def patch(photo: np.ndarray, centre: np.ndarray, side: float, rng: Rng) -> np.ndarray:
    """Return a square piece of a photo enlarged to all of (R, R, 3), turned at random."""
    size = len(photo)
    low = np.clip(centre - side / 2, 0, max(size - side, 0))
    box = (low[0], low[1], low[0] + side, low[1] + side)
    piece = Image.fromarray(photo).resize((size, size), Image.Resampling.BICUBIC, box=tuple(map(float, box)))
    return np.rot90(np.asarray(piece, np.float32), int(rng.integers(4))).copy()


def skin(scene: Scene, rng: Rng) -> np.ndarray:
    """Return skin (R, R, 3): mostly the person's own, as their hands are, else another's."""
    own = rng.random() < 0.65
    photo = scene.pixels.clip(0, 255).astype(np.uint8) if own else scene.donor
    marks = scene.marks if own else scene.donor_marks
    spot = (
        marks[[31, 48, 2]].mean(0),
        marks[[35, 54, 14]].mean(0),
        marks[27] - 0.7 * (marks[33] - marks[27]),
    )
    piece = patch(photo, spot[rng.integers(3)], rng.uniform(6, 16) / 128 * scene.size, rng)
    base = np.median(piece.reshape(-1, 3), axis=0)
    mixed = base + rng.uniform(0.3, 1) * (piece - base)
    gain = rng.uniform(0.75, 1.2)
    return np.asarray(mixed * gain, np.float32) + grain(scene.size, 2, rng)


def hair_colour(scene: Scene, rng: Rng) -> np.ndarray:
    """Return a colour (3,) of hair: that at the crop's upper edge, or a natural one."""
    if rng.random() < 0.5:
        edge = scene.pixels[: scene.size // 10].reshape(-1, 3)
        return np.asarray(np.median(edge, axis=0) * rng.uniform(0.6, 1.1))
    tones = (
        (20, 17, 16),
        (48, 34, 26),
        (92, 64, 42),
        (170, 135, 90),
        (215, 190, 150),
        (150, 70, 40),
        (190, 188, 185),
    )
    return np.array(tones[rng.integers(len(tones))]) * rng.uniform(0.7, 1.15)


# ---- places and shapes on a face ---------------------------------------------------------------------------


def aim(scene: Scene, rng: Rng) -> np.ndarray:
    """Return a spot (2,) on the face: an eye, the nose, the mouth, a cheek."""
    groups = (range(36, 42), range(42, 48), range(29, 36), range(48, 60), (2, 31, 48), (14, 35, 54))
    middle = scene.marks[list(groups[rng.choice(6, p=[0.15, 0.15, 0.15, 0.35, 0.1, 0.1])])].mean(0)
    return np.asarray(middle + rng.normal(0, 0.15 * scene.apart, 2))


def lenses(scene: Scene, rng: Rng) -> list[np.ndarray]:
    """Return the outlines of two lenses, or of one shield, before the eyes."""
    width = scene.apart * rng.uniform(0.36, 0.52)
    ratio, power = rng.uniform(0.55, 1.0), rng.choice([2.0, 2.5, 3.0, 4.0])
    drop = scene.apart * rng.uniform(-0.02, 0.14) * scene.down
    left, right = scene.marks[36:42].mean(0) + drop, scene.marks[42:48].mean(0) + drop
    if rng.random() < 0.25:
        return [
            ellipse(
                (left + right) / 2, scene.across * scene.apart * rng.uniform(0.85, 1.1), 0.42 * ratio, 3.5
            )
        ]
    slant = rng.uniform(-0.15, 0.15)
    pair = []
    for centre, sign in ((left, 1), (right, -1)):
        shape = ellipse(centre, scene.across * width, ratio, float(power))
        offset = (shape - centre) @ scene.across
        pair.append(shape + (sign * slant * offset)[:, None] * scene.down)
    return pair


def frame(scene: Scene, shapes: Sequence[np.ndarray], rng: Rng) -> np.ndarray:
    """Return opacity (R, R) of rims, bridge and temples around lenses."""
    canvas = Image.new("L", (scene.size, scene.size))
    draw = ImageDraw.Draw(canvas)
    thick = max(1, round(scene.apart * rng.uniform(0.015, 0.11)))
    for shape in shapes:
        draw.line([*map(tuple, shape), tuple(shape[0])], fill=255, width=thick, joint="curve")
    height = shapes[0][:, 1].mean() - 0.1 * scene.apart
    for end, jaw in ((shapes[0][16], 0), (shapes[-1][0], 16)):
        draw.line(
            [tuple(end), tuple(scene.marks[jaw] - 0.1 * scene.apart * scene.down)], fill=255, width=thick
        )
    if len(shapes) == 2:
        draw.line([(shapes[0][0][0], height), (shapes[1][16][0], height)], fill=255, width=thick)
    return softened(canvas, 0.5)


def repainted(scene: Scene, pixels: np.ndarray) -> Scene:
    """Return the same face with other pixels, kept in range."""
    return Scene(np.asarray(pixels, np.float32).clip(0, 255), scene.marks, scene.donor, scene.donor_marks)
