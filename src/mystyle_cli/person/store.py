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
from mystyle_cli.person.files import digest_of, sync_folder, unreadable
from mystyle_cli.person.manifest import NAME, Manifest, NewerFormatError, read_manifest, remedy

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
        state: "ready" (tuned), "untuned", "unfinished" (its creation was interrupted), "newer" (of a later
            version) or "damaged" (files are missing or cannot be read; whether they changed, `verify` tells).
        manifest: its manifest, where it can be read.
        detail: what is wrong, "" when nothing is.
        hint: what to do about it.
    """

    name: str
    state: str
    manifest: Manifest | None
    detail: str = ""
    hint: str = ""


class Store:
    """A folder that holds profiles, one folder each.

    Args:
        root: the folder; it is made when the first profile is.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        """Return the names of all profiles, finished or not, sorted.

        Raises:
            ProfileError: the store cannot be read.
        """
        with _reading(self.root):
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
        manifest = None
        try:
            with _reading(folder):
                self._settle(folder)
                if not (folder / NAME).exists():
                    return Entry(folder.name, "unfinished", None, _INTERRUPTED, _UNFINISHED)
                manifest = read_manifest(folder)
                missing = [file for file in manifest.digests() if not (folder / file).is_file()]
        except NewerFormatError as error:
            return Entry(folder.name, "newer", None, error.message, error.hint)
        except MystyleError as error:
            return Entry(folder.name, "damaged", manifest, error.message, error.hint)
        if missing:
            named = missing[0] if len(missing) == 1 else f"{missing[0]} and {len(missing) - 1} more"
            hint = f"See what to do: mystyle profile verify {folder.name}"
            return Entry(folder.name, "damaged", manifest, f"missing: {named}", hint)
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
        with _reading(folder):
            self._settle(folder)
            if not (folder / NAME).exists():
                raise ProfileError(f"profile '{name}' is unfinished: {_INTERRUPTED}", _UNFINISHED)
            return Profile(folder, read_manifest(folder), prior)

    def sizes(self, name: str) -> dict[str, int]:
        """Return the bytes on disk of a profile's generator, faces, anchors, exported nets and all else.

        Raises:
            ProfileError: there is no such profile.
        """
        folder = self.path(name)
        sizes = dict.fromkeys((*_PARTS.values(), "other"), 0)
        with _reading(folder):
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
            ProfileError: there is no such profile, another command holds it, or not all files can be removed.
        """
        with self.locked(name):
            folder = self.path(name)
            trash = self.root / f"{TRASH}{secrets.token_hex(4)}"
            try:
                os.rename(folder, trash)
            except OSError as error:
                raise ProfileError(
                    f"{folder} cannot be removed, and is as it was: {error.strerror}",
                    f"Check the permissions of {folder} and {self.root}.",
                ) from error
            sync_folder(self.root)
            try:
                shutil.rmtree(trash)
            except OSError as error:
                raise ProfileError(
                    f"profile '{name}' is gone from the list, but files of it are left in {trash}: "
                    f"{error.filename or trash}: {error.strerror}",
                    f"Make {trash} writable with all in it, and remove it; or let the next command that "
                    "changes the store remove it then.",
                ) from error

    def verify(self, name: str, prior: Prior | None = None) -> list[MystyleError]:
        """Check every file of a profile against its digest, and that it can be used.

        Returns:
            One error for each problem, with what to do; empty when all is well.
        """
        folder = self.path(name)
        try:
            with _reading(folder):
                manifest = self.open(name, prior).manifest
            problems, closed = _damaged_files(folder, manifest)
            if not problems and not closed:
                self.open(name, prior).check()
        except MystyleError as error:
            return [error]
        hint = f"Restore what is damaged from a backup, or {remedy(manifest, folder.name, problems)}."
        return [*closed, *(ProfileError(problem, hint) for problem in problems.values())]

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


_INTERRUPTED: Final = "its creation was interrupted"
_UNFINISHED: Final = "Give the same `mystyle profile create` command again: it goes on from where it stopped."


@contextmanager
def _reading(place: Path) -> Iterator[None]:
    """Turn what the system refuses while a profile or the store is read into a ProfileError.

    Args:
        place: what is said to be unreadable where the system names nothing.
    """
    try:
        yield
    except OSError as error:
        raise unreadable(place, error) from error


def _is_profile(folder: Path) -> bool:
    """Tell whether a folder holds a profile, or one whose making was interrupted."""
    if folder.name.startswith("."):
        return False
    try:
        return (folder / NAME).exists() or (folder / COMMIT).exists() or (folder / RUNS / "next").exists()
    except PermissionError:  # whoever opens it is told
        return True


def _damaged_files(folder: Path, manifest: Manifest) -> tuple[dict[str, str], list[ProfileError]]:
    """Compare every listed file with its digest.

    Returns:
        A sentence for each that differs, by its name, and an error for each that cannot be read.
    """
    problems: dict[str, str] = {}
    closed: list[ProfileError] = []
    for name, digest in manifest.digests().items():
        path = folder / name
        try:
            if ".." in Path(name).parts or Path(name).is_absolute():
                problems[name] = f"{folder / NAME} lists {name!r}, which is outside the profile"
            elif not path.is_file():
                problems[name] = f"{path} is missing"
            elif digest_of(path) != digest:
                problems[name] = f"{path} has changed since it was written (its digest differs)"
        except OSError as error:
            closed.append(unreadable(path, error))
    return problems, closed
