"""What curation says about a photo, and how it is written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal

from mystyle_cli.config import EARLIEST_YEAR, LATEST_YEAR
from mystyle_cli.errors import ProfileError, UsageError
from mystyle_cli.files.documents import DIGEST, Kind, Number, OneOf, Record, Table, Text, Whole, finite
from mystyle_cli.files.parsing import DocumentError, shown
from mystyle_cli.files.paths import check_name

Verdict = Literal["kept", "refused"]
Split = Literal["train", "held-out"]


class PersonName(Kind):
    """A person's name, which is a profile's: nothing else may stand in a command that a user is told."""

    def read(self, value: object, name: str) -> str:
        """Return the name."""
        text = Text().read(value, name)
        try:
            if check_name(text) == text:
                return text
        except UsageError as error:
            raise DocumentError(f"`{name}` is {shown(text)}, not a profile's name") from error
        raise DocumentError(f"`{name}` is {shown(text)}, not a profile's name")


class Reason(StrEnum):
    """Why a photo was kept or refused."""

    KEPT = "kept"
    UNREADABLE = "unreadable"
    NO_FACE = "no-face"
    GREY = "grey"
    SMALL_FACE = "small-face"
    LOW_QUALITY = "low-quality"
    EXTREME_POSE = "extreme-pose"
    OCCLUDED = "occluded"
    NOT_THIS_PERSON = "not-this-person"
    DUPLICATE = "duplicate"


@dataclass(frozen=True)
class PhotoRecord:
    """The verdict on one photo."""

    sha256: str
    file: str  # the file's name as the user gave it, relative to the photos' common folder
    reason: Reason
    detail: str  # one sentence for people
    scores: Mapping[str, float] = field(default_factory=dict)  # everything that was measured, by name
    face: str | None = None  # file of the aligned face in the profile, or None
    # train or held-out for a kept photo, None before the split and for refused ones
    split: Split | None = None
    person: str | None = None  # whose photo it is, in a profile of several people; None in one of one
    year: int | None = None  # in which it was taken, None where nothing says

    @property
    def verdict(self) -> Verdict:
        """Kept or refused."""
        return "kept" if self.reason is Reason.KEPT else "refused"

    @property
    def kept(self) -> bool:
        """Whether the photo belongs to the reference set or the held-out photos."""
        return self.reason is Reason.KEPT

    def to_json(self) -> dict[str, Any]:
        """Return a row for photos.jsonl."""
        row = asdict(self) | {"verdict": self.verdict, "reason": str(self.reason)}
        row["scores"] = {
            key: round(float(value), 4) for key, value in sorted(self.scores.items()) if finite(value)
        }
        for name in ("person", "year"):
            if row[name] is None:
                del row[name]
        return row

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> PhotoRecord:
        """Read a row that `to_json` wrote; keys that it does not know it passes over.

        Raises:
            ProfileError: the row is damaged.
        """
        try:
            values = FIELDS.read({key: value for key, value in row.items() if value is not None})
            if "split" in values and values["reason"] != Reason.KEPT:
                raise DocumentError(f"`split` is {values['split']!r} for a photo that was not kept")
        except (DocumentError, AttributeError) as error:
            hint = "Run `mystyle profile verify`, or create the profile again."
            raise ProfileError(f"a photo record is damaged: {error}", hint) from error
        return cls(**values | {"reason": Reason(values["reason"])})


# what a line of `photos.jsonl` holds, field by field; what is null is not there
FIELDS: Final = Record(
    {
        "sha256": DIGEST,
        "file": Text(8192, lines=True),  # whatever somebody called a file
        "reason": OneOf(tuple(Reason)),
        "detail": Text(4096, lines=True),
    },
    {
        "scores": Table(Number(), most=1000),
        "face": Text(),
        "split": OneOf(("train", "held-out")),
        "person": PersonName(),
        "year": Whole(EARLIEST_YEAR, LATEST_YEAR),
    },
)
