"""Photos whose face is larger than the profile draws it, damaged by known means and restored.

The profiles are those of the figure `restore`, and the photos those that they held out, from the folders of
the figure `repaired`; the quality is MYSTYLE_LARGE_QUALITY. The face is compared at 256 pixels. Pictures stay
in figures/.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, get_args

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from mystyle_cli.analysis.metrics import lpips, psnr
from mystyle_cli.errors import check_choice
from mystyle_cli.faces.align import Points, face_quad, quad_side, warp
from mystyle_cli.faces.faces import find_faces
from mystyle_cli.find.locate import Subject
from mystyle_cli.person.profile import Profile
from mystyle_cli.person.reference import HELD_OUT
from mystyle_cli.photos.decode import decode
from mystyle_cli.photos.pixels import Pixels, grid, to_unit
from mystyle_cli.projection.fine import FINER
from mystyle_cli.report.report import Cell, Report, Table, Target
from mystyle_cli.restore.engine import open_engine
from mystyle_cli.restore.restore import restore_with
from mystyle_cli.restore.task import Quality, default_settings
from mystyle_cli.store.store import Store
from tools.figures.common import report_progress, save_picture
from tools.figures.repaired import ALBUMS
from tools.figures.restore import NAMES, PHOTOS, STORE

QUALITY: Final = os.environ.get("MYSTYLE_LARGE_QUALITY", "fast")
SIZE: Final = 256  # pixels of a side at which faces are compared
MOST: Final = 99.0  # dB, of what did not change
AROUND: Final = 0.25  # what is left of a photo beside the face's crop, in sides of it
GRAINS: Final = {"`restore`": None, "with `--grain none`": False}


@dataclass(frozen=True)
class Damages:
    """What is done to a photo. Lengths are in its pixels."""

    blur: float = 0.0
    noise: float = 0.0
    quality: int | None = None

    @property
    def name(self) -> str:
        """The same in words."""
        said = (
            f"blur {self.blur:g} px" if self.blur else "",
            f"noise {self.noise:g}" if self.noise else "",
            f"JPEG {self.quality}" if self.quality else "",
        )
        return ", ".join(filter(None, said)) or "none"

    def done_to(self, photo: Pixels) -> Pixels:
        """Return a photo (H, W, 3) after it."""
        noise = np.random.default_rng(0).normal(0, self.noise, photo.shape)
        blurred = gaussian_filter(photo.astype(float), (self.blur, self.blur, 0), mode="nearest") + noise
        made = np.rint(blurred).clip(0, 255).astype(np.uint8)
        if self.quality is None:
            return made
        kept = io.BytesIO()
        Image.fromarray(made).save(kept, "jpeg", quality=self.quality)
        return np.asarray(Image.open(kept).convert("RGB"))


DAMAGES: Final = (
    Damages(),
    Damages(blur=1.5),
    Damages(blur=3),
    Damages(noise=12),
    Damages(blur=2, noise=12),
    Damages(quality=30),
    Damages(blur=2, noise=8, quality=50),
)


@dataclass(frozen=True)
class Large:
    """A held-out photo about its face."""

    pixels: Pixels  # uint8 (H, W, 3)
    quad: Points  # (4, 2), the face's crop on it

    def face(self, photo: Pixels) -> Pixels:
        """Return the face on the photo as something was made of it, uint8 (1, SIZE, SIZE, 3)."""
        return warp(photo, self.quad, SIZE)[None]


def make() -> Report:
    """Damage photos with large faces, restore them, and compare with what they were."""
    check_choice("MYSTYLE_LARGE_QUALITY", QUALITY, Quality)
    if not ALBUMS:
        return Report("large", "faces larger than they are drawn: MYSTYLE_RESTORE_ALBUMS is not set", [], [])
    rows: list[list[Cell]] = []
    people = [Store(STORE).open(name) for name in NAMES]
    photos = {profile.name: photos_of(profile) for profile in people}
    scores_of = [_scores(profile, photos[profile.name]) for profile in people]
    found = {
        damage: np.concatenate([scores[row] for scores in scores_of]) for row, damage in enumerate(DAMAGES)
    }
    for damage, scores in found.items():
        rows.append([damage.name, *(f"{noise:.1f}, {apart:.3f}" for noise, apart in scores.mean(axis=0))])
    sides = [round(quad_side(one.quad)) for some in photos.values() for one in some]
    gained = [
        float(scores[:, 0, 1].mean() - scores[:, 2, 1].mean())
        for damage, scores in found.items()
        if damage.blur
    ]
    untouched = float(np.min(found[DAMAGES[0]][:, 1, 0]))
    return Report(
        "large",
        f"faces larger than they are drawn ({', '.join(NAMES)}; {len(sides)} held-out photos, {QUALITY})",
        [Table("PSNR in dB and LPIPS of the face", ["damage", "as given", *GRAINS], rows)],
        [
            Target("LPIPS lower than as given, the least of what is blurred", min(gained), "above", 0.0),
            Target("PSNR of photos without damage, the least, dB", untouched, "at least", 40.0),
        ],
        {
            "crops": f"{min(sides)} to {max(sides)} pixels wide",
            "pictures": "figures/large-*.png: as given, restored, with --grain none, truth",
        },
    )


def photos_of(profile: Profile) -> list[Large]:
    """Return the first held-out photos whose face is larger than it is drawn, cut to what is about it."""
    found: list[Large] = []
    for record in profile.photos(HELD_OUT):
        pixels = decode(Path(ALBUMS) / profile.name / record.file).pixels
        faces = find_faces(pixels)
        quad = face_quad(faces[0].landmarks, profile.prior.crop) if len(faces) == 1 else None
        if quad is None or quad_side(quad) < FINER * profile.prior.resolution:
            continue
        margin = AROUND * quad_side(quad)
        left, top = np.floor(quad.min(axis=0) - margin).clip(0).astype(int)
        right, bottom = np.ceil(quad.max(axis=0) + margin).astype(int)
        found.append(Large(pixels[top:bottom, left:right], quad - [left, top]))
        if len(found) == PHOTOS:
            break
    return found


def _scores(profile: Profile, photos: Sequence[Large]) -> np.ndarray:
    """Return PSNR and LPIPS of each photo, as given and as restored (len(DAMAGES), B, 1 + len(GRAINS), 2)."""
    quality = next(one for one in get_args(Quality) if one == QUALITY)
    usual = replace(default_settings("restore", quality), force=True)
    engines = [open_engine(profile, replace(usual, grain=grain)) for grain in GRAINS.values()]
    perceptual = profile.prior.perceptual()
    scores = np.zeros((len(DAMAGES), len(photos), 1 + len(engines), 2))
    for number, damage in enumerate(DAMAGES):
        given = [damage.done_to(one.pixels) for one in photos]
        subjects = [Subject(pixels, name=f"{profile.name} {row}") for row, pixels in enumerate(given)]
        made = [given]
        for engine in engines:
            answers = restore_with(engine, subjects, "restore", report_progress)
            pairs = zip(answers, given, strict=True)
            made.append([pixels if one.pixels is None else one.pixels for one, pixels in pairs])
        shown = []
        for row, photo in enumerate(photos):
            truth = photo.face(photo.pixels)
            faces = [photo.face(pictures[row]) for pictures in made]
            for column, face in enumerate(faces):
                pair = to_unit(face), to_unit(truth)
                noise, apart = float(psnr(*pair)[0]), float(lpips(perceptual, *pair)[0])
                scores[number, row, column] = min(noise, MOST), apart
            shown += [*faces, truth]
        name = damage.name.replace(", ", "-").replace(" ", "")
        save_picture(f"large-{profile.name}-{name}", grid(np.concatenate(shown), len(made) + 1))
    return scores
