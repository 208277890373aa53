"""What every result says about itself: made by AI, by which command, from whom, with which seed."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mystyle_cli import __version__
from mystyle_cli.errors import UsageError

if TYPE_CHECKING:
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.photos.marks import Drawn, Provenance


@dataclass(frozen=True)
class Origin:
    """What a result came of."""

    beta: float | None  # dilation; None is unbounded
    seed: int | None  # what repeats the result; None where nothing was drawn
    hull: bool = True  # whether the result is of the person's own space, which alone has a dilation
    drawn: Drawn | None = None
    code: bytes = b""  # what a photo's face was drawn from, where that is kept
    generator: str = ""  # sha256 of what drew it; "" is the profile's own
    person: str = ""  # who of several people it is; "" where the profile is of one
    year: int | None = None  # about which the photos were taken that it is mixed of; None: any


def provenance(command: str, profile: Profile, origin: Origin, id_score: float | None) -> Provenance:
    """Return the record that is embedded in a result; None or nan for an ID score that is not measured."""
    from mystyle_cli.person.layout import GENERATOR
    from mystyle_cli.photos.marks import Provenance, source_type

    return Provenance(
        command=command,
        profile=profile.name,
        prior=profile.manifest.prior.name,
        # a record has infinity for no bound, and nothing where nothing has a dilation
        beta=(math.inf if origin.beta is None else origin.beta) if origin.hull else None,
        seed=origin.seed,
        version=__version__,
        digital_source_type=source_type(command),
        created=_given_date(),
        id_score=None if id_score is None or not math.isfinite(id_score) else round(id_score, 3),
        generator=origin.generator or profile.manifest.digests().get(GENERATOR, ""),
        drawn=origin.drawn,
        code=origin.code,
        person=origin.person,
        year=origin.year,
    )


def _given_date() -> str | None:
    """Return the date that SOURCE_DATE_EPOCH gives to what is made, or None; the clock has no say."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH")
    if not seconds:
        return None
    try:
        return datetime.fromtimestamp(int(seconds), UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            f"SOURCE_DATE_EPOCH is {seconds!r}, not a number of seconds since 1970",
            "Unset it, or give a whole number.",
        ) from error
