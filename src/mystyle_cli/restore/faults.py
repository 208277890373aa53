"""What becomes of an exception inside the work on one photo: that photo's error, and nobody else's."""

from __future__ import annotations

from mystyle_cli.errors import MystyleError, reason_of
from mystyle_cli.prior.memory import ran_out


def contained(name: str, error: Exception) -> MystyleError:
    """Return what is said of a photo on which work failed; nothing to add where that was foreseen.

    Args:
        name: of the photo.
        error: what arose.
    """
    if isinstance(error, MystyleError):
        return error
    if ran_out(error):
        return MystyleError(f"{name}: out of memory", "Use a smaller photo, or close other programs.")
    if isinstance(error, OSError):
        place = f" ({error.filename})" if error.filename and str(error.filename) != name else ""
        reason = error.strerror or reason_of(error)
        return MystyleError(f"{name}: {reason}{place}", "Check the file and the place of its result.")
    found = MystyleError(
        f"{name}: unexpected {type(error).__name__}: {reason_of(error)}",
        "This is a fault in mystyle; --debug shows where.",
    )
    found.__cause__ = error
    return found
