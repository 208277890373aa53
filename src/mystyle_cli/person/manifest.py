"""`profile.toml`: what a profile says about itself, which format it is in, and how older ones are read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from mystyle_cli.curate.records import PersonName
from mystyle_cli.errors import ConsentError, ProfileError
from mystyle_cli.files.documents import (
    DIGEST,
    Fact,
    FileName,
    Items,
    Kind,
    Number,
    Record,
    Table,
    Text,
    Whole,
)
from mystyle_cli.files.owned import UnsafeNameError
from mystyle_cli.files.parsing import LONGEST_LINE, DocumentError, shown, toml_of
from mystyle_cli.files.paths import below_home
from mystyle_cli.files.reading import read_file
from mystyle_cli.person.files import unreadable
from mystyle_cli.person.layout import FOLDER, SYNTHESIS, largest, place_of
from mystyle_cli.person.migrations import FORMAT, MIGRATIONS, SEVERAL, Migration, migrate
from mystyle_cli.prior.manifest import SIZES

if TYPE_CHECKING:
    from mystyle_cli.prior.registry import Prior


# of a profile's export: of its generator as it is, of an older one, or never made
State = Literal["fresh", "stale", "none"]


def export_state(manifest: Manifest, generator_file: str) -> State:
    """Tell whether a profile's exported generator is the one that it has now."""
    facts: Mapping[str, object] = manifest.stages.get("export", {})
    if f"{FOLDER}/{SYNTHESIS}" not in manifest.digests():
        return "none"
    same = facts.get("generator") == manifest.digests().get(generator_file)
    return "fresh" if same and facts.get("prior") == manifest.prior.sha256 else "stale"


NAME: Final = "profile.toml"

Scalar = str | int | float | bool
Tables = Mapping[str, Mapping[str, Scalar]]


# characters that may be noted about consent; in TOML, escaped, they still fit into a line
LONGEST_CONSENT: Final = 10_000

MOST_PEOPLE: Final = 100  # people that one profile may hold
PRIOR: Final = Record(
    {
        "name": Text(64),
        "location": Text(4096),
        "sha256": DIGEST,
        **SIZES,
    }
)


@dataclass(frozen=True)
class Day(Kind):
    """A day as ISO 8601 writes it, or ""."""

    def read(self, value: object, name: str) -> str:
        """Return the day."""
        try:
            return date.fromisoformat(str(value)).isoformat() if value != "" else ""
        except ValueError as error:
            raise DocumentError(f"`{name}` is {shown(value)}, not a day such as 2028-12-31") from error


# what `profile.toml` holds, field by field
FIELDS: Final = Record(
    {
        "prior": PRIOR,
        "created": Text(64),
        "changed": Text(64),
        "made_by": Text(64),
        "consent": Text(LONGEST_LINE, lines=True),
        "counts": Table(Whole()),
        "stages": Table(Table(Fact())),
        "results": Table(Table(Number())),
        "identity": Table(Number()),
        "files": Table(Table(DIGEST, FileName())),
    },
    {
        "migrated": Items(Text(), 1000),
        "consent_until": Day(),
        "members": Table(Table(Number()), PersonName(), most=MOST_PEOPLE),
    },
)


@dataclass(frozen=True)
class PriorMark:
    """Which domain prior a profile was tuned from."""

    name: str
    # its folder when it is neither bundled nor registered under its name, otherwise ""; a home folder is
    # written as `~`, so that no file of a profile says who uses the machine
    location: str
    sha256: str  # digest of its `prior.toml`, which holds the digest of every file
    resolution: int
    w_dim: int
    num_ws: int

    @property
    def place(self) -> str:
        """The name or folder that the prior is opened by."""
        return os.path.expanduser(self.location) if self.location else self.name


@dataclass(frozen=True)
class Manifest:
    """The content of `profile.toml`."""

    prior: PriorMark
    created: str  # when the profile was first made (ISO 8601, UTC)
    changed: str
    made_by: str
    consent: str
    counts: Mapping[str, int] = field(default_factory=dict)  # photos, kept, refused, train, held_out
    # per stage (curate, anchors, tune) the digest of its inputs, its settings and its cost
    stages: Tables = field(default_factory=dict)
    # per line of the result table ("before", "after") its figures (sec. C.3)
    results: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    # statistics of the person's own ID scores and the gate's threshold (sec. 4.1, C.6)
    identity: Mapping[str, float] = field(default_factory=dict)
    # per stage the sha256 of every file that it made, by its path inside the folder
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    migrated: Sequence[str] = ()  # names of the steps that brought an older document here
    consent_until: str = ""  # the last day on which it holds (ISO 8601), "" without an end
    # where the profile holds several people, by name what `identity` is for one; `identity` is empty then
    members: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def digests(self) -> dict[str, str]:
        """Return the sha256 of every file, whichever stage made it."""
        return {name: digest for table in self.files.values() for name, digest in table.items()}

    def fact(self, stage: str, name: str, kind: Kind) -> Any:
        """Return what was noted of a stage, where work depends on it; raises ProfileError for nothing."""
        return fact_of(self.stages, stage, name, kind)

    @property
    def consent_over(self) -> bool:
        """Whether the consent that was noted has ended."""
        return bool(self.consent_until) and date.fromisoformat(self.consent_until) < datetime.now(UTC).date()

    def require_consent(self, name: str) -> None:
        """Raise ConsentError when the consent that was noted has ended."""
        if self.consent_over:
            raise ConsentError(
                f"the consent that profile '{name}' rests on ended on {self.consent_until} ({self.consent})",
                f"Ask again, and note it: mystyle profile consent {name} TEXT --until DATE; "
                f"or remove the profile: mystyle profile delete {name}",
            )

    def to_toml(self) -> str:
        """Return the document, with `format` first; raises ProfileError."""
        import tomli_w

        document = _plain(asdict(self))
        if not self.members:  # no reader of format 2 knows them
            del document["members"]
        try:
            FIELDS.read(document)
        except (DocumentError, UnsafeNameError) as error:
            raise ProfileError(
                f"the profile cannot be written down: {error}", "Report this; the profile is as it was."
            ) from error
        return tomli_w.dumps({"format": SEVERAL if self.members else FORMAT, **document})


def fact_of(stages: Tables, stage: str, name: str, kind: Kind) -> Any:
    """Return what was noted of a stage; see `Manifest.fact`."""
    try:
        return kind.read(stages.get(stage, {}).get(name), f"stages.{stage}.{name}")
    except DocumentError as error:
        raise ProfileError(
            f"what was noted of the profile's stages is damaged: {error}",
            "Restore it from a backup, or create the profile again.",
        ) from error


def remedy(manifest: Manifest, name: str, files: Iterable[str]) -> str:
    """Return what makes damaged files of a profile whole again without a backup, as the end of a sentence.

    Args:
        files: which are damaged or missing, by their paths inside its folder.
    """
    learned = {file for stage, table in manifest.files.items() if stage != "curate" for file in table}
    if learned.issuperset(files):
        return f"run `mystyle tune {name}` with the options of before, which makes what is damaged anew"
    if manifest.members:
        return f"merge it again: mystyle profile merge {name} {' '.join(manifest.members)} --replace"
    return f"create the profile again from its photos: mystyle profile create {name} PHOTOS"


def _plain(value: Any) -> Any:
    """Turn mappings and sequences into the dicts and lists that TOML writers take."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def read_manifest(folder: Path, steps: Sequence[Migration] = MIGRATIONS, *, staged: bool = True) -> Manifest:
    """Read a profile's manifest, migrating an older one in memory; the next change writes it back.

    Where a commit is under way, that of the next version is read if `staged`.

    Raises:
        ProfileError: it is missing, damaged, of a format that cannot be read, or names files elsewhere.
    """
    path = place_of(folder, NAME) if staged else folder / NAME
    again = f"remove the profile (mystyle profile delete {folder.name}) and create it again from its photos"
    hint = f"Restore it from a backup, or {again}."
    try:
        document = toml_of(read_file(path, largest(NAME), folder))
    except FileNotFoundError as error:
        raise ProfileError(f"{path} is missing", hint) from error
    except OSError as error:
        raise unreadable(path, error) from error
    except DocumentError as error:
        raise ProfileError(f"{path} is damaged: {error}", hint) from error
    # format 3 is no step after 2 but stands beside it
    if document.get("format") != SEVERAL or not document.get("members"):
        document = migrate(document, path, steps)
        document.pop("members", None)  # of no profile of these formats
    try:
        fields = FIELDS.read(document)
    except UnsafeNameError as error:
        raise ProfileError(f"{path} lists a file outside the profile: {error}", hint) from error
    except DocumentError as error:
        raise ProfileError(f"{path} is damaged: {error}", hint) from error
    fields["migrated"] = tuple(fields.get("migrated", ()))
    return Manifest(**{**fields, "prior": PriorMark(**fields["prior"])})


def mark_of(prior: Prior) -> PriorMark:
    """Return how a profile names its prior."""
    from mystyle_cli.prior.registry import found_by_name

    return PriorMark(
        name=prior.name,
        location="" if found_by_name(prior.path) else below_home(prior.path.resolve()),
        sha256=prior.digest,
        resolution=prior.resolution,
        w_dim=prior.w_dim,
        num_ws=prior.num_ws,
    )
