"""A small compiled rasteriser: triangles to a visibility buffer, light and shadow to a picture."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from tools.portraits.features import bump, jit, noise, smoothstep
from tools.portraits.head import EAR, HAIR, NECK, SKIN, hair_visible
from tools.portraits.paint import mix, paint_face, paint_hair, paint_skin, scale, skin_colour


@njit(cache=True, fastmath=True)
def rasterise(screen, surface, triangles, materials, p, height, width):
    """Find the nearest triangle of each pixel.

    Args:
        screen: (V, 3) pixel x, pixel y, and nearness (larger is nearer).
        surface: (V, 2) surface coordinates; hair asks them whether it is there.
        triangles: (F, 3) vertex numbers. materials: (F,) material of each triangle.
        p: identity. height, width: pixels.

    Returns:
        nearness (H, W) float32, triangle (H, W) int32 with -1 for none, weights (H, W, 2) float32.
    """
    near = np.full((height, width), -1e9, np.float32)
    which = np.full((height, width), -1, np.int32)
    weights = np.zeros((height, width, 2), np.float32)
    for f in range(triangles.shape[0]):
        i, j, k = triangles[f]
        x0, y0 = screen[i, 0], screen[i, 1]
        x1, y1 = screen[j, 0], screen[j, 1]
        x2, y2 = screen[k, 0], screen[k, 1]
        left, right = (
            max(0, math.ceil(min(x0, x1, x2))),
            min(width - 1, math.floor(max(x0, x1, x2))),
        )
        top, bottom = (
            max(0, math.ceil(min(y0, y1, y2))),
            min(height - 1, math.floor(max(y0, y1, y2))),
        )
        if left > right or top > bottom:
            continue
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < 1e-9:
            continue
        is_hair = materials[f] == HAIR
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                b1 = ((column - x0) * (y2 - y0) - (x2 - x0) * (row - y0)) / area
                b2 = ((x1 - x0) * (row - y0) - (column - x0) * (y1 - y0)) / area
                b0 = 1.0 - b1 - b2
                if b0 < -1e-6 or b1 < -1e-6 or b2 < -1e-6:
                    continue
                z = b0 * screen[i, 2] + b1 * screen[j, 2] + b2 * screen[k, 2]
                if z <= near[row, column]:
                    continue
                if is_hair:
                    a = b0 * surface[i, 0] + b1 * surface[j, 0] + b2 * surface[k, 0]
                    y = b0 * surface[i, 1] + b1 * surface[j, 1] + b2 * surface[k, 1]
                    if not hair_visible(a, y, p):
                        continue
                near[row, column] = z
                which[row, column] = f
                weights[row, column, 0] = b1
                weights[row, column, 1] = b2
    return near, which, weights


@jit
def _lit(shadow_map, frame, x, y, z):
    """Return how much key light reaches a point, in [0, 1], softly, from a map of what the light sees."""
    size = shadow_map.shape[0]
    u = frame[0, 0] * x + frame[0, 1] * y + frame[0, 2] * z + frame[0, 3]
    v = frame[1, 0] * x + frame[1, 1] * y + frame[1, 2] * z + frame[1, 3]
    d = frame[2, 0] * x + frame[2, 1] * y + frame[2, 2] * z
    total = 0.0
    for dv in range(-2, 3):
        for du in range(-2, 3):
            column, row = int(u + du * 1.4 + 0.5), int(v + dv * 1.4 + 0.5)
            if 0 <= column < size and 0 <= row < size:
                total += 1.0 - smoothstep(0.045, 0.12, shadow_map[row, column] - d)
            else:
                total += 1.0
    return total / 25.0


@jit
def _background(column, row, width, height, scene):
    """Return the colour behind the person."""
    x, y = column / width, row / height
    f = 0.5 + (x - 0.5) * math.cos(scene.background_angle) + (y - 0.5) * math.sin(scene.background_angle)
    c = mix(
        (scene.background_r, scene.background_g, scene.background_b),
        (scene.background_r2, scene.background_g2, scene.background_b2),
        smoothstep(0.0, 1.0, f),
    )
    d = math.hypot(x - scene.background_spot_x, (y - scene.background_spot_y) * height / width)
    glow = scene.background_spot * math.exp(-((d / scene.background_spot_size) ** 2))
    return mix(c, (scene.background_r2 * 1.2, scene.background_g2 * 1.2, scene.background_b2 * 1.2), glow)


@jit
def _clothes(x, y, p, scene):
    """Return (r, g, b, cloth): the chest's colour and whether cloth covers it."""
    depth = -1.46 - 0.42 * scene.neckline
    half = 0.50 + 0.10 * scene.neckline
    f = min(1.0, abs(x) / half)
    rise = f if scene.neckline_v > 0.6 else 1.0 - math.sqrt(max(0.0, 1.0 - f * f))
    line = depth + (-1.33 - depth) * rise
    if y > line:
        c = paint_skin(0.9, y, p)
        return c[0] * 0.95, c[1] * 0.92, c[2] * 0.92, 0.0
    c = (scene.clothes_r, scene.clothes_g, scene.clothes_b)
    seam = 1.0 - 0.35 * math.exp(-(((y - line + 0.03) / 0.014) ** 2))
    fold = 1.0 + 0.10 * noise(x * 3.0, y * 4.0, 77)
    c = scale(c, seam * fold)
    return c[0], c[1], c[2], 1.0


@jit
def _surface_colour(material, a, b, p, s, t, scene):
    """Return (r, g, b, shine, eye, trait) of a surface point; shine below 0 marks hair and cloth."""
    if material == SKIN:
        r, g, bl, shine, eye, trait = paint_face(a, b, p, s, t)
        if scene.mask > 0.5 and b < -0.22 - 0.12 * abs(a) and b > -1.06:
            fold = 1.0 - 0.14 * smoothstep(0.4, 1.0, math.sin(b * 36.0))
            return 0.42 * fold, 0.56 * fold, 0.62 * fold, -1.0, 0.0, 0.0
        if scene.sunglasses > 0.5:
            lens = ((abs(a) - 0.31) / 0.23) ** 4 + ((b + 0.015) / 0.15) ** 4
            if (
                lens < 1.0
                or (abs(a) < 0.12 and abs(b - 0.07) < 0.022)
                or (abs(a) > 0.5 and abs(b - 0.08) < 0.025)
            ):
                return 0.010, 0.010, 0.012, 0.6, 0.0, 0.0
        return r, g, bl, shine, eye, trait
    if material == HAIR:
        r, g, bl, trait = paint_hair(a, b, p, t)
        return r, g, bl, -2.0, 0.0, trait
    if material == EAR:
        c = scale(skin_colour(p), 0.95)
        inner = bump(a, 0.0, 0.15, 0.0, 0.35, 1.0)
        return (
            c[0] * (1.0 - 0.35 * inner),
            c[1] * (0.9 - 0.45 * inner),
            c[2] * (0.9 - 0.45 * inner),
            0.3,
            0.0,
            0.0,
        )
    r, g, bl, cloth = _clothes(a, b, p, scene)
    return r, g, bl, (-1.0 if cloth > 0.5 else 0.2), 0.0, 0.0


@jit
def _occlusion(material, a, b, p):
    """Return how open a surface point is to the sky, in (0, 1]."""
    if material == SKIN:
        closed = 0.30 * bump(abs(a), b, 0.2, 0.03, 0.09, 0.10) + 0.16 * bump(
            abs(a), b, 0.32, 0.03, 0.17, 0.10
        )
        closed += 0.30 * bump(abs(a), b, 0.165, -0.36, 0.05, 0.12) + 0.25 * bump(a, b, 0.0, -0.52, 0.11, 0.05)
        closed += 0.20 * bump(a, b, 0.0, -0.83, 0.16, 0.045)
        return 1.0 - closed - 0.45 * smoothstep(-1.02, -1.13, b)
    if material == NECK:
        return 0.55 + 0.45 * smoothstep(-0.95, -1.45, b)
    if material == EAR:
        return 0.8
    return 1.0


@jit
def _light(scene):
    """Return the unit vectors to the key light and half-way to the eye, its colour, and the sky's light."""
    lx, ly = scene.light_x, scene.light_y
    lz = math.sqrt(max(0.12, 1.0 - 0.8 * (lx * lx + ly * ly)))
    length = math.sqrt(lx * lx + ly * ly + lz * lz)
    lx, ly, lz = lx / length, ly / length, lz / length
    half = math.sqrt(lx * lx + ly * ly + (lz + 1.0) * (lz + 1.0))
    level, warm = 1.08 * scene.light_level, scene.light_warmth
    key = (level * (1 + 0.10 * warm), level, level * (1 - 0.16 * warm))
    return (lx, ly, lz), (lx / half, ly / half, (lz + 1.0) / half), key, scene.fill_level * 0.62


@jit
def _between(values, i, j, k, b1, b2):
    """Return the three numbers of a point of a triangle from those of its corners."""
    b0 = 1.0 - b1 - b2
    return (
        b0 * values[i, 0] + b1 * values[j, 0] + b2 * values[k, 0],
        b0 * values[i, 1] + b1 * values[j, 1] + b2 * values[k, 1],
        b0 * values[i, 2] + b1 * values[j, 2] + b2 * values[k, 2],
    )


@jit
def _unit(v, flip):
    """Return a normal with length 1; hair is seen from both sides, so `flip` turns it to the camera."""
    inverse = 1.0 / math.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2] + 1e-12)
    if flip and v[2] < 0.0:
        inverse = -inverse
    return v[0] * inverse, v[1] * inverse, v[2] * inverse


@jit
def _dot(v, w):
    return v[0] * w[0] + v[1] * w[1] + v[2] * w[2]


@jit
def _hair(colour, normal, half, key, cosine, light, ambient):
    """Return lit hair: bright where the strand is square to the half-vector."""
    along = half[1] * 0.96 + half[2] * 0.15 * normal[1]
    gloss = max(0.0, 1.0 - along * along) ** 24 * max(0.0, cosine + 0.25) * light
    direct = max(0.0, 0.25 + 0.75 * cosine) * light
    gloss *= 0.10 + 0.55 * (colour[0] + colour[1] + colour[2]) / 3.0
    return (
        colour[0] * (key[0] * direct + ambient) + gloss * key[0],
        colour[1] * (key[1] * direct + ambient) + gloss * key[1],
        colour[2] * (key[2] * direct + ambient) + gloss * key[2],
    )


@jit
def _direct(cosine, light, opened, shine, eye):
    """Return how much of the key light's red, green and blue a surface scatters."""
    if eye > 0.5:
        even = (0.45 + 0.45 * max(0.0, cosine)) * (0.4 + 0.6 * light)
        return even, even, even
    if shine < 0.0:
        even = max(0.0, cosine) * light
        return even, even, even
    red = max(0.0, (cosine + 0.38) / 1.38) ** 1.25 * (0.22 + 0.78 * light)
    green = max(0.0, (cosine + 0.22) / 1.22) ** 1.25 * (0.12 + 0.88 * light)
    blue = max(0.0, (cosine + 0.16) / 1.16) ** 1.25 * (0.10 + 0.90 * light)
    # skin: light bleeds past the terminator, red furthest
    return red * (0.4 + 0.6 * opened), green * (0.35 + 0.65 * opened), blue * (0.35 + 0.65 * opened)


@jit
def _gloss(normal, half, light, sky, shine):
    """Return the mirrored part of skin and eyes."""
    if shine <= 0.0:
        return 0.0
    h = max(0.0, _dot(normal, half))
    rim = (1.0 - max(0.0, normal[2])) ** 4
    return shine * (0.085 * h**18 + 0.10 * h**70) * light + 0.05 * shine * rim * sky


@jit
def _pixel(corners, b1, b2, world, normals, surface, material, shadow_map, frame, lights, p, s, t, scene):
    """Return the lit colour of a point of a triangle, and how much of a trait is there."""
    i, j, k = corners
    towards, half, key, sky = lights
    n = _unit(_between(normals, i, j, k, b1, b2), material == HAIR)
    x, y, z = _between(world, i, j, k, b1, b2)
    b0 = 1.0 - b1 - b2
    a = b0 * surface[i, 0] + b1 * surface[j, 0] + b2 * surface[k, 0]
    b = b0 * surface[i, 1] + b1 * surface[j, 1] + b2 * surface[k, 1]
    r, g, bl, shine, eye, trait = _surface_colour(material, a, b, p, s, t, scene)
    light = _lit(shadow_map, frame, x + 0.03 * n[0], y + 0.03 * n[1], z + 0.03 * n[2])
    opened = _occlusion(material, a, b, p)
    cosine = _dot(n, towards)
    ambient = (sky * (0.62 + 0.38 * n[1]) + 0.10 * scene.fill_level * max(0.0, n[2])) * opened
    if shine == -2.0:
        return _hair((r, g, bl), n, half, key, cosine, light, ambient), trait
    direct = _direct(cosine, light, opened, shine, eye)
    gloss = _gloss(n, half, light, sky, shine)
    lit = (
        r * (key[0] * direct[0] + ambient) + gloss * key[0],
        g * (key[1] * direct[1] + ambient * 0.97) + gloss * key[1],
        bl * (key[2] * direct[2] + ambient) + gloss * key[2],
    )
    return lit, trait


@njit(cache=True, fastmath=True)
def shade(
    near, which, weights, world, normals, surface, triangles, materials, shadow_map, frame, p, s, t, scene
):
    """Light every pixel.

    Args:
        near, which, weights: from `rasterise`.
        world, normals: (V, 3) posed positions and unit normals. surface: (V, 2).
        triangles, materials: as in `rasterise`.
        shadow_map: (S, S) what the key light sees; frame: (3, 4) world to its pixels and nearness.
        p, s, t, scene: identity, state, traits, scene.

    Returns:
        linear-light colour (H, W, 3), person matte (H, W) and trait mask (H, W), float32.
    """
    height, width = which.shape
    picture = np.empty((height, width, 3), np.float32)
    matte = np.zeros((height, width), np.float32)
    marks = np.zeros((height, width), np.float32)
    lights = _light(scene)
    for row in range(height):
        for column in range(width):
            f = which[row, column]
            if f < 0:
                c = _background(column, row, width, height, scene)
            else:
                matte[row, column] = 1.0
                corners = (triangles[f, 0], triangles[f, 1], triangles[f, 2])
                b1, b2 = weights[row, column, 0], weights[row, column, 1]
                c, marks[row, column] = _pixel(
                    corners,
                    b1,
                    b2,
                    world,
                    normals,
                    surface,
                    materials[f],
                    shadow_map,
                    frame,
                    lights,
                    p,
                    s,
                    t,
                    scene,
                )
            picture[row, column, 0], picture[row, column, 1], picture[row, column, 2] = c
    return picture, matte, marks
