"""One file, looked at on its own: its faces, their measurements and what is wrong with them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mystyle_cli.curate.checks import fault, measure
from mystyle_cli.curate.cover import Cover, hidden_parts
from mystyle_cli.curate.identity import Embed
from mystyle_cli.curate.records import Reason
from mystyle_cli.curate.settings import CurateSettings
from mystyle_cli.curate.tagged import face_in
from mystyle_cli.errors import DecodeError, MystyleError, reason_of
from mystyle_cli.faces.align import AlignedFace, Crop, Points, align
from mystyle_cli.faces.face import Face, describe
from mystyle_cli.faces.faces import find_faces, find_hidden_faces, near_miss, why_unsearched
from mystyle_cli.photos.decode import Photo, decode
from mystyle_cli.photos.pixels import Pixels, resize
from mystyle_cli.photos.tags import Box
from mystyle_cli.photos.taken import year_of

Fault = tuple[Reason, str]

_UNTAGGED = "no face was found where the person is tagged"
_THUMBNAIL = 160  # long side of the photos on the contact sheet
_SQUARE = 1.68  # side of the FFHQ square over the width of the detector's box, mean over portraits
# Scores of the frontal detector above which a face that it missed counts as covered rather than turned.
_COVERED_FRONT, _COVERED_TURNED = -0.6, -0.25


@dataclass(frozen=True)
class Candidate:
    """A face that may be the person's."""

    face: Face
    aligned: AlignedFace
    scores: dict[str, float]  # from `checks.measure`
    fault: Fault | None  # why it cannot be used, or None
    # dlib's (128,); None for a lone face with a fault, which is refused whoever it is
    descriptor: NDArray[np.float64] | None


@dataclass(frozen=True)
class Examined:
    """What one file holds."""

    sha256: str  # hex digest; that of the name for a file that cannot be read at all
    file: str  # name for records
    fault: Fault | None  # why there are no candidates, or None
    candidates: tuple[Candidate, ...] = ()  # its faces, largest first
    # uint8, small copy of the photo, None where it cannot be read
    thumbnail: Pixels | None = field(default=None, repr=False)
    bytes: int = 0
    year: int | None = None  # in which it was taken, None where it does not say


@dataclass(frozen=True)
class Criteria:
    """What every photo of a set is held to."""

    resolution: int  # side of the crops
    crop: Crop
    settings: CurateSettings = field(default_factory=CurateSettings)
    # identity net, float32 (B, 3, R, R) in [-1, 1] -> (B, D) unit rows; dlib's descriptor always counts too
    embed: Embed | None = None
    # net that tells what hides a face, float32 (B, 3, R, R) in [-1, 1] -> (B, parts) in [0, 1]; None judges
    # by the colours of the skin
    cover: Cover | None = None
    # where the person is on photos that say so, by the photos' digests; see `tagged.find_tagged`
    regions: Mapping[str, tuple[Box, ...]] = field(default_factory=dict)


def examine(path: Path, file: str, digest: str, by: Criteria) -> Examined:
    """Look at one file, `file` in records; what goes wrong with it is its own fault, and stops no other."""
    try:
        photo = decode(path)
        return replace(_examined(photo, path, file, digest, by), year=year_of(photo.exif))
    except DecodeError as error:
        return Examined(digest, file, (Reason.UNREADABLE, error.message.removeprefix(f"{path}: ")))
    except (MystyleError, ImportError):  # of what every photo needs
        raise
    except Exception as error:
        reason = reason_of(error).replace(str(path), file)  # records name no folder of the user's
        detail = f"it cannot be worked on ({type(error).__name__}: {reason})"
        return Examined(digest, file, (Reason.UNREADABLE, detail))


def _examined(photo: Photo, path: Path, file: str, digest: str, by: Criteria) -> Examined:
    faces, boxes = find_faces(photo.pixels), by.regions.get(digest, ())
    if boxes:
        face = face_in(photo.pixels, faces, boxes)
        if face is None:
            return Examined(digest, file, (Reason.NO_FACE, _UNTAGGED), (), _thumbnail(photo, []))
        faces = [face]
    faces = faces[: by.settings.faces_looked_at]
    if not faces:
        hidden = _hidden(photo, by)
        return Examined(digest, file, hidden, (), _thumbnail(photo, []))
    lone = len(faces) == 1
    candidates = tuple(_candidate(photo, face, lone, by) for face in faces)
    thumbnail = _thumbnail(photo, [c.aligned.quad for c in candidates])
    return Examined(digest, file, None, candidates, thumbnail, path.stat().st_size)


def _candidate(photo: Photo, face: Face, lone: bool, by: Criteria) -> Candidate:
    aligned = align(photo.pixels, face.landmarks, by.resolution, by.crop)
    scores = measure(photo.pixels, face, by.resolution)
    if by.cover is not None:
        scores |= hidden_parts(aligned.pixels, by.cover)
    reason = fault(scores, by.resolution, by.settings)
    descriptor = None if lone and reason else describe(photo.pixels, face)
    return Candidate(face, aligned, scores, reason, descriptor)


def _hidden(photo: Photo, by: Criteria) -> Fault:
    """Say why the frontal detector found nothing: no face at all, or one that is turned, covered or small."""
    faces = find_hidden_faces(photo.pixels)
    if not faces:
        return Reason.NO_FACE, why_unsearched(photo.pixels) or "no face was found"
    face = faces[0]
    if _SQUARE * face.width < by.settings.smallest_face * by.resolution:
        return Reason.SMALL_FACE, f"the face is only {face.width:.0f} px wide"
    score, turned = near_miss(photo.pixels) or (-math.inf, True)
    if score > (_COVERED_TURNED if turned else _COVERED_FRONT):
        return Reason.OCCLUDED, "part of the face is covered"
    return Reason.EXTREME_POSE, "the face is turned too far away"


def _thumbnail(photo: Photo, quads: list[Points]) -> Pixels:
    height, width = photo.pixels.shape[:2]
    scale = _THUMBNAIL / max(height, width)
    small = Image.fromarray(
        resize(photo.pixels, (max(1, round(height * scale)), max(1, round(width * scale))), "area")
    )
    canvas = ImageDraw.Draw(small)
    for quad in quads:
        canvas.polygon([(float(x), float(y)) for x, y in quad * scale], outline=(255, 255, 255))
    return np.array(small)
