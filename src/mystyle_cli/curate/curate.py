"""From a folder of photos to a reference set, with a reason for every refusal (paper, app. A.1, A.2)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mystyle_cli.curate.advice import advise, split
from mystyle_cli.curate.choice import Choice, Row, choose
from mystyle_cli.curate.duplicates import repeated_photos
from mystyle_cli.curate.examine import Candidate, Criteria, Examined, examine
from mystyle_cli.curate.records import PhotoRecord, Reason
from mystyle_cli.curate.sheet import contact_sheet
from mystyle_cli.errors import NoFaceError
from mystyle_cli.faces.align import AlignedFace, align
from mystyle_cli.faces.face import aligned_face, describe
from mystyle_cli.faces.faces import find_faces
from mystyle_cli.photos.decode import decode
from mystyle_cli.photos.pixels import Pixels
from mystyle_cli.progress import Progress, Step, silent


@dataclass(frozen=True)
class Known:
    """What is known of the person before."""

    records: Sequence[PhotoRecord] = ()  # of an existing profile; photos it has seen are left out
    crops: Mapping[str, Pixels] = field(default_factory=dict)  # its faces uint8 (R, R, 3) by sha256
    reference: Path | None = None  # photo of the person, of which the largest face counts
    # sha256 of photos that are kept whatever is wrong with them, where a face is found on them
    keep: Sequence[str] = ()


@dataclass(frozen=True)
class Curation:
    """All that is to be said of a set of photos."""

    records: tuple[PhotoRecord, ...]  # one per new photo, in the order of the files' names
    faces: dict[str, AlignedFace]  # aligned face of every new photo that was kept, by sha256
    sheet: Pixels  # uint8 (H, W, 3), the contact sheet of the photos known before and the new ones
    # what the user should know about the choice of the person, and what the whole set lacks
    advice: tuple[str, ...]


def curate(
    photos: Mapping[Path, str],
    by: Criteria,
    known: Known | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Curation:
    """Judge every photo; originals are only read.

    The person is whoever the reference photo shows, else the person of the known faces, else the largest
    group of faces that agree. The result does not depend on the order of the photos.

    Args:
        photos: files and their digests, as `decode.digests_of` returns them.

    Raises:
        DecodeError: the reference cannot be read.
        NoFaceError: the reference shows no face.
    """
    known = known or Known()
    anchor_rows = [_known_row(known.crops[sha], -1 - i, by) for i, sha in enumerate(sorted(known.crops))]
    reference_rows = [] if known.reference is None else [_reference_row(known.reference, by)]
    examined = _examine_all(photos, by, {record.sha256 for record in known.records}, progress)
    choice = choose(_rows(examined), anchor_rows, reference_rows, by.settings, by.embed)
    verdicts, faces = _verdicts(examined, choice, by, known.keep)
    divided = tuple(split(verdicts, by.settings.held_out, seed, known.records))
    everyone = (*known.records, *divided)
    crops = {**known.crops, **{sha: face.pixels for sha, face in faces.items()}}
    thumbnails = {item.sha256: item.thumbnail for item in examined if item.thumbnail is not None}
    sheet = contact_sheet(everyone, {**crops, **thumbnails})
    advice = *choice.warnings, *_cannot_keep(divided, known.keep), *advise(everyone, crops, by.crop)
    return Curation(divided, faces, sheet, advice)


def _examine_all(
    photos: Mapping[Path, str], by: Criteria, seen: set[str], progress: Progress
) -> list[Examined]:
    """Look at every new file in the order of their names; the same file twice is examined once."""
    base = Path(os.path.commonpath([os.path.abspath(path.parent) for path in photos])) if photos else Path()
    named = sorted((_name_for_records(path, base), path) for path in photos)
    done: dict[str, Examined] = {}
    result = []
    for index, (file, path) in enumerate(named):
        digest = photos[path]
        if digest not in seen:
            if digest not in done:
                done[digest] = examine(path, file, digest, by)
            result.append(replace(done[digest], file=file))
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
    return [
        Row(photo, index, candidate.descriptor, candidate.aligned.pixels, candidate.fault is None)
        for photo, item in enumerate(examined)
        for index, candidate in enumerate(item.candidates)
        if candidate.descriptor is not None
    ]


def _reference_row(path: Path, by: Criteria) -> Row:
    photo = decode(path)
    faces = find_faces(photo.pixels)
    if not faces:
        raise NoFaceError(f"{path}: the reference shows no face", "Give a clear photo of the person's face.")
    pixels = align(photo.pixels, faces[0].landmarks, by.resolution, by.crop).pixels
    return Row(-1, 0, describe(photo.pixels, faces[0]), pixels, True)


def _known_row(pixels: Pixels, photo: int, by: Criteria) -> Row:
    return Row(photo, 0, describe(pixels, aligned_face(pixels, by.crop)), pixels, True)


def _verdicts(
    examined: Sequence[Examined], choice: Choice, by: Criteria, keep: Sequence[str]
) -> tuple[list[PhotoRecord], dict[str, AlignedFace]]:
    """Turn the choice into records, after duplicates are found among the chosen."""
    repeated = repeated_photos(examined, choice, by)
    records: list[PhotoRecord] = []
    faces: dict[str, AlignedFace] = {}
    for photo, item in enumerate(examined):
        index = choice.candidate(photo)
        if item.fault or not item.candidates:
            reason, detail = item.fault or (Reason.NO_FACE, "no face was found")
            records.append(PhotoRecord(item.sha256, item.file, reason, detail, year=item.year))
            continue
        candidate = item.candidates[index]
        scores = dict(candidate.scores) | choice.scores(photo)
        reason, detail = _judge(photo, candidate, choice, repeated)
        if item.sha256 in keep and reason is not Reason.KEPT:
            reason, detail = Reason.KEPT, f"kept by hand: {detail}"
        records.append(PhotoRecord(item.sha256, item.file, reason, detail, scores, year=item.year))
        if reason is Reason.KEPT:
            faces[item.sha256] = candidate.aligned
    return records, faces


def _cannot_keep(records: Sequence[PhotoRecord], keep: Sequence[str]) -> list[str]:
    """Say which photos were to be kept by hand and show no face that could be."""
    return [
        f"{record.file} cannot be kept: {record.detail}"
        for record in records
        if record.sha256 in keep and not record.kept
    ]


def _judge(
    photo: int, candidate: Candidate, choice: Choice, repeated: Mapping[int, str]
) -> tuple[Reason, str]:
    if candidate.fault is not None:
        return candidate.fault
    if photo not in choice.chosen:
        near = choice.scores(photo).get("identity")
        how_near = "" if near is None else f": similarity {near:.2f} of {choice.limit:.2f}"
        return Reason.NOT_THIS_PERSON, f"another person{how_near}"
    if photo in repeated:
        return Reason.DUPLICATE, f"the same picture as {repeated[photo]}"
    return Reason.KEPT, "kept"
