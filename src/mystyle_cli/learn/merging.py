"""Several people in one profile: their photos and anchors, taken over from profiles of their own (fig 13)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from mystyle_cli.errors import ProfileError, UsageError
from mystyle_cli.person.layout import ANCHORS, CONTACT_SHEET, PHOTOS, read_data
from mystyle_cli.person.manifest import LONGEST_CONSENT, MOST_PEOPLE
from mystyle_cli.person.reference import (
    counts_of,
    number_faces,
    png_of,
    read_pixels,
    write_records,
)
from mystyle_cli.progress import Progress, Step

if TYPE_CHECKING:
    from mystyle_cli.curate.records import PhotoRecord
    from mystyle_cli.person.manifest import Scalar
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.store.draft import Draft
    from mystyle_cli.tuning.anchors import FloatArray

PAPER: Final = 250  # lightness beside a contact sheet that is narrower than another


def refuse_unlike(name: str, members: Sequence[Profile]) -> None:
    """Refuse profiles that cannot be one.

    Raises:
        UsageError: fewer than two, one twice, or the result is one of them.
        ProfileError: one holds several people, has no photos, or has another prior.
    """
    names = [member.name for member in members]
    if not 2 <= len(set(names)) == len(names) <= MOST_PEOPLE:
        raise UsageError(
            f"{', '.join(names)}: these are not several people", "Name two profiles or more, each once."
        )
    if name.casefold() in {other.casefold() for other in names}:  # one folder where case does not count
        raise UsageError(f"'{name}' cannot be merged into itself", "Choose a new name for what comes of it.")
    first = members[0]
    for member in members:
        if member.people:
            raise ProfileError(
                f"profile '{member.name}' holds several people itself",
                f"Name the profiles that it was merged of: {', '.join(member.people)}.",
            )
        member.require_faces()
        if member.manifest.prior.sha256 != first.manifest.prior.sha256:
            priors = f"'{first.manifest.prior.name}' and '{member.manifest.prior.name}'"
            raise ProfileError(
                f"profiles '{first.name}' and '{member.name}' were tuned from two priors, {priors}",
                "Create one of them again with the other's prior.",
            )


def shared_consent(members: Sequence[Profile]) -> tuple[str, str]:
    """Return what several people agreed to, as one note, and the first day on which one of them ends.

    Raises:
        UsageError: the notes are too long to be one.
    """
    noted = [member.manifest for member in members]
    if not any(manifest.consent for manifest in noted):
        return "", ""
    note = "; ".join(f"{member.name}: {member.manifest.consent or 'nothing noted'}" for member in members)
    if len(note) > LONGEST_CONSENT:
        raise UsageError(
            f"what the people agreed to is longer than {LONGEST_CONSENT:,} characters together",
            "Note it shorter: mystyle profile consent NAME TEXT",
        )
    return note, min((manifest.consent_until for manifest in noted if manifest.consent_until), default="")


def photo_digests(members: Sequence[Profile]) -> list[tuple[str, list[str]]]:
    """Return by name the digests of each one's records, faces and contact sheet: what merging takes over."""
    found = []
    for member in members:
        digests = member.manifest.digests()
        faces = [str(record.face) for record in member.records if record.kept]
        found.append((member.name, [digests[name] for name in (PHOTOS, *faces, CONTACT_SHEET)]))
    return found


def merge_photos(
    draft: Draft, members: Sequence[Profile], seed: int, progress: Progress
) -> tuple[dict[str, str], dict[str, Scalar]]:
    """Write the photos of several people, each with whose it is; returns files' digests and facts."""
    records: tuple[PhotoRecord, ...] = ()
    files: dict[str, str] = {}
    for number, member in enumerate(members):
        # numbered anew below: every member's faces begin at 1
        bare = [dataclasses.replace(record, face=None, person=member.name) for record in member.records]
        before, records = len(records), number_faces(bare, records)
        for old, new in zip(member.records, records[before:], strict=True):
            if old.face is not None and new.face is not None:
                member.file(old.face)  # which sees to it that it is whole
                files |= draft.write(new.face, read_data(member.path, old.face))
        progress(Step("merge", number + 1, len(members)))
    files |= draft.write(PHOTOS, write_records(records))
    sheets = [read_pixels(member.file(CONTACT_SHEET), member.path) for member in members]
    return files | draft.write(CONTACT_SHEET, png_of(_stacked(sheets))), {"seed": seed, **counts_of(records)}


def merge_anchors(
    draft: Draft, members: Sequence[Profile], names: Sequence[str]
) -> tuple[FloatArray, dict[str, str], dict[str, Scalar]]:
    """Write the anchors of several people into a profile's next version, in the order of their photos.

    Returns:
        The anchors (N, w_dim), the digests of the files, and what is noted of them.
    """
    codes = np.concatenate([member.anchors() for member in members])
    files = draft.write_tensors(ANCHORS, {"anchors": codes}, {"names": json.dumps(list(names))})
    return codes, files, {"method": "merged", "count": len(codes)}


def _stacked(sheets: Sequence[Pixels]) -> Pixels:
    width = max(sheet.shape[1] for sheet in sheets)
    wide = [((0, 0), (0, width - sheet.shape[1]), (0, 0)) for sheet in sheets]
    return np.concatenate(
        [np.pad(sheet, room, constant_values=PAPER) for sheet, room in zip(sheets, wide, strict=True)]
    )
