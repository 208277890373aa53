"""What can be measured on one face, and which measurement refuses it (paper, app. A.1, A.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mystyle_cli.curate.records import Reason
from mystyle_cli.curate.settings import CurateSettings
from mystyle_cli.photos.align import AlignedFace, to_crop
from mystyle_cli.photos.decode import Pixels
from mystyle_cli.photos.faces import Face, head_pose

Plane = NDArray[np.float64]

# Parts of the face that show skin whatever the expression, beard or glasses, as polygons of landmarks.
_SKIN = {
    "left cheek": (1, 2, 3, 31, 39, 40, 41, 36),
    "right cheek": (15, 14, 13, 35, 42, 47, 46, 45),
    "nose": (39, 31, 33, 35, 42, 27),
}
_OUTLINE = (*range(17), *range(26, 16, -1))  # jaw and brows
_OTHER_COLOUR = 14.0  # distance in (a*, b*) at which a skin pixel counts as something else


def brightness(pixels: Pixels) -> Plane:
    """Return Rec. 601 luma, float64 (H, W) in [0, 255]."""
    return np.asarray(pixels @ np.array([0.299, 0.587, 0.114]))


def lab(pixels: Pixels) -> NDArray[np.float64]:
    """Convert uint8 sRGB (..., 3) to CIE L*a*b* under D65, float64 (..., 3)."""
    unit = pixels / 255.0
    linear = np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
    xyz = linear @ (to_xyz / to_xyz.sum(1, keepdims=True)).T
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def colour(crop: Pixels) -> float:
    """Return how much colour varies beyond what brightness explains, in Lab units.

    A grey or toned print has one colour per brightness, so its a* and b* lie on a curve over L*; what is left after
    fitting that curve is real colour.

    Args:
        crop: uint8 (R, R, 3) aligned crop.
    """
    small = np.array(Image.fromarray(crop).resize((32, 32), Image.Resampling.BOX))
    values = lab(small).reshape(-1, 3)
    curve = np.vander(values[:, 0] / 100, 4)
    fit, *_ = np.linalg.lstsq(curve, values[:, 1:], rcond=None)
    return float(np.sqrt(((values[:, 1:] - curve @ fit) ** 2).sum(1).mean()))


def sharpness(crop: Pixels) -> float:
    """Return the energy of detail 1-2 pixels wide over that of detail 2-4 wide, inside the face.

    Pictures have about equal energy per octave, blur removes the finest; the ratio does not depend on contrast.

    Args:
        crop: uint8 (R, R, 3) aligned crop.
    """
    height, width = crop.shape[:2]
    luma = brightness(crop)
    one, two, four = (_gauss(luma, sigma) for sigma in (1.0, 2.0, 4.0))
    face = np.s_[height // 4 : height * 9 // 10, width // 5 : width * 4 // 5]
    fine, coarse = ((one - two)[face] ** 2).mean(), ((two - four)[face] ** 2).mean()
    return float(fine / max(coarse, 1e-6))


def other_than_skin(crop: Pixels, landmarks: NDArray[np.floating[Any]]) -> float:
    """Return the largest share, among cheeks and nose, of pixels whose colour is not the face's own.

    Args:
        crop: uint8 (R, R, 3) aligned crop.
        landmarks: (68, 2) crop coordinates.
    """
    soft = crop.astype(np.float64)
    soft = np.stack([_gauss(soft[..., c], crop.shape[0] / 85) for c in range(3)], axis=-1)
    chroma = lab(soft)[..., 1:]
    parts = [polygon(landmarks[list(index)], crop.shape[0]) for index in _SKIN.values()]
    own = np.median(chroma[np.any(parts, axis=0)], axis=0) if np.any(parts) else np.zeros(2)
    odd = np.hypot(*np.moveaxis(chroma - own, -1, 0)) > _OTHER_COLOUR
    return max(float(odd[part].mean()) if part.any() else 0.0 for part in parts)


def occlusion(skin: float, spread: float, detector: float) -> float:
    """Combine three weak signs of a covered face into one score; above 1 the face counts as occluded.

    Args:
        skin: `other_than_skin`, 0 to 1.
        spread: how far the landmarks move when the box does, see `Face.spread`.
        detector: the frontal detector's score; covered faces look less like faces to it.
    """
    return max(0.0, 1.5 * skin + max(0.0, spread - 0.01) * 20 + 0.3 * max(0.0, 1.0 - detector))


def polygon(points: NDArray[np.floating[Any]], size: int) -> NDArray[np.bool_]:
    """Return bool (size, size), true inside the polygon (n, 2) given in crop coordinates."""
    canvas = Image.new("1", (size, size))
    ImageDraw.Draw(canvas).polygon([(float(x), float(y)) for x, y in points], fill=1)
    return np.array(canvas, dtype=bool)


def measure(shape: tuple[int, ...], face: Face, aligned: AlignedFace) -> dict[str, float]:
    """Measure everything on one face.

    Args:
        shape: (height, width) of the photo.
        face: as found.
        aligned: its crop.
    """
    crop, size = aligned.pixels, aligned.pixels.shape[0]
    points = to_crop(face.landmarks, aligned.quad, size)
    pose = head_pose(face)
    inside = brightness(crop)[polygon(points[list(_OUTLINE)], size)]
    inside = inside if inside.size else brightness(crop).ravel()
    outside = ((face.landmarks < 0) | (face.landmarks > [shape[1], shape[0]])).any(1)
    skin = other_than_skin(crop, points)
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
        "skin": skin,
        "spread": face.spread,
        "detector": face.score,
        "cover": occlusion(skin, face.spread, face.score),
    }


def fault(scores: Mapping[str, float], resolution: int, settings: CurateSettings) -> tuple[Reason, str] | None:
    """Return the first reason to refuse a face and a sentence, or None for a good one.

    Args:
        scores: from `measure`.
        resolution: the prior's.
        settings: the thresholds.
    """
    s, limit = scores, settings
    least_side = limit.smallest_face * resolution
    checks = (
        (s["side"] < least_side, Reason.SMALL_FACE, f"the face is {s['side']:.0f} px, at least {least_side:.0f} are needed"),
        (s["colour"] < limit.least_colour, Reason.GREY, f"grey or toned: colour {s['colour']:.1f} of {limit.least_colour}"),
        (
            s["sharpness"] < limit.least_sharpness,
            Reason.LOW_QUALITY,
            f"blurred: sharpness {s['sharpness']:.2f} of {limit.least_sharpness}",
        ),
        (s["brightness"] < limit.darkest, Reason.LOW_QUALITY, "the face is too dark"),
        (s["brightness"] > limit.brightest, Reason.LOW_QUALITY, "the face is overexposed"),
        (s["contrast"] < limit.least_contrast, Reason.LOW_QUALITY, "the face has almost no contrast"),
        (abs(s["yaw"]) > limit.largest_yaw, Reason.EXTREME_POSE, f"the head is turned by {abs(s['yaw']):.0f} degrees"),
        (
            abs(s["pitch"]) > limit.largest_pitch,
            Reason.EXTREME_POSE,
            f"the head is tilted {'up' if s['pitch'] > 0 else 'down'} by {abs(s['pitch']):.0f} degrees",
        ),
        (s["cut"] > limit.largest_cut, Reason.OCCLUDED, "part of the face lies outside the photo"),
        (s["cover"] > limit.largest_cover, Reason.OCCLUDED, f"something covers the face: score {s['cover']:.2f}"),
    )
    return next(((reason, detail) for failed, reason, detail in checks if failed), None)


def _gauss(plane: Plane, sigma: float) -> Plane:
    """Blur a plane (H, W) by a Gaussian of `sigma` pixels, mirrored at the edges."""
    reach = int(np.ceil(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    for _ in range(2):
        padded = np.pad(plane, ((reach, reach), (0, 0)), mode="symmetric")
        plane = sum(weight * padded[i : i + len(plane)] for i, weight in enumerate(kernel)).T
    return plane
