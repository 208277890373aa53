"""How a `profile.toml` of an older format is brought to this one, step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mystyle_cli.errors import ProfileError
from mystyle_cli.files.parsing import LARGEST

# the format that this version writes. A change of it adds a `Migration`.
FORMAT: Final = 2

# the format of a profile that holds several people. Readers of format 2 would take it for one person, and
# draw mixtures of them. All other profiles stay in format 2, so that those readers go on reading them.
SEVERAL: Final = 3

# what to do with a profile of a later version; it is sound
UPDATE: Final = "Update mystyle: get its newer source, and in that folder: pip install ."


class NewerFormatError(ProfileError):
    """A profile was written by a later version."""


@dataclass(frozen=True)
class Migration:
    """One named step from a format to the next."""

    since: int  # the format that it reads; it returns format `since + 1`
    name: str  # what changed, for the record that `profile.toml` keeps in `migrated`
    apply: Callable[[dict[str, Any]], dict[str, Any]]


def _may_be_quantised(document: dict[str, Any]) -> dict[str, Any]:
    """Read format 1 as it is: its generators in half precision are one of the two kinds of format 2."""
    return document


# append only, in order
MIGRATIONS: Final[tuple[Migration, ...]] = (
    Migration(since=1, name="tuned generators may be quantised", apply=_may_be_quantised),
)


def migrate(
    document: dict[str, Any], where: Path, steps: Sequence[Migration] = MIGRATIONS, target: int = FORMAT
) -> dict[str, Any]:
    """Bring a document to the target format by the named steps.

    Raises:
        NewerFormatError: the format is newer than the target.
        ProfileError: it is not a number, or no step leads on from it.
    """
    written = document.get("format")
    # to Python a bool is an int
    if not isinstance(written, int) or isinstance(written, bool) or not 0 <= written <= LARGEST:
        raise ProfileError(f"{where}: `format` is no whole number", "Restore the file from a backup.")
    if written > target:
        raise NewerFormatError(
            f"{where} was written by a newer mystyle: format {written}, this version reads up to {target}",
            UPDATE,
        )
    by_format = {step.since: step for step in steps}
    for number in range(written, target):
        step = by_format.get(number)
        if step is None:
            raise ProfileError(
                f"{where}: nothing reads format {number}", "Create the profile again from the photos."
            )
        document = step.apply(document)
        document = {
            **document,
            "format": number + 1,
            "migrated": [*_list(document.get("migrated")), step.name],
        }
    return document


def _list(value: object) -> list[object]:
    """Return what a list holds; what is none is checked with the other fields."""
    return value if isinstance(value, list) else [] if value is None else [value]
