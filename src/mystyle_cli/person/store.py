"""The folder of profiles: which there are, under what names, and who may change one now."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mystyle_cli.errors import MystyleError, ProfileError
from mystyle_cli.paths import check_name
from mystyle_cli.person.draft import COMMIT, RUNS, Draft, roll_forward
from mystyle_cli.person.files import digest_of, sync_folder
from mystyle_cli.person.manifest import NAME, Manifest, read_manifest

if TYPE_CHECKING:
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.prior.registry import Prior

EXPORTED: Final = "exported"
_PARTS: Final = {
    "generator.safetensors": "generator",
    "faces": "faces",
    "anchors.safetensors": "anchors",
    "onnx": EXPORTED,
}
LOCKS: Final = ".locks"
TRASH: Final = ".deleted-"
OPEN_PATIENCE: Final = 10.0
"""Seconds that a reader waits for another command to finish putting a new version in place."""


@dataclass(frozen=True)
class Entry:
    """One line of the list of profiles.

    Args:
        name: the profile's name.
        state: "ready" (tuned), "untuned", "unfinished" (its creation was interrupted) or "damaged".
        manifest: its manifest, where it can be read.
        detail: what is wrong or what to do, "" when nothing is.
    """

    name: str
    state: str
    manifest: Manifest | None
    detail: str = ""


class Store:
    """A folder that holds profiles, one folder each.

    Args:
        root: the folder; it is made when the first profile is.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        """Return the names of all profiles, finished or not, sorted."""
        if not self.root.is_dir():
            return []
        return sorted(path.name for path in self.root.iterdir() if path.is_dir() and _is_profile(path))

    def entries(self) -> list[Entry]:
        """Return one entry for each profile; a damaged one is an entry too."""
        return [self.entry(name) for name in self.names()]

    def entry(self, name: str) -> Entry:
        """Return the entry of one profile.

        Raises:
            ProfileError: there is no such profile.
        """
        folder = self.path(name)
        try:
            self._settle(folder)
            if not (folder / NAME).exists():
                return Entry(folder.name, "unfinished", None, _UNFINISHED)
            manifest = read_manifest(folder)
        except MystyleError as error:
            return Entry(folder.name, "damaged", None, error.message)
        tuned = "generator.safetensors" in manifest.digests()
        return Entry(folder.name, "ready" if tuned else "untuned", manifest)

    def folder(self, name: str) -> Path:
        """Return where a profile of this name is or would be."""
        return self.root / check_name(name)

    def path(self, name: str) -> Path:
        """Return the folder of an existing profile.

        Raises:
            ProfileError: there is none; the message lists those there are.
        """
        folder = self.folder(name)
        if not _is_profile(folder):
            known = ", ".join(self.names()) or "none"
            raise ProfileError(
                f"there is no profile '{name}' in {self.root} (there: {known})",
                f"Create it: mystyle profile create {name} PHOTOS",
            )
        return folder

    def open(self, name: str, prior: Prior | None = None) -> Profile:
        """Open a profile for reading.

        Args:
            name: its name.
            prior: its domain prior when it is already open; None opens the one that the profile names.

        Raises:
            ProfileError: missing, unfinished, damaged, newer than this version, or tuned from another prior.
        """
        from mystyle_cli.person.profile import Profile

        folder = self.path(name)
        self._settle(folder)
        if not (folder / NAME).exists():
            raise ProfileError(f"profile '{name}' is unfinished", _UNFINISHED)
        return Profile(folder, read_manifest(folder), prior)

    def sizes(self, name: str) -> dict[str, int]:
        """Return the bytes on disk of a profile's generator, faces, anchors, exported nets and all else.

        Raises:
            ProfileError: there is no such profile.
        """
        folder = self.path(name)
        sizes = dict.fromkeys((*_PARTS.values(), "other"), 0)
        for path in folder.rglob("*"):
            if path.is_file():
                first = path.relative_to(folder).parts[0]
                sizes[_PARTS.get(first, "other")] += path.stat().st_size
        return sizes

    @contextmanager
    def locked(self, *names: str) -> Iterator[None]:
        """Hold profiles for changing, after finishing or clearing what a killed command left behind.

        Raises:
            ProfileError: another command holds one of them.
        """
        from filelock import FileLock, Timeout

        with ExitStack() as stack:
            # names differing only in case are one folder on some systems, so they share a lock everywhere
            for key, name in sorted({check_name(name).casefold(): name for name in names}.items()):
                lock = FileLock(self.root / LOCKS / f"{key}.lock")
                try:
                    (self.root / LOCKS).mkdir(parents=True, exist_ok=True)
                    stack.enter_context(lock.acquire(timeout=0.2))
                except Timeout as error:
                    raise ProfileError(
                        f"profile '{name}' is being changed by another command", "Wait until it has ended."
                    ) from error
                except OSError as error:
                    raise ProfileError(
                        f"the store {self.root} cannot be written to: {error.strerror}",
                        "Check its permissions, or choose another with --store.",
                    ) from error
            for name in names:
                roll_forward(self.root / check_name(name))
            self._sweep_trash()
            yield

    def draft(self, name: str) -> Draft:
        """Return the profile's next version, as far as it was made. Call it under `locked`.

        Raises:
            ProfileError: another profile's name differs only in case, or the profile is damaged.
        """
        name = check_name(name)
        self._refuse_twin(name)
        return Draft(self.root / name)

    def rename(self, old: str, new: str) -> Path:
        """Rename a profile.

        Returns:
            Its new folder.

        Raises:
            ProfileError: no such profile, the new name is taken, or another command holds one of them.
        """
        with self.locked(old, new):
            source, target = self.path(old), self.folder(new)
            if target.exists():
                raise ProfileError(f"there is a profile '{new}' already", "Choose another name.")
            if source.name.casefold() != target.name.casefold():
                self._refuse_twin(target.name)
            os.rename(source, target)
            sync_folder(self.root)
        return target

    def delete(self, name: str) -> None:
        """Remove a profile: its photos, weights and states.

        Raises:
            ProfileError: there is no such profile, or another command holds it.
        """
        with self.locked(name):
            folder = self.path(name)
            trash = self.root / f"{TRASH}{secrets.token_hex(4)}"
            os.rename(folder, trash)
            sync_folder(self.root)
            shutil.rmtree(trash)

    def verify(self, name: str, prior: Prior | None = None) -> list[str]:
        """Check every file of a profile against its digest, and that it can be used.

        Returns:
            One sentence for each problem; empty when all is well.
        """
        folder = self.path(name)
        try:
            self._settle(folder)
            manifest = read_manifest(folder)
        except MystyleError as error:
            return [error.message]
        problems = _damaged_files(folder, manifest)
        if problems:
            return problems
        try:
            self.open(name, prior).check()
        except MystyleError as error:
            return [error.message]
        return []

    def _settle(self, folder: Path) -> None:
        """Let a commit that was begun be finished, by its command or, when that was killed, here."""
        deadline = time.monotonic() + OPEN_PATIENCE
        while (folder / COMMIT).exists():
            try:
                with self.locked(folder.name):
                    return
            except ProfileError:
                if time.monotonic() > deadline:
                    raise

    def _refuse_twin(self, name: str) -> None:
        """Refuse a name that differs from another profile's only in case."""
        for other in self.names():
            if other != name and other.casefold() == name.casefold():
                raise ProfileError(
                    f"there is a profile '{other}', whose name differs from '{name}' only in case",
                    "Choose another name.",
                )

    def _sweep_trash(self) -> None:
        """Finish deletions that were interrupted."""
        for leftover in self.root.glob(f"{TRASH}*"):
            shutil.rmtree(leftover, ignore_errors=True)


_UNFINISHED: Final = "Give the same `mystyle profile create` command again: it goes on from where it stopped."


def _is_profile(folder: Path) -> bool:
    """Tell whether a folder holds a profile, or one whose making was interrupted."""
    if folder.name.startswith("."):
        return False
    return (folder / NAME).exists() or (folder / COMMIT).exists() or (folder / RUNS / "next").exists()


def _damaged_files(folder: Path, manifest: Manifest) -> list[str]:
    """Compare every listed file with its digest."""
    problems = []
    for name, digest in manifest.digests().items():
        path = folder / name
        if ".." in Path(name).parts or Path(name).is_absolute():
            problems.append(f"{folder / NAME} lists {name!r}, which is outside the profile")
        elif not path.is_file():
            problems.append(f"{path} is missing")
        elif digest_of(path) != digest:
            problems.append(f"{path} has changed since it was written (its digest differs)")
    return problems
