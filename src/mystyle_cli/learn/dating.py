"""Years of photos, written into a profile that is there: nothing is judged or tuned anew."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mystyle_cli.curate.dates import Dates
from mystyle_cli.errors import DecodeError, ProfileError
from mystyle_cli.person.layout import PHOTOS
from mystyle_cli.person.reference import write_records
from mystyle_cli.photos.decode import decode, digests_of
from mystyle_cli.photos.taken import year_of

if TYPE_CHECKING:
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.store.store import Store


def write_dates(store: Store, profile: Profile, dates: Dates) -> list[str]:
    """Write the years of photos into a profile's records, as its next version. The caller holds the lock.

    Returns:
        What is to be said of names on the list.

    Raises:
        ProfileError: learning of the profile was interrupted, or it cannot be written.
        UsageError: the list contradicts itself.
    """
    records, said = dates.applied(profile.records)
    if records == profile.records:
        return said
    draft = store.draft(profile.name)
    if draft.learning:  # a commit would put half of it in place
        raise ProfileError(
            f"learning of profile '{profile.name}' was interrupted",
            "Finish it first: give the same command again, without --dates.",
        )
    manifest = profile.manifest
    written = draft.write(PHOTOS, write_records(records))
    files = {**manifest.files, "curate": {**manifest.files["curate"], **written}}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    draft.commit(replace(manifest, changed=now, files=files))
    return said


def years_in(photos: Sequence[Path], profile: Profile) -> Dates | None:
    """Return the years that photos say which a profile has seen without asking them, as earlier versions did.

    Returns:
        None where there is no such photo.
    """
    undated = {record.sha256 for record in profile.records if record.year is None}
    found: dict[str, int | None] = {}
    for path, digest in digests_of(photos).items() if undated else ():
        with suppress(DecodeError):  # which was said when it was judged
            if digest in undated and (year := year_of(decode(path).exif)) is not None:
                found[digest] = year
    return Dates(found, "EXIF") if found else None
