"""The next version of a profile while it is being made: kept under `runs/next/`, then put in place at once.

    <profile>/runs/next/stages.toml    which stages are done, from which inputs, and what they wrote
    <profile>/runs/next/profile/...    the files of the next version
    <profile>/runs/next/tune/...       state of a tuning under way
    <profile>/.commit/                 `runs/next/profile`, renamed: from then on the next version counts

The rename is the one instant at which the old version becomes the new one. After it the files are moved to
their places, `profile.toml` last; the next command that changes the profile moves the rest (`roll_forward`),
and readers look there first (`layout.place_of`), so that a kill at any instant leaves the old version or the
new one, never a mixture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mystyle_cli.errors import ProfileError
from mystyle_cli.files.documents import DIGEST, Fact, FileName, Number, Record, Table, finite
from mystyle_cli.files.owned import UnsafeNameError
from mystyle_cli.files.parsing import DocumentError, toml_of
from mystyle_cli.files.reading import digest_of, read_file
from mystyle_cli.person.files import tensor_bytes, unwritable
from mystyle_cli.person.layout import (
    COMMIT,
    LAYOUT,
    MARK,
    MARKER,
    NEXT,
    PAYLOAD,
    RUNS,
    STAGES,
    TUNE,
    data_name,
    largest,
    marked,
    owned,
    place_of,
)
from mystyle_cli.person.manifest import NAME, Manifest, Scalar, read_manifest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


Figures = Mapping[str, Mapping[str, float]]  # what was measured, in tables

# what `stages.toml` holds: by stage facts, digests of files, and tables of figures
_NOTED: Final = Record(
    {"stages": Table(Table(Fact())), "files": Table(Table(DIGEST, FileName()))},
    {"figures": Table(Table(Table(Number())))},
)

_WORK_FILES: Final = "Move them away, or remove them if they are not wanted; then give the command again."


class Draft:
    """Stages of work on one profile, each remembered with the digest of its inputs.

    A stage whose inputs are unchanged is not done again, whether it was finished by an interrupted command
    (found here) or belongs to the profile as it is (found in its manifest), if its files are as it wrote
    them. The caller holds the lock.

    Args:
        folder: the profile's folder; it need not exist yet.
        read_only: only tell what is done: what does not count is left where it is, and no lock is needed.

    Raises:
        ProfileError: the folder is there and is not the program's, or its work is not where it should be.
    """

    def __init__(self, folder: Path, read_only: bool = False) -> None:
        self.folder, self.read_only = folder, read_only
        self.work, self.payload = folder / NEXT, folder / PAYLOAD
        self._own = owned(folder)
        if not read_only:
            refuse_foreign(folder)
            self._refuse_strangers()
        self.current: Manifest | None = read_manifest(folder) if place_of(folder, NAME).exists() else None
        self._stages: dict[str, dict[str, Scalar]] = {}
        self._files: dict[str, dict[str, str]] = {}
        self._figures: dict[str, Figures] = {}
        self._read()
        self._forgotten: set[str] = set()
        if not read_only:
            self._clear_unnoted()

    def _refuse_strangers(self) -> None:
        """Refuse to work among files that are not the program's, or through links."""
        with _changing(self.folder):
            strangers = [name for name in self._own.content().strangers if name in LAYOUT.folders]
            for part in () if strangers else (NEXT, COMMIT):
                strangers += self._own.content(part).strangers
        if strangers:
            named = ", ".join(str(self.folder / name) for name in strangers[:3])
            raise ProfileError(f"what is not mystyle's stands where it writes: {named}", _WORK_FILES)

    def _read(self) -> None:
        """Read what an earlier command finished; unreadable notes count as nothing finished."""
        try:
            noted = _NOTED.read(toml_of(read_file(self.folder / STAGES, largest(STAGES), self.folder)))
        except (OSError, DocumentError, UnsafeNameError):
            return
        if not noted["stages"].keys() <= noted["files"].keys():
            return
        for stage, facts in noted["stages"].items():
            if any("." in name for name in facts):  # figures, as earlier versions noted them: measured anew
                continue
            self._stages[stage] = facts
            self._files[stage] = noted["files"][stage]
        self._figures = {
            stage: noted["figures"][stage] for stage in noted.get("figures", {}) if stage in self._stages
        }

    def _clear_unnoted(self) -> None:
        """Remove what a stage wrote that was killed before it was done: no other may take it for a result."""
        noted = {f"{PAYLOAD}/{name}" for table in self._files.values() for name in table}
        with _changing(self.folder):
            for name in self._own.content(PAYLOAD).files:
                if name not in noted:
                    self._own.remove(name)

    def _note(self) -> None:
        import tomli_w

        text = tomli_w.dumps({"stages": self._stages, "files": self._files, "figures": self._figures})
        self._put(STAGES, text.encode())

    def _put(self, name: str, data: bytes) -> str:
        """Write a file of the profile's folder, which is made with its mark; returns the file's digest."""
        with _changing(self.folder, name):
            if not self._own.exists():
                self._own.make(MARKER, MARK)
            self._own.write(name, data)
        return hashlib.sha256(data).hexdigest()

    def done(self, stage: str, inputs: str) -> bool:
        """Tell whether a stage's result for a digest of inputs is at hand; one for others is dropped."""
        here = self._stages.get(stage, {}).get("inputs") == inputs
        if here and intact(self.payload, self._files[stage]):
            return True
        self._drop(stage)
        if stage in self._forgotten or self.current is None:
            return False
        same = self.current.stages.get(stage, {}).get("inputs") == inputs
        return same and intact(self.folder, self.current.files.get(stage, {}))

    def _drop(self, stage: str) -> None:
        if stage not in self._stages:
            return
        files = self._files.pop(stage)
        del self._stages[stage]
        self._figures.pop(stage, None)
        if self.read_only:
            return
        self._note()
        with _changing(self.folder):
            for name in files:
                self._own.remove(f"{PAYLOAD}/{name}")

    def write(self, name: str, data: bytes) -> dict[str, str]:
        """Write one file of the next version; returns name and digest, for `finish`. Raises ProfileError."""
        return {name: self._put(f"{PAYLOAD}/{name}", data)}

    def write_tensors(
        self, name: str, tensors: Mapping[str, NDArray[np.generic]], notes: Mapping[str, str]
    ) -> dict[str, str]:
        """Write one safetensors file of the next version; returns as `write` does."""
        return self.write(name, tensor_bytes(tensors, notes))

    def finish(
        self,
        stage: str,
        inputs: str,
        files: Mapping[str, str],
        facts: Mapping[str, Scalar],
        figures: Figures | None = None,
    ) -> None:
        """Remember that a stage is done; of facts and figures, numbers that are not finite are not kept."""
        self._stages[stage] = {
            "inputs": inputs,
            **{name: value for name, value in facts.items() if isinstance(value, str) or finite(value)},
        }
        self._files[stage] = dict(files)
        if figures is not None:
            self._figures[stage] = {
                table: {name: value for name, value in row.items() if finite(value)}
                for table, row in figures.items()
            }
        self._note()

    def forget(self, stage: str) -> None:
        """Leave a stage's result out of the next version, whether it was made here or is in the profile."""
        self._drop(stage)
        self._forgotten.add(stage)

    def find(self, name: str) -> Path:
        """Return where a file of the next version is: here if written, else in the profile as it is."""
        # read-only, what dropped stages wrote is still there
        written = self.payload / name
        counts = not self.read_only or any(name in table for table in self._files.values())
        return written if counts and written.exists() else place_of(self.folder, name)

    def stages(self) -> dict[str, Mapping[str, Scalar]]:
        """Return, for each stage that is done, the digest of its inputs and its facts."""
        current = self.current.stages if self.current is not None else {}
        return {name: table for name, table in current.items() if name not in self._forgotten} | self._stages

    def figures(self, stage: str) -> Figures | None:
        """Return what a stage measured here; None where the profile as it is has its figures."""
        return self._figures.get(stage)

    def files(self) -> dict[str, Mapping[str, str]]:
        """Return, for each stage that is done, the digests of its files; those under runs/ do not count."""
        current = self.current.files if self.current is not None else {}
        tables = {name: table for name, table in current.items() if name not in self._forgotten} | self._files
        return {
            stage: {name: digest for name, digest in table.items() if not name.startswith(f"{RUNS}/")}
            for stage, table in tables.items()
        }

    def digests(self) -> dict[str, str]:
        """Return the digest of every file of the next version."""
        return {name: digest for table in self.files().values() for name, digest in table.items()}

    def digest(self, name: str) -> str:
        """Return the digest of a file of the next version; raises ProfileError where no stage wrote it."""
        digest = self.digests().get(name)
        if digest is None:
            raise ProfileError(
                f"{self.folder / NAME} lists no {name}",
                "Restore it from a backup, or create the profile again.",
            )
        return digest

    @property
    def learning(self) -> bool:
        """Whether an interrupted command left stages of learning, or a tuning under way, to go on with."""
        # an export learns nothing
        return bool(self._stages.keys() - {"export"}) or (self.folder / TUNE).exists()

    @property
    def changed(self) -> bool:
        """Whether any stage was done that the profile as it is does not have."""
        return bool(self._stages)

    def commit(self, manifest: Manifest) -> None:
        """Make this the profile, at one instant; files that the manifest does not list are removed."""
        self._put(f"{PAYLOAD}/{NAME}", manifest.to_toml().encode())
        with _changing(self.folder):
            if not self._own.has(MARKER):  # of an earlier version, known by what it holds
                self._own.write(MARKER, MARK)
            # or a power cut could leave the rename and lose what it names
            for folder in (*self._own.content(PAYLOAD).folders, PAYLOAD):
                self._own.sync(folder)
            self._own.move(PAYLOAD, COMMIT)  # the instant from which the next version counts
            self._own.sync()
        roll_forward(self.folder)

    def discard(self) -> None:
        """Throw the work away; a profile folder that holds nothing else of the program's goes too."""
        self._clear_work()
        if self.current is None and made_by_us(self.folder):
            with _changing(self.folder):
                self._own.vanish((MARKER,))

    def discard_empty(self) -> None:
        """Throw the folder away where nothing was done in it: such a name would only be in the way."""
        if self.current is None and not self.changed:
            self.discard()

    def _clear_work(self) -> None:
        with _changing(self.folder):
            self._own.clear(NEXT)
            self._own.remove_empty(RUNS)


def refuse_foreign(folder: Path) -> None:
    """Refuse (ProfileError) to change a folder that is there and is not the program's, or is a link."""
    if folder.is_symlink():
        raise ProfileError(
            f"{folder} is a link, and a profile that is reached through one is only read",
            "Name the store that the profile lies in with --store, or choose another name.",
        )
    try:
        there = folder.exists()
    except OSError as error:
        raise unwritable(folder, error) from error
    if there and not made_by_us(folder):
        raise ProfileError(
            f"the folder {folder} is there already and is no profile of mystyle; nothing in it was touched",
            "Choose another name, or another store with --store.",
        )


def roll_forward(folder: Path) -> None:
    """Finish a commit that was begun, and clear what a killed command left. The caller holds the lock.

    Raises:
        ProfileError: what was begun is damaged, or cannot be put in place.
    """
    here = owned(folder)
    if not here.exists():
        return
    with _changing(folder):
        content = here.content()
        staged = [
            name.removeprefix(f"{COMMIT}/")
            for name in content.files
            if name.startswith(f"{COMMIT}/") and data_name(name.removeprefix(f"{COMMIT}/"))
        ]
        if NAME in staged:
            # told while both lists are there
            for name in _replaced(folder):
                here.remove(name)
            here.clear(NEXT)  # what was noted there is part of this version
            here.remove_empty(RUNS)
        # `profile.toml` last: until then readers look in `.commit/` first
        for name in sorted(staged, key=lambda name: (name == NAME, name)):
            here.move(f"{COMMIT}/{name}", name)
        for changed in sorted({name.rpartition("/")[0] for name in staged}):
            here.sync(changed)
        if COMMIT in content.folders:
            here.clear(COMMIT)
            here.sync()
        for name in here.content().files:
            if name.endswith(".tmp"):
                here.remove(name)


def _replaced(folder: Path) -> set[str]:
    """Return the files that the version in place lists and the one that is about to replace it does not."""
    here = owned(folder)
    if not here.has(NAME):
        return set()
    listed = set(read_manifest(folder).digests())
    try:
        before = set(read_manifest(folder, staged=False).digests())
    except ProfileError:  # what a damaged version listed cannot be told
        return set()
    return {name for name in before - listed if data_name(name)}


@contextmanager
def _changing(folder: Path, name: str = "") -> Iterator[None]:
    """Turn what the system refuses while a profile is changed into a ProfileError."""
    try:
        yield
    except OSError as error:
        linked = isinstance(error, NotADirectoryError) and isinstance(error.filename, str)
        raise unwritable(Path(error.filename) if linked else folder / name, error) from error


def intact(folder: Path, files: Mapping[str, str]) -> bool:
    """Tell whether files are all in a folder, as written; one that cannot be read is not."""
    try:
        return all(
            digest_of(folder / name, largest(name), folder) == digest for name, digest in files.items()
        )
    except OSError:
        return False


def made_by_us(folder: Path) -> bool:
    """Tell whether a folder is a profile's, not one that the user made.

    Those of earlier versions carry no mark: what they hold must be a profile that can be read, or the work
    of an interrupted command and nothing else.
    """
    from mystyle_cli.person.migrations import NewerFormatError
    from mystyle_cli.person.reference import read_records

    here = owned(folder)
    if not here.exists():
        return False
    if marked(folder):
        return True
    try:
        if here.has(NAME) or here.has(f"{COMMIT}/{NAME}"):
            read_manifest(folder)
            read_records(place_of(folder, "photos.jsonl"), folder)
            return True
        content = here.content()
        work = [name for name in content.files if name.startswith(f"{NEXT}/")]
        return bool(work) and len(work) == len(content.files) and not content.strangers
    except NewerFormatError:
        return here.has("photos.jsonl")
    except (ProfileError, OSError):
        return False
