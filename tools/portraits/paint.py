"""What each point of the surface looks like: skin, eyes, lips, brows, hair, clothes (linear-light colours).

Compiled scalar functions; each returns colour and how it shines.
"""

from __future__ import annotations

import math

from tools.portraits.features import (
    brow_curve,
    bump,
    eye_coordinates,
    eye_frame,
    jit,
    lip_curves,
    lower_lid,
    mouth_frame,
    nasolabial,
    noise,
    nose_base,
    smoothstep,
    upper_lid,
)


@jit
def mix(a, b, f):
    """Blend two colours."""
    return a[0] + (b[0] - a[0]) * f, a[1] + (b[1] - a[1]) * f, a[2] + (b[2] - a[2]) * f


@jit
def scale(a, f):
    """Multiply a colour."""
    return a[0] * f, a[1] * f, a[2] * f


@jit
def skin_colour(p):
    """Return the base colour of a person's skin."""
    t = p.skin_tone * 4.0
    if t < 1.0:
        c = mix((0.73, 0.47, 0.36), (0.60, 0.35, 0.235), t)
    elif t < 2.0:
        c = mix((0.60, 0.35, 0.235), (0.44, 0.235, 0.14), t - 1.0)
    elif t < 3.0:
        c = mix((0.44, 0.235, 0.14), (0.235, 0.115, 0.068), t - 2.0)
    else:
        c = mix((0.235, 0.115, 0.068), (0.10, 0.050, 0.032), t - 3.0)
    return (
        c[0] * (1 + 0.05 * p.skin_red),
        c[1] * (1 - 0.07 * p.skin_red),
        c[2] * (1 - 0.05 * p.skin_red - 0.16 * p.skin_yellow),
    )


@jit
def hair_colour(p):
    """Return the base colour of a person's hair."""
    h = p.hair_hue * 3.0
    if h < 1.0:
        c = mix((0.012, 0.010, 0.010), (0.075, 0.036, 0.018), h)
    elif h < 2.0:
        c = mix((0.075, 0.036, 0.018), (0.20, 0.072, 0.026), h - 1.0)
    else:
        c = mix((0.20, 0.072, 0.026), (0.52, 0.35, 0.15), h - 2.0)
    c = scale(c, 0.65 + 0.8 * p.hair_value)
    return mix(c, (0.42, 0.41, 0.40), min(1.0, p.hair_grey))


@jit
def iris_colour(p, odd):
    """Return the colour of the iris; `odd` shifts its hue."""
    h = p.iris_hue
    if odd > 0.5:
        h = 0.82 if p.iris_hue < 0.5 else 0.05
    h *= 4.0
    if h < 1.0:
        c = mix((0.045, 0.020, 0.010), (0.16, 0.075, 0.022), h)
    elif h < 2.0:
        c = mix((0.16, 0.075, 0.022), (0.11, 0.15, 0.055), h - 1.0)
    elif h < 3.0:
        c = mix((0.11, 0.15, 0.055), (0.085, 0.20, 0.34), h - 2.0)
    else:
        c = mix((0.085, 0.20, 0.34), (0.26, 0.32, 0.36), h - 3.0)
    return scale(c, 0.7 + 0.6 * p.iris_value)


@jit
def paint_eye(x, u, v, up, low, p, s, t):
    """Return the colour and shine of the eyeball between the lids."""
    cx, _, _ = eye_frame(p)
    px = abs(x) - cx
    gaze = s.gaze_x * 0.045 * (1.0 if x > 0 else -1.0)
    dx, dy = px - gaze, v - 0.010 - s.gaze_y * 0.022
    r = math.sqrt(dx * dx + dy * dy)
    iris = 0.067
    white = mix((0.62, 0.58, 0.55), (0.45, 0.34, 0.31), smoothstep(0.5, 1.0, abs(u)))
    c = white
    if r < iris + 0.008:
        rim = smoothstep(iris * 0.70, iris, r)
        grain = 0.8 + 0.35 * noise(math.atan2(dy, dx) * 6.0, r * 40.0, 3)
        eye = iris_colour(p, t.odd_eye if x > 0 else 0.0)
        c2 = mix(scale(eye, grain * (1.5 - 0.5 * dy / iris * 0.0)), scale(eye, 0.25), rim)
        c2 = mix((0.004, 0.004, 0.005), c2, smoothstep(0.024, 0.031, r))
        c = mix(c2, white, smoothstep(iris - 0.006, iris + 0.006, r))
    c = scale(c, 0.45 + 0.55 * smoothstep(0.0, 0.034, up - v))
    c = scale(c, 0.8 + 0.2 * smoothstep(0.0, 0.015, v - low))
    glint = math.exp(-((dx + 0.022) ** 2 + (dy - 0.026) ** 2) / 0.00013)
    return c[0] + 1.1 * glint, c[1] + 1.1 * glint, c[2] + 1.1 * glint


@jit
def paint_mouth(x, y, top, bottom, p, s, t):
    """Return the colour of the open mouth: teeth above, dark behind."""
    _, mw = mouth_frame(p, s)
    depth = (top - y) / max(1e-4, top - bottom)
    tooth_end = top - 0.052
    inside = (0.055, 0.016, 0.014)
    if y > tooth_end and abs(x) < mw * 0.80:
        edge = smoothstep(0.0, 0.012, y - tooth_end)
        seam = 1.0 - 0.22 * math.exp(-((((abs(x) / 0.052) + 0.5) % 1.0 - 0.5) ** 2) / 0.006) * (abs(x) > 0.02)
        shade = (0.62 + 0.3 * (1.0 - (x / (mw * 0.8)) ** 2)) * seam
        teeth = (0.66 * shade, 0.60 * shade, 0.52 * shade)
        if t.tooth_gap > 0.0:
            teeth = mix(
                (0.012, 0.006, 0.006), teeth, smoothstep(t.tooth_gap * 0.8, t.tooth_gap * 1.25, abs(x))
            )
        c = mix(inside, teeth, edge)
    else:
        c = inside
        if depth > 0.72:
            c = mix(c, (0.24, 0.07, 0.065), smoothstep(0.72, 0.95, depth) * 0.7)
    return scale(c, 0.55 + 0.45 * smoothstep(0.0, 0.02, top - y))


@jit
def paint_hair_on_skin(x, y, c, p, s, t):
    """Lay brows, beard, moustache and stubble over the skin's colour; returns the colour."""
    seed = int(p.texture_seed)
    hair = hair_colour(p)
    centre, thick, along = brow_curve(x, p, s, t)
    if thick > 0.0:
        strand = noise(x * 60.0 + y * 50.0, y * 30.0, seed + 11)
        d = (y - centre) / (thick * (1.0 + 0.22 * strand))
        cover = (
            (1.0 - smoothstep(0.55, 1.25, abs(d)))
            * (0.55 + 0.4 * p.brow_density)
            * (1.0 - smoothstep(0.92, 1.0, along))
        )
        c = mix(c, scale(hair, 0.75), min(0.97, cover))
    ax = abs(x)
    my, mw = mouth_frame(p, s)
    top, _, _, bottom = lip_curves(x, p, s)
    inside_lips = ax < mw and bottom - 0.008 < y < top + 0.008
    if p.beard + p.moustache + p.stubble > 0.01 and not inside_lips:
        strand = 0.75 + 0.4 * noise(x * 38.0, y * 22.0, seed + 13)
        jaw_line = -0.36 - 0.30 * smoothstep(0.62, 0.15, ax) - 0.03 * noise(x * 14.0, 1.0, seed)
        beard = smoothstep(jaw_line + 0.04, jaw_line - 0.10, y)
        beard *= 1.0 - bump(x, y, 0.0, my, mw * 1.05, 0.13) * 0.85
        lip = (
            smoothstep(0.21, 0.14, ax - 0.05)
            * smoothstep(my + 0.02, my + 0.05, y)
            * smoothstep(my + 0.185, my + 0.13, y)
        )
        base, _ = nose_base(p)
        lip *= smoothstep(base - 0.01, base - 0.04, y)
        full = max(min(1.0, 1.5 * p.beard) * beard, min(1.0, 1.6 * p.moustache) * lip) * strand
        c = mix(c, scale(hair, 0.9), min(0.94, full))
        shadow = 0.40 * p.stubble * max(beard, lip) * (1.0 - min(1.0, full))
        c = mix(c, mix(scale(hair, 0.8), (0.07, 0.065, 0.07), 0.5), shadow)
    return c


@jit
def paint_traits(x, y, c, p, t):
    """Lay birthmark and scar over the skin's colour; returns the colour and how much of a trait is here."""
    amount = 0.0
    if t.birthmark_size > 0.0:
        d = math.sqrt((x - t.birthmark_x) ** 2 + (0.9 * (y - t.birthmark_y)) ** 2)
        d *= 1.0 + 0.22 * noise(x * 22.0, y * 22.0, 5)
        amount = 1.0 - smoothstep(t.birthmark_size * 0.82, t.birthmark_size * 1.12, d)
        c = mix(c, (c[0] * 0.22, c[1] * 0.13, c[2] * 0.13), amount)
    if t.scar_size > 0.0:
        dx, dy = x - t.scar_x, y - t.scar_y
        along = dx * math.cos(t.scar_angle) + dy * math.sin(t.scar_angle)
        across = -dx * math.sin(t.scar_angle) + dy * math.cos(t.scar_angle) + 0.012 * math.sin(along * 24.0)
        line = (1.0 - smoothstep(0.028, 0.046, abs(across))) * (
            1.0 - smoothstep(0.85, 1.0, abs(along) / t.scar_size)
        )
        c = mix(c, (c[0] * 0.62, c[1] * 0.30, c[2] * 0.30), 0.95 * line)
        amount = max(amount, line)
    return c, amount


@jit
def paint_skin(x, y, p):
    """Return the skin's own colour at (x, y): base, redness, freckles, lines of age."""
    seed = int(p.texture_seed)
    c = skin_colour(p)
    ax = abs(x)
    cx, cy, half = eye_frame(p)
    base, _ = nose_base(p)
    red = (0.25 + 0.75 * p.blush) * (
        0.55 * bump(ax, y, 0.40, -0.28, 0.18, 0.15) + 0.5 * bump(x, y, 0.0, base + 0.05, 0.12, 0.10)
    )
    red += 0.3 * bump(ax, y, 0.72, -0.1, 0.1, 0.2)
    c = (c[0] * (1.0 + 0.06 * red), c[1] * (1.0 - 0.20 * red), c[2] * (1.0 - 0.17 * red))
    mottle = 0.045 * noise(x * 5.0, y * 5.0, seed) + 0.03 * noise(x * 13.0, y * 13.0, seed + 1)
    c = scale(c, 1.0 + mottle)
    if p.freckles > 0.02:
        where = bump(ax, y, 0.26, -0.20, 0.32, 0.20)
        spot = smoothstep(0.35, 0.6, noise(x * 26.0, y * 26.0, seed + 21)) * p.freckles * where
        c = (c[0] * (1.0 - 0.25 * spot), c[1] * (1.0 - 0.42 * spot), c[2] * (1.0 - 0.5 * spot))
    tired = (0.10 + 0.16 * p.age) * bump(ax, y, cx - 0.01, cy - 0.095, 0.12, 0.04)
    c = (c[0] * (1 - tired), c[1] * (1 - 1.25 * tired), c[2] * (1 - 1.1 * tired))
    if p.age > 0.25:
        wave = math.sin((y - 0.38) * 42.0 + 1.5 * x * x)
        line = smoothstep(0.55, 1.0, wave) * bump(x, y, 0.0, 0.44, 0.35, 0.13)
        crow = smoothstep(0.3, 1.0, math.sin(math.atan2(y - cy, ax - cx - 0.06) * 11.0)) * bump(
            ax, y, cx + half + 0.09, cy - 0.01, 0.06, 0.08
        )
        c = scale(c, 1.0 - 0.38 * (p.age - 0.25) * (line + crow))
    return c


@jit
def paint_lips(x, y, c, top, mid1, mid2, bottom, p):
    """Lay the colour of the lips over the skin's; returns the colour and how much of a lip is here."""
    soft = 0.010
    upper = smoothstep(top + soft, top - soft, y) * smoothstep(mid1 - soft, mid1 + soft * 0.3, y)
    lower = smoothstep(bottom - soft, bottom + soft, y) * smoothstep(mid2 + soft, mid2 - soft * 0.3, y)
    lip = max(upper, lower)
    red = p.lip_redness
    tint = (c[0] * (0.86 + 0.06 * red), c[1] * (0.60 - 0.26 * red), c[2] * (0.66 - 0.24 * red))
    if upper > lower:
        tint = scale(tint, 0.86)
    crease = 1.0 + 0.05 * noise(x * 50.0, y * 4.0, 9)
    return mix(c, scale(tint, crease), lip * 0.95), lip


@jit
def paint_face(x, y, p, s, t):
    """Return (r, g, b, shine, eye, trait): colour, specular strength, 1 on an eyeball, share of a trait.

    Marks of the skin (birthmark, scar) count as traits with 1, eye, teeth and brow with 0.5.
    """
    u, v = eye_coordinates(x, y, p)
    if abs(u) < 1.0:
        up, low = upper_lid(u, p, s), lower_lid(u, p, s)
        if low < v < up:
            c = paint_eye(x, u, v, up, low, p, s, t)
            return c[0], c[1], c[2], 0.0, 1.0, (0.5 if t.odd_eye > 0.5 and x > 0 else 0.0)
    c = paint_skin(x, y, p)
    shine = 0.5 + 0.5 * bump(x, y, 0.0, -0.25, 0.14, 0.3) + 0.4 * bump(x, y, 0.0, 0.45, 0.4, 0.2)
    fold = nasolabial(abs(x), y, p, s)
    c = scale(c, 1.0 - fold * (0.05 + 0.16 * p.age + 0.12 * max(0.0, s.smile)))
    c = paint_hair_on_skin(x, y, c, p, s, t)
    base, half = nose_base(p)
    hole = bump(abs(x), y, half * 0.44, base + 0.004, 0.042, 0.022)
    c = mix(c, (0.035, 0.012, 0.010), smoothstep(0.35, 0.85, hole) * 0.9)
    under = bump(x, y, 0.0, base - 0.03, 0.12, 0.03)
    c = scale(c, 1.0 - 0.18 * under)
    top, mid1, mid2, bottom = lip_curves(x, p, s)
    _, mw = mouth_frame(p, s)
    if abs(x) < mw:
        if mid1 - mid2 > 0.004 and mid2 < y < mid1:
            c = paint_mouth(x, y, mid1, mid2, p, s, t)
            here = 0.5 if t.tooth_gap > 0.0 and abs(x) < t.tooth_gap * 1.5 and y > mid1 - 0.052 else 0.0
            return c[0], c[1], c[2], 0.1, 0.0, here
        c, lip = paint_lips(x, y, c, top, mid1, mid2, bottom, p)
        shine += 0.5 * lip
        seam = math.exp(-(((y - 0.5 * (mid1 + mid2)) / 0.009) ** 2)) * smoothstep(1.0, 0.85, abs(x) / mw)
        c = mix(c, (0.05, 0.014, 0.012), 0.8 * seam * (mid1 - mid2 < 0.012))
    corner = bump(abs(x), y, mw, lip_curves(0.98 * mw, p, s)[1], 0.028, 0.022)
    c = scale(c, 1.0 - 0.5 * corner)
    if abs(u) < 1.25:
        up, low = upper_lid(u, p, s), lower_lid(u, p, s)
        fade = 1.0 - smoothstep(0.95, 1.2, abs(u))
        lash = math.exp(-(((v - up - 0.002) / (0.010 + 0.007 * p.lash)) ** 2)) * (v >= up - 0.004)
        c = mix(c, (0.012, 0.008, 0.007), fade * lash * (0.72 + 0.28 * p.lash) * smoothstep(-1.15, -0.6, u))
        rim = math.exp(-(((v - low + 0.006) / 0.008) ** 2)) * (v <= low)
        c = mix(c, (c[0] * 0.55, c[1] * 0.36, c[2] * 0.33), fade * rim * (0.55 + 0.3 * p.lash))
        crease = up + 0.024 + 0.012 * p.lid_crease
        c = scale(c, 1.0 - fade * 0.38 * math.exp(-(((v - crease) / 0.011) ** 2)))
    c, mark = paint_traits(x, y, c, p, t)
    if t.odd_brow != 0.0 and x > 0.0:
        centre, thick, _ = brow_curve(x, p, s, t)
        if thick > 0.0 and abs(y - centre) < thick:
            mark = 0.5
    return c[0], c[1], c[2], shine, 0.0, mark


@jit
def paint_hair(angle, y, p, t):
    """Return (r, g, b, trait) of the hair at azimuth and height."""
    seed = int(p.texture_seed)
    c = hair_colour(p)
    wave = p.hair_curl * 0.35 * math.sin(y * 14.0 + 3.0 * noise(angle * 3.0, 0.0, seed))
    strand = 0.5 * noise((angle + 0.1 * wave) * 26.0, y * 1.6, seed + 31) + 0.5 * noise(
        (angle + 0.1 * wave) * 62.0, y * 2.6, seed + 32
    )
    clump = noise(angle * 7.0 + wave, y * (1.2 + 6.0 * p.hair_curl), seed + 33)
    c = scale(c, 1.0 + 0.20 * strand + 0.22 * clump)
    if p.baldness < 0.3 and y > 0.5:
        parting = math.exp(-(((angle - 0.55 * p.hair_part) / 0.035) ** 2)) * (1.0 - p.hair_fringe)
        c = mix(c, scale(skin_colour(p), 0.7), 0.35 * parting)
    trait = 0.0
    if t.streak_size > 0.0:
        trait = 1.0 - smoothstep(
            t.streak_size * 0.75, t.streak_size * 1.1, abs(angle - t.streak_angle + 0.03 * strand)
        )
        c = mix(c, (0.66, 0.62, 0.54), trait * 0.95)
    return c[0], c[1], c[2], 0.5 * trait
