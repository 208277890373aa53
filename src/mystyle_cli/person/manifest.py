"""`profile.toml`: what a profile says about itself, which format it is in, and how older ones are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mystyle_cli.documents import (
    DIGEST,
    LARGEST,
    LONGEST_LINE,
    DocumentError,
    Fact,
    FileName,
    Items,
    Kind,
    Number,
    Record,
    Table,
    Text,
    Whole,
    toml_of,
)
from mystyle_cli.errors import ProfileError
from mystyle_cli.owned import UnsafeNameError, read_file
from mystyle_cli.person.files import unreadable
from mystyle_cli.person.layout import largest, place_of
from mystyle_cli.prior.limits import SIZES

if TYPE_CHECKING:
    from mystyle_cli.prior.registry import Prior

FORMAT: Final = 2
"""The format that this version writes. A change of it adds a `Migration`."""

NAME: Final = "profile.toml"

UPDATE: Final = "Update mystyle: get its newer source, and in that folder: pip install ."
"""What to do with a profile of a later version; it is sound."""

Scalar = str | int | float | bool
Tables = Mapping[str, Mapping[str, Scalar]]


LONGEST_CONSENT: Final = 10_000
"""Characters that may be noted about consent; in TOML, escaped, they still fit into a line."""

PRIOR: Final = Record(
    {
        "name": Text(64),
        "location": Text(4096),
        "sha256": DIGEST,
        **SIZES,
    }
)
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
    {"migrated": Items(Text(), 1000)},
)
"""What `profile.toml` holds, field by field."""


class NewerFormatError(ProfileError):
    """A profile was written by a later version."""


@dataclass(frozen=True)
class Migration:
    """One named step from a format to the next.

    Args:
        since: the format that it reads; it returns format `since + 1`.
        name: what changed, for the record that `profile.toml` keeps in `migrated`.
        apply: from the old document to the new one.
    """

    since: int
    name: str
    apply: Callable[[dict[str, Any]], dict[str, Any]]


def _may_be_quantised(document: dict[str, Any]) -> dict[str, Any]:
    """Read format 1 as it is: its generators in half precision are one of the two kinds of format 2."""
    return document


MIGRATIONS: Final[tuple[Migration, ...]] = (
    Migration(since=1, name="tuned generators may be quantised", apply=_may_be_quantised),
)
"""Append only, in order."""


@dataclass(frozen=True)
class PriorMark:
    """Which domain prior a profile was tuned from.

    Args:
        name: the prior's name.
        location: its folder when it is neither bundled nor registered under its name, otherwise "".
        sha256: digest of its `prior.toml`, which holds the digest of every file.
        resolution: side of its pictures in pixels.
        w_dim: length of a code.
        num_ws: codes per picture in W+.
    """

    name: str
    location: str
    sha256: str
    resolution: int
    w_dim: int
    num_ws: int


@dataclass(frozen=True)
class Manifest:
    """The content of `profile.toml`.

    Args:
        prior: the domain prior G_d.
        created: when the profile was first made (ISO 8601, UTC).
        changed: when it last changed.
        made_by: version of mystyle that wrote it.
        consent: what its maker noted about the consent of the person shown.
        counts: photos, kept, refused, train, held_out.
        stages: per stage (curate, anchors, tune) the digest of its inputs, its settings and its cost.
        results: per line of the result table ("before", "after") its figures (sec. C.3).
        identity: statistics of the person's own ID scores and the gate's threshold (sec. 4.1, C.6).
        files: per stage the sha256 of every file that it made, by its path inside the folder.
        migrated: names of the steps that brought an older document here.
    """

    prior: PriorMark
    created: str
    changed: str
    made_by: str
    consent: str
    counts: Mapping[str, int] = field(default_factory=dict)
    stages: Tables = field(default_factory=dict)
    results: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    identity: Mapping[str, float] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    migrated: Sequence[str] = ()

    def digests(self) -> dict[str, str]:
        """Return the sha256 of every file, whichever stage made it."""
        return {name: digest for table in self.files.values() for name, digest in table.items()}

    def fact(self, stage: str, name: str, kind: Kind) -> Any:
        """Return what was noted of a stage, where work depends on it.

        Args:
            stage: its name.
            name: of the fact.
            kind: what it must be.

        Raises:
            ProfileError: it is not there, or of another kind.
        """
        return fact_of(self.stages, stage, name, kind)

    def to_toml(self) -> str:
        """Return the document, with `format` first.

        Raises:
            ProfileError: it would be none that can be read again.
        """
        import tomli_w

        document = _plain(asdict(self))
        try:
            FIELDS.read(document)
        except (DocumentError, UnsafeNameError) as error:
            raise ProfileError(
                f"the profile cannot be written down: {error}", "Report this; the profile is as it was."
            ) from error
        return tomli_w.dumps({"format": FORMAT, **document})


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
        manifest: of the profile.
        name: the profile's.
        files: which are damaged or missing, by their paths inside its folder.
    """
    learned = {file for stage, table in manifest.files.items() if stage != "curate" for file in table}
    if learned.issuperset(files):
        return f"run `mystyle tune {name}` with the options of before, which makes what is damaged anew"
    return f"create the profile again from its photos: mystyle profile create {name} PHOTOS"


def _plain(value: Any) -> Any:
    """Turn mappings and sequences into the dicts and lists that TOML writers take."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def migrate(
    document: dict[str, Any], where: Path, steps: Sequence[Migration] = MIGRATIONS, target: int = FORMAT
) -> dict[str, Any]:
    """Bring a document to the target format by the named steps.

    Args:
        document: a parsed `profile.toml`.
        where: its path, for messages.
        steps: the known migrations.
        target: the format wanted.

    Raises:
        NewerFormatError: the format is newer than the target.
        ProfileError: it is not a number, or no step leads on from it.
    """
    found = document.get("format")
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= LARGEST:
        raise ProfileError(f"{where}: `format` is no whole number", "Restore the file from a backup.")
    if found > target:
        raise NewerFormatError(
            f"{where} was written by a newer mystyle: format {found}, this version reads up to {target}",
            UPDATE,
        )
    by_format = {step.since: step for step in steps}
    for number in range(found, target):
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


def read_manifest(folder: Path, steps: Sequence[Migration] = MIGRATIONS, *, staged: bool = True) -> Manifest:
    """Read a profile's manifest, migrating an older one in memory; the next change writes it back.

    Args:
        folder: the profile's.
        steps: the known migrations.
        staged: where a commit is under way, read that of the next version.

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
    document = migrate(document, path, steps)
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
        location="" if found_by_name(prior.path) else str(prior.path.resolve()),
        sha256=prior.digest,
        resolution=prior.resolution,
        w_dim=prior.w_dim,
        num_ws=prior.num_ws,
    )


def tables_of(facts: Mapping[str, Scalar]) -> dict[str, Mapping[str, float]]:
    """Turn facts named "after.id" into tables: after, id."""
    tables: dict[str, dict[str, float]] = {}
    for name in facts:
        table, dot, key = name.partition(".")
        if dot:
            tables.setdefault(table, {})[key] = fact_of({"measure": facts}, "measure", name, Number())
    return dict(tables)
