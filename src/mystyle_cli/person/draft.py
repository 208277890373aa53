"""The next version of a profile while it is being made: kept under `runs/next/`, then put in place at once.

    <profile>/runs/next/stages.toml    which stages are done, from which inputs, and what they wrote
    <profile>/runs/next/profile/...    the files of the next version
    <profile>/runs/next/tune/...       state of a tuning under way
    <profile>/.commit/                 `runs/next/profile`, renamed: from then on the next version counts

The rename is the one instant at which the old version becomes the new one. After it the files are moved to
their places, `profile.toml` last; whoever finds `.commit` there moves the rest (`roll_forward`), so that a
kill at any instant leaves the old version or the new one, never a mixture.
"""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mystyle_cli.person.files import (
    digest_of,
    save_tensors,
    sweep_temporaries,
    sync_folder,
    write_whole,
)
from mystyle_cli.person.manifest import NAME, Manifest, Scalar, read_manifest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COMMIT: Final = ".commit"
RUNS: Final = "runs"
OWN_FILES: Final = ("*.safetensors", "contact-sheet.png", "faces/*.png", "onnx/*")
"""What a new version removes where it has none of that name; all else in the folder is the user's."""


class Draft:
    """Stages of work on one profile, each remembered with the digest of its inputs.

    A stage whose inputs are unchanged is not done again, whether it was finished by an interrupted command
    (found here) or belongs to the profile as it is (found in its manifest), if its files are as it wrote
    them. The caller holds the lock.

    Args:
        folder: the profile's folder; it need not exist yet.
        read_only: only tell what is done: what does not count is left where it is, and no lock is needed.
    """

    def __init__(self, folder: Path, read_only: bool = False) -> None:
        self.folder, self.read_only = folder, read_only
        self.work = folder / RUNS / "next"
        self.payload = self.work / "profile"
        self.current: Manifest | None = read_manifest(folder) if (folder / NAME).exists() else None
        self._stages, self._files = self._read()
        self._forgotten: set[str] = set()

    def _read(self) -> tuple[dict[str, dict[str, Scalar]], dict[str, dict[str, str]]]:
        """Read what an earlier command finished; unreadable notes count as nothing finished."""
        try:
            document = tomllib.loads((self.work / "stages.toml").read_text("utf-8"))
            stages = {name: dict(table) for name, table in document["stages"].items()}
            return stages, {name: dict(document["files"][name]) for name in stages}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}, {}

    def _note(self) -> None:
        """Write down which stages are done."""
        import tomli_w

        text = tomli_w.dumps({"stages": self._stages, "files": self._files})
        write_whole(self.work / "stages.toml", text.encode())

    def done(self, stage: str, inputs: str) -> bool:
        """Tell whether a stage's result for these inputs is at hand; a result for other inputs is dropped.

        Args:
            stage: its name.
            inputs: digest of everything that the result depends on.
        """
        here = self._stages.get(stage, {}).get("inputs") == inputs
        if here and _intact(self.payload, self._files[stage]):
            return True
        self._drop(stage)
        if stage in self._forgotten or self.current is None:
            return False
        same = self.current.stages.get(stage, {}).get("inputs") == inputs
        return same and _intact(self.folder, self.current.files.get(stage, {}))

    def _drop(self, stage: str) -> None:
        """Forget a stage and remove what it wrote."""
        if stage not in self._stages:
            return
        files = self._files.pop(stage)
        del self._stages[stage]
        if self.read_only:
            return
        self._note()
        for name in files:
            (self.payload / name).unlink(missing_ok=True)

    def write(self, name: str, data: bytes) -> dict[str, str]:
        """Write one file of the next version.

        Returns:
            Its name and digest, to be handed to `finish`.
        """
        return {name: write_whole(self.payload / name, data)}

    def write_tensors(
        self, name: str, tensors: Mapping[str, NDArray[np.generic]], notes: Mapping[str, str]
    ) -> dict[str, str]:
        """Write one safetensors file of the next version; returns as `write` does."""
        return {name: save_tensors(self.payload / name, tensors, notes)}

    def finish(self, stage: str, inputs: str, files: Mapping[str, str], facts: Mapping[str, Scalar]) -> None:
        """Remember that a stage is done.

        Args:
            stage: its name.
            inputs: digest of what its result depends on.
            files: digests by name of the files that it wrote.
            facts: settings, costs and figures worth keeping.
        """
        self._stages[stage] = {"inputs": inputs, **facts}
        self._files[stage] = dict(files)
        self._note()

    def forget(self, stage: str) -> None:
        """Leave a stage's result out of the next version, whether it was made here or is in the profile."""
        self._drop(stage)
        self._forgotten.add(stage)

    def find(self, name: str) -> Path:
        """Return where a file of the next version is: here if written, else in the profile as it is."""
        written = self.payload / name
        counts = not self.read_only or any(name in table for table in self._files.values())
        return written if counts and written.exists() else self.folder / name

    def stages(self) -> dict[str, Mapping[str, Scalar]]:
        """Return, for each stage that is done, the digest of its inputs and its facts."""
        current = self.current.stages if self.current is not None else {}
        return {name: table for name, table in current.items() if name not in self._forgotten} | self._stages

    def files(self) -> dict[str, Mapping[str, str]]:
        """Return, for each stage that is done, the digests of its files; those under runs/ do not count."""
        current = self.current.files if self.current is not None else {}
        found = {name: table for name, table in current.items() if name not in self._forgotten} | self._files
        return {
            stage: {name: digest for name, digest in table.items() if not name.startswith(f"{RUNS}/")}
            for stage, table in found.items()
        }

    def digests(self) -> dict[str, str]:
        """Return the digest of every file of the next version."""
        return {name: digest for table in self.files().values() for name, digest in table.items()}

    @property
    def learning(self) -> bool:
        """Whether an interrupted command left stages of learning, or a tuning under way, to go on with."""
        return bool(self._stages.keys() - {"export"}) or (self.work / "tune").exists()

    @property
    def changed(self) -> bool:
        """Whether any stage was done that the profile as it is does not have."""
        return bool(self._stages)

    def commit(self, manifest: Manifest) -> None:
        """Make this the profile, at one instant.

        Args:
            manifest: the next `profile.toml`; files that it does not list are removed.
        """
        write_whole(self.payload / NAME, manifest.to_toml().encode())
        for folder in sorted(path for path in self.payload.rglob("*") if path.is_dir()):
            sync_folder(folder)
        sync_folder(self.payload)
        os.rename(self.payload, self.folder / COMMIT)
        sync_folder(self.folder)
        roll_forward(self.folder)
        shutil.rmtree(self.work, ignore_errors=True)

    def discard(self) -> None:
        """Throw the work away; a profile folder that holds nothing else goes too."""
        shutil.rmtree(self.work, ignore_errors=True)
        if self.current is None:
            shutil.rmtree(self.folder, ignore_errors=True)


def roll_forward(folder: Path) -> None:
    """Finish a commit that was begun, and clear what a killed command left. The caller holds the lock.

    Args:
        folder: a profile's folder.
    """
    staged = folder / COMMIT
    if staged.is_dir():
        names = [path.relative_to(staged) for path in staged.rglob("*") if path.is_file()]
        for name in sorted(names, key=lambda name: (name.name == NAME, name)):
            (folder / name.parent).mkdir(parents=True, exist_ok=True)
            os.replace(staged / name, folder / name)
        _remove_unlisted(folder)
        for changed in {folder / name.parent for name in names}:
            sync_folder(changed)
        shutil.rmtree(staged)
        sync_folder(folder)
    if folder.is_dir():
        sweep_temporaries(folder)


def _remove_unlisted(folder: Path) -> None:
    """Remove the data files of the version before, where the new one has none of that name."""
    listed = set(read_manifest(folder).digests())
    for path in [path for pattern in OWN_FILES for path in folder.glob(pattern)]:
        if path.is_file() and path.relative_to(folder).as_posix() not in listed:
            path.unlink()


def _intact(folder: Path, files: Mapping[str, str]) -> bool:
    """Tell whether files are all in a folder, as written; one that cannot be read is not."""
    try:
        return all(
            (folder / name).is_file() and digest_of(folder / name) == digest for name, digest in files.items()
        )
    except OSError:
        return False
