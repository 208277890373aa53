"""What can be measured on one face, and which measurement refuses it (paper, app. A.1, A.2)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mystyle_cli.curate.cover import explain, too_hidden, was_judged
from mystyle_cli.curate.records import Reason
from mystyle_cli.curate.settings import CurateSettings
from mystyle_cli.faces.align import FFHQ, align, to_crop
from mystyle_cli.faces.face import Face, head_pose
from mystyle_cli.photos.pixels import Pixels

Plane = NDArray[np.float64]

_TO_XYZ = np.array(
    [[0.41246, 0.35758, 0.18044], [0.21267, 0.71515, 0.07217], [0.01933, 0.11919, 0.95030]]
)  # sRGB, D65

# Parts of the face that show skin whatever the expression, beard or glasses, as polygons of landmarks.
_SKIN = (
    (1, 2, 3, 31, 39, 40, 41, 36),  # cheeks
    (15, 14, 13, 35, 42, 47, 46, 45),
    (39, 31, 33, 35, 42, 27),  # nose
)
_BELOW_EYES = ((36, 41, 40, 39), (45, 46, 47, 42))  # seen through glasses, hidden by sunglasses
_OUTLINE = (*range(17), *range(26, 16, -1))  # jaw and brows
# not skin: (a*, b*) is off by the first plus the second times the skin's own length
_OTHER_COLOUR = (4.0, 0.45)


def brightness(pixels: Pixels) -> Plane:
    """Return Rec. 601 luma, float64 (H, W) in [0, 255]."""
    return np.asarray(pixels @ np.array([0.299, 0.587, 0.114]))


def lab(pixels: NDArray[Any]) -> NDArray[np.float64]:
    """Convert sRGB (..., 3) in [0, 255] to CIE L*a*b* under D65, float64 (..., 3)."""
    unit = pixels / 255.0
    linear = np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)
    xyz = linear @ (_TO_XYZ / _TO_XYZ.sum(1, keepdims=True)).T
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def colour(crop: Pixels) -> float:
    """Return how much the colour of a crop (R, R, 3) varies beyond what brightness explains, in Lab units.

    A grey or toned print has one colour per brightness, so its a* and b* lie on a curve over L*; what is left
    after fitting that curve is real colour.
    """
    small = np.array(Image.fromarray(crop).resize((32, 32), Image.Resampling.BOX))
    values = lab(small).reshape(-1, 3)
    curve = np.vander(values[:, 0] / 100, 4)
    fit, *_ = np.linalg.lstsq(curve, values[:, 1:], rcond=None)
    return float(np.sqrt(((values[:, 1:] - curve @ fit) ** 2).sum(1).mean()))


def sharpness(crop: Pixels) -> float:
    """Return the energy of a face's detail 1-2 pixels wide over that of detail 2-4 wide, on a crop (R, R, 3).

    Pictures have about equal energy per octave, blur removes the finest; the ratio does not depend on
    contrast.
    """
    height, width = crop.shape[:2]
    luma = brightness(crop)
    one, two, four = (_gauss(luma, sigma) for sigma in (1.0, 2.0, 4.0))
    face = np.s_[height // 4 : height * 9 // 10, width // 5 : width * 4 // 5]
    fine, coarse = ((one - two)[face] ** 2).mean(), ((two - four)[face] ** 2).mean()
    return float(fine / max(coarse, 1e-6))


def cover(crop: Pixels, landmarks: NDArray[np.floating[Any]]) -> float:
    """Return the largest share, of five parts that always show skin, of pixels not of the face's own colour.

    Masks, sunglasses, hair and things held before the face score 0.4 and more, clear faces below 0.3, also
    with glasses, beards, birthmarks and side light. A hand has the face's colour and is not noticed. Crop
    uint8 (R, R, 3), landmarks (68, 2) on it.
    """
    size = crop.shape[0]
    soft = np.stack([_gauss(crop[..., c].astype(np.float64), size / 85) for c in range(3)], axis=-1)
    chroma = lab(soft)[..., 1:]
    shapes = [landmarks[list(index)] for index in _SKIN] + [
        _below_eye(landmarks, index) for index in _BELOW_EYES
    ]
    parts = [part for part in (polygon(shape, size) for shape in shapes) if part.any()]
    if not parts:
        return 1.0
    own = np.median(chroma[np.any(parts, axis=0)], axis=0)
    least, share = _OTHER_COLOUR
    odd = np.hypot(*np.moveaxis(chroma - own, -1, 0)) > least + share * np.hypot(*own)
    return max(float(odd[part].mean()) for part in parts)


def eyes(crop: Pixels, landmarks: NDArray[np.floating[Any]]) -> float:
    """Return contrast and brightness of the clearer eye, relative to the skin's brightness.

    Open and closed eyes, also behind glasses, score above 0.34; dark glasses about 0.2, as they are dark and
    even. Crop uint8 (R, R, 3), landmarks (68, 2) on it.
    """
    luma, size = brightness(crop), crop.shape[0]
    skin = np.any([polygon(landmarks[list(index)], size) for index in _SKIN], axis=0)
    level = max(float(np.median(luma[skin])) if skin.any() else 0.0, 1.0)
    scores = []
    for first in (36, 42):
        lids = landmarks[first : first + 6]
        inside = luma[polygon(lids.mean(0) + 1.25 * (lids - lids.mean(0)), size)]
        if inside.size:
            scores.append(float(inside.std() + 0.3 * inside.mean()) / level)
    return max(scores, default=0.0)


def _below_eye(landmarks: NDArray[np.floating[Any]], lid: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the polygon of skin below an eye's lower lid, given from its outer to its inner corner."""
    apart = np.linalg.norm(landmarks[36:42].mean(0) - landmarks[42:48].mean(0))
    nose = landmarks[30] - landmarks[27]
    down = nose / max(float(np.linalg.norm(nose)), 1e-6) * apart
    upper = landmarks[list(lid)] + np.array([0.15, 0.12, 0.12, 0.15])[:, None] * down
    return np.concatenate([upper, landmarks[[lid[-1], lid[0]]] + 0.4 * down])


def polygon(points: NDArray[np.floating[Any]], size: int) -> NDArray[np.bool_]:
    """Return bool (size, size), true inside the polygon (n, 2) given in crop coordinates."""
    canvas = Image.new("1", (size, size))
    ImageDraw.Draw(canvas).polygon([(float(x), float(y)) for x, y in points], fill=1)
    return np.array(canvas, dtype=bool)


def measure(pixels: Pixels, face: Face, resolution: int) -> dict[str, float]:
    """Measure everything on one face of a photo (H, W, 3).

    It is done on its FFHQ square at the prior's resolution, whatever the prior's own crop shows, so that the
    same limits hold for every crop.
    """
    aligned = align(pixels, face.landmarks, resolution, FFHQ)
    crop, size, shape = aligned.pixels, resolution, pixels.shape
    points = to_crop(face.landmarks, aligned.quad, size)
    pose = head_pose(face)
    inside = brightness(crop)[polygon(points[list(_OUTLINE)], size)]
    inside = inside if inside.size else brightness(crop).ravel()
    outside = ((face.landmarks < 0) | (face.landmarks > [shape[1], shape[0]])).any(1)
    return {
        "side": aligned.side,
        "colour": colour(crop),
        "sharpness": sharpness(crop),
        "brightness": float(np.median(inside)),
        "contrast": float(inside.std()),
        "yaw": pose.yaw,
        "pitch": pose.pitch,
        "roll": pose.roll,
        "cut": float(outside.mean()),
        "cover": cover(crop, points),
        "eyes": eyes(crop, points),
        "spread": face.spread,
        "detector": face.score,
    }


def fault(
    scores: Mapping[str, float], resolution: int, settings: CurateSettings
) -> tuple[Reason, str] | None:
    """Return the first reason to refuse a face and a sentence, or None for a good one."""
    s, limit = scores, settings
    least = limit.smallest_face * resolution
    yaw, pitch = abs(s["yaw"]), abs(s["pitch"])
    up = "up" if s["pitch"] > 0 else "down"
    blur = f"blurred: sharpness {s['sharpness']:.2f} of {limit.least_sharpness}"
    tone = f"grey or toned: colour {s['colour']:.1f} of {limit.least_colour}"
    checks = (
        (
            s["side"] < least,
            Reason.SMALL_FACE,
            f"the face is {s['side']:.0f} px, at least {least:.0f} are needed",
        ),
        (s["colour"] < limit.least_colour, Reason.GREY, tone),
        (s["sharpness"] < limit.least_sharpness, Reason.LOW_QUALITY, blur),
        (s["brightness"] < limit.darkest, Reason.LOW_QUALITY, "the face is too dark"),
        (s["brightness"] > limit.brightest, Reason.LOW_QUALITY, "the face is overexposed"),
        (s["contrast"] < limit.least_contrast, Reason.LOW_QUALITY, "the face has almost no contrast"),
        (yaw > limit.largest_yaw, Reason.EXTREME_POSE, f"the head is turned by {yaw:.0f} degrees"),
        (pitch > limit.largest_pitch, Reason.EXTREME_POSE, f"the head is tilted {up} by {pitch:.0f} degrees"),
        (s["cut"] > limit.largest_cut, Reason.OCCLUDED, "part of the face lies outside the photo"),
    )
    first = next(((reason, detail) for failed, reason, detail in checks if failed), None)
    return first or _covered(scores, settings)


def _covered(scores: Mapping[str, float], settings: CurateSettings) -> tuple[Reason, str] | None:
    """Say what is covered, by the prior's net where it has one, else by the colours of the skin."""
    if was_judged(scores):
        detail = explain(too_hidden(scores, settings))
    elif scores["cover"] > settings.largest_cover:
        detail = f"something covers {scores['cover']:.0%} of one part of the face"
    else:
        detail = "the eyes are covered, as by dark glasses" if scores["eyes"] < settings.least_eyes else ""
    return (Reason.OCCLUDED, detail) if detail else None


def _gauss(plane: Plane, sigma: float) -> Plane:
    """Blur a plane (H, W) by a Gaussian of `sigma` pixels, mirrored at the edges."""
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(plane, sigma, radius=math.ceil(3 * sigma)))
