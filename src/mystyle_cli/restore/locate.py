"""Where on a photo the person's face is, and whether it is theirs at all."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mystyle_cli.errors import NoFaceError, NotThisPersonError, UsageError
from mystyle_cli.restore.search import fill_hole, find_quads

if TYPE_CHECKING:
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.photos.align import Crop, Points
    from mystyle_cli.photos.decode import Photo, Pixels

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Subject:
    """A photo to work on.

    Args:
        photo: decoded, or a path, a file's bytes or pixels uint8 (H, W, 3).
        mask: uint8 (H, W) of the photo's size, 255 = fill; for inpainting.
        landmarks: (68, 2) photo coordinates, where the face cannot be found by itself.
        name: what messages call it; "" takes the file's name.
    """

    photo: Photo | Path | bytes | Pixels
    mask: Pixels | None = None
    landmarks: Points | None = None
    name: str = ""


@dataclass(frozen=True)
class Located:
    """The person's face on a photo.

    Args:
        name: of the photo.
        photo: the whole photo.
        quad: (4, 2) photo coordinates of the crop's corners: top left, bottom left, bottom right, top right.
        crop: uint8 (R, R, 3), the photo inside the quad.
        hole: float32 (R, R) in [0, 1], 1 = fill; zeros without a mask.
        mask: uint8 (H, W) of the photo, or None.
        id_score: of the crop, NaN where it was not measured.
        warnings: what the user should know.
    """

    name: str
    photo: Photo
    quad: Points
    crop: Pixels
    hole: Floats
    mask: Pixels | None
    id_score: float
    warnings: tuple[str, ...] = field(default=())

    @property
    def side(self) -> float:
        """Length of the quad's side in photo pixels."""
        from mystyle_cli.photos.align import quad_side

        return quad_side(self.quad)

    def moved(self, motion: Floats) -> Located:
        """Return the same face where it turned out to be; see `motion`."""
        from mystyle_cli.restore.motion import moved_quad

        if not motion.any():
            return self
        quad = moved_quad(self.quad, motion)
        crop, hole = _cut(self.photo.pixels, self.mask, quad, len(self.crop))
        return replace(self, quad=quad, crop=crop, hole=hole)


def locate(profile: Profile, subject: Subject, *, aligned: bool, force: bool, tiny: bool) -> Located:
    """Find the face that is this person, and cut it out.

    Args:
        profile: the person.
        subject: the photo.
        aligned: the photo is an aligned crop already.
        force: go on with the most similar face even if it is not this person's.
        tiny: look for faces of a few pixels too.

    Raises:
        DecodeError: the photo cannot be read.
        NoFaceError: no face was found.
        NotThisPersonError: none of the faces is this person's.
        UsageError: an aligned crop is not square, or the mask has another size.
    """
    photo = as_photo(subject.photo)
    name = subject.name or (str(photo.path) if photo.path else "the photo")
    _check_mask(subject.mask, photo, name)
    if aligned:
        quads = [_whole(photo, name)]
    elif subject.landmarks is not None:
        quads = [_quad_of(subject.landmarks, profile.prior.crop)]
    else:
        crop = profile.prior.crop
        quads = find_quads(photo.pixels, subject.mask, profile.faces, crop, tiny=tiny)
    if not quads:
        from mystyle_cli.photos.faces import why_unsearched

        why = why_unsearched(photo.pixels) or "no face was found"
        raise NoFaceError(f"{name}: {why}", _no_face_hint(subject.mask is not None))
    return _choose(profile, subject, photo, name, quads, force)


def _no_face_hint(masked: bool) -> str:
    if masked:
        return (
            "Give the photo from before the hole was cut, --landmarks FILE, or an aligned crop (--aligned)."
        )
    return "Give a photo with a clearer face, or an aligned crop with --aligned."


def as_photo(source: Photo | Path | bytes | Pixels) -> Photo:
    """Return a decoded photo for whatever a photo can be given as."""
    from mystyle_cli.photos.decode import Photo, decode

    if isinstance(source, Photo):
        return source
    if isinstance(source, np.ndarray):
        pixels = np.ascontiguousarray(source)
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            raise UsageError(
                f"pixels are {pixels.dtype} {pixels.shape}, not uint8 (H, W, 3)", "Convert them first."
            )
        digest = hashlib.sha256(pixels.tobytes()).hexdigest()
        return Photo(pixels, alpha=None, grey=False, exif=None, path=None, sha256=digest)
    return decode(source)


def mask_of(photo: Photo) -> Pixels:
    """Read a picture as a mask, uint8 (H, W): white = fill; what is transparent is not filled."""
    light = np.rint(photo.pixels.astype(np.float32).mean(axis=2))
    if photo.alpha is not None:
        light = np.rint(light * (photo.alpha.astype(np.float32) / 255))
    return np.asarray(light, np.uint8)


def _check_mask(mask: Pixels | None, photo: Photo, name: str) -> None:
    if mask is None:
        return
    height, width = photo.pixels.shape[:2]
    if mask.shape != (height, width):
        sizes = f"{mask.shape[1]} x {mask.shape[0]}, the photo {width} x {height}"
        raise UsageError(f"{name}: the mask is {sizes}", "Give a mask of the photo's size.")
    if not mask.any():
        raise UsageError(f"{name}: nothing in the mask is white", "Paint white what is to be filled.")


def _whole(photo: Photo, name: str) -> Points:
    height, width = photo.pixels.shape[:2]
    if height != width:
        raise UsageError(f"{name}: an aligned crop is square, not {width} x {height}", "Leave out --aligned.")
    return np.array([[0.0, 0.0], [0.0, height], [width, height], [width, 0.0]])


def _quad_of(landmarks: Any, crop: Crop) -> Points:
    from mystyle_cli.photos.align import face_quad

    points = np.asarray(landmarks, np.float64)
    if points.shape != (68, 2) or not np.isfinite(points).all():
        raise UsageError(f"landmarks are {points.shape}, not 68 points x, y", "Give dlib's 68 landmarks.")
    return face_quad(points, crop)


def _choose(
    profile: Profile, subject: Subject, photo: Photo, name: str, quads: Sequence[Points], force: bool
) -> Located:
    """Take the face with the highest ID score, unless it is somebody else's; say where that is in doubt."""
    from mystyle_cli.photos.align import warp
    from mystyle_cli.photos.decode import to_unit
    from mystyle_cli.restore.gate import open_gate

    size, mask = profile.manifest.prior.resolution, subject.mask
    seen = photo.pixels if mask is None else fill_hole(photo.pixels, mask)
    crops = [warp(seen, quad, size) for quad in quads]
    scores = profile.id_score(np.stack([to_unit(crop) for crop in crops]))
    best = int(np.argmax(scores))
    quad, score = quads[best], float(scores[best])
    crop, hole = _cut(photo.pixels, mask, quad, size)
    located = Located(name, photo, quad, crop, hole, mask, score)
    gate = open_gate(profile, located.side, hole)
    if score >= gate.theirs:
        return located
    if score >= gate.others:
        left = f"a crop of {located.side:.0f} px" if mask is None else "what is left of the face"
        doubt = f"{left} does not show whether this is {profile.name}: ID {score:.2f}"
        return replace(located, warnings=(doubt,))
    who = f"this is not {profile.name}"
    if len(quads) > 1:
        who = f"none of the {len(quads)} faces is {profile.name}"
    message = f"{who}: ID {score:.2f}, where theirs is {gate.others:.2f} at least"
    if not force:
        raise NotThisPersonError(f"{name}: {message}", "Use --force to go on anyway.")
    return replace(located, warnings=(message,))


def place(name: str, photo: Photo, quad: Points, resolution: int) -> Located:
    """Return a face whose quad is known already; its ID score is not measured again."""
    crop, hole = _cut(photo.pixels, None, quad, resolution)
    return Located(name, photo, quad, crop, hole, None, math.nan)


def _cut(pixels: Pixels, mask: Pixels | None, quad: Points, size: int) -> tuple[Pixels, Floats]:
    """Return what is inside a quad: the photo uint8 (R, R, 3), and the hole float32 (R, R)."""
    from mystyle_cli.photos.align import warp

    hole: Floats = np.zeros((size, size), np.float32)
    if mask is not None:
        hole = np.asarray(warp(mask, quad, size) / 255, np.float32)
    return warp(pixels, quad, size), hole
