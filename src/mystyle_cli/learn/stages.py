"""The stages from photos to profile, each done once for its inputs. Source: sec. 3.1."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mystyle_cli import __version__
from mystyle_cli.curate.advice import advise
from mystyle_cli.curate.curate import curate
from mystyle_cli.curate.examine import digest_of_photo
from mystyle_cli.curate.records import PhotoRecord
from mystyle_cli.curate.sheet import contact_sheet
from mystyle_cli.errors import DecodeError, ProfileError
from mystyle_cli.files.documents import Text, Whole
from mystyle_cli.instant.net import InstantSettings
from mystyle_cli.learn.exporting import export_inputs, export_stage
from mystyle_cli.learn.figures import identity_statistics, reconstruction_figures
from mystyle_cli.learn.settings import LEAST_PHOTOS, LearnSettings
from mystyle_cli.nets.device import CPU
from mystyle_cli.person.difference import apply_difference, store_difference
from mystyle_cli.person.layout import (
    ANCHORS,
    CONTACT_SHEET,
    GENERATOR,
    LOSS_TABLE,
    PHOTOS,
    REFERENCES,
)
from mystyle_cli.person.manifest import Manifest, Scalar, fact_of, mark_of, tables_of
from mystyle_cli.person.profile import Profile, read_anchors
from mystyle_cli.person.reference import (
    HELD_OUT,
    TRAIN,
    Pictures,
    counts_of,
    number_faces,
    png_of,
    read_faces,
    read_pixels,
    read_records,
    refuse_too_few,
    write_records,
)
from mystyle_cli.person.score import embed_pictures
from mystyle_cli.progress import Progress, Step
from mystyle_cli.store.draft import Draft
from mystyle_cli.tuning.anchors import find_anchors
from mystyle_cli.tuning.settings import LossPoint
from mystyle_cli.tuning.tuning import METHOD, Reconstruction, plan_for, steps_taken, tune

if TYPE_CHECKING:
    from mystyle_cli.nets.generator import Generator
    from mystyle_cli.prior.registry import Prior

FloatArray = NDArray[np.float32]

Done = tuple[dict[str, str], dict[str, Scalar]]
"""What a stage returns: digests of the files that it wrote, and facts worth keeping."""


class Stages:
    """The stages of one command on one draft."""

    def __init__(self, draft: Draft, prior: Prior, settings: LearnSettings, progress: Progress) -> None:
        self.draft, self.prior = draft, prior.on(settings.device)
        self.settings, self.progress = settings, progress
        self.seed = settings.seed
        self.worked: list[str] = []
        self.warnings: list[str] = []

    def _stage(self, stage: str, inputs: str, work: Callable[[], Done]) -> None:
        """Do a stage unless its result for these inputs is at hand."""
        if self.draft.done(stage, inputs):
            return
        started = time.monotonic()
        files, facts = work()
        seconds = round(time.monotonic() - started, 2)
        self.draft.finish(stage, inputs, files, {"seconds": seconds, **facts})
        self.worked.append(stage)

    def curate_all(self, photos: Sequence[Path]) -> None:
        """Curate a folder of photos from nothing."""
        digests = _digests(photos)
        inputs = self._curate_inputs(digests.values())
        current = self.draft.current
        changed = current is not None and current.stages.get("curate", {}).get("inputs") != inputs
        if changed and not self.settings.replace:
            raise ProfileError(
                "the profile was made of other photos, or with another prior or other settings of curation",
                "Add photos with `mystyle ingest`, choose another name, or replace it with --replace.",
            )
        self._stage("curate", inputs, lambda: self._curate(list(digests), ()))

    def curate_more(self, profile: Profile, photos: Sequence[Path]) -> None:
        """Curate new photos together with those of a profile, divided by the same seed."""
        profile.require_faces()
        self.seed = profile.manifest.fact("curate", "seed", Whole())
        seen = {record.sha256 for record in profile.records}
        new = {path: digest for path, digest in _digests(photos).items() if digest not in seen}
        if not new:
            self.keep_curation(profile)
            return
        inputs = self._curate_inputs([*seen, *new.values()])
        self._stage("curate", inputs, lambda: self._curate(list(new), profile.records))

    def keep_curation(self, profile: Profile) -> None:
        """Take the curation of a profile as it is; what was begun for other photos is dropped.

        Raises:
            ProfileError: its photos are not in it.
        """
        profile.require_faces()
        self.draft.done("curate", profile.manifest.fact("curate", "inputs", Text()))

    def _curate_inputs(self, digests: Iterable[str]) -> str:
        """Return the digest of what curation depends on."""
        reference = self.settings.reference
        return _digest_of(
            "curate 1",
            self.prior.digest,
            self.settings.curation,
            self.seed,
            None if reference is None else _digests([reference])[reference],
            sorted(set(digests)),
        )

    def _curate(self, paths: Sequence[Path], before: Sequence[PhotoRecord]) -> Done:
        """Judge photos, and write records, faces and contact sheet."""
        crops = {
            record.sha256: read_pixels(self.draft.folder / record.face, self.draft.folder)
            for record in before
            if record.face is not None
        }
        found = curate(
            paths,
            prior=self.prior,
            settings=self.settings.curation,
            reference=self.settings.reference,
            known=(before, crops),
            seed=self.seed,
            progress=self.progress,
            embed=self.prior.embed if "identity" in self.prior.roles else None,
            cover=self.prior.cover if "cover" in self.prior.roles else None,
        )
        self.warnings += found.warnings
        crops |= {digest: face.pixels for digest, face in found.faces.items()}
        records = number_faces(found.records, before)
        refuse_too_few(records, LEAST_PHOTOS)
        files = self.draft.write(PHOTOS, write_records(records))
        for record in records:
            if record.face is not None:
                files |= self.draft.write(record.face, png_of(crops[record.sha256]))
        sheet = contact_sheet(records, {**crops, **found.thumbnails})
        files |= self.draft.write(CONTACT_SHEET, png_of(sheet))
        return files, {"seed": self.seed, **counts_of(records)}

    def _photos(self, split: str) -> list[PhotoRecord]:
        return [record for record in self._records() if record.split == split]

    def _records(self) -> tuple[PhotoRecord, ...]:
        return read_records(self.draft.find(PHOTOS), self.draft.folder)

    def _faces(self, split: str) -> Pictures:
        paths = [self.draft.find(str(record.face)) for record in self._photos(split)]
        return read_faces(paths, self.prior.resolution, self.draft.folder)

    def _set_digest(self, split: str) -> str:
        """Return the digest of photos and aligned faces in order: what anchors and tuning depend on."""
        pairs = [(record.sha256, self.draft.digest(str(record.face))) for record in self._photos(split)]
        return _digest_of(self.prior.digest, pairs)

    def _codes(self) -> FloatArray:
        names = [record.sha256 for record in self._photos(TRAIN)]
        return read_anchors(self.draft.find(ANCHORS), names, self.prior.w_dim, self.draft.folder)

    def find_anchors(self) -> None:
        """Find the code of each photo of the reference set."""
        self._stage("anchors", self._anchor_inputs(), self._find_anchors)

    def _anchor_inputs(self) -> str:
        optimised = None if "encoder" in self.prior.roles else self.settings.anchors
        return _digest_of("anchors 1", optimised, self._set_digest(TRAIN))

    def _find_anchors(self) -> Done:
        found = find_anchors(self._faces(TRAIN), self.prior, self.settings.anchors, self.progress)
        names = [record.sha256 for record in self._photos(TRAIN)]
        files = self.draft.write_tensors(ANCHORS, {"anchors": found.codes}, {"names": json.dumps(names)})
        return files, {"method": found.method, "count": found.rank.count, "rank": found.rank.rank}

    def _fit(self) -> str:
        """Return the digest of what a tuned generator must fit: photos and anchors."""
        return _digest_of(self._set_digest(TRAIN), self.draft.digest(ANCHORS))

    def tune(self) -> None:
        """Tune the generator on the reference set; or only see to it that none is kept that does not fit."""
        if self.settings.tune:
            self._stage("tune", self._tune_inputs(), self._tune)
        elif self.draft.stages().get("tune", {}).get("fit") != self._fit():
            self.draft.forget("tune")

    def _tune_inputs(self) -> str:
        settings = dataclasses.replace(self.settings.tuning, save_seconds=0.0)
        return _digest_of("tune 2", METHOD, settings, self.settings.whole, self._fit())

    def steps_taken(self) -> int | None:
        """Return how many steps of the tuning an interrupted command has taken; None where all are."""
        if not self.draft.done("anchors", self._anchor_inputs()):
            return 0
        if self.draft.done("tune", self._tune_inputs()):
            return None
        state, nets = self.draft.work / "tune", (self.prior.generator(), self.prior.perceptual())
        faces = self._faces(TRAIN).pixels
        objective = Reconstruction(nets[0], self._codes(), faces, nets[1])
        return steps_taken(objective, self.settings.tuning, state)

    def _tune(self) -> Done:
        import torch

        settings = self.settings.tuning
        generator = self.prior.generator().to(memory_format=torch.channels_last)
        perceptual, faces = self.prior.perceptual(), self._faces(TRAIN).pixels
        plan = plan_for(generator, perceptual, len(faces), settings, self.prior.device)
        state = self.draft.work / "tune"
        objective = Reconstruction(generator, self._codes(), faces, perceptual)
        result = tune(objective, settings, state, self.progress, plan)
        whole = self.settings.whole
        stored = store_difference(self.prior, result.state, self._codes(), whole=whole)
        files = self.draft.write_tensors(GENERATOR, stored.tensors, stored.notes)
        curve = self.draft.write(LOSS_TABLE, _loss_table(result.curve))
        files |= curve
        facts = {
            name: value for name, value in dataclasses.asdict(settings).items() if name != "save_seconds"
        }
        return files, {
            **facts,
            "whole": whole,
            "generator_bytes": self.draft.find(GENERATOR).stat().st_size,
            "fit": self._fit(),
            "precision": result.precision,
            "tuning_seconds": round(result.seconds, 2),
            "last_loss": round(result.curve[-1].loss, 6),
            "loss_table": curve[LOSS_TABLE],
        }

    def measure(self) -> None:
        """Measure reconstruction before and after tuning (C.3), and the person's own ID scores (4.1, C.6)."""
        inputs = _digest_of(
            "measure 2",
            self._strangers_seed(),
            self._fit(),
            self._set_digest(HELD_OUT),
            self.draft.digests().get(GENERATOR),
        )
        self._stage("measure", inputs, self._measure)

    def _measure(self) -> Done:
        prior, faces, held_out = self.prior, self._faces(TRAIN), self._faces(HELD_OUT)
        codes = np.zeros((0, prior.w_dim), np.float32)
        if "encoder" in prior.roles and len(held_out):
            codes = prior.encode(held_out[:])
        sets = (self._codes(), faces), (codes, held_out)
        perceptual = prior.perceptual()
        figures = {"before": reconstruction_figures(prior.generator(), prior, perceptual, *sets)}
        self.progress(Step("measure", 1, 3))
        if GENERATOR in self.draft.digests():
            figures["after"] = reconstruction_figures(self._tuned(), prior, perceptual, *sets)
        self.progress(Step("measure", 2, 3))
        figures["identity"] = identity_statistics(prior, faces, held_out, self._strangers_seed())
        self.progress(Step("measure", 3, 3))
        embeddings = {"embeddings": embed_pictures(prior, faces)}
        files = self.draft.write_tensors(REFERENCES, embeddings, {"prior": prior.digest})
        tables = figures.items()
        return files, {f"{table}.{key}": value for table, row in tables for key, value in row.items()}

    def _strangers_seed(self) -> int:
        return int(fact_of(self.draft.stages(), "curate", "seed", Whole()))

    def _tuned(self) -> Generator:
        """Return G_p of the next version."""
        generator = self.prior.on(CPU).generator()
        apply_difference(generator, self.draft.find(GENERATOR), self.prior.digest, self.draft.folder)
        return generator.to(self.prior.device.torch)

    def instant(self) -> None:
        """Train the net for instant answers; or only see to it that none of another generator is kept."""
        generator, settings = self.draft.digests().get(GENERATOR), self.settings.instant
        if generator is not None and settings is not None:
            inputs = _digest_of("instant 2", settings, self._fit(), generator)
            self._stage("instant", inputs, lambda: self._instant(settings))
        elif generator is None or self.draft.stages().get("instant", {}).get("generator") != generator:
            self.draft.forget("instant")

    def _instant(self, settings: InstantSettings) -> Done:
        from mystyle_cli.learn.exporting import instant_stage

        nets, faces = (self._tuned(), self.prior.perceptual()), self._faces(TRAIN)
        return instant_stage(self.draft, self.prior, nets, self._codes(), faces, settings, self.progress)

    def export(self) -> None:
        """Export the tuned generator to ONNX; or only see to it that no net of another one is kept."""
        digests = self.draft.digests()
        if GENERATOR not in digests:
            self.draft.forget("export")
            return
        everything = bool(self.draft.stages().get("export", {}).get("everything", False))
        inputs = export_inputs(self.prior.digest, digests[GENERATOR], everything)
        if self.settings.export:
            self._stage("export", inputs, lambda: self._export(everything))
        elif self.draft.stages().get("export", {}).get("inputs") != inputs:
            self.draft.forget("export")

    def _export(self, everything: bool) -> Done:
        named = self._tuned().cpu(), self.draft.digests()[GENERATOR]
        return export_stage(self.draft, self.prior, named, self._codes(), everything)[:2]

    def finish(self) -> None:
        """Do the stages after curation, and make the result the profile."""
        self.find_anchors()
        self.tune()
        self.measure()
        self.instant()
        self.export()
        current, settings = self.draft.current, self.settings
        records = self._records()
        new = settings.consent and (current is None or _consent_of(current) != _consent_of(settings))
        if self.draft.changed or current is None or new:
            self.draft.commit(self._manifest(records))

    def advice(self) -> list[str]:
        """Return what the photos lack, and what curation warned of. Call it before `finish`."""
        records, inside = self._records(), self.draft.folder
        faces = {
            r.sha256: read_pixels(self.draft.find(r.face), inside) for r in records if r.face is not None
        }
        return [*self.warnings, *advise(records, faces, self.prior.crop)]

    def _manifest(self, records: Sequence[PhotoRecord]) -> Manifest:
        """Return the next `profile.toml`."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        current, stages = self.draft.current, self.draft.stages()
        figures = tables_of(stages["measure"])
        if not figures and current is not None:  # measured before: the profile has the figures in tables
            figures = {**current.results, "identity": current.identity}
        plain = {key: value for key, value in stages["measure"].items() if "." not in key}
        consent, until = _consent_of(self.settings if self.settings.consent or current is None else current)
        return Manifest(
            prior=mark_of(self.prior),
            created=now if current is None else current.created,
            changed=now,
            made_by=__version__,
            consent=consent,
            consent_until=until,
            counts=counts_of(records),
            stages={**stages, "measure": plain},
            results={name: figures[name] for name in ("before", "after") if name in figures},
            identity=figures.get("identity", {}),
            files={stage: files for stage, files in self.draft.files().items() if files},
        )


def _consent_of(noted: LearnSettings | Manifest) -> tuple[str, str]:
    """Return what is noted about the person's consent, and until when it holds."""
    return noted.consent, noted.consent_until


def _digests(photos: Sequence[Path]) -> dict[Path, str]:
    """Return the sha256 of each file, or of its name where it cannot be read, which curation will say.

    Raises:
        DecodeError: a file is not there.
    """
    for path in photos:
        if not os.path.lexists(path):
            raise DecodeError(f"{path}: no such file", "Check the path.")
    return {path: digest_of_photo(path) for path in dict.fromkeys(photos)}


def _digest_of(*parts: object) -> str:
    """Return one digest of plain values and dataclasses, which their repr tells apart."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _loss_table(curve: Sequence[LossPoint]) -> bytes:
    """Return the loss curve as CSV, one line a pass."""
    names = [part.name for part in dataclasses.fields(LossPoint)]
    rows = [",".join(f"{value:.6g}" for value in dataclasses.astuple(point)) for point in curve]
    return "\n".join([",".join(names), *rows, ""]).encode()
