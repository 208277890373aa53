"""Scratched photos with and without looking for scratches, and whole photos: does the face meet the rest?

The profiles are those of the figure `restore`; MYSTYLE_RESTORE_ALBUMS is a folder with a folder of each
person's photos, from which whole held-out photos are taken. Pictures stay in figures/.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from mystyle_cli.analysis.metrics import lpips, psnr
from mystyle_cli.find.locate import Subject
from mystyle_cli.person.profile import Profile
from mystyle_cli.person.reference import HELD_OUT
from mystyle_cli.photos.pixels import Pixels, grid, resize, to_pixels, to_unit
from mystyle_cli.report.report import Cell, Report, Table, Target
from mystyle_cli.restore.restore import restore
from mystyle_cli.restore.task import Restoration, default_settings
from mystyle_cli.restore.trials import comparison_settings
from mystyle_cli.store.store import Store
from tools.figures.common import report_progress, save_picture, spread
from tools.figures.restore import NAMES, PHOTOS, STORE

ALBUMS: Final = os.environ.get("MYSTYLE_RESTORE_ALBUMS", "")
SCRATCHES: Final = 3  # on each photo
MOST: Final = 1.0  # Delta E beside the face
BLUR, NOISE, QUALITY = 0.02, 8.0, 60  # of a damaged whole photo: sigma in sides of the face, the rest as ever
CLEAN: Final = "as they are"
PATCHES: Final = 16  # around the face, in which colours are compared

Flags = np.ndarray


def make() -> Report:
    """Scratch held-out crops, and damage whole photos."""
    people = [Store(STORE).open(name) for name in NAMES]
    scratched = [row for profile in people for row in _scratched(profile)]
    whole = [row for profile in people for row in _whole(profile)] if ALBUMS else []
    undamaged = [float(row[-1] or 0) for row in whole if str(row[0]).endswith(CLEAN)]
    worst = max(undamaged, default=0.0)
    return Report(
        "repaired",
        f"scratched crops, and whole photos ({', '.join(NAMES)}; {PHOTOS} held-out photos each)",
        [
            Table(
                f"{SCRATCHES} scratches on each photo, and none",
                ["person", "photos", "LPIPS of the input", "--scratches none", "find", "found", "wrongly"],
                scratched,
            ),
            Table(
                "whole photos",
                [
                    "person",
                    "photos",
                    "restored",
                    "PSNR to the input, dB",
                    "Delta E beside the face",
                    "largest",
                ],
                whole,
            ),
        ],
        [Target(f"Delta E beside the face, largest, photos {CLEAN}", worst, "at most", MOST)]
        if whole
        else [],
        {
            "found": "share of the scratches' pixels that is filled",
            "wrongly": "share of the other pixels",
            "Delta E": f"CIE 1976, between the means of {PATCHES} patches in the ring where a face fades out",
            "damaged": f"blurred by {BLUR:g} of the face's side, noise {NOISE:g}, JPEG {QUALITY}",
        },
    )


def _random(*words: object) -> np.random.Generator:
    digest = hashlib.sha256("/".join(map(str, words)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def scratch(crop: Pixels, random: np.random.Generator) -> tuple[Pixels, Flags]:
    """Return a crop with bent lines, white or black, and where they are."""
    picture, mask = Image.fromarray(crop), Image.new("L", crop.shape[1::-1])
    side = len(crop)
    for _ in range(SCRATCHES):
        middle, angle = random.uniform(0, side, 2), random.uniform(0, np.pi)
        length, bend = random.uniform(0.3, 1.2) * side, random.uniform(-0.15, 0.15)
        along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
        steps = np.linspace(-0.5, 0.5, 20)[:, None]
        line = middle + length * (steps * along + bend * (1 - 4 * steps**2) * across)
        level, width = (
            int(random.choice([20, 220, 235, 250])),
            max(1, round(random.uniform(0.006, 0.025) * side)),
        )
        for drawn, colour in ((picture, (level,) * 3), (mask, 255)):
            ImageDraw.Draw(drawn).line([tuple(point) for point in line.tolist()], colour, width, "curve")
    return np.asarray(picture), np.asarray(mask) > 0


def _scratched(profile: Profile) -> list[list[Cell]]:
    """Return a row for scratched photos of a person, and one for the same without scratches."""
    truths = to_pixels(profile.faces(HELD_OUT)[:PHOTOS])
    marred = [scratch(one, _random(profile.name, number)) for number, one in enumerate(truths)]
    nothing = np.zeros(truths.shape[:3], bool)
    given = {
        "scratched": (np.stack([photo for photo, _ in marred]), np.stack([mask for _, mask in marred])),
        "as they were": (truths, nothing),
    }
    rows, shown = [], [truths]
    for what, (photos, masks) in given.items():
        found = {look: _answers(profile, photos, look) for look in (False, True)}
        pictures = {look: _faces(answers, photos) for look, answers in found.items()}
        holes = np.stack([one.located.hole > 0 if one.located else nothing[0] for one in found[True]])
        near = ndimage.binary_dilation(masks, np.ones((1, 5, 5)))
        columns = [
            lpips(profile.prior.perceptual(), to_unit(one), to_unit(truths))
            for one in (photos, *pictures.values())
        ]
        share = float((holes & masks).sum() / masks.sum()) if masks.any() else None
        rows.append(
            [
                f"{profile.name}, {what}",
                len(photos),
                *map(spread, columns),
                share,
                float((holes & ~near).mean()),
            ]
        )
        shown += [photos, *pictures.values()] if masks.any() else []
    save_picture(f"scratched-{profile.name}", grid(np.stack(shown, axis=1).reshape(-1, *truths.shape[1:]), 4))
    return rows


def _answers(profile: Profile, photos: Pixels, look: bool) -> list[Restoration]:
    settings = replace(comparison_settings("restore"), scratches=look)
    subjects = [Subject(photo, name=str(number)) for number, photo in enumerate(photos)]
    return restore(profile, subjects, "restore", settings, report_progress)


def _faces(answers: list[Restoration], given: Pixels) -> Pixels:
    pairs = zip(answers, given, strict=True)
    return np.stack([photo if one.pixels is None else one.pixels for one, photo in pairs])


def _whole(profile: Profile) -> list[list[Cell]]:
    """Return a row for a person's whole photos as they are, and one for damaged ones."""
    files = [Path(ALBUMS) / profile.name / record.file for record in profile.photos(HELD_OUT)]
    photos = [np.asarray(Image.open(file).convert("RGB")) for file in files if file.exists()][:PHOTOS]
    rows: list[list[Cell]] = []
    for what in (CLEAN, "damaged"):
        noise, change = [], []
        for number, photo in enumerate(photos):
            side = _side(profile, photo)
            given = photo if what == CLEAN else _damaged(photo, side, _random(profile.name, number))
            [answer] = restore(
                profile, [Subject(given)], "restore", default_settings("restore"), report_progress
            )
            if answer.pixels is None or answer.located is None:
                continue
            height, width = answer.pixels.shape[:2]
            large = resize(given, (height, width), "lanczos") if answer.factor != 1 else given
            noise.append(float(psnr(to_unit(answer.pixels[None]), to_unit(large[None]))[0]))
            change.append(beside(large, answer.pixels, answer.located.quad * answer.factor))
            save_picture(
                f"whole-{profile.name}-{what[:2]}-{number}", np.concatenate([large, answer.pixels], axis=1)
            )
        told = spread(np.array(noise)), spread(np.array(change)) if change else None
        rows.append([f"{profile.name}, {what}", len(photos), len(change), *told, max(change, default=0.0)])
    return rows


def _side(profile: Profile, photo: Pixels) -> float:
    from mystyle_cli.faces.align import face_quad, quad_side
    from mystyle_cli.faces.faces import find_faces

    faces = find_faces(photo)
    return (
        quad_side(face_quad(faces[0].landmarks, profile.prior.crop)) if faces else float(min(photo.shape[:2]))
    )


def _damaged(photo: Pixels, side: float, random: np.random.Generator) -> Pixels:
    import io

    soft = ndimage.gaussian_filter(photo.astype(float), (BLUR * side, BLUR * side, 0), mode="nearest")
    noisy = np.rint(soft + random.normal(0, NOISE, photo.shape)).clip(0, 255).astype(np.uint8)
    kept = io.BytesIO()
    Image.fromarray(noisy).save(kept, "jpeg", quality=QUALITY)
    return np.asarray(Image.open(kept).convert("RGB"))


def beside(before: Pixels, after: Pixels, quad: np.ndarray) -> float:
    """Return by how much colours change in the ring where a face fades out, as Delta E.

    Args:
        before, after: uint8 (H, W, 3).
        quad: (4, 2), the face's crop on them.
    """
    height, width = before.shape[:2]
    origin, down, across = quad[0], quad[1] - quad[0], quad[3] - quad[0]
    points = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1) + 0.5 - origin  # (H, W, 2)
    places = (
        points @ np.linalg.inv(np.stack([across, down])) * 2 - 1
    )  # (H, W, 2), the crop's sides at -1 and 1
    ring = np.abs(places).max(axis=-1)
    sector = np.floor((np.arctan2(places[..., 1], places[..., 0]) / (2 * np.pi) + 0.5) * PATCHES).astype(int)
    changes = []
    for number in range(PATCHES):
        patch = (ring > 0.8) & (ring < 1.0) & (sector % PATCHES == number)
        if patch.any():
            colours = [lab(picture[patch].mean(axis=0)) for picture in (before, after)]
            changes.append(float(np.linalg.norm(colours[0] - colours[1])))
    return float(np.mean(changes)) if changes else 0.0


def lab(rgb: np.ndarray) -> np.ndarray:
    """Return sRGB of 255 (3,) in CIE L*a*b*, of the white D65."""
    unit = rgb / 255
    linear = np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    ratio = matrix @ linear / matrix.sum(axis=1)
    x, y, z = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])
