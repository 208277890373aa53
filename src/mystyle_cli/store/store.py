"""The folder of profiles: which there are, under what names, and how each comes, changes and goes."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mystyle_cli.errors import MystyleError, ProfileError
from mystyle_cli.files.owned import Owned
from mystyle_cli.files.paths import check_name
from mystyle_cli.files.writing import sync_folder
from mystyle_cli.person.files import unwritable
from mystyle_cli.person.layout import LAYOUT, MARKER, TOMBSTONE, deleting, is_there, owned
from mystyle_cli.person.manifest import NAME, Manifest, read_manifest, remedy
from mystyle_cli.person.migrations import NewerFormatError
from mystyle_cli.store.draft import Draft, made_by_us, refuse_foreign, roll_forward
from mystyle_cli.store.locks import LOCKS, Locks
from mystyle_cli.store.looks import (
    TRASH,
    can_be_called,
    damaged_files,
    is_profile,
    is_trash,
    reading,
    twice,
    wait_for_commit,
)

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


@dataclass(frozen=True)
class Entry:
    """One line of the list of profiles."""

    name: str
    # "ready" (tuned), "untuned", "expired" (the consent that it rests on has ended), "unfinished" (its
    # creation was interrupted), "deleting" (its deletion was), "newer" (of a later version) or "damaged"
    # (files are missing or cannot be read; whether they changed, `verify` tells)
    state: str
    manifest: Manifest | None  # its manifest, where it can be read
    detail: str = ""  # what is wrong, "" when nothing is
    hint: str = ""


class Store:
    """A folder that holds profiles, one folder each; it is made when the first profile is."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._locks = Locks(root)

    def names(self) -> list[str]:
        """Return the names of all profiles, finished or not, sorted; raises ProfileError."""
        return [name for name in self._found() if can_be_called(name)]

    def _found(self) -> list[str]:
        """Return the names of all folders that hold a profile, whatever they are called."""
        with reading(self.root):
            if not self.root.is_dir():
                return []
            return sorted(path.name for path in self.root.iterdir() if is_profile(path))

    def entries(self) -> list[Entry]:
        """Return one entry for each profile; a damaged one is an entry too, and what deletions left."""
        left = [Entry(name, "deleting", None, _DELETING, _LEFT) for name in self._trash()]
        return [
            self.entry(name) if can_be_called(name) else Entry(name, "damaged", None, _MISNAMED, _RENAME)
            for name in self._found()
        ] + left

    def entry(self, name: str) -> Entry:
        """Return the entry of one profile; whatever is wrong with it is part of the entry.

        Raises:
            ProfileError: there is no such profile.
        """
        return twice(
            lambda: self._entry(name), lambda entry: entry.detail if entry.state == "damaged" else ""
        )

    def _entry(self, name: str) -> Entry:
        """Return what one look at a profile tells."""
        folder = self.path(name)
        manifest = None
        try:
            with reading(folder):
                wait_for_commit(folder)
                if deleting(folder):
                    return Entry(folder.name, "deleting", None, _DELETING, _delete(folder.name))
                if not is_there(folder, NAME):
                    return Entry(folder.name, "unfinished", None, _INTERRUPTED, _UNFINISHED)
                manifest = read_manifest(folder)
                missing = [file for file in manifest.digests() if not is_there(folder, file)]
        except NewerFormatError as error:
            return Entry(name, "newer", None, error.message, error.hint)
        except MystyleError as error:
            return Entry(name, "damaged", manifest, error.message, error.hint)
        if missing:
            named = missing[0] if len(missing) == 1 else f"{missing[0]} and {len(missing) - 1} more"
            hint = f"See what to do: mystyle profile verify {folder.name}"
            return Entry(folder.name, "damaged", manifest, f"missing: {named}", hint)
        if manifest.consent_over:
            ended, renew = f"its consent ended on {manifest.consent_until}", _RENEW.format(folder.name)
            return Entry(folder.name, "expired", manifest, ended, renew)
        tuned = "generator.safetensors" in manifest.digests()
        return Entry(folder.name, "ready" if tuned else "untuned", manifest)

    def folder(self, name: str) -> Path:
        """Return where a profile of this name is or would be."""
        return self.root / check_name(name)

    def path(self, name: str) -> Path:
        """Return the folder of a profile; raises ProfileError, which lists those there are."""
        folder = self.folder(name)
        if not is_profile(folder):
            known = ", ".join(self.names()) or "none"
            raise ProfileError(
                f"there is no profile '{name}' in {self.root} (there: {known})",
                f"Create it: mystyle profile create {name} PHOTOS",
            )
        return folder

    def open(self, name: str, prior: Prior | None = None) -> Profile:
        """Open a profile for reading.

        Args:
            prior: its domain prior when it is already open; None opens the one that the profile names.

        Raises:
            ProfileError: missing, unfinished, damaged, being deleted, or newer than this version.
            ConsentError: the consent that it rests on has ended.
        """
        profile = self._open(name, prior)
        profile.manifest.require_consent(profile.name)
        return profile

    def open_ready(self) -> tuple[list[Profile], dict[str, MystyleError]]:
        """Open all profiles that can be used, those of one prior with the same nets.

        Returns:
            the profiles by name; and why others cannot be used, but for those whose learning is not done.
        """
        opened: list[Profile] = []
        priors: dict[str, Prior] = {}
        refused: dict[str, MystyleError] = {}
        for name in self.names():
            try:
                entry = self.entry(name)
                if entry.state in ("untuned", "unfinished", "deleting"):
                    continue
                if entry.state == "damaged":
                    raise ProfileError(f"profile '{name}' is damaged: {entry.detail}", entry.hint)
                assert entry.manifest is not None or entry.state == "newer"
                mark = None if entry.manifest is None else entry.manifest.prior.sha256
                profile = self.open(name, priors.get(mark or ""))
                priors.setdefault(profile.manifest.prior.sha256, profile.prior)
                opened.append(profile)
            except MystyleError as error:
                refused[name] = error
        return opened, refused

    def _open(self, name: str, prior: Prior | None) -> Profile:
        """Open a profile for looking at it, whatever was agreed; raises as `open` does otherwise."""
        from mystyle_cli.person.profile import Profile

        folder = self.path(name)
        with reading(folder):
            wait_for_commit(folder)
            if deleting(folder):
                raise ProfileError(f"profile '{name}' is being deleted", _delete(name))
            if not is_there(folder, NAME):
                raise ProfileError(f"profile '{name}' is unfinished: {_INTERRUPTED}", _UNFINISHED)
            return Profile(folder, read_manifest(folder), prior)

    def sizes(self, name: str) -> dict[str, int]:
        """Return the bytes on disk of a profile's generator, faces, anchors, exported nets and all else."""
        folder = self.path(name)
        sizes = dict.fromkeys((*_PARTS.values(), "other"), 0)
        with reading(folder):
            for outer, _, files in os.walk(folder):
                for path in (Path(outer, file) for file in files):
                    details = path.lstat()
                    if stat.S_ISREG(details.st_mode):
                        sizes[_PARTS.get(path.relative_to(folder).parts[0], "other")] += details.st_size
        return sizes

    @contextmanager
    def locked(self, *names: str, settle: bool = True) -> Iterator[None]:
        """Hold profiles for changing, after finishing or clearing what a killed command left behind.

        Args:
            names: of the profiles, which need not exist.
            settle: finish an unfinished commit, too.

        Raises:
            ProfileError: another command holds one of them, or an unfinished commit is damaged.
        """
        # names differing only in case are one folder on some systems, so they share a lock everywhere
        # in one order, so that two commands which want the same two never wait for each other
        keys = sorted({check_name(name).casefold(): name for name in names}.items())
        with ExitStack() as stack:
            for key, name in keys:
                stack.enter_context(self._locks.held(key, name))
            for _, name in keys:
                self._settle(self.folder(name), settle)
            self._sweep_trash()
            self._locks.sweep(self.names)
            yield

    def draft(self, name: str) -> Draft:
        """Return the profile's next version, as far as it was made. Call it under `locked`.

        Raises:
            ProfileError: another profile's name differs only in case, the profile is damaged, or a folder of
                that name is there that is not the program's.
        """
        name = check_name(name)
        self._refuse_twin(name)
        return Draft(self.root / name)

    def note_consent(self, name: str, consent: str, until: str = "") -> Manifest:
        """Note what was agreed about a person, in place of what was noted before; nothing else changes.

        Args:
            until: the last day on which it holds (ISO 8601), "" without an end.

        Raises:
            ProfileError: no such profile, it is not the program's, or another command holds it.
        """
        folder = self.path(name)
        with self.locked(name):
            refuse_foreign(folder)
            noted = replace(self._open(name, None).manifest, consent=consent, consent_until=until)
            try:
                owned(folder).write(NAME, noted.to_toml().encode())
            except OSError as error:
                raise unwritable(folder / NAME, error) from error
        return noted

    def content(self, name: str) -> tuple[str, ...]:
        """Return the names of a profile's files that are the program's; none without a profile."""
        folder = self.folder(name)
        with reading(folder):
            return owned(folder).content().files if is_profile(folder) else ()

    def rename(self, old: str, new: str) -> Path:
        """Rename a profile; returns its new folder.

        Raises:
            ProfileError: no such profile, the new name is taken, or another command holds one of them.
        """
        with self.locked(old, new):
            source, target = self.path(old), self.folder(new)
            refuse_foreign(source)
            # on systems that ignore case, a name written differently is the same folder
            if os.path.lexists(target) and not (target.exists() and source.samefile(target)):
                raise ProfileError(f"there is a '{new}' already in {self.root}", "Choose another name.")
            if source.name.casefold() != target.name.casefold():
                self._refuse_twin(target.name)
            os.rename(source, target)
            sync_folder(self.root)  # or a power cut could undo it
        return target

    def delete(self, name: str) -> list[Path]:
        """Remove a profile; returns what is left, for it is not the program's. Interrupted, it goes on.

        Raises:
            ProfileError: there is no such profile, it is not the program's, another command holds it, or not
                all files can be removed.
        """
        if not is_profile(self.folder(name)) and (self.root / LOCKS).is_dir():
            with suppress(ProfileError):  # an interrupted deletion may have left its lock
                self._locks.sweep(self.names)
        folder = self.path(name)
        with self.locked(name, settle=False):  # so that a damaged commit can be deleted
            here = owned(folder)
            # an interrupted deletion, which is finished whenever the lock is taken
            if not is_profile(folder):
                return [folder / left for left in here.content().strangers]
            refuse_foreign(folder)
            try:
                # asked now: from the tombstone on the profile counts as deleted
                if not os.access(self.root, os.W_OK):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self.root))
                here.write(TOMBSTONE, b"")
            except OSError as error:
                raise ProfileError(
                    f"{folder} cannot be removed, and is as it was: {error.strerror}",
                    f"Check the permissions of {folder} and {self.root}.",
                ) from error
            return self._finish_deletion(here)

    def _finish_deletion(self, here: Owned) -> list[Path]:
        """Remove a profile whose tombstone is set; returns what is left, for it is the user's."""
        try:
            left = [here.path / name for name in here.vanish((MARKER, TOMBSTONE))]
            sync_folder(self.root)
        except OSError as error:
            raise ProfileError(
                f"profile '{here.name}' counts as deleted, but files of it are left in {here.path}: "
                f"{error.filename or here.path}: {error.strerror}",
                f"Make {here.path} writable with all in it; then {_delete(here.name, again=True)}",
            ) from error
        return left

    def verify(self, name: str, prior: Prior | None = None) -> list[MystyleError]:
        """Check every file of a profile against its digest, and that it can be used; returns the problems."""
        return twice(
            lambda: self._problems(name, prior), lambda problems: [problem.message for problem in problems]
        )

    def _problems(self, name: str, prior: Prior | None) -> list[MystyleError]:
        """Return what one look at every file tells."""
        folder = self.path(name)
        try:
            manifest = self._open(name, prior).manifest
            problems, closed = damaged_files(folder, manifest)
            unusable: list[MystyleError] = list(closed)
            if not problems and not closed:
                unusable = _unusable(self._open(name, prior))
        except MystyleError as error:
            return [error]
        hint = f"Restore what is damaged from a backup, or {remedy(manifest, folder.name, problems)}."
        return [*unusable, *(ProfileError(problem, hint) for problem in problems.values())]

    def _settle(self, folder: Path, commit: bool) -> None:
        """Finish or clear what a killed command left of a profile. The caller holds its lock."""
        here = owned(folder)
        here.sweep()
        if deleting(folder):
            self._finish_deletion(here)
        elif commit and not folder.is_symlink() and made_by_us(folder):
            roll_forward(folder)
            with suppress(OSError):  # whoever writes there next is told
                here.shut()

    def _refuse_twin(self, name: str) -> None:
        for other in self.names():
            if other != name and other.casefold() == name.casefold():
                raise ProfileError(
                    f"there is a profile '{other}', whose name differs from '{name}' only in case",
                    "Choose another name.",
                )

    def _trash(self) -> list[str]:
        """Return the folders of the program's that interrupted deletions of earlier versions left."""
        if not self.root.is_dir():
            return []
        trash = [self.root / name for name in sorted(os.listdir(self.root)) if TRASH.fullmatch(name)]
        return [path.name for path in trash if is_trash(path)]

    def _sweep_trash(self) -> None:
        """Finish those deletions; what cannot be removed stays listed."""
        for name in self._trash():
            with suppress(OSError):
                Owned(self.root, name, LAYOUT).clear()


_INTERRUPTED: Final = "its creation was interrupted"
_UNFINISHED: Final = (
    "Give the same `mystyle profile create` command again: it goes on from where it stopped; "
    "or the same `mystyle profile merge` or `import`."
)
_RENEW: Final = "Ask again, and note it: mystyle profile consent {} TEXT --until DATE"
_DELETING: Final = "its deletion was interrupted"
_MISNAMED: Final = "its folder has a name that no profile can have"
_RENAME: Final = "Rename the folder: letters, digits, '-', '_' and '.'."
_LEFT: Final = "The next command that changes a profile of this store removes it."


def _delete(name: str, again: bool = False) -> str:
    return f"{'finish' if again else 'Finish'} it: mystyle profile delete {name}"


def _unusable(profile: Profile) -> list[MystyleError]:
    from mystyle_cli.store.check import check_profile  # loads the nets

    return check_profile(profile)
