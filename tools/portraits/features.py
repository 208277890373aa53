"""Where the features of a face lie: curves in the frontal plane, shared by the geometry and the paint.

All functions are scalar and compiled; `p` is an Identity, `s` a State, `t` Traits; x, y are head units
on the face at rest (x to the picture's right, y up, eye line at 0).
"""

from __future__ import annotations

import math

from numba import njit

jit = njit(cache=True, fastmath=True, inline="never")


@jit
def smoothstep(low, high, value):
    """Rise from 0 at `low` to 1 at `high` without a kink."""
    f = (value - low) / (high - low)
    f = min(1.0, max(0.0, f))
    return f * f * (3.0 - 2.0 * f)


@jit
def bump(x, y, cx, cy, rx, ry):
    """Return a Gaussian hill of height 1 at (cx, cy)."""
    a = (x - cx) / rx
    b = (y - cy) / ry
    return math.exp(-a * a - b * b)


@jit
def hash2(i, j, seed):
    """Return a repeatable number in [0, 1) for an integer cell."""
    h = (i * 374761393 + j * 668265263 + seed * 69069 + 974711) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    return ((h ^ (h >> 16)) & 0xFFFFFF) / 16777216.0


@jit
def noise(x, y, seed):
    """Return smooth value noise in [-1, 1] with cells of size 1."""
    i, j = math.floor(x), math.floor(y)
    fx, fy = x - i, y - j
    fx = fx * fx * (3.0 - 2.0 * fx)
    fy = fy * fy * (3.0 - 2.0 * fy)
    i, j = int(i), int(j)
    a = hash2(i, j, seed) * (1 - fx) + hash2(i + 1, j, seed) * fx
    b = hash2(i, j + 1, seed) * (1 - fx) + hash2(i + 1, j + 1, seed) * fx
    return 2.0 * (a * (1 - fy) + b * fy) - 1.0


# -- eyes ------------------------------------------------------------------------------------------


@jit
def eye_frame(p):
    """Return the eye's centre x (positive side), centre y and half-width."""
    return 0.305 + 0.028 * p.eye_spacing, 0.03 * p.eye_height, 0.140 * (1.0 + 0.12 * p.eye_width)


@jit
def eye_coordinates(x, y, p):
    """Return (u, v) in the nearer eye: u is -1 at the inner, 1 at the outer corner; v is head units above."""
    cx, cy, half = eye_frame(p)
    u = (abs(x) - cx) / half
    return u, y - cy - 0.035 * p.eye_slant * u - 0.008 * u


@jit
def upper_lid(u, p, s):
    """Return the height of the upper lid's edge at u."""
    if abs(u) >= 1.0:
        return 0.0
    close = 1.0 - 0.85 * max(s.lids, 0.0) - 0.25 * min(s.lids, 0.0)
    height = 0.064 * (1.0 + 0.26 * p.eye_opening) * close * (1.0 - 0.16 * max(s.smile, 0.0))
    return height * (1.0 - u * u) ** 0.65 * (1.0 - 0.18 * u)


@jit
def lower_lid(u, p, s):
    """Return the (negative) height of the lower lid's edge at u."""
    if abs(u) >= 1.0:
        return 0.0
    height = 0.043 * (1.0 + 0.16 * p.eye_opening) * (1.0 - 0.28 * max(s.smile, 0.0))
    return -height * (1.0 - u * u) ** 0.75 * (1.0 + 0.22 * u)


# -- brows -----------------------------------------------------------------------------------------


@jit
def brow_curve(x, p, s, t):
    """Return (centre y, half-thickness, place along it in [0, 1]) of the brow at x; thickness 0 is none."""
    cx, cy, half = eye_frame(p)
    start = cx - 1.05 * half
    length = 2.25 * half * (1.0 + 0.1 * p.brow_length)
    along = (abs(x) - start) / length
    if along < 0.0 or along > 1.0:
        return 0.0, 0.0, along
    arch = 0.030 * (1.0 + 0.9 * p.brow_arch)
    y = cy + 0.185 + 0.028 * p.brow_height + 0.045 * s.brows + 0.02 * p.brow_slant * (along - 0.4)
    y += arch * (1.0 - ((along - 0.62) / 0.62) ** 2) - 0.02 * (1.0 - along) * max(0.0, -s.brows)
    if x > 0.0:
        y += t.odd_brow * (0.4 + 0.6 * along)
    thick = (
        0.030 * (1.0 + 0.45 * p.brow_thickness) * (1.0 - 0.72 * along**2.2) * smoothstep(-0.05, 0.1, along)
    )
    return y, thick, along


# -- mouth -----------------------------------------------------------------------------------------


@jit
def mouth_frame(p, s):
    """Return the mouth's centre y and half-width."""
    y = -0.665 - 0.028 * p.mouth_height - 0.03 * p.face_length
    return y, 0.245 * (1.0 + 0.14 * p.mouth_width) * (1.0 + 0.2 * s.smile)


@jit
def lip_curves(x, p, s):
    """Return the four edges of the lips at x, from the top."""
    cy, half = mouth_frame(p, s)
    u = x / half
    if abs(u) >= 1.0:
        return cy, cy, cy, cy
    line = cy + 0.075 * s.smile * u * u - 0.012 * s.smile
    taper = (1.0 - u * u) ** 0.8
    gap = 0.115 * s.mouth * taper + 0.035 * max(0.0, s.smile - 0.3) * taper
    upper = 0.050 * (1.0 + 0.42 * p.lip_upper) * (1.0 - 0.25 * max(s.smile, 0.0))
    lower = 0.066 * (1.0 + 0.38 * p.lip_lower) * (1.0 - 0.2 * max(s.smile, 0.0))
    bow = math.exp(-((abs(x) - 0.06) ** 2) / 0.0022) * 0.5 - math.exp(-(x * x) / 0.0011) * 0.55
    top = line + 0.3 * gap + upper * taper + 0.014 * (1.0 + 0.8 * p.cupid_bow) * bow * taper
    middle = 0.010 * math.exp(-(x * x) / 0.002) * (1.0 - min(1.0, 6.0 * gap))
    return top, line + 0.3 * gap - middle, line - 0.7 * gap - middle, line - 0.7 * gap - lower * taper**0.8


# -- nose ------------------------------------------------------------------------------------------


@jit
def nose_base(p):
    """Return the y of the nose's base and the half-width over the wings."""
    return -0.435 - 0.045 * p.nose_length, 0.158 * (1.0 + 0.22 * p.nose_width)


@jit
def nose_height(x, y, p):
    """Return how far the nose stands out of the face plane at (x, y)."""
    base, half = nose_base(p)
    top = 0.10
    f = (y - top) / (base + 0.045 - top)  # 0 at the bridge's root, 1 at the tip
    out = 0.27 * (1.0 + 0.2 * p.nose_out)
    ridge = 0.0
    if f > -0.4:
        g = min(1.0, max(0.0, f))
        bridge = 0.055 * (1.0 + 0.5 * p.nose_bridge) * smoothstep(-0.4, 0.25, f) * (1.0 - 0.5 * g)
        climb = bridge + out * g**1.5 + 0.03 * p.nose_hump * math.exp(-(((g - 0.42) / 0.2) ** 2))
        width = 0.062 * (1.0 + 0.2 * p.nose_width + 0.25 * p.nose_tip * g) + 0.03 * g
        under = 1.0 - smoothstep(1.0 + 0.04 * p.nose_tip_up, 1.34 + 0.07 * p.nose_tip_up, f)
        ridge = climb * math.exp(-((abs(x) / width) ** 2.2)) * under
    tip = 0.055 * (1.0 + 0.4 * p.nose_tip) * bump(x, y, 0.0, base + 0.055 + 0.02 * p.nose_tip_up, 0.085, 0.07)
    wing = 0.088 * bump(abs(x), y, half * 0.66, base + 0.045, 0.058 * (1 + 0.2 * p.nose_width), 0.062)
    hole = 0.05 * bump(abs(x), y, half * 0.42, base - 0.005, 0.035, 0.024)
    return ridge + tip + wing - hole


@jit
def relief(x, y, p, s):
    """Return all that stands out of, or is sunk into, the smooth front of the head at (x, y)."""
    ax = abs(x)
    cx, cy, half = eye_frame(p)
    h = nose_height(x, y, p)
    h -= (0.075 + 0.03 * p.eye_depth) * bump(ax, y, cx - 0.02, cy + 0.02, 0.20, 0.125)
    h -= 0.05 * bump(ax, y, cx - 0.17, cy + 0.03, 0.07, 0.09)
    u, v = eye_coordinates(x, y, p)
    ball = u * u * 0.9 + (v / (0.9 * half)) ** 2
    if ball < 1.0:
        h += 0.052 * (1.0 - ball) ** 0.8
    crease = upper_lid(u, p, s) + 0.022 + 0.012 * p.lid_crease
    if abs(u) < 1.15:
        h -= 0.016 * math.exp(-(((v - crease) / 0.014) ** 2)) * (1.0 - smoothstep(0.8, 1.15, abs(u)))
    h += 0.045 * (1.0 + 0.4 * p.eye_depth) * bump(ax, y, cx - 0.03, cy + 0.19, 0.26, 0.075)
    h += (0.03 + 0.03 * p.cheek_fullness) * bump(ax, y, 0.42, -0.24 + 0.05 * s.smile, 0.17, 0.15)
    h += 0.035 * max(0.0, s.smile) * bump(ax, y, 0.37, -0.36, 0.13, 0.11)
    h -= (0.02 - 0.03 * p.cheek_fullness) * bump(ax, y, 0.44, -0.62, 0.15, 0.16)
    my, mw = mouth_frame(p, s)
    top, mid1, mid2, bottom = lip_curves(x, p, s)
    if ax < mw:
        if mid1 <= y <= top + 0.02:
            f = (y - mid1) / (top + 0.02 - mid1 + 1e-6)
            h += 0.045 * math.sin(math.pi * min(1.0, f * 0.8 + 0.2)) * (1.0 - (ax / mw) ** 2)
        elif bottom - 0.02 <= y < mid2:
            f = (mid2 - y) / (mid2 - bottom + 0.02 + 1e-6)
            h += 0.055 * math.sin(math.pi * min(1.0, f * 0.8 + 0.2)) * (1.0 - (ax / mw) ** 2)
        elif mid2 < y < mid1:
            h -= 0.02
    h += 0.03 * bump(x, y, 0.0, my + 0.01, 0.24, 0.16)
    h -= 0.03 * bump(x, y, 0.0, my - 0.175, 0.13, 0.045)
    h -= 0.012 * bump(x, y, 0.0, my + 0.12, 0.028, 0.06)
    h -= 0.03 * bump(ax, y, mw + 0.015, my + 0.07 * s.smile, 0.035, 0.045) * (0.4 + max(0.0, s.smile))
    h += (0.055 + 0.03 * p.chin_forward) * bump(x, y, 0.0, -1.0 - 0.04 * p.chin_length, 0.15, 0.10)
    fold = nasolabial(ax, y, p, s)
    h -= (0.012 + 0.02 * p.age + 0.022 * max(0.0, s.smile)) * fold
    return h


@jit
def nasolabial(ax, y, p, s):
    """Return the depth in [0, 1] of the fold from the nose's wing to beside the mouth."""
    base, half = nose_base(p)
    my, mw = mouth_frame(p, s)
    f = (base + 0.06 - y) / (base + 0.06 - my + 0.06)
    if f < 0.0 or f > 1.15:
        return 0.0
    line = half + 0.015 + (mw + 0.03 - half) * f**1.1
    fade = smoothstep(0.0, 0.2, f) * (1.0 - smoothstep(0.75, 1.15, f))
    return math.exp(-(((ax - line) / 0.030) ** 2)) * fade
