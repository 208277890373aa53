"""What a search found, kept as a file: a photo's code and where its face lies, so that edits need none."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mystyle_cli.errors import ProfileError, UsageError
from mystyle_cli.files.reading import Handed
from mystyle_cli.find.locate import Subject, as_photo, place
from mystyle_cli.hull import hull
from mystyle_cli.person.files import Notes, load_tensors, parse_whole, tensor_bytes, write_whole
from mystyle_cli.person.layout import ANCHORS, GENERATOR
from mystyle_cli.restore.task import Restoration

if TYPE_CHECKING:
    from mystyle_cli.faces.align import Points
    from mystyle_cli.person.profile import Profile

ROUNDING = 1e-3  # how far rounding may take a cosine beyond 1
FURTHEST = 1e5  # pixels from a photo's corner within which a face lies
LARGEST_ALPHA = 1e6  # the largest coefficient; an unbounded search stays far below
KIND = "code"
FORMAT = 2
BESIDE = 3  # the format of codes that lie beside their coefficients'


@dataclass(frozen=True)
class SavedCode:
    """A photo in the person's space."""

    path: Path
    alpha_plus: npt.NDArray[np.float64]  # float64 (num_ws, N)
    slack: npt.NDArray[np.float32] | None  # (w_dim,), by what the code lies beside theirs
    quad: Points  # (4, 2) photo coordinates of the face's crop, as `Located` has them
    photo_sha256: str  # of the photo's file
    factor: float  # how much larger than the photo the result was, and an edit is; 1 unless it was upscaled
    aligned: bool  # the photo is an aligned crop
    id_score: float  # of the result
    current: bool  # the generator is still the one that the code was found with
    person: str = ""  # who of several people it is; "" where the profile is of one

    def inversion(self, profile: Profile, subject: Subject) -> Restoration:
        """Return what the search found for a photo, its pictures left out.

        Raises:
            DecodeError: the photo cannot be read.
            UsageError: the code belongs to another photo.
        """
        photo = as_photo(subject.photo)
        name = subject.name or str(photo.path or "the photo")
        if photo.sha256 != self.photo_sha256:
            raise UsageError(f"{self.path} is the code of another photo than {name}", _AGAIN)
        located = place(name, photo, self.quad, profile.manifest.prior.resolution)
        located = replace(located, person=self.person)
        older = "the code was found before the profile was last tuned; invert the photo again to be exact"
        return Restoration(
            name=name,
            located=located,
            alpha_plus=self.alpha_plus,
            slack=self.slack,
            id_score=self.id_score,
            least_dilation=float(hull.least_dilation(self.alpha_plus).max()),
            factor=self.factor,
            warnings=photo.notes if self.current else (*photo.notes, older),
        )


_AGAIN = "Invert the photo again: mystyle invert NAME PHOTO --save-codes DIR"


def save_code(path: Path, profile: Profile, found: Restoration, *, aligned: bool) -> None:
    """Write what a search found, folders on the way too.

    Raises:
        UsageError: the result has no coefficients, since it was searched outside the person's space.
        ProfileError: the file cannot be written.
    """
    write_whole(path, code_bytes(profile, found, aligned=aligned))


def code_bytes(profile: Profile, found: Restoration, *, aligned: bool) -> bytes:
    """Return what `save_code` writes; raises UsageError where the result has no coefficients."""
    if found.alpha_plus is None or found.located is None:
        raise UsageError("only codes of the person's own space are saved", "Use space p+, p or near.")
    digests = profile.manifest.digests()
    notes = {
        "kind": KIND,
        "format": str(FORMAT if found.slack is None else BESIDE),
        "profile": profile.name,
        "anchors": digests[ANCHORS],
        "generator": digests.get(GENERATOR, ""),
        "photo": found.located.photo.sha256,
        "factor": repr(found.factor),  # repr keeps every bit
        "aligned": str(aligned),
        "id": repr(found.id_score),
    }
    if found.person:
        notes["person"] = found.person
    tensors = {"alpha_plus": found.alpha_plus, "quad": np.asarray(found.located.quad)}
    return tensor_bytes(tensors if found.slack is None else {**tensors, "slack": found.slack}, notes)


def load_code(path: Path | Handed, profile: Profile) -> SavedCode:
    """Read a saved code.

    Raises:
        UsageError: the file is none, is damaged, or belongs to other anchors than the profile's.
    """
    if isinstance(path, Handed):
        return parse_code(path.path, path.data, profile)
    return _checked(path, lambda: load_tensors(path), profile)


def parse_code(path: Path, data: bytes, profile: Profile) -> SavedCode:
    """Read a code that `code_bytes` made; raises UsageError for one of other anchors than the profile's."""
    return _checked(path, lambda: parse_whole(data), profile)


def _checked(
    path: Path, read: Callable[[], tuple[dict[str, npt.NDArray[np.generic]], Notes]], profile: Profile
) -> SavedCode:
    """Return a code of which everything can be so; see `load_code`."""
    from mystyle_cli.faces.align import quad_side

    w_dim = profile.manifest.prior.w_dim
    try:
        tensors, notes = read()
        if notes.get("kind") != KIND or notes["format"] not in (str(FORMAT), str(BESIDE)):
            raise ValueError("it is not one that this version reads")
        alpha_plus, quad = tensors["alpha_plus"], tensors["quad"]
        slack = tensors["slack"] if notes["format"] == str(BESIDE) else np.zeros(w_dim, np.float32)
        person = notes.get("person", "")
        shape = profile.manifest.prior.num_ws, len(profile.one(person or None).photos())
        if (
            alpha_plus.shape != shape
            or quad.shape != (4, 2)
            or slack.shape != (w_dim,)
            or {alpha_plus.dtype.kind, quad.dtype.kind, slack.dtype.kind} != {"f"}
        ):
            raise ValueError("its tensors have other shapes")
        corners: Points = np.asarray(quad, np.float64)
        if np.abs(corners).max() > FURTHEST or not 1 <= quad_side(corners) <= FURTHEST:
            raise ValueError("its face lies on no photo")
        if max(np.abs(alpha_plus).max(), np.abs(slack).max()) > LARGEST_ALPHA:
            raise ValueError("its coefficients are far from any person")
        photo, anchors = notes["photo"], notes["anchors"]
        id_score, factor = float(notes["id"]), float(notes["factor"])
        if not (math.isnan(id_score) or abs(id_score) <= 1 + ROUNDING):
            raise ValueError("its ID score is none")
        if not 1 <= factor < math.inf:
            raise ValueError(f"its photo was enlarged {factor} times")
    except KeyError as error:
        raise UsageError(f"{path} cannot be read as a saved code: it has no {error}", _AGAIN) from error
    except (ProfileError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as a saved code: {error}", _AGAIN) from error
    digests = profile.manifest.digests()
    if anchors != digests.get(ANCHORS):
        raise UsageError(f"{path} was made with other anchors than {profile.name}'s", _AGAIN)
    return SavedCode(
        path=path,
        alpha_plus=np.asarray(alpha_plus, np.float64),
        slack=np.asarray(slack, np.float32) if slack.any() else None,
        quad=corners,
        photo_sha256=photo,
        factor=factor,
        aligned=notes.get("aligned") == "True",
        id_score=id_score,
        current=notes.get("generator") == digests.get(GENERATOR),
        person=person,
    )
