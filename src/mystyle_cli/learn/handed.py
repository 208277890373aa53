"""What the stages of learning hand on: as they made it, or as the draft has it, read when first needed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.curate.advice import advise
from mystyle_cli.curate.records import PhotoRecord
from mystyle_cli.nets.device import CPU
from mystyle_cli.person.difference import apply_difference
from mystyle_cli.person.layout import ANCHORS, GENERATOR, PHOTOS, REFERENCES
from mystyle_cli.person.profile import read_anchors, read_embeddings
from mystyle_cli.person.reference import HELD_OUT, TRAIN, Pictures, read_faces, read_records

if TYPE_CHECKING:
    from mystyle_cli.nets.generator import Generator
    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.prior.registry import Prior
    from mystyle_cli.store.draft import Draft

FloatArray = NDArray[np.float32]


class Handed:
    """A profile's next version in memory. A stage that was done before leaves its part to be read."""

    def __init__(self, draft: Draft, prior: Prior) -> None:
        self._draft, self._prior = draft, prior

    def take_photos(
        self, records: tuple[PhotoRecord, ...], crops: Mapping[str, Pixels], advice: tuple[str, ...]
    ) -> None:
        """Take over what was curated just now, the faces uint8 (R, R, 3) by sha256."""
        self.records, self.advice = records, advice
        self.train, self.held_out = (self._together(crops, split) for split in (TRAIN, HELD_OUT))

    def take_anchors(self, anchors: FloatArray) -> None:
        """Take over anchors (N, w_dim) that were found just now."""
        self.anchors = anchors

    def take_references(self, references: FloatArray) -> None:
        """Take over the identity embeddings (N, D) of the reference set, made just now."""
        self.references = references

    @cached_property
    def references(self) -> FloatArray:
        """The identity embeddings (N, D) of the reference set."""
        return read_embeddings(self._draft.find(REFERENCES), len(self.names), self._draft.folder)

    @cached_property
    def records(self) -> tuple[PhotoRecord, ...]:
        """Every photo ever seen, with its verdict."""
        return read_records(self._draft.find(PHOTOS), self._draft.folder)

    @cached_property
    def train(self) -> Pictures:
        """The reference set's aligned faces."""
        return self._read(TRAIN)

    @cached_property
    def held_out(self) -> Pictures:
        """The aligned faces of the photos that nothing is tuned on."""
        return self._read(HELD_OUT)

    @cached_property
    def advice(self) -> tuple[str, ...]:
        """What the photos lack, one sentence each; of several people their own profiles said it."""
        if self.hulls:
            return ()
        crops = {
            record.sha256: face.transpose(1, 2, 0)
            for split, faces in ((TRAIN, self.train), (HELD_OUT, self.held_out))
            for record, face in zip(self.photos(split), faces.pixels, strict=True)
        }
        return tuple(advise(self.records, crops, self._prior.crop))

    @cached_property
    def anchors(self) -> FloatArray:
        """The codes (N, w_dim) of the reference set."""
        return read_anchors(self._draft.find(ANCHORS), self.names, self._prior.w_dim, self._draft.folder)

    @cached_property
    def generator(self) -> Generator:
        """G_p, put together once from the difference that is kept of it, on the prior's device."""
        generator = self._prior.on(CPU).generator()
        apply_difference(generator, self._draft.find(GENERATOR), self._prior.digest, self._draft.folder)
        return generator.to(self._prior.device.torch)

    @cached_property
    def hulls(self) -> dict[str, NDArray[np.int64]]:
        """Where the profile holds several people, which rows of the reference set are whose; else none."""
        return _rows_of(self.photos(TRAIN))

    @cached_property
    def held_out_rows(self) -> dict[str, NDArray[np.int64]]:
        """The same of the held-out photos."""
        return _rows_of(self.photos(HELD_OUT))

    def photos(self, split: str) -> list[PhotoRecord]:
        """Return the records of the reference set ("train") or of the held-out photos ("held-out")."""
        return [record for record in self.records if record.split == split]

    @property
    def names(self) -> list[str]:
        """The sha256 of the reference set's photos, in order."""
        return [record.sha256 for record in self.photos(TRAIN)]

    def set_digest(self, split: str) -> str:
        """Return the digest of photos and aligned faces in order: what anchors and tuning depend on."""
        pairs = [(record.sha256, self._draft.digest(str(record.face))) for record in self.photos(split)]
        return digest_of(self._prior.digest, pairs)

    def fit(self) -> str:
        """Return the digest of what a tuned generator must fit: photos and anchors."""
        return digest_of(self.set_digest(TRAIN), self._draft.digest(ANCHORS))

    def _together(self, crops: Mapping[str, Pixels], split: str) -> Pictures:
        chosen = [crops[record.sha256] for record in self.photos(split)]
        return Pictures.of(chosen, len(chosen), self._prior.resolution)

    def _read(self, split: str) -> Pictures:
        paths = [self._draft.find(str(record.face)) for record in self.photos(split)]
        return read_faces(paths, self._prior.resolution, self._draft.folder)


def _rows_of(records: Sequence[PhotoRecord]) -> dict[str, NDArray[np.int64]]:
    """Return by person which of some records are theirs; none where nobody is named."""
    people = dict.fromkeys(record.person for record in records if record.person is not None)
    return {
        person: np.array([row for row, record in enumerate(records) if record.person == person], np.int64)
        for person in people
    }


def digest_of(*parts: object) -> str:
    """Return one digest of plain values and dataclasses, which their repr tells apart."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()
