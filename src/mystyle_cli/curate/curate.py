"""From a folder of photos to a reference set, with a reason for every refusal (paper, app. A.1, A.2)."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from mystyle_cli.curate.advice import advise, split
from mystyle_cli.curate.choice import Choice, Row, choose
from mystyle_cli.curate.cover import Cover
from mystyle_cli.curate.duplicates import duplicates, most_bits, perceptual_hash
from mystyle_cli.curate.examine import Candidate, Criteria, Examined, digest_of_photo, examine
from mystyle_cli.curate.identity import Embed
from mystyle_cli.curate.records import PhotoRecord, Reason
from mystyle_cli.curate.settings import CurateSettings
from mystyle_cli.curate.sheet import contact_sheet
from mystyle_cli.errors import NoFaceError
from mystyle_cli.faces.align import AlignedFace, Crop, align
from mystyle_cli.faces.face import aligned_face, describe
from mystyle_cli.faces.faces import find_faces
from mystyle_cli.photos.decode import decode
from mystyle_cli.photos.pixels import Pixels
from mystyle_cli.progress import Progress, Step, silent

__all__ = [
    "CurateSettings",
    "Curation",
    "PhotoRecord",
    "Reason",
    "advise",
    "contact_sheet",
    "curate",
    "split",
]

Known = tuple[Sequence[PhotoRecord], Mapping[str, Pixels]]


class Prior(Protocol):
    """What curation needs to know of a domain prior."""

    @property
    def resolution(self) -> int:
        """Side of its images."""

    @property
    def crop(self) -> Crop:
        """Which square about a face they show."""


@dataclass(frozen=True)
class Curation:
    """The verdicts on a set of photos.

    Args:
        records: one per new photo, in the order of the files' names.
        faces: aligned face of every kept photo, by sha256.
        thumbnails: small copies of the photos that could be read, by sha256, for the contact sheet.
        warnings: what the user should know about the choice of the person.
    """

    records: tuple[PhotoRecord, ...]
    faces: dict[str, AlignedFace]
    thumbnails: dict[str, Pixels]
    warnings: tuple[str, ...]


def curate(
    paths: Sequence[Path],
    *,
    prior: Prior,
    settings: CurateSettings | None = None,
    reference: Path | None = None,
    known: Known | None = None,
    seed: int = 0,
    progress: Progress = silent,
    embed: Embed | None = None,
    cover: Cover | None = None,
) -> Curation:
    """Judge every photo; originals are only read.

    The person is whoever the reference photo shows, else the person of the known faces, else the largest
    group of faces that agree. The result does not depend on the order of the paths.

    Args:
        paths: photo files.
        prior: the domain prior, whose crop is cut, at its resolution.
        settings: thresholds.
        reference: photo of the person, of which the largest face counts.
        known: records, and face crops uint8 (R, R, 3) by sha256, of an existing profile; photos it has seen
            are left out.
        seed: of the split into train and held-out.
        progress: called after every photo.
        embed: identity net, float32 (B, 3, R, R) in [-1, 1] -> (B, D) unit rows; dlib's descriptor always
            counts too.
        cover: net that tells what hides a face, float32 (B, 3, R, R) in [-1, 1] -> (B, parts) in [0, 1]; None
            judges by the colours of the skin.

    Raises:
        DecodeError: the reference cannot be read.
        NoFaceError: the reference shows no face.
    """
    settings = settings or CurateSettings()
    records, crops = known or ((), {})
    anchor_rows = [_known_row(crops[sha], -1 - i, prior.crop) for i, sha in enumerate(sorted(crops))]
    reference_rows = [] if reference is None else [_reference_row(reference, prior)]
    seen = {record.sha256 for record in records}
    by = Criteria(prior.resolution, prior.crop, settings, cover)
    examined = _examine_all(paths, by, seen, progress)
    choice = choose(_rows(examined), anchor_rows, reference_rows, settings, embed)
    verdicts, faces = _verdicts(examined, choice, settings, prior.crop)
    divided = split(verdicts, settings.held_out, seed, records)
    thumbnails = {item.sha256: item.thumbnail for item in examined if item.thumbnail is not None}
    return Curation(tuple(divided), faces, thumbnails, choice.warnings)


def _examine_all(paths: Sequence[Path], by: Criteria, seen: set[str], progress: Progress) -> list[Examined]:
    """Look at every new file in the order of their names; the same file twice is examined once."""
    base = Path(os.path.commonpath([os.path.abspath(path.parent) for path in paths])) if paths else Path()
    named = sorted((_name_for_records(path, base), path) for path in paths)
    done: dict[str, Examined] = {}
    result = []
    for index, (file, path) in enumerate(named):
        digest = digest_of_photo(path)
        if digest not in seen:
            first = done[digest] = done.get(digest) or examine(path, file, digest, by)
            result.append(replace(first, file=file))
        progress(Step("curate", index + 1, len(named)))
    return result


def _name_for_records(path: Path, base: Path) -> str:
    """Return a path below a folder as text that any file can hold, whatever bytes it is of.

    Of photos from far apart only the last folder is named: those above would tell who uses the machine.
    """
    name = Path(os.path.relpath(os.path.abspath(path), base))
    if base in Path(os.path.expanduser("~")).parents:
        name = Path(*name.parts[-2:])
    return os.fsencode(name.as_posix()).decode("utf-8", "backslashreplace")


def _rows(examined: Sequence[Examined]) -> list[Row]:
    """List the faces that were described."""
    return [
        Row(photo, index, candidate.descriptor, candidate.aligned.pixels, candidate.fault is None)
        for photo, item in enumerate(examined)
        for index, candidate in enumerate(item.candidates)
        if candidate.descriptor is not None
    ]


def _reference_row(path: Path, prior: Prior) -> Row:
    """Describe the largest face of the reference photo."""
    photo = decode(path)
    faces = find_faces(photo.pixels)
    if not faces:
        raise NoFaceError(f"{path}: the reference shows no face", "Give a clear photo of the person's face.")
    pixels = align(photo.pixels, faces[0].landmarks, prior.resolution, prior.crop).pixels
    return Row(-1, 0, describe(photo.pixels, faces[0]), pixels, True)


def _known_row(pixels: Pixels, photo: int, crop: Crop) -> Row:
    """Describe a face of an existing profile from its crop."""
    return Row(photo, 0, describe(pixels, aligned_face(pixels, crop)), pixels, True)


def _verdicts(
    examined: Sequence[Examined], choice: Choice, settings: CurateSettings, crop: Crop
) -> tuple[list[PhotoRecord], dict[str, AlignedFace]]:
    """Turn the choice into records, after duplicates are found among the chosen."""
    repeated = _repeated(examined, choice, settings, crop)
    records: list[PhotoRecord] = []
    faces: dict[str, AlignedFace] = {}
    for photo, item in enumerate(examined):
        index = choice.candidate(photo)
        if item.fault or not item.candidates:
            reason, detail = item.fault or (Reason.NO_FACE, "no face was found")
            records.append(PhotoRecord(item.sha256, item.file, reason, detail))
            continue
        candidate = item.candidates[index]
        scores = dict(candidate.scores) | choice.scores(photo)
        reason, detail = _judge(photo, candidate, choice, repeated)
        records.append(PhotoRecord(item.sha256, item.file, reason, detail, scores))
        if reason is Reason.KEPT:
            faces[item.sha256] = candidate.aligned
    return records, faces


def _judge(
    photo: int, candidate: Candidate, choice: Choice, repeated: Mapping[int, str]
) -> tuple[Reason, str]:
    """Return the verdict on a photo's face."""
    if candidate.fault is not None:
        return candidate.fault
    if photo not in choice.chosen:
        near = choice.scores(photo).get("identity")
        found = "" if near is None else f": similarity {near:.2f} of {choice.limit:.2f}"
        return Reason.NOT_THIS_PERSON, f"another person{found}"
    if photo in repeated:
        return Reason.DUPLICATE, f"the same picture as {repeated[photo]}"
    return Reason.KEPT, "kept"


def _repeated(
    examined: Sequence[Examined], choice: Choice, settings: CurateSettings, crop: Crop
) -> dict[int, str]:
    """Return for each chosen photo that repeats a better one that one's name; known faces always stay."""
    rows = [*choice.anchors, *choice.chosen.values()]
    hashes = [perceptual_hash(choice.rows[row].crop) for row in rows]
    worth = [math.inf] * len(choice.anchors) + [
        _worth(examined[photo], choice.candidate(photo)) for photo in choice.chosen
    ]
    similarity = choice.similarity[np.ix_(rows, rows)]
    bits = most_bits(settings.duplicate_bits, crop)
    found = duplicates(similarity, hashes, worth, settings.duplicate_identity, bits)
    names = ["a photo of the profile"] * len(choice.anchors) + [
        examined[photo].file for photo in choice.chosen
    ]
    photos = [-1] * len(choice.anchors) + list(choice.chosen)
    return {photos[later]: names[first] for later, first in found.items()}


def _worth(item: Examined, candidate: int) -> float:
    """Return how much of a face a file holds: of two copies the larger, less compressed one is the better."""
    return 4 * math.log(item.candidates[candidate].scores["side"]) + math.log(max(item.bytes, 1))
