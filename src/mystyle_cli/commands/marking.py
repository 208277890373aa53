"""What every result says about itself: made by AI, by which command, from whom, with which seed."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mystyle_cli import __version__

if TYPE_CHECKING:
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.photos.marks import Provenance


def provenance(
    command: str, profile: Profile, beta: float | None, seed: int | None, *, hull: bool = True
) -> Provenance:
    """Return the record that is embedded in a result.

    Args:
        command: the command's name.
        profile: the person's profile.
        beta: dilation; None is unbounded.
        seed: what repeats the result; None where nothing was drawn.
        hull: whether the result is of the person's own space, which alone has a dilation.
    """
    from mystyle_cli.photos.marks import Provenance, source_type

    return Provenance(
        command=command,
        profile=profile.name,
        prior=profile.manifest.prior.name,
        beta=(math.inf if beta is None else beta) if hull else None,
        seed=seed,
        version=__version__,
        digital_source_type=source_type(command),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
