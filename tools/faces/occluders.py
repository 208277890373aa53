"""Things drawn over faces to learn what covers one: glasses, masks, hands, telephones, microphones, hair."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from tools.faces.drawing import (
    Rng,
    Scene,
    aim,
    capsule,
    cloth,
    colour,
    ellipse,
    filled,
    frame,
    hair_colour,
    lenses,
    noise,
    patch,
    repainted,
    rim_colour,
    shaded,
    skin,
    softened,
)

Layer = tuple[np.ndarray, np.ndarray]  # opacity (R, R), colour (R, R, 3)


def sunglasses(scene: Scene, rng: Rng) -> Layer:
    """Dark, coloured or mirrored glasses; light tints cover in part."""
    size, shapes = scene.size, lenses(scene, rng)
    tint = colour(rng) if rng.random() < 0.45 else rng.uniform(5, 55) + rng.normal(0, 8, 3)
    glass = shaded(size, tint, rng, 0.3)
    ramp = np.linspace(0, 1, size)[:, None] - shapes[0][:, 1].mean() / size
    if rng.random() < 0.3:  # a mirror coating changes its colour from edge to edge
        turn = rng.uniform(0, 2 * np.pi)
        place = np.linspace(-3, 3, size)
        share = 1 / (1 + np.exp(-(np.cos(turn) * place + np.sin(turn) * place[:, None] + rng.normal(0, 0.7))))
        other = shaded(size, rng.uniform(0, 255, 3), rng, 0.2)
        glass = np.asarray(glass + (other - glass) * share[..., None], np.float32)
    glass *= 1 + rng.uniform(0, 4) * ramp[..., None].clip(-0.2, 0.3)
    if rng.random() < 0.55:  # the sky, a window or a whole street in the lens
        shine = noise(size, int(rng.integers(4, 14)), rng) > rng.uniform(0.3, 1.6)
        soft = softened(Image.fromarray((shine * 255).astype(np.uint8)), rng.uniform(0.5, 2))[..., None]
        seen = rng.random() < 0.4
        mirrored = patch(scene.donor, rng.uniform(0, size, 2), 0.5 * size, rng) if seen else colour(rng) + 60
        glass = glass + (mirrored - glass) * soft * rng.uniform(0.3, 0.9)
    dark = rng.uniform(0.82, 1.0) if rng.random() < 0.8 else rng.uniform(0.25, 0.8)
    opacity = filled(size, *shapes) * dark
    rims = frame(scene, shapes, rng) if rng.random() < 0.85 else np.zeros_like(opacity)
    rim = shaded(size, rim_colour(rng), rng)
    paint = glass + (rim - glass) * rims[..., None]
    return np.maximum(opacity, rims), paint


def face_mask(scene: Scene, rng: Rng) -> Layer:
    """A cloth or paper mask over nose, mouth and chin, sometimes below the nose."""
    marks, size = scene.marks, scene.size
    top = marks[rng.choice([28, 29, 30, 33], p=[0.3, 0.4, 0.15, 0.15])]
    start = int(rng.integers(1, 4))
    jaw = marks[start : 17 - start]
    jaw = jaw + (jaw - marks[30]) * rng.uniform(0.0, 0.12)
    left, right = (marks[31] + jaw[0]) / 2, (marks[35] + jaw[-1]) / 2
    lift = (top - marks[33]) * rng.uniform(0.3, 0.9)
    shape = [*jaw, right + lift, top, left + lift]
    opacity = filled(size, shape, soft=0.8)
    draw_on = cloth(scene, rng)
    if rng.random() < 0.3:
        draw_on = shaded(size, np.array([150, 190, 215]) * rng.uniform(0.8, 1.15), rng, 0.15)
    if rng.random() < 0.15:
        draw_on = skin(scene, rng)
    folds = np.sin(np.arange(size) * rng.uniform(0.3, 1.2))[:, None, None] * rng.uniform(0, 14)
    strap = Image.new("L", (size, size))
    line = ImageDraw.Draw(strap)
    for near, far in ((jaw[0], marks[0]), (jaw[-1], marks[16])):
        line.line([tuple(near), tuple(far)], fill=255, width=1 + int(rng.integers(3)))
    return np.maximum(opacity, softened(strap, 0.5)), draw_on + folds


def scarf(scene: Scene, rng: Rng) -> Layer:
    """Cloth over the lower face and everything below it; a veil, a collar pulled up."""
    marks, size = scene.marks, scene.size
    line = marks[33] + rng.uniform(-0.35, 0.3) * scene.apart * scene.down
    if rng.random() < 0.3:
        line = marks[29]
    bend = rng.uniform(-0.25, 0.35) * scene.apart
    reach = np.linspace(-2.2, 2.2, 12)
    edge = [line + x * scene.apart * scene.across - bend * (abs(x) ** 1.5 - 0.3) * scene.down for x in reach]
    far = 4 * scene.apart * scene.down
    return filled(size, [*edge, edge[-1] + far, edge[0] + far], soft=1.0), cloth(scene, rng)


def hand(scene: Scene, rng: Rng) -> Layer:
    """Fingers, mostly with a palm, reaching over a part of the face."""
    size, unit = scene.size, scene.apart
    target = aim(scene, rng)
    turn = rng.uniform(0, 2 * np.pi)
    if rng.random() < 0.7:  # hands come from below or the side
        turn = rng.uniform(-0.2 * np.pi, 1.2 * np.pi)
    along = np.array([np.cos(turn), np.sin(turn)])  # from the tips to the wrist
    beside = np.array([-along[1], along[0]])
    width, count = unit * rng.uniform(0.22, 0.36), int(rng.integers(1, 6))
    paint, opacity = skin(scene, rng), np.zeros((size, size), np.float32)
    spread = rng.uniform(-0.15, 0.25)
    nails = rng.random() < 0.4
    for k in range(count):
        off = k - (count - 1) / 2
        tip = target + off * width * rng.uniform(0.85, 1.1) * beside - unit * rng.uniform(0.0, 0.35) * along
        base = tip + unit * rng.uniform(1.0, 1.6) * along - off * spread * width * beside
        profile = capsule(size, tip, base, width)
        on = np.clip(profile * width / 2 + 0.5, 0, 1)
        shade = 0.62 + 0.4 * np.sqrt(profile.clip(0, 1))
        paint = np.where(profile[..., None] > 0, paint * shade[..., None], paint)
        opacity = np.maximum(opacity, on)
        if nails:
            nail = filled(size, ellipse(tip + 0.1 * unit * along, beside * width * 0.28, 1.3))
            paint = (
                paint + (np.array([205, 150, 140]) * rng.uniform(0.7, 1.1) - paint) * 0.5 * nail[..., None]
            )
    if rng.random() < 0.7:
        centre = target + unit * rng.uniform(1.1, 1.7) * along
        palm = ellipse(centre, along * unit * rng.uniform(0.6, 0.9), rng.uniform(0.7, 1.0), 2.5)
        opacity = np.maximum(opacity, filled(size, palm, soft=1.0))
        arm = [
            centre + s * 0.45 * unit * beside + t * unit * along
            for s, t in ((-1, 0), (1, 0), (1, 4), (-1, 4))
        ]
        opacity = np.maximum(opacity, filled(size, arm))
    return opacity, paint


def phone(scene: Scene, rng: Rng) -> Layer:
    """A telephone, book, card or sign held before the face."""
    size, unit = scene.size, scene.apart
    turn = rng.choice([0, np.pi / 2]) + rng.normal(0, 0.3)
    axis = np.array([np.cos(turn), np.sin(turn)])
    shape = ellipse(
        aim(scene, rng), axis * unit * rng.uniform(0.5, 1.5), rng.uniform(0.4, 0.9), rng.uniform(5, 14)
    )
    opacity = filled(size, shape)
    paint = cloth(scene, rng) if rng.random() < 0.3 else shaded(size, colour(rng), rng, 0.15)
    if rng.random() < 0.5:
        for _ in range(int(rng.integers(1, 4))):
            spot = shape[rng.integers(32)] * 0.7 + shape.mean(0) * 0.3
            dot = filled(size, ellipse(spot, axis * unit * rng.uniform(0.05, 0.14), 1.0))
            paint = paint + (colour(rng) * 0.4 - paint) * dot[..., None]
    if rng.random() < 0.3:  # the fingers that hold it
        grip, held = hand(scene, rng)
        return np.maximum(opacity, grip), paint + (held - paint) * grip[..., None]
    return opacity, paint


def microphone(scene: Scene, rng: Rng) -> Layer:
    """A microphone, cup, glass, flute or food before the mouth."""
    size, unit = scene.size, scene.apart
    mouth = scene.marks[48:60].mean(0)
    head = mouth + unit * (rng.normal(0, 0.15) * scene.across + rng.uniform(-0.15, 0.4) * scene.down)
    turn = rng.uniform(0.15 * np.pi, 0.85 * np.pi)
    along = np.array([np.cos(turn), np.sin(turn)])
    width = unit * rng.uniform(0.25, 0.5)
    round_end = ellipse(head, along * width * rng.uniform(0.9, 1.3), rng.uniform(0.7, 1.0), rng.uniform(2, 5))
    stick = capsule(size, head, head + 5 * unit * along, width * rng.uniform(0.6, 2.0))
    opacity = np.maximum(filled(size, round_end), np.clip(stick * width, 0, 1))
    paint = shaded(size, colour(rng), rng, 0.3) * (0.6 + 0.5 * np.clip(stick, 0, 1))[..., None]
    mesh = rng.random() < 0.5
    bumps = (np.indices((size, size)).sum(0) % 3 == 0) * rng.uniform(10, 60)
    return opacity, paint + mesh * bumps[..., None]


def fringe(scene: Scene, rng: Rng) -> Layer:
    """Strands of hair over an eye or a cheek, dense or loose."""
    size, unit = scene.size, scene.apart
    canvas, tone = Image.new("L", (size, size)), Image.new("L", (size, size), 128)
    draw, light = ImageDraw.Draw(canvas), ImageDraw.Draw(tone)
    side = rng.choice([-1, 1])
    eye = scene.marks[36:42].mean(0) if side < 0 else scene.marks[42:48].mean(0)
    root = eye + rng.normal(0, 0.5) * unit * scene.across - rng.uniform(1.2, 2) * unit * scene.down
    band = unit * rng.uniform(0.2, 0.9)
    for _ in range(int(rng.integers(6, 70))):
        x = rng.normal(0, 0.5) * band
        start = root + x * scene.across
        end = (
            eye + (x + rng.normal(0, 0.08) * unit) * scene.across + rng.uniform(0.2, 2.5) * unit * scene.down
        )
        middle = (start + end) / 2 + side * rng.uniform(0, 0.3) * unit * scene.across
        t = np.linspace(0, 1, 8)[:, None]
        curve = [tuple(p) for p in (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end]
        width = int(rng.integers(1, 4))
        draw.line(curve, fill=255, width=width)
        light.line(curve, fill=int(rng.integers(60, 220)), width=width)
    paint = hair_colour(scene, rng) * (0.5 + np.asarray(tone, np.float32)[..., None] / 255)
    return softened(canvas, 0.5), paint


def thing(scene: Scene, rng: Rng) -> Layer:
    """Any shape with any surface: a head in front, a leaf, a ball, a shoulder."""
    size = scene.size
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1) - aim(scene, rng)
    far = np.linalg.norm(grid, axis=-1) / (scene.apart * rng.uniform(0.3, 1.1))
    edge = (1 - far + 0.25 * noise(size, 6, rng)) * rng.uniform(4, 20)
    paint = cloth(scene, rng) if rng.random() < 0.7 else skin(scene, rng)
    return np.clip(edge, 0, 1).astype(np.float32), paint


_COVERS: tuple[tuple[Callable[[Scene, Rng], Layer], float], ...] = (
    (sunglasses, 0.26),
    (face_mask, 0.15),
    (scarf, 0.06),
    (hand, 0.22),
    (phone, 0.1),
    (microphone, 0.08),
    (fringe, 0.05),
    (thing, 0.08),
)


def covered(scene: Scene, rng: Rng) -> tuple[Scene, np.ndarray]:
    """Lay one thing over the face; returns the new scene and the thing's opacity (R, R)."""
    makers, odds = zip(*_COVERS, strict=True)
    opacity, paint = makers[rng.choice(len(makers), p=odds)](scene, rng)
    paint = paint * exposure(scene, rng)
    if rng.random() < 0.5:  # it throws a shadow
        shift = rng.integers(-4, 5, 2)
        shadow = np.roll(opacity, tuple(shift), (0, 1))[..., None] * rng.uniform(0.1, 0.5)
        scene = repainted(scene, scene.pixels * (1 - shadow))
    out = scene.pixels + (paint.clip(0, 255) - scene.pixels) * opacity[..., None]
    return repainted(scene, out), opacity


def exposure(scene: Scene, rng: Rng) -> float:
    """Return a gain that brings a surface into the photo's light, or not."""
    luma = float(np.percentile(scene.pixels, 80))
    return float(np.clip(luma / 190, 0.4, 1.2)) if rng.random() < 0.7 else 1.0
