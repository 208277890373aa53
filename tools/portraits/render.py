"""Render one photo of one person, with its ground truth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tools.portraits.features import (
    brow_curve,
    eye_frame,
    lip_curves,
    lower_lid,
    mouth_frame,
    nose_base,
    upper_lid,
)
from tools.portraits.head import BODY, Mesh, build_person, head_outline, pose, surface_point
from tools.portraits.identity import Identity, Traits
from tools.portraits.raster import rasterise, shade
from tools.portraits.scene import Scene, State

CAMERA = 8.0  # distance from the head's axis, head units: a portrait lens
_SHADOW = 176  # side of the shadow map, pixels


@dataclass(frozen=True)
class Portrait:
    """A rendered photo and what is true of it.

    Args:
        pixels: uint8 (H, W, 3) sRGB.
        matte: uint8 (H, W), 255 on the person.
        trait_mask: uint8 (H, W), 255 on a mark of the skin (birthmark, scar), 128 on another signature trait.
        landmarks: float64 (68, 2) pixel x, y in dlib's order.
    """

    pixels: np.ndarray
    matte: np.ndarray
    trait_mask: np.ndarray
    landmarks: np.ndarray
    identity: Identity
    state: State
    scene: Scene
    traits: Traits


def _project(points: np.ndarray, scene: Scene, oversample: float) -> np.ndarray:
    """Return (V, 3) pixel x, y and nearness of world points (V, 3)."""
    near = CAMERA / (CAMERA - points[:, 2])
    x, y = points[:, 0] * near * scene.scale, -points[:, 1] * near * scene.scale
    tilt = math.radians(scene.tilt)
    c, s = math.cos(tilt), math.sin(tilt)
    px = scene.centre_x * scene.width + c * x - s * y
    py = scene.centre_y * scene.height + s * x + c * y
    return np.stack([(px + 0.5) * oversample - 0.5, (py + 0.5) * oversample - 0.5, points[:, 2]], -1)


def _join(meshes: list[Mesh]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return vertices, normals, surface coordinates, triangles and materials of all meshes as one."""
    first = np.cumsum([0] + [len(m.vertices) for m in meshes[:-1]])
    triangles = np.concatenate([m.triangles + n for m, n in zip(meshes, first, strict=True)])
    materials = np.concatenate([np.full(len(m.triangles), m.material, np.int32) for m in meshes])
    return (
        np.concatenate([m.vertices for m in meshes]),
        np.concatenate([m.normals for m in meshes]),
        np.concatenate([m.surface for m in meshes]),
        triangles.astype(np.int32),
        materials,
    )


def _light_frame(scene: Scene) -> np.ndarray:
    """Return (3, 4): world to the shadow map's column, row and nearness."""
    z = math.sqrt(max(0.12, 1.0 - 0.8 * (scene.light_x**2 + scene.light_y**2)))
    forward = np.array([scene.light_x, scene.light_y, z])
    forward /= np.linalg.norm(forward)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    up = np.cross(forward, right)
    span = _SHADOW / 4.4
    frame = np.zeros((3, 4))
    frame[0, :3], frame[0, 3] = right * span, _SHADOW / 2
    frame[1, :3], frame[1, 3] = -up * span, _SHADOW * 0.44
    frame[2, :3] = forward
    return frame


def render(
    identity: Identity, state: State, scene: Scene, traits: Traits | None = None, *, oversample: int = 2
) -> Portrait:
    """Render a photo.

    Args:
        identity, state, scene: who, how, and where.
        traits: signature traits, none by default.
        oversample: samples per pixel along each axis.

    Returns:
        The photo with its ground truth.
    """
    traits = traits or Traits()
    world, normals, surface, triangles, materials = _join(build_person(identity, state))
    frame = _light_frame(scene)
    seen = world @ frame[:, :3].T + frame[:, 3]
    casts = materials != BODY
    shadow_map, _, _ = rasterise(
        seen, surface, triangles[casts], materials[casts], identity, _SHADOW, _SHADOW
    )
    height, width = int(scene.height) * oversample, int(scene.width) * oversample
    screen = _project(world, scene, oversample)
    near, which, weights = rasterise(screen, surface, triangles, materials, identity, height, width)
    linear, matte, marks = shade(
        near,
        which,
        weights,
        world,
        normals,
        surface,
        triangles,
        materials,
        shadow_map,
        frame,
        identity,
        state,
        traits,
        scene,
    )
    tone = _shrink(linear, oversample)
    tone = tone / (1.0 + 0.12 * tone) * 1.12
    pixels = np.clip(np.clip(tone, 0.0, 1.0) ** (1 / 2.2) * 255.0 + 0.5, 0, 255).astype(np.uint8)
    masks = [(_shrink(a, oversample) * 255.0 + 0.5).astype(np.uint8) for a in (matte, marks)]
    return Portrait(
        pixels, *masks, _landmarks(identity, state, scene, traits), identity, state, scene, traits
    )


def _shrink(samples: np.ndarray, oversample: int) -> np.ndarray:
    """Average the samples of each pixel; strided sums are several times faster than a reshaped mean."""
    total = sum(samples[i::oversample, j::oversample] for i in range(oversample) for j in range(oversample))
    return np.asarray(total / np.float32(oversample**2))


def _landmarks(p: Identity, s: State, scene: Scene, t: Traits) -> np.ndarray:
    """Return the 68 points of dlib's scheme, (68, 2) pixels."""
    outline = head_outline(p, 200)[::-1]
    points = []
    chin = float(outline[outline[:, 2] > 0.45, 0].min())
    for f in np.linspace(-1.0, 1.0, 17):
        y = -0.08 + (chin + 0.03 + 0.08) * math.sin(0.5 * math.pi * (1 - abs(f))) ** 0.9
        angle = math.copysign(min(1.0, abs(f) * 1.5) ** 0.7 * 1.30, f)
        points.append(
            (
                np.interp(y, outline[:, 0], outline[:, 1]) * math.copysign(abs(math.sin(angle)) ** 0.84, f)
                if f
                else 0.0,
                y,
            )
        )
    cx, cy, half = eye_frame(p)
    brow_x = (
        cx - 1.05 * half + 2.25 * half * (1.0 + 0.1 * p.brow_length) * np.array([0.98, 0.74, 0.5, 0.27, 0.03])
    )
    points += [(-x, brow_curve(-x, p, s, t)[0]) for x in brow_x] + [
        (x, brow_curve(x, p, s, t)[0]) for x in brow_x[::-1]
    ]
    base, wing = nose_base(p)
    points += [(0.0, y) for y in np.linspace(0.02, base + 0.06, 4)]
    points += [
        (x * wing, base + d)
        for x, d in ((-0.75, 0.01), (-0.4, -0.01), (0.0, -0.02), (0.4, -0.01), (0.75, 0.01))
    ]
    for side, order in ((-1.0, (1.0, 0.4, -0.4, -1.0, -0.4, 0.4)), (1.0, (-1.0, -0.4, 0.4, 1.0, 0.4, -0.4))):
        for n, u in enumerate(order):
            lid = upper_lid(u, p, s) if n in (1, 2) else lower_lid(u, p, s) if n in (4, 5) else 0.0
            points.append((side * (cx + u * half), cy + 0.035 * p.eye_slant * u + 0.008 * u + lid))
    _, mw = mouth_frame(p, s)
    rim = (-0.99, -0.6, -0.25, 0.0, 0.25, 0.6, 0.99, 0.6, 0.25, 0.0, -0.25, -0.6)
    outer = list(zip(rim, (1, 0, 0, 0, 0, 0, 1, 3, 3, 3, 3, 3), strict=True))
    inner = [(-0.9, 1), (-0.3, 1), (0.0, 1), (0.3, 1), (0.9, 1), (0.3, 2), (0.0, 2), (-0.3, 2)]
    points += [(u * mw, lip_curves(u * mw, p, s)[edge]) for u, edge in outer + inner]
    world = np.stack([surface_point(p, s, x, y) for x, y in points])
    return _project(pose(world, s.yaw, s.pitch, s.roll), scene, 1.0)[:, :2]
