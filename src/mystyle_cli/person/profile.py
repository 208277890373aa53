"""A profile, open for reading: the person's anchors, generator, photos and ID score."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.errors import ModelError, ProfileError, UsageError
from mystyle_cli.files.documents import Items, Text
from mystyle_cli.files.parsing import json_of, shown
from mystyle_cli.nets.bounds import sound_answer
from mystyle_cli.nets.device import CPU, Device
from mystyle_cli.person.difference import apply_difference
from mystyle_cli.person.files import load_tensors, unreadable
from mystyle_cli.person.layout import (
    ANCHORS,
    GENERATOR,
    PHOTOS,
    REFERENCES,
    digest_of_data,
    place_of,
    read_data,
)
from mystyle_cli.person.manifest import NAME, Manifest, State, export_state, remedy
from mystyle_cli.person.reference import TRAIN, read_faces, read_records
from mystyle_cli.person.score import id_scores
from mystyle_cli.person.weights import LeftOut

if TYPE_CHECKING:
    from mystyle_cli.curate.records import PhotoRecord
    from mystyle_cli.nets.generator import Generator
    from mystyle_cli.prior.registry import Prior

FloatArray = NDArray[np.float32]

DRAWN: Final = ("export", "instant")  # stages whose nets belong to the generator that a profile was tuned to


class Profile:
    """One person, as learned. Files are read when they are first needed, and checked against their digests.

    Args:
        prior: the domain prior, when it is already open.
    """

    def __init__(self, folder: Path, manifest: Manifest, prior: Prior | None = None) -> None:
        self.path = folder
        self.name = folder.name
        self.manifest = manifest
        self._given_prior = prior
        self._drawn_by: Generator | None = None
        self.person = ""  # who of several people this is the profile of; "" for all that it holds

        self.device = CPU if prior is None else prior.device

    def __repr__(self) -> str:
        count = self.manifest.counts.get("train", 0)
        whose = f", person {self.person!r}" if self.person else ""
        return f"Profile({self.name!r}, {count} anchors, prior {self.manifest.prior.name!r}{whose})"

    @property
    def people(self) -> tuple[str, ...]:
        """The names of the several people that this holds; none where it is of one."""
        return () if self.person else tuple(self.manifest.members)

    @property
    def who(self) -> str:
        """What the person is called: as the profile, or as one of several in it."""
        return self.person or self.name

    def one(self, person: str | None) -> Self:
        """Return the profile of one of several people, which has only their photos, anchors and embeddings.

        Raises:
            UsageError: several people and none of them is named, or nobody of that name.
        """
        people = ", ".join(self.manifest.members)
        if person is None or person == self.person:
            if self.people:
                raise UsageError(
                    f"profile '{self.name}' holds several people: {people}",
                    f"Say whom you mean (--person {self.people[0]}), or use a profile of their own.",
                )
            return self
        if not self.manifest.members:
            raise UsageError(
                f"profile '{self.name}' is of one person, not of several", f"Leave {shown(person)} out."
            )
        if person not in self.people:
            raise UsageError(f"there is no {shown(person)} in profile '{self.name}'", f"There are: {people}.")
        return self._ones[person]

    @cached_property
    def _ones(self) -> dict[str, Self]:
        """The profile of each of several people, by name; they share what was read."""
        found = {}
        for person in self.people:
            one = type(self)(self.path, self.manifest, self.prior)
            one.person, one._drawn_by = person, self._drawn_by
            one.__dict__["_every_record"] = self._every_record
            found[person] = one
        return found

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """Which of the profile's anchors, in its order, are this person's."""
        train = [record for record in self._every_record if record.split == TRAIN]
        mine = [row for row, record in enumerate(train) if self.person in ("", record.person)]
        return np.array(mine, np.int64)

    @property
    def tuned(self) -> bool:
        """Whether there is a personal generator."""
        return GENERATOR in self.manifest.digests()

    @property
    def export_state(self) -> State:
        """Whether the exported nets are those of the generator as it is: "fresh", "stale" or "none"."""
        return export_state(self.manifest, GENERATOR)

    @cached_property
    def prior(self) -> Prior:
        """The domain prior that the profile was tuned from; raises ProfileError where another is there."""
        from mystyle_cli.prior.registry import open_prior

        mark = self.manifest.prior
        try:
            prior = self._given_prior or open_prior(mark.place)
        except ModelError as error:
            raise ProfileError(
                f"profile '{self.name}' needs the prior '{mark.name}': {error.message}", error.hint
            ) from error
        if prior.digest != mark.sha256:
            raise ProfileError(
                f"profile '{self.name}' was tuned from prior '{mark.name}' {mark.sha256[:12]}, "
                f"but this one is {prior.digest[:12]}",
                "Install the version of the prior that it was tuned from, or create the profile again.",
            )
        sizes = prior.resolution, prior.w_dim, prior.num_ws
        if sizes != (mark.resolution, mark.w_dim, mark.num_ws):
            raise ProfileError(
                f"{self.path / NAME} is damaged: its prior '{mark.name}' has other sizes than it says",
                "Restore it from a backup, or create the profile again.",
            )
        return prior.on(self.device)

    def file(self, name: str) -> Path:
        """Return the path of one of the profile's files, after comparing its digest; raises ProfileError."""
        path = place_of(self.path, name)
        expected = self.manifest.digests().get(name)
        if expected is None:
            raise ProfileError(f"profile '{self.name}' has no {name}", "Run `mystyle profile verify`.")
        otherwise = remedy(self.manifest, self.name, [name])
        try:
            digest = digest_of_data(self.path, name)
        except FileNotFoundError as error:
            raise ProfileError(f"{path} is missing", f"Restore it from a backup, or {otherwise}.") from error
        except OSError as error:
            raise unreadable(path, error) from error
        if digest != expected:
            raise ProfileError(
                f"{path} is not what was written (its digest differs): it is damaged, "
                "or another command has just changed the profile",
                f"Give the command again; if it fails again, restore the file, or {otherwise}.",
            )
        return path

    def read_files(self) -> dict[str, bytes]:
        """Return all that it is made of by its names, as it is known; raises ProfileError."""
        names = [NAME, *self.manifest.digests()]
        for name in names[1:]:
            self.file(name)
        try:
            return {name: read_data(self.path, name) for name in names}
        except OSError as error:
            raise unreadable(self.path, error) from error

    @cached_property
    def _every_record(self) -> tuple[PhotoRecord, ...]:
        return read_records(self.file(PHOTOS), self.path)

    @cached_property
    def records(self) -> tuple[PhotoRecord, ...]:
        """Every photo ever seen of the person, with its verdict, in the order of `photos.jsonl`."""
        return tuple(record for record in self._every_record if self.person in ("", record.person))

    def photos(self, split: str = TRAIN) -> tuple[PhotoRecord, ...]:
        """Return the records of the reference set ("train") or of the held-out photos ("held-out")."""
        return tuple(record for record in self.records if record.split == split)

    @property
    def has_faces(self) -> bool:
        """Whether the aligned faces are in the profile; one that came from elsewhere may lack them."""
        return all(record.face is not None for record in self.records if record.kept)

    def require_faces(self) -> None:
        """Raise ProfileError where the aligned faces are not in the profile."""
        if not self.has_faces:
            raise ProfileError(
                f"profile '{self.name}' was imported without its photos, and this needs them",
                "Export it again where it was made, without --without-photos, or create it from photos.",
            )

    def faces(self, split: str = TRAIN, rows: Sequence[int] | None = None) -> FloatArray:
        """Return aligned faces (N, 3, R, R) in [-1, 1]: the reference set, or the held-out photos.

        Args:
            rows: of some of them; None: all.

        Raises:
            ProfileError: they are not in the profile, or damaged.
        """
        self.require_faces()
        records = self.photos(split)
        asked = records if rows is None else [records[row] for row in rows]
        paths = [self.file(str(record.face)) for record in asked]
        return read_faces(paths, self.manifest.prior.resolution, self.path)[:]

    @cached_property
    def _anchors(self) -> FloatArray:
        names = [record.sha256 for record in self._every_record if record.split == TRAIN]
        every = read_anchors(self.file(ANCHORS), names, self.manifest.prior.w_dim, self.path)
        return self._mine(every)

    def _mine(self, every: FloatArray) -> FloatArray:
        """Return the person's own of the rows that the profile has, one for each photo, read-only."""
        mine = every[self.rows] if self.person else every
        mine.flags.writeable = False  # whoever asks gets the same array
        return mine

    def anchors(self) -> FloatArray:
        """Return the anchors (N, w_dim), in the order of the reference set."""
        return self._anchors

    def on(self, device: Device) -> Self:
        """Return the same profile with the nets that it works with on a device."""
        moved = copy.copy(self)  # what was read so far goes along
        moved.device = device
        moved.__dict__.pop("_ones", None)  # on the device of before
        if "prior" in moved.__dict__:  # open already
            moved.__dict__["prior"] = self.prior.on(device)
        return moved

    def drawn_by(self, generator: Generator, anchors: FloatArray | None = None) -> Self:
        """Return the same person drawn by another generator, for comparison.

        What was exported of them, and the net that answers at once, belong to G_p and are not there then.

        Args:
            generator: of the prior's shape; copies of it are handed out.
            anchors: (N, w_dim), the codes of the reference set in it; None keeps the profile's.
        """
        found = copy.copy(self)
        found._drawn_by = generator
        found.__dict__.pop("_ones", None)  # drawn by another
        others = {name: files for name, files in self.manifest.files.items() if name not in DRAWN}
        found.manifest = replace(self.manifest, files=others)
        if anchors is not None:
            found.__dict__["_anchors"] = anchors
        return found

    def generator(self) -> Generator:
        """Return G_p, a fresh copy on the profile's device; raises ProfileError where it is not tuned yet."""
        if self._drawn_by is not None:
            return self._drawn_by.frozen().to(self.device.torch)
        if not self.tuned:
            raise ProfileError(
                f"profile '{self.name}' is not tuned yet", f"Tune it: mystyle tune {self.name}"
            )
        generator = self.prior.on(CPU).generator()
        apply_difference(generator, self.file(GENERATOR), self.manifest.prior.sha256, self.path)
        return generator.to(self.device.torch)

    def left_out(self) -> LeftOut:
        """Return what gives the weights that the exported nets leave out; it reads them once."""
        return LeftOut(
            lambda: self.prior, lambda: self.file(GENERATOR), self.manifest.prior.sha256, self.path
        )

    @cached_property
    def _reference_embeddings(self) -> FloatArray:
        if REFERENCES not in self.manifest.digests():  # profiles made before they were kept
            return self.prior.embed(self.faces())
        count = sum(record.split == TRAIN for record in self._every_record)
        return self._mine(read_embeddings(self.file(REFERENCES), count, self.path))

    def reference_embeddings(self) -> FloatArray:
        """Return the identity embeddings (N, D) of the reference set, unit rows."""
        return self._reference_embeddings

    def refuse_odd(self, name: str, images: FloatArray) -> FloatArray:
        """Return what a net of the profile's drew, after seeing that it is pictures.

            images: (B, 3, R, R) where the net is right.

        Raises:
            ProfileError: they are of another shape, or hold what is no number.
        """
        side = self.manifest.prior.resolution
        if images.shape[1:] != (3, side, side) or not sound_answer(images):
            raise ProfileError(
                f"{self.path / name} draws no pictures of {side} x {side} pixels in finite numbers",
                "Restore it from a backup, or create the profile again.",
            )
        return images

    def id_score(self, images: FloatArray, exclude: Sequence[Sequence[int]] | None = None) -> FloatArray:
        """Return the ID scores (B,) of aligned faces (B, 3, R, R): cosines to the nearest reference photo.

        Reference photos that `exclude` lists for an image do not count for it. Source: sec. 4.1.
        """
        return id_scores(self.prior.embed(images), self.reference_embeddings(), exclude)

    def unlike(self, score: float) -> str:
        """Say in words where a picture is less like the person than any of their own photos is, or ""."""
        lowest = self.manifest.identity.get("own_lowest")
        if lowest is None or not score < lowest:
            return ""
        less = f"less like {self.name} than {self.name}'s own photos are"
        return f"{less}: ID {score:.2f}, theirs from {lowest:.2f}"

    def likeness(self, score: float) -> str:
        """Say in words how like the person a picture is."""
        lowest = self.manifest.identity.get("own_lowest")
        if lowest is None:
            return f"ID {score:.2f}"
        like = f"as like {self.name} as {self.name}'s own photos are"
        return self.unlike(score) or f"{like}: ID {score:.2f}, theirs from {lowest:.2f}"

    @property
    def id_threshold(self) -> float:
        """The ID score under which a photo counts as not this person's, from their own photos' scores."""
        identity = self.manifest.members[self.person] if self.person else self.manifest.identity
        threshold = identity.get("threshold")
        if threshold is None:
            raise ProfileError(
                f"{self.path / NAME} has no `identity.threshold`",
                f"Measure it again: mystyle tune {self.name}",
            )
        return float(threshold)


_NAMES: Final = Items(Text())
_AGAIN: Final = "Restore it from a backup, or create the profile again."


def read_anchors(path: Path, names: Sequence[str], w_dim: int, beneath: Path) -> FloatArray:
    """Read the anchors (N, w_dim), read-only, of photos given by their sha256, in order.

    Raises:
        ProfileError: they are damaged, or others than these photos'.
    """
    tensors, notes = load_tensors(path, beneath)
    codes = tensors.get("anchors")
    try:
        listed = _NAMES.read(json_of(notes.get("names", "[]")), "names")
    except ValueError as error:
        raise ProfileError(f"{path} is damaged: {error}", _AGAIN) from error
    if (
        codes is None
        or codes.dtype.kind != "f"
        or codes.shape != (len(names), w_dim)
        or listed != list(names)
    ):
        raise ProfileError(f"{path} does not fit the profile's {len(names)} photos", _AGAIN)
    anchors = _float32(codes, path)
    anchors.flags.writeable = False
    return anchors


def read_embeddings(path: Path, count: int, beneath: Path) -> FloatArray:
    """Read the identity embeddings (N, D) of the reference set, unit rows; raises ProfileError."""
    rows = load_tensors(path, beneath)[0].get("embeddings")
    if rows is None or rows.dtype.kind != "f" or rows.ndim != 2 or len(rows) != count or not rows.size:
        raise ProfileError(f"{path} does not hold the embeddings of {count} photos", _AGAIN)
    embeddings = _float32(rows, path)
    if np.linalg.norm(embeddings.astype(np.float64), axis=1).max() > 1 + SLACK:
        raise ProfileError(f"{path} holds embeddings that are longer than 1", _AGAIN)
    return embeddings


SLACK: Final = 1e-2  # how much longer than 1 rounding may make an embedding


def _float32(values: NDArray[np.generic], path: Path) -> FloatArray:
    """Return numbers in float32, which all of them must fit."""
    with np.errstate(over="ignore"):
        numbers = values.astype(np.float32)
    if not np.isfinite(numbers).all():
        raise ProfileError(f"{path} holds numbers that are too large", _AGAIN)
    return numbers
