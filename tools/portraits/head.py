"""The head as meshes: skull and face, ears, hair, neck and shoulders."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit
from scipy.interpolate import PchipInterpolator

from tools.portraits.features import jit, noise, relief, smoothstep
from tools.portraits.identity import Identity
from tools.portraits.scene import State

SKIN, EAR, NECK, BODY, HAIR = 1, 2, 3, 4, 5

# y, half-width, depth in front of and behind the head's axis, from crown to under the chin
_OUTLINE = np.array(
    [
        (1.060, 0.001, 0.001, 0.001), (1.045, 0.200, 0.220, 0.300), (0.985, 0.380, 0.420, 0.560),
        (0.850, 0.560, 0.610, 0.790), (0.600, 0.680, 0.725, 0.940), (0.320, 0.722, 0.765, 0.990),
        (0.060, 0.715, 0.750, 0.985), (-0.180, 0.700, 0.742, 0.900), (-0.400, 0.665, 0.742, 0.760),
        (-0.600, 0.605, 0.742, 0.560), (-0.780, 0.510, 0.728, 0.340), (-0.920, 0.395, 0.705, 0.180),
        (-1.020, 0.285, 0.665, 0.060), (-1.085, 0.190, 0.585, 0.000), (-1.110, 0.110, 0.450, 0.000),
        (-1.115, 0.060, 0.300, 0.000),
    ]
)  # fmt: skip


# y, half-width and half-depth of the shoulders' cross-sections
_SHOULDERS = np.array(
    [
        (-1.36, 0.30, 0.24), (-1.44, 0.46, 0.34), (-1.54, 0.80, 0.42), (-1.66, 1.22, 0.49),
        (-1.85, 1.52, 0.56), (-2.30, 1.66, 0.66), (-3.40, 1.62, 0.70),
    ]
)  # fmt: skip


class Mesh(NamedTuple):
    """A grid of vertices: positions and normals (V, 3), surface coordinates (V, 2), triangles (F, 3)."""

    vertices: np.ndarray
    normals: np.ndarray
    surface: np.ndarray
    triangles: np.ndarray
    material: int


@lru_cache(maxsize=16)
def _triangles(rows: int, columns: int, wrap: bool) -> np.ndarray:
    """Return the two triangles of each cell of a grid, its last column joined to its first if `wrap`."""
    grid = np.arange(rows * columns).reshape(rows, columns)
    if wrap:
        grid = np.concatenate([grid, grid[:, :1]], axis=1)
    a, b, c, d = grid[:-1, :-1], grid[:-1, 1:], grid[1:, :-1], grid[1:, 1:]
    return np.concatenate(
        [np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)]
    ).astype(np.int32)


def _normals(grid: np.ndarray, wrap: bool) -> np.ndarray:
    """Return unit outward normals of a (rows, columns, 3) grid, rows going down and columns anticlockwise."""
    padded = (
        np.concatenate([grid[:, -1:], grid, grid[:, :1]], axis=1)
        if wrap
        else np.pad(grid, ((0, 0), (1, 1), (0, 0)), "edge")
    )
    across = padded[:, 2:] - padded[:, :-2]
    rows = np.pad(grid, ((1, 1), (0, 0), (0, 0)), "edge")
    down = rows[2:] - rows[:-2]
    normal = np.cross(down, across)
    return normal / (np.linalg.norm(normal, axis=-1, keepdims=True) + 1e-9)


def _mesh(grid: np.ndarray, surface: np.ndarray, material: int, wrap: bool) -> Mesh:
    rows, columns = grid.shape[:2]
    normals = _normals(grid, wrap).reshape(-1, 3)
    return Mesh(
        grid.reshape(-1, 3), normals, surface.reshape(-1, 2), _triangles(rows, columns, wrap), material
    )


@lru_cache(maxsize=64)
def head_outline(p: Identity, samples: int) -> np.ndarray:
    """Return (samples, 4): y, half-width, front and back depth of cross-sections, crown to chin."""
    k = _OUTLINE.copy()
    y = k[:, 0].copy()
    below, above = np.clip(-y, 0.0, 1.1), np.clip(y, 0.0, 1.1)
    k[:, 0] += -0.055 * p.face_length * below + 0.06 * p.forehead_height * above
    k[:, 0] -= 0.035 * p.chin_length * np.clip((-y - 0.75) / 0.3, 0.0, 1.0)
    hill = lambda c, w: np.exp(-(((y - c) / w) ** 2))  # noqa: E731
    k[:, 1] *= 1.0 + 0.05 * p.skull_width + 0.06 * p.cheek_width * hill(-0.2, 0.28)
    k[:, 1] *= 1.0 + 0.13 * p.jaw_width * hill(-0.72, 0.24) + 0.20 * p.chin_width * hill(-1.02, 0.14)
    k[:, 1] *= 1.0 + 0.06 * p.cheek_fullness * hill(-0.55, 0.25)
    k[:, 2] += 0.05 * p.chin_forward * hill(-1.0, 0.2)
    place = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(k[:, 0]), np.diff(k[:, 1] + k[:, 2]) * 0.5))])
    return np.asarray(PchipInterpolator(place / place[-1], k)(np.linspace(0.0, 1.0, samples)))


@jit
def _power(value, exponent):
    return math.copysign(abs(value) ** exponent, value)


@njit(cache=True, fastmath=True)
def _loft_head(outline, angles, p, s):
    """Fill vertices and surface coordinates of the head from its cross-sections and the face's relief."""
    rows, columns = outline.shape[0], angles.shape[0]
    grid = np.empty((rows, columns, 3))
    surface = np.empty((rows, columns, 2))
    drop = 0.085 * s.mouth
    for i in range(rows):
        y, a, f, b = outline[i]
        for j in range(columns):
            sine, cosine = math.sin(angles[j]), math.cos(angles[j])
            x = a * _power(sine, 0.84)
            z = (f if cosine > 0 else b) * _power(cosine, 0.84)
            if cosine > 0.0:
                z += relief(x, y, p, s) * smoothstep(0.0, 0.45, cosine)
            grid[i, j, 0] = x
            grid[i, j, 1] = y - drop * smoothstep(-0.62, -0.85, y)
            grid[i, j, 2] = z
            surface[i, j, 0] = x if cosine > 0 else math.copysign(2.0 * a + 0.2 - abs(x), x)
            surface[i, j, 1] = y
    return grid, surface


@lru_cache(maxsize=1)
def _head_angles() -> np.ndarray:
    front = np.linspace(-np.pi / 2, np.pi / 2, 121)
    back = np.linspace(np.pi / 2, 1.5 * np.pi, 26)[1:-1]
    return np.concatenate([front, back])


def build_head(p: Identity, s: State) -> Mesh:
    """Return skull and face."""
    grid, surface = _loft_head(head_outline(p, 180), _head_angles(), p, s)
    return _mesh(grid, surface, SKIN, wrap=True)


def surface_point(p: Identity, s: State, x: float, y: float) -> np.ndarray:
    """Return the 3D point of the face at (x, y) of its frontal plane."""
    outline = head_outline(p, 200)[::-1]
    a, f = np.interp(y, outline[:, 0], outline[:, 1]), np.interp(y, outline[:, 0], outline[:, 2])
    sine = min(1.0, abs(x) / a) ** (1 / 0.84)
    cosine = math.sqrt(max(0.0, 1.0 - sine * sine))
    z = f * cosine**0.84 + relief(x, y, p, s) * smoothstep(0.0, 0.45, cosine)
    return np.array([x, y - 0.085 * s.mouth * smoothstep(-0.62, -0.85, y), z])


def build_ears(p: Identity) -> list[Mesh]:
    """Return both ears, half ellipsoids with a sunken shell."""
    outline = head_outline(p, 200)[::-1]
    width = float(np.interp(-0.08, outline[:, 0], outline[:, 1]))
    size = 1.0 + 0.16 * p.ear_size
    u, v = np.meshgrid(np.linspace(0.0, 1.0, 12), np.linspace(0.0, 2.0 * np.pi, 25)[:-1], indexing="ij")
    meshes = []
    for side in (-1.0, 1.0):
        rim = np.sin(np.pi * np.clip(u, 0, 1)) * 0.035 + 0.05 * (1.0 - u)
        x = side * (width - 0.04 + 0.075 * size * (u * 0.6 + 0.4 * (0.5 - 0.5 * np.cos(v))) + rim)
        y = -0.10 + 0.205 * size * (1.0 - u * u * 0.999) ** 0.5 * np.cos(v) * 1.0
        z = -0.13 + 0.115 * size * (1.0 - u * u * 0.999) ** 0.5 * np.sin(v) - 0.05 * np.cos(v)
        grid = np.stack([x, y, z], -1)[:, :: int(side)]
        ear = _mesh(grid, np.stack([1.0 - u, v], -1), EAR, wrap=True)
        outward = np.sign((ear.normals * [side, 0.0, 0.0]).sum())
        meshes.append(ear._replace(normals=ear.normals * outward))
    return meshes


def build_neck(p: Identity) -> Mesh:
    """Return the neck, from inside the skull to inside the shoulders."""
    rows, angles = np.linspace(-0.55, -1.85, 40), np.linspace(-np.pi, np.pi, 61)[:-1]
    y, t = np.meshgrid(rows, angles, indexing="ij")
    flare = 0.34 * np.clip((-1.25 - y) / 0.6, 0.0, 1.0) ** 2
    radius = 0.395 * (1.0 + 0.12 * p.neck_width) + flare
    grid = np.stack([radius * np.sin(t), y, -0.14 - 0.10 * (-0.55 - y) + radius * 0.95 * np.cos(t)], -1)
    return _mesh(grid, grid[..., :2], NECK, wrap=True)


def build_body(p: Identity) -> Mesh:
    """Return the shoulders and chest."""
    profile = PchipInterpolator(np.linspace(0, 1, len(_SHOULDERS)), _SHOULDERS)(np.linspace(0, 1, 60))
    t = np.linspace(-np.pi, np.pi, 81)[:-1]
    width = 1.0 + 0.10 * p.neck_width
    x = profile[:, 1:2] * width * np.sin(t)
    y = np.broadcast_to(profile[:, :1], x.shape)
    z = -0.22 + profile[:, 2:3] * np.cos(t)
    return _mesh(np.stack([x, y, z], -1), np.stack([x, y], -1), BODY, wrap=True)


# -- hair ------------------------------------------------------------------------------------------


@jit
def hair_end(p):
    """Return the y where the hair ends: the nape for short hair, below the shoulders for long."""
    return -0.50 - 1.35 * max(0.0, p.hair_length - 0.22) / 0.78


@jit
def hair_visible(angle, y, p):
    """Tell whether hair covers the head's shell at azimuth `angle` (radians, 0 in front) and height y."""
    seed = int(p.texture_seed)
    wisp = noise(angle * 24.0, y * 2.5, seed) * 0.6 + noise(angle * 70.0, y * 5.0, seed + 7) * 0.4
    side = abs(angle)
    bare = 0.75 * p.baldness if p.baldness > 0.0 else 0.0
    front = 0.68 + 0.06 * p.hairline + 0.06 * p.forehead_height - 0.44 * p.hair_fringe * (1.0 - p.baldness)
    front += 0.16 * p.hair_part * math.sin(angle) + 0.035 * wisp + bare
    front -= 0.10 * p.hair_fringe * abs(math.sin(1.5 * (angle - 0.5 * p.hair_part)))
    long = smoothstep(0.2, 0.4, p.hair_length)
    opening = 1.30 * (1.0 - long) + (1.17 - 0.17 * p.hair_opening) * long
    if y > front:
        return True
    if y > 0.5 and bare > 0.2:
        return side > 1.75 + 0.3 * bare + 0.1 * wisp
    edge = opening * math.sqrt(min(1.0, max(0.0, (front - y) / (0.46 - 0.24 * p.hair_fringe)))) + 0.035 * wisp
    if long < 0.5 and y < -0.06 - 0.12 * p.stubble:
        edge = max(edge, 1.95 + 0.06 * wisp)
    if side < edge:
        return False
    return y > hair_end(p) + 0.05 * wisp * (0.3 + long)


@njit(cache=True, fastmath=True)
def _loft_hair(outline, angles, ys, p):
    rows, columns = ys.shape[0], angles.shape[0]
    grid = np.empty((rows, columns, 3))
    surface = np.empty((rows, columns, 2))
    seed = int(p.texture_seed)
    long = smoothstep(0.2, 0.45, p.hair_length)
    for i in range(rows):
        y = ys[i]
        k = min(outline.shape[0] - 1, i)
        _, a, f, b = outline[k]
        thick = 0.028 + 0.11 * p.hair_volume * (1.0 - 0.9 * p.baldness) * (
            0.35 + 0.65 * smoothstep(0.05, 0.25, p.hair_length)
        )
        if y < 0.1:
            fall = smoothstep(0.1, -0.7, y)
            a = max(a, 0.715) * (1 - fall) + fall * (0.80 + 0.16 * p.hair_volume) if long > 0.0 else a
            f = max(f, 0.70) * (1 - 0.25 * fall)
            b = max(b, 0.75 - 0.1 * fall) if long > 0.0 else b
        for j in range(columns):
            t = angles[j]
            curl = p.hair_curl * 0.06 * noise(t * 7.0, y * 8.0, seed + 3)
            lock = 0.02 * noise(t * 9.0 + 2.0 * y, y * 1.5, seed + 5)
            trim = 1.0 - (1.0 - long) * 0.8 * smoothstep(0.55, -0.05, y) * smoothstep(
                0.3, 0.9, abs(math.sin(t))
            )
            lift = trim * (thick * (1.0 + 0.35 * p.hair_part * math.sin(t)) + curl + lock * (0.4 + long))
            lift = max(0.016, lift)
            sine, cosine = math.sin(t), math.cos(t)
            depth = f if cosine > 0 else b
            taper = smoothstep(1.07, 0.75, y)
            grid[i, j, 0] = (a + lift * taper) * _power(sine, 0.88)
            grid[i, j, 1] = y + lift * (1.0 - taper)
            grid[i, j, 2] = (depth + lift * taper) * _power(cosine, 0.88)
            surface[i, j, 0] = t
            surface[i, j, 1] = y
    return grid, surface


def build_hair(p: Identity) -> Mesh:
    """Return the hair's shell; which parts of it are hair is told by `hair_visible`."""
    scalp = head_outline(p, 180)
    scalp = scalp[scalp[:, 0] > -0.62][::2]
    end = hair_end(p) - 0.12
    below = np.linspace(scalp[-1, 0], min(end, scalp[-1, 0] - 0.01), 50)[1:]
    ys = np.concatenate([scalp[:, 0], below])
    grid, surface = _loft_hair(scalp, np.linspace(-np.pi, np.pi, 145)[:-1], ys, p)
    return _mesh(grid, surface, HAIR, wrap=True)


def build_person(p: Identity, s: State) -> list[Mesh]:
    """Return all meshes of a person, posed: the head turned fully, the neck half, the body hardly."""
    head = [build_head(p, s), *build_ears(p), build_hair(p)]
    posed = [_turn(m, s.yaw, s.pitch, s.roll) for m in head]
    return [
        *posed,
        _turn(build_neck(p), 0.5 * s.yaw, 0.35 * s.pitch, 0.5 * s.roll),
        _turn(build_body(p), 0.15 * s.yaw, 0.0, 0.0),
    ]


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Return the (3, 3) rotation for angles in degrees."""
    a, b, c = np.radians([yaw, pitch, -roll])
    turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    nod = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    lean = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.asarray(lean @ turn @ nod)


PIVOT = np.array([0.0, -0.75, -0.2])


def pose(points: np.ndarray, yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Turn points (..., 3) about the base of the skull."""
    return np.asarray((points - PIVOT) @ rotation(yaw, pitch, roll).T + PIVOT)


def _turn(mesh: Mesh, yaw: float, pitch: float, roll: float) -> Mesh:
    r = rotation(yaw, pitch, roll)
    return mesh._replace(vertices=pose(mesh.vertices, yaw, pitch, roll), normals=mesh.normals @ r.T)
