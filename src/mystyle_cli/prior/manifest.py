"""What a prior.toml may hold, and what it states of its identity net."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Final

from mystyle_cli.files.documents import (
    DIGEST,
    Fact,
    FileName,
    Items,
    Number,
    Record,
    Table,
    Text,
    Whole,
)
from mystyle_cli.files.parsing import shown
from mystyle_cli.nets.bounds import LARGEST_CODE, LARGEST_SIDE, MOST_CODES

_ENTRY: Final = Record(
    {"file": FileName(), "sha256": DIGEST},
    {
        "licence": Text(),
        "source": Text(4096),
        "source_sha256": DIGEST,
        "decoder_difference": Number(0),
        "decoder_tensors": Whole(),
        "decoder_generator": DIGEST,
    },
    rest=Fact(),
)
SIZES: Final = {
    "resolution": Whole(4, LARGEST_SIDE),
    "w_dim": Whole(1, LARGEST_CODE),
    "num_ws": Whole(2, MOST_CODES),
}
# what `prior.toml` holds, field by field; its tables crop and identity have readers of their own
FIELDS: Final = Record(
    {"format": Whole(), "name": Text(64), **SIZES, "roles": Table(_ENTRY, most=100)},
    {
        "directions": Table(_ENTRY, most=10_000),
        "known_by": Text(),
        "notes": Items(Text(4096), 1000),
    },
)


@dataclass(frozen=True)
class IdentityLimits:
    """The table `[identity]` of prior.toml: figures measured once, on people that no profile is of."""

    people: str  # on whom the net was judged: "real" or "rendered"
    single: float  # ID that one stranger in a hundred reaches against one photo
    tenfold: float  # how much more it is against ten times as many photos
    least_side: float  # side of the smallest crop, in photo pixels, that still shows who somebody is

    def __post_init__(self) -> None:
        if self.people not in ("real", "rendered"):
            raise ValueError(f"identity.people is {shown(self.people)}, neither 'real' nor 'rendered'")
        if not (0 < self.single < 1 and 0 <= self.tenfold < 1 and self.least_side >= 1):
            raise ValueError("the table identity holds figures that cannot be")

    def threshold(self, references: int) -> float:
        """Return the ID from which a face counts as the person's, where they have so many photos.

        The more photos, the nearer the most similar of them is to a stranger.
        """
        return min(self.single + self.tenfold * math.log10(max(references, 1)), 1.0)


def read_limits(metadata: dict[str, Any]) -> IdentityLimits | None:
    """Return what prior.toml states, None where it states nothing; raises ValueError."""
    table = metadata.get("identity")
    if table is None:
        return None
    known = {field.name for field in fields(IdentityLimits)}
    if not isinstance(table, dict) or set(table) != known:
        raise ValueError(f"the table identity has not exactly {', '.join(sorted(known))}")
    figures = {name: table[name] for name in known - {"people"}}
    if not all(isinstance(value, int | float) for value in figures.values()):
        raise ValueError("the table identity holds figures that are no numbers")
    if not isinstance(table["people"], str):
        raise ValueError(f"identity.people is {shown(table['people'])}, neither 'real' nor 'rendered'")
    return IdentityLimits(people=table["people"], **figures)
