"""Whether a photo that was worked on is what it says: its face is drawn again from its code and compared.

With the photo that it was made from, the whole result is made again. Without it, only what comes from the
code alone can be: the middle of a face that was inverted or edited, whose light and colour were not moved
towards the photo's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from mystyle_cli.errors import UsageError
from mystyle_cli.find.locate import place
from mystyle_cli.hull import hull
from mystyle_cli.restore import composite
from mystyle_cli.restore.given import Given
from mystyle_cli.restore.saved import FURTHEST, load_code, parse_code
from mystyle_cli.restore.whole import COMMANDS, Floats, Whole
from mystyle_cli.sample.claims import FORGED, Claim, compare, refuse_other_generator

if TYPE_CHECKING:
    from pathlib import Path

    from mystyle_cli.person.profile import Profile
    from mystyle_cli.photos.decode import Photo
    from mystyle_cli.photos.marks import Provenance
    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.restore.saved import SavedCode
    from mystyle_cli.sample.rendering import Renderer

LEAST: Final = 256  # pixels of a picture that must come from the code alone, so that it can be judged by them

# pixels to each side that pasting looks at: Lanczos' three, in the coarser of crop and photo
REACH: Final = 3


@dataclass(frozen=True)
class Evidence:
    """What a result is compared with, besides what it says."""

    photo: Photo | None = None  # the one that it was made from, or None
    mask: Pixels | None = None  # uint8 (H, W), what of it was filled, or None
    code: Path | None = None  # the file that its code was saved to; None where the result holds it


def check_restored(
    path: Path, marks: Provenance, profile: Profile, renderer: Renderer, evidence: Evidence
) -> Claim:
    """Draw a result again from its code, and compare; `profile` need not be the one that it names.

    Raises:
        DecodeError: it is no picture.
        UsageError: there is no code, it is another photo's, or the photo or the mask is needed.
    """
    refuse_other_generator(path, marks, profile)
    if marks.command not in COMMANDS:
        raise UsageError(f"{path} says of itself what no result of mystyle does", FORGED)
    command = marks.command
    if command == "restore":
        raise UsageError(
            f"{path}: its face was made to agree with what was estimated of its photo, which no code holds",
            "Make it again from the photo, and compare.",
        )
    if command == "inpaint" and (evidence.photo is None or evidence.mask is None):
        raise UsageError(
            f"{path}: it does not say what of it was filled", "Give --photo PHOTO and --mask MASK."
        )
    if command == "upscale" and evidence.photo is None:  # all but detail of its face is the photo's
        raise UsageError(f"{path}: its face was made to agree with the small photo", "Give --photo PHOTO.")
    code = _code(path, marks, profile, evidence)
    anchors = profile.one(code.person or None).anchors().astype(np.float64)
    drawn = hull.combine(code.alpha_plus, anchors, code.slack)
    image = renderer.render(drawn[None].astype(np.float32))[0]
    if not np.isfinite(image).all():
        raise UsageError(f"{path}: its code draws nothing", FORGED)
    whole = Whole(profile.prior, command, code.aligned)
    if evidence.photo is None:
        return replace(compare(path, _face_again(path, whole, code, image), marks), part="face")
    return compare(path, _whole_again(path, whole, code, image, evidence.photo, evidence.mask), marks)


def _code(path: Path, marks: Provenance, profile: Profile, evidence: Evidence) -> SavedCode:
    edited = marks.command == "edit"
    if evidence.code is not None:
        if edited:
            raise UsageError(
                f"{evidence.code} is the code of the photo before it was edited",
                "Leave it out: an edit keeps its own with --keep-code.",
            )
        code = load_code(evidence.code, profile)
    elif marks.code:
        code = parse_code(path, marks.code, profile)
    else:
        given = "" if edited else "Give --code FILE, which --save-codes wrote, or m"
        raise UsageError(
            f"{path} does not hold the code that it was drawn from",
            f"{given or 'M'}ake it again with --keep-code.",
        )
    if code.person != marks.person:
        raise UsageError(f"{path} says that it is another than its code says", FORGED)
    if not code.current:
        raise UsageError(
            f"{code.path}: its code was found with another generator than profile '{profile.name}' has now",
            "Name the profile of then, from a backup, with --profile.",
        )
    return code


def _whole_again(
    path: Path, whole: Whole, code: SavedCode, image: Floats, photo: Photo, mask: Pixels | None
) -> Pixels | None:
    """Return the whole result made again; None where it would have another size than that which is there."""
    from mystyle_cli.photos.decode import decode

    name = str(photo.path or "the photo")
    if photo.sha256 != code.photo_sha256:
        raise UsageError(
            f"{name} is not the file that {path} was made from",
            "Give that very file, not a copy that another program wrote.",
        )
    height, width = photo.pixels.shape[:2]
    if whole.enlarges(code.factor):
        height, width = composite.enlarged(height, code.factor), composite.enlarged(width, code.factor)
    if (height, width) != decode(path).pixels.shape[:2]:
        return None
    located = place(name, photo, code.quad, image.shape[-1], mask if whole.command == "inpaint" else None)
    met = whole.meet(Given(located, whole.task, image.shape[-1]), image)
    return whole.lay(located, met, code.factor)


def _face_again(path: Path, whole: Whole, code: SavedCode, image: Floats) -> Pixels:
    """Return the result with the middle of its face drawn again."""
    from mystyle_cli.faces.paste import paste, worked_region
    from mystyle_cli.photos.decode import decode

    result, size = decode(path), image.shape[-1]
    height, width = result.pixels.shape[:2]
    quad = code.quad
    if whole.enlarges(code.factor):  # by whole pixels, as the photo's sides were
        quad = quad * [side / max(1, round(side / code.factor)) for side in (width, height)]
    if np.abs(quad).max() > FURTHEST:
        raise UsageError(f"{path}: its code's face lies on no photo", FORGED)
    located = place(str(path), result, quad, size)
    image = whole.meet(Given(located, whole.task, size), image)
    margin = math.ceil(REACH * max(1.0, size / located.side))
    alone = composite.drawn_alone(whole.shown(located, image), whole.prior.crop, whole.aligned, margin)
    if np.count_nonzero(worked_region(result.pixels.shape, quad, alone)) < LEAST:
        raise UsageError(f"{path}: too little of it comes from its code alone", "Give --photo PHOTO.")
    return paste(result.pixels, whole.face(located, image), quad, alone, 0.0)
