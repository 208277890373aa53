"""A profile as other processes find it: by its place, and only as it was when it was found."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mystyle_cli.errors import ProfileError
from mystyle_cli.store.store import Store

if TYPE_CHECKING:
    from mystyle_cli.person.profile import Profile


@dataclass(frozen=True)
class Found:
    """A profile that was opened here and is opened anew elsewhere; see `found`."""

    root: Path  # of its store, absolute
    name: str
    person: str  # who of several people; "" for all that it holds
    version: str
    prior: str  # digest of the prior that it was tuned from
    photos: int = 0  # that each person in it was learned from, of several the mean
    _opened: Profile | None = field(default=None, compare=False, repr=False)
    _prior: Path | None = field(default=None, compare=False, repr=False)  # its folder, where no name finds it

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def open(self) -> Profile:
        """Return it: the same here.

        Raises:
            ProfileError: it cannot be opened there, or has changed since.
        """
        if self._opened is not None:
            return self._opened
        from mystyle_cli.prior.registry import open_prior

        profile = Store(self.root).open(self.name, open_prior(self._prior) if self._prior else None)
        if version_of(profile) != self.version:
            raise ProfileError(
                f"profile '{self.name}' was changed while it was worked with", "Run the same command again."
            )
        return profile.one(self.person) if self.person else profile

    def moved(self, root: Path, prior: Path | None) -> Found:
        """Return the same in another store, where copies of its files are.

        Args:
            prior: the folder of its prior; None where that is found as it was.
        """
        return replace(self, root=root, _opened=None, _prior=prior)


def found(profile: Profile) -> Found:
    """Return an open profile as it can be handed on."""
    root, manifest = profile.path.parent.absolute(), profile.manifest
    photos = manifest.counts.get("train", 0) // max(1, len(manifest.members))
    return Found(
        root, profile.name, profile.person, version_of(profile), manifest.prior.sha256, photos, profile
    )


def version_of(profile: Profile) -> str:
    """Return what tells a profile from what it was before it was changed: a digest of what it is made of."""
    manifest = profile.manifest
    parts = [
        manifest.prior.sha256,
        *(f"{name} {digest}" for name, digest in sorted(manifest.digests().items())),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
