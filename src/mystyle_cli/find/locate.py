"""Where on a photo the person's face is, and whether it is theirs at all."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from mystyle_cli.errors import NoFaceError, NotThisPersonError, UsageError
from mystyle_cli.faces.align import cut_out
from mystyle_cli.find.gate import CLEARER, degrade, id_as_damaged
from mystyle_cli.find.search import find_quads, find_turned_quads
from mystyle_cli.projection.degradations import fill_hole

if TYPE_CHECKING:
    from mystyle_cli.faces.align import Crop, Points
    from mystyle_cli.find.gate import Gate
    from mystyle_cli.find.region import Region
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.photos.decode import Photo
    from mystyle_cli.photos.pixels import Pixels

Floats = npt.NDArray[np.float32]


# A mask is white where to fill and black elsewhere, with grey only along soft edges.
BLACK: Final = 16  # lightness of 255 under which a mask is black: what JPEG leaves around its edges
WHITE: Final = 240  # ... from which it is white
SOFT: Final = 1 / 3  # share of a mask that may be grey
COLOURED: Final = 48  # difference of the channels from which a pixel is in colour
SPECKLES: Final = 0.05  # share of what is light in a mask that may be in colour
POINTS_SIDE: Final = 256  # pixels of the crop on which face points are looked for
SMALLEST_FACE: Final = 2  # pixels that the points of a face span at least, across and down
_MASK_HINT = "Paint white what is to be filled, and black all the rest."


@dataclass(frozen=True)
class Subject:
    """A photo to work on.

    Args:
        photo: decoded, or a path, a file's bytes or pixels uint8 (H, W, 3).
        mask: uint8 (H, W) of the photo's size, 255 = fill; for inpainting.
        landmarks: (68, 2) photo coordinates, where the face cannot be found by itself.
        name: what messages call it; "" takes the file's name.
        region: what is to be filled besides the mask; its face is looked for on the photo as it is.
    """

    photo: Photo | Path | bytes | Pixels
    mask: Pixels | None = None
    landmarks: Points | None = None
    name: str = ""
    region: Region | None = None

    @property
    def fills(self) -> bool:
        """Whether anything is said to be filled."""
        return self.mask is not None or self.region is not None


@dataclass(frozen=True)
class Located:
    """The person's face on a photo."""

    name: str
    photo: Photo
    # (4, 2) photo coordinates of the crop's corners: top left, bottom left, bottom right, top right
    quad: Points
    crop: Pixels  # uint8 (R, R, 3), the photo inside the quad
    hole: Floats  # float32 (R, R) in [0, 1], 1 = fill; zeros without a mask
    mask: Pixels | None  # uint8 (H, W) of the photo, or None
    id_score: float  # of the crop, NaN where it was not measured
    warnings: tuple[str, ...] = field(default=())
    person: str = ""  # whose face it is, of a profile of several people; "" of one of one

    @property
    def side(self) -> float:
        """Length of the quad's side in photo pixels."""
        from mystyle_cli.faces.align import quad_side

        return quad_side(self.quad)

    def warned(self, warning: str) -> Located:
        """Return the same with something more that the user should know."""
        return replace(self, warnings=(*self.warnings, warning))


def locate(profile: Profile, subject: Subject, *, aligned: bool, force: bool, tiny: bool) -> Located:
    """Find the face that is this person, and cut it out.

    Of several people it is the one whose photos a face is most like, among those whose gate it passes.

    Args:
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
    if subject.region is not None:
        subject = _masked(profile, replace(subject, name=name), photo, subject.region, aligned=aligned)
    crop = profile.prior.crop
    looks: list[Callable[[], list[Points]]]
    if aligned:
        looks = [lambda: [whole_quad(photo, name)]]
    elif subject.landmarks is not None:
        looks = [lambda: [_quad_of(subject.landmarks, photo, crop, name)]]
    else:
        looks = [lambda: find_quads(photo.pixels, subject.mask, profile.faces, crop, tiny=tiny)]
        looks += [] if subject.mask is not None else [lambda: find_turned_quads(photo.pixels, crop)]
    if profile.people:
        # every person takes the same looks
        return _choose_person(profile, subject, photo, name, [cache(look) for look in looks], force)
    return _choose(profile, subject, photo, name, looks, force)


def _masked(profile: Profile, subject: Subject, photo: Photo, region: Region, *, aligned: bool) -> Subject:
    """Return a subject with its region as a mask.

    Whose face it is is not asked here: with sunglasses, say, that is told by what the mask leaves.
    """
    points = subject.landmarks
    if region.needs_face and points is None:
        bare = replace(subject, photo=photo, mask=None, region=None)
        points = _points_on(
            locate(profile, bare, aligned=aligned, force=True, tiny=False), profile.prior.crop
        )
    mask = region.mask(photo.pixels.shape[:2], points, subject.mask)
    if not mask.any():
        raise UsageError(f"{subject.name}: nothing of the photo is to be filled", "Give another part or box.")
    return replace(subject, photo=photo, mask=mask, landmarks=points, region=None)


def _points_on(located: Located, crop: Crop) -> Points:
    """Return the 68 face points (68, 2) of a face in its photo's coordinates."""
    from mystyle_cli.faces.align import to_photo, warp
    from mystyle_cli.faces.face import aligned_face

    window = warp(located.photo.pixels, located.quad, POINTS_SIDE)
    return to_photo(aligned_face(window, crop).landmarks, located.quad, POINTS_SIDE)


def _choose_person(
    profile: Profile,
    subject: Subject,
    photo: Photo,
    name: str,
    looks: Sequence[Callable[[], list[Points]]],
    force: bool,
) -> Located:
    """Take the face and the person that are most alike, unless it is somebody else's; see `_choose`."""
    found: list[Located] = []
    refused: list[NotThisPersonError] = []
    for person in profile.people:
        try:
            found.append(_choose(profile.one(person), subject, photo, name, looks, force=False))
        except NotThisPersonError as error:
            refused.append(error)
    if not found and not force:
        nobody = "; ".join(error.message.removeprefix(f"{name}: ") for error in refused)
        raise NotThisPersonError(f"{name}: {nobody}", refused[0].hint)
    if not found:
        everyone = [profile.one(person) for person in profile.people]
        found = [_choose(person, subject, photo, name, looks, force=True) for person in everyone]
    clearest = max(found, key=lambda located: located.id_score)
    alike = [other for other in found if not _apart(other.quad, clearest.quad)]
    scores = _as_damaged(profile, alike)
    best, *rivals = sorted(alike, key=lambda located: -scores[located.person])
    near = [other.person for other in rivals if scores[best.person] - scores[other.person] < CLEARER]
    if subject.mask is not None and near and not force:
        raise NotThisPersonError(
            f"{name}: with its hole the face may be {' or '.join([best.person, *near])}",
            f"Say who it is: --person {best.person}.",
        )
    for other in found if len(refused) < len(profile.people) else ():
        if _apart(other.quad, best.quad):
            best = best.warned(f"{other.person} is on it, too; {best.person} is worked on, who is clearer")
        elif other.person != best.person:
            told = f"ID {scores[best.person]:.2f}, as {other.person} {scores[other.person]:.2f}"
            best = best.warned(f"this is {best.person} or {other.person}: as {best.person} {told}")
    return best


def _as_damaged(profile: Profile, alike: Sequence[Located]) -> dict[str, float]:
    """Return by name how like several people a face is, by their photos with the same hole and as small."""
    clear = all(located.side >= len(located.hole) and not located.hole.any() for located in alike)
    if len(alike) == 1 or clear:
        return {located.person: located.id_score for located in alike}
    scores = {}
    for located in alike:
        seen = seen_faces(located.photo, located.mask, [located.quad], len(located.hole))
        worsen = partial(degrade, side=located.side, hole=located.hole)
        scores[located.person] = id_as_damaged(profile.one(located.person), seen, worsen)
    return scores


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
    """Read a picture as a mask, uint8 (H, W): white = fill; what is transparent is not filled.

    Raises:
        UsageError: it is no mask but in colour, or a photo.
    """
    name = str(photo.path or "the mask")
    pixels, alpha = photo.pixels, photo.alpha
    light = pixels[..., 1] if photo.grey else np.rint(pixels.mean(axis=2, dtype=np.float32)).astype(np.uint8)
    if alpha is not None:
        light = np.rint(light * (alpha.astype(np.float32) / 255)).astype(np.uint8)
    every = _every(pixels)
    some, lit = pixels[::every, ::every], light[::every, ::every] >= BLACK
    if np.count_nonzero(lit & (np.ptp(some, axis=2) > COLOURED)) > SPECKLES * np.count_nonzero(lit):
        raise UsageError(f"{name}: the mask is in colour", _MASK_HINT)
    _refuse_dark(light, name)
    light = np.where(light < BLACK, 0, np.where(light >= WHITE, 255, light)).astype(np.uint8)
    between = float(((light > 0) & (light < 255)).mean())
    if between > SOFT:
        raise UsageError(f"{name}: {between:.0%} of the mask is grey, as in a photo", _MASK_HINT)
    return light


def _every(pixels: Pixels) -> int:
    """Return the step at which a thousand pixels a side are looked at."""
    return max(1, len(pixels) // 1000, len(pixels[0]) // 1000)


def _check_mask(mask: Pixels | None, photo: Photo, name: str) -> None:
    if mask is None:
        return
    height, width = photo.pixels.shape[:2]
    if mask.shape != (height, width):
        sizes = f"{mask.shape[1]} x {mask.shape[0]}, the photo {width} x {height}"
        raise UsageError(f"{name}: the mask is {sizes}", "Give a mask of the photo's size.")
    _refuse_dark(mask, name)


def _refuse_dark(mask: Pixels, name: str) -> None:
    if mask.max() < WHITE:
        lightest = f"its lightest value is {int(mask.max())} of 255"
        raise UsageError(f"{name}: nothing in the mask is white, {lightest}", _MASK_HINT)


def whole_quad(photo: Photo, name: str) -> Points:
    """Return the quad of an aligned crop: its own corners; raises UsageError where it is not square."""
    height, width = photo.pixels.shape[:2]
    if height != width:
        raise UsageError(f"{name}: an aligned crop is square, not {width} x {height}", "Leave out --aligned.")
    return np.array([[0.0, 0.0], [0.0, height], [width, height], [width, 0.0]])


def _quad_of(landmarks: Any, photo: Photo, crop: Crop, name: str) -> Points:
    """Return the crop of a face whose points are given, once they can be a face's on this photo."""
    from mystyle_cli.faces.align import face_quad

    points = np.asarray(landmarks, np.float64)
    if points.shape != (68, 2) or not np.isfinite(points).all():
        raise UsageError(f"landmarks are {points.shape}, not 68 points x, y", "Give dlib's 68 landmarks.")
    height, width = photo.pixels.shape[:2]
    low, high = points.min(axis=0), points.max(axis=0)
    hint = "Give x and y in pixels of the upright photo."
    if (high - low).min() < SMALLEST_FACE:
        between = " (they lie between 0 and 1)" if low.min() >= 0 and high.max() <= 1 else ""
        raise UsageError(f"{name}: the face points span less than {SMALLEST_FACE} pixels{between}", hint)
    if (high <= 0).any() or (low >= [width, height]).any() or (high - low).max() > 4 * max(height, width):
        raise UsageError(f"{name}: the face points lie outside the photo of {width} x {height}", hint)
    return face_quad(points, crop)


def _choose(
    profile: Profile,
    subject: Subject,
    photo: Photo,
    name: str,
    looks: Sequence[Callable[[], list[Points]]],
    force: bool,
) -> Located:
    """Take the face with the highest ID score, unless it is somebody else's; say where that is in doubt.

    The next look is taken only where none of the faces before is the person's.
    """
    best: tuple[float, Points] | None = None
    seen = 0
    for look in looks:
        quads = look()
        seen += len(quads)
        scores = _id_scores(profile, photo, subject.mask, quads)
        faces = list(zip(scores, quads, strict=True))
        nearest = max(faces, key=lambda face: face[0], default=None)
        if nearest is not None and (best is None or nearest[0] > best[0]):
            best = nearest
            located, gate = _gated(profile, subject, photo, name, *best)
            if located.id_score >= gate.others:
                break
    if best is None:
        from mystyle_cli.faces.faces import why_unsearched

        why = why_unsearched(photo.pixels) or "no face was found"
        raise NoFaceError(f"{name}: {why}", _no_face_hint(subject.mask is not None))
    score = located.id_score
    if score >= gate.theirs:
        others = sum(other >= gate.theirs and _apart(quad, located.quad) for other, quad in faces)
        twice = f"{others + 1} faces look like {profile.who}: the one most like them is worked on"
        return located.warned(twice) if others else located
    if score >= gate.others:
        left = f"a crop of {located.side:.0f} px" if subject.mask is None else "what is left of the face"
        return located.warned(f"{left} does not show whether this is {profile.who}: ID {score:.2f}")
    who = f"this is not {profile.who}" if seen == 1 else f"none of the {seen} faces is {profile.who}"
    message = f"{who}: ID {score:.2f}, where theirs is {gate.others:.2f} at least"
    if not force:
        raise NotThisPersonError(f"{name}: {message}", "Use --force to go on anyway.")
    return located.warned(message)


def _id_scores(profile: Profile, photo: Photo, mask: Pixels | None, quads: Sequence[Points]) -> list[float]:
    if not quads:
        return []
    scores = profile.id_score(seen_faces(photo, mask, quads, profile.manifest.prior.resolution))
    return [float(score) for score in scores]


def seen_faces(photo: Photo, mask: Pixels | None, quads: Sequence[Points], resolution: int) -> Floats:
    """Return what identity is judged by, (B, 3, R, R) in [-1, 1]: each face, a hole filled smoothly."""
    from mystyle_cli.faces.align import warp
    from mystyle_cli.photos.pixels import to_unit

    seen = photo.pixels if mask is None else fill_hole(photo.pixels, mask)
    return np.stack([to_unit(warp(seen, quad, resolution)) for quad in quads])


def _gated(
    profile: Profile, subject: Subject, photo: Photo, name: str, score: float, quad: Points
) -> tuple[Located, Gate]:
    """Return a face with its ID score, and what such scores mean there."""
    from mystyle_cli.find.gate import open_gate

    crop, hole = cut_out(photo.pixels, subject.mask, quad, profile.manifest.prior.resolution)
    located = Located(name, photo, quad, crop, hole, subject.mask, score, photo.notes, profile.person)
    return located, open_gate(profile, located.side, hole)


def _apart(one: Points, other: Points) -> bool:
    """Tell whether two quads are about two faces."""
    from mystyle_cli.faces.align import quad_side

    away = float(np.linalg.norm(one.mean(axis=0) - other.mean(axis=0)))
    return away > min(quad_side(one), quad_side(other)) / 3


def place(name: str, photo: Photo, quad: Points, resolution: int, mask: Pixels | None = None) -> Located:
    """Return a face whose quad is known already; its ID score is not measured again.

    Raises:
        UsageError: the mask has another size than the photo, or fills nothing.
    """
    _check_mask(mask, photo, name)
    crop, hole = cut_out(photo.pixels, mask, quad, resolution)
    return Located(name, photo, quad, crop, hole, mask, math.nan)
