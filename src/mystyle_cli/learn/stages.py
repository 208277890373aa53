"""The stages from photos to profile, each done once for its inputs. Source: sec. 3.1.

Each takes what the ones before it handed on (`handed.py`), and hands on what it made.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from mystyle_cli import __version__
from mystyle_cli.curate.curate import Known, curate
from mystyle_cli.curate.examine import Criteria
from mystyle_cli.errors import DecodeError, ProfileError
from mystyle_cli.files.documents import Text, Whole
from mystyle_cli.instant.net import FILE as INSTANT_NET
from mystyle_cli.instant.net import InstantNet, InstantSettings
from mystyle_cli.learn.betas import Restorer, beta_curves
from mystyle_cli.learn.exporting import export_inputs, export_stage, instant_stage
from mystyle_cli.learn.figures import identity_statistics, reconstruction_figures
from mystyle_cli.learn.handed import Handed, digest_of
from mystyle_cli.learn.merging import merge_anchors, merge_photos, photo_digests
from mystyle_cli.learn.settings import LearnSettings
from mystyle_cli.nets.sessions import open_session
from mystyle_cli.person.difference import store_difference
from mystyle_cli.person.layout import (
    ANCHORS,
    CONTACT_SHEET,
    GENERATOR,
    LOSS_TABLE,
    PHOTOS,
    REFERENCES,
)
from mystyle_cli.person.manifest import Manifest, Scalar, fact_of, mark_of
from mystyle_cli.person.profile import Profile
from mystyle_cli.person.reference import (
    HELD_OUT,
    TRAIN,
    Pictures,
    counts_of,
    number_faces,
    png_of,
    read_face,
    refuse_no_photos,
    write_records,
)
from mystyle_cli.person.score import embed_pictures
from mystyle_cli.photos.decode import digests_of
from mystyle_cli.progress import Progress, Step
from mystyle_cli.restore.betas import TABLES
from mystyle_cli.store.draft import Draft, Figures
from mystyle_cli.tuning.anchors import find_anchors
from mystyle_cli.tuning.settings import LossPoint, TuneResult, TuneSettings
from mystyle_cli.tuning.tuning import METHOD, Reconstruction, plan_for, steps_taken, tune

if TYPE_CHECKING:
    from mystyle_cli.curate.records import PhotoRecord
    from mystyle_cli.photos.tags import Box
    from mystyle_cli.prior.registry import Prior


# before a person's name, what a table of their own is called among the figures of several people
OF: Final = "of "


@dataclasses.dataclass(frozen=True)
class Done:
    """What a stage wrote down."""

    files: Mapping[str, str]  # digests by name of the files that it wrote
    facts: Mapping[str, Scalar]  # settings and costs worth keeping
    figures: Figures | None = None


class Stages:
    """The stages of one command on one draft."""

    def __init__(self, draft: Draft, prior: Prior, settings: LearnSettings, progress: Progress) -> None:
        self.draft, self.prior = draft, prior.on(settings.device)
        self.settings, self.progress = settings, progress
        self.seed = settings.seed
        self.worked: list[str] = []

    def _stage(self, stage: str, inputs: str, work: Callable[[], Done]) -> None:
        """Do a stage unless its result for these inputs is at hand."""
        if self.draft.done(stage, inputs):
            return
        started = time.monotonic()
        done = work()
        seconds = round(time.monotonic() - started, 2)
        self.draft.finish(stage, inputs, done.files, {"seconds": seconds, **done.facts}, done.figures)
        self.worked.append(stage)

    def curate_all(self, photos: Sequence[Path]) -> Handed:
        """Curate a folder of photos from nothing."""
        digests = _digests(photos)
        inputs = self._curate_inputs(digests.values(), self._regions(digests))
        current = self.draft.current
        changed = current is not None and current.stages.get("curate", {}).get("inputs") != inputs
        if changed and not self.settings.replace:
            raise ProfileError(
                "the profile was made of other photos, or with another prior or other settings of curation",
                "Add photos with `mystyle ingest`, choose another name, or replace it with --replace.",
            )
        handed = Handed(self.draft, self.prior)
        self._stage("curate", inputs, lambda: self._curate(handed, digests, ()))
        return handed

    def curate_more(self, profile: Profile, photos: Sequence[Path]) -> Handed:
        """Curate new photos together with those of a profile, divided by the same seed."""
        profile.require_faces()
        self.seed = profile.manifest.fact("curate", "seed", Whole())
        seen = {record.sha256 for record in profile.records}
        new = {path: digest for path, digest in _digests(photos).items() if digest not in seen}
        if not new:
            return self.keep_curation(profile)
        handed = Handed(self.draft, self.prior)
        inputs = self._curate_inputs([*seen, *new.values()], self._regions(new))
        self._stage("curate", inputs, lambda: self._curate(handed, new, profile.records))
        return handed

    def keep_curation(self, profile: Profile) -> Handed:
        """Take the curation of a profile as it is; what was begun for other photos is dropped.

        Raises:
            ProfileError: its photos are not in it.
        """
        profile.require_faces()
        # which forgets what other inputs began
        self.draft.done("curate", profile.manifest.fact("curate", "inputs", Text()))
        return Handed(self.draft, self.prior)

    def take_over(self, members: Sequence[Profile]) -> Handed:
        """Take the photos and anchors of several people's profiles over, in the place of curation and search.

        The profiles are only read.

        Raises:
            ProfileError: the profile was made of other people's, or a file of a member is damaged.
        """
        people, current = [member.name for member in members], self.draft.current
        if current is not None and list(current.members) != people and not self.settings.replace:
            raise ProfileError(
                "there is a profile of that name, and it holds others",
                "Choose another name, or replace it with --replace.",
            )
        handed = Handed(self.draft, self.prior)
        inputs = digest_of("merge 1", self.prior.digest, self.seed, photo_digests(members))
        self._stage(
            "curate", inputs, lambda: Done(*merge_photos(self.draft, members, self.seed, self.progress))
        )
        self._stage("anchors", self._anchor_inputs(handed), lambda: self._take_anchors(handed, members))
        return handed

    def _take_anchors(self, handed: Handed, members: Sequence[Profile]) -> Done:
        anchors, files, facts = merge_anchors(self.draft, members, handed.names)
        handed.take_anchors(anchors)
        return Done(files, facts)

    def _curate_inputs(self, digests: Iterable[str], regions: Mapping[str, tuple[Box, ...]]) -> str:
        reference = self.settings.reference
        return digest_of(
            # the number rises when the stage works otherwise: what was made before is then made again
            "curate 1",
            self.prior.digest,
            self.settings.curation,
            self.seed,
            None if reference is None else _digests([reference])[reference],
            sorted(set(digests)),  # by content: neither names nor order count
            *([sorted(self.settings.keep)] if self.settings.keep else []),
            *([sorted(regions.items())] if regions else []),
        )

    def _regions(self, digests: Mapping[Path, str]) -> dict[str, tuple[Box, ...]]:
        """Return where the person is tagged on photos, by their digests; copies may be tagged differently."""
        found: dict[str, tuple[Box, ...]] = {}
        for path, boxes in self.settings.regions.items():
            if boxes and path in digests:
                found[digests[path]] = (*found.get(digests[path], ()), *boxes)
        return found

    def _curate(self, handed: Handed, photos: Mapping[Path, str], before: Sequence[PhotoRecord]) -> Done:
        prior, folder = self.prior, self.draft.folder
        crops = {
            record.sha256: read_face(folder / record.face, prior.resolution, folder)
            for record in before
            if record.face is not None
        }
        by = Criteria(
            prior.resolution,
            prior.crop,
            self.settings.curation,
            prior.embed if "identity" in prior.roles else None,
            prior.cover if "cover" in prior.roles else None,
            self._regions(photos),
        )
        known = Known(before, crops, self.settings.reference, self.settings.keep)
        curation = curate(photos, by, known, self.seed, self.progress)
        crops |= {digest: face.pixels for digest, face in curation.faces.items()}
        records = number_faces(curation.records, before)
        refuse_no_photos(records)
        files = self.draft.write(PHOTOS, write_records(records))
        for record in records:
            if record.face is not None:
                files |= self.draft.write(record.face, png_of(crops[record.sha256]))
        files |= self.draft.write(CONTACT_SHEET, png_of(curation.sheet))
        handed.take_photos(records, crops, curation.advice)
        return Done(files, {"seed": self.seed, **counts_of(records)})

    def finish(self, handed: Handed) -> None:
        """Do the stages after curation, and make the result the profile."""
        self._stage("anchors", self._anchor_inputs(handed), lambda: self._find_anchors(handed))
        self._tune_or_drop(handed)
        self._stage("measure", self._measure_inputs(handed), lambda: self._measure(handed))
        self._instant_or_drop(handed)
        self._betas_or_drop(handed)
        self._export_or_drop(handed)
        current, settings = self.draft.current, self.settings
        new = settings.consent and (current is None or _consent_of(current) != _consent_of(settings))
        if self.draft.changed or current is None or new:
            self.draft.commit(self._manifest(handed))

    def _anchor_inputs(self, handed: Handed) -> str:
        # settings that are not used must not make the anchors seem changed
        optimised = None if "encoder" in self.prior.roles else self.settings.anchors
        return digest_of("anchors 1", optimised, handed.set_digest(TRAIN))

    def _find_anchors(self, handed: Handed) -> Done:
        anchors = find_anchors(handed.train, self.prior, self.settings.anchors, self.progress)
        notes = {"names": json.dumps(handed.names)}  # safetensors keeps text only
        files = self.draft.write_tensors(ANCHORS, {"anchors": anchors.codes}, notes)
        handed.take_anchors(anchors.codes)
        rank = anchors.rank
        return Done(files, {"method": anchors.method, "count": rank.count, "rank": rank.rank})

    def _tune_or_drop(self, handed: Handed) -> None:
        """Tune the generator on the reference set; or only see to it that none is kept that does not fit."""
        if self.settings.tune:
            self._stage("tune", self._tune_inputs(handed), lambda: self._tune(handed))
        elif self.draft.stages().get("tune", {}).get("fit") != handed.fit():
            self.draft.forget("tune")

    def _tune_inputs(self, handed: Handed) -> str:
        # how often it is saved changes no result
        settings = dataclasses.replace(self._tuning(handed), save_seconds=0.0)
        return digest_of("tune 2", METHOD, settings, self.settings.whole, handed.fit())

    def steps_taken(self, handed: Handed) -> int | None:
        """Return how many steps of the tuning an interrupted command has taken; None where all are."""
        if not self.draft.done("anchors", self._anchor_inputs(handed)):
            return 0
        if self.draft.done("tune", self._tune_inputs(handed)):
            return None
        state, nets = self.draft.work / "tune", (self.prior.generator(), self.prior.perceptual())
        objective = Reconstruction(nets[0], handed.anchors, handed.train.pixels, nets[1])
        return steps_taken(objective, self._tuning(handed), state)

    def _tuning(self, handed: Handed) -> TuneSettings:
        """Return how so many photos are tuned on."""
        return self.settings.tuning.for_photos(len(handed.train.pixels))

    def assist(self, handed: Handed) -> None:
        """Take part in the tuning that the first of several processes leads, and write nothing."""
        self._tuned(handed, None)

    def _tuned(self, handed: Handed, state: Path | None) -> TuneResult:
        import torch

        settings, ranks = self._tuning(handed), self.settings.ranks
        # which makes convolutions faster (docs/notes/performance.md)
        generator = self.prior.generator().to(memory_format=torch.channels_last)
        perceptual, faces = self.prior.perceptual(), handed.train.pixels
        plan = plan_for(generator, perceptual, len(faces), settings, self.prior.device, ranks)
        objective = Reconstruction(generator, handed.anchors, faces, perceptual)
        return tune(objective, settings, state, self.progress, plan, ranks)

    def _tune(self, handed: Handed) -> Done:
        settings, whole = self._tuning(handed), self.settings.whole
        self.settings.ranks.call(self.prior.device.kind)
        result = self._tuned(handed, self.draft.work / "tune")
        stored = store_difference(self.prior, result.state, handed.anchors, whole=whole)
        files = self.draft.write_tensors(GENERATOR, stored.tensors, stored.notes)
        curve = self.draft.write(LOSS_TABLE, _loss_table(result.curve))
        facts = dataclasses.asdict(settings)
        del facts["save_seconds"]
        facts |= {
            "whole": whole,
            "generator_bytes": self.draft.find(GENERATOR).stat().st_size,
            "fit": handed.fit(),
            "precision": result.precision,
            "tuning_seconds": round(result.seconds, 2),
            "last_loss": round(result.curve[-1].loss, 6),
            "loss_table": curve[LOSS_TABLE],
        }
        return Done(files | curve, facts)

    def _strangers_seed(self) -> int:
        # the curation's, not this command's: a profile tuned anew is measured against the same strangers
        return int(fact_of(self.draft.stages(), "curate", "seed", Whole()))

    def _measure_inputs(self, handed: Handed) -> str:
        seed, generator = self._strangers_seed(), self.draft.digests().get(GENERATOR)
        return digest_of(
            "measure 2", seed, handed.fit(), handed.set_digest(HELD_OUT), generator, *handed.hulls
        )

    def _measure(self, handed: Handed) -> Done:
        """Measure reconstruction before and after tuning (C.3), and the person's own ID scores (4.1, C.6)."""
        prior, faces, held_out = self.prior, handed.train, handed.held_out
        codes = np.zeros((0, prior.w_dim), np.float32)
        if "encoder" in prior.roles and len(held_out):
            codes = prior.encode(held_out[:])
        sets = (handed.anchors, faces), (codes, held_out)
        perceptual = prior.perceptual()
        figures = {"before": reconstruction_figures(prior.generator(), prior, perceptual, *sets)}
        self.progress(Step("measure", 1, 3))
        if GENERATOR in self.draft.digests():
            figures["after"] = reconstruction_figures(handed.generator, prior, perceptual, *sets)
        self.progress(Step("measure", 2, 3))
        figures |= self._identities(handed)
        self.progress(Step("measure", 3, 3))
        references = embed_pictures(prior, faces)
        files = self.draft.write_tensors(REFERENCES, {"embeddings": references}, {"prior": prior.digest})
        handed.take_references(references)
        return Done(files, {}, figures)

    def _identities(self, handed: Handed) -> dict[str, dict[str, float]]:
        """Return the statistics of ID scores, of the person or of each of several, by their table's name."""
        seed, train, held_out = self._strangers_seed(), handed.train, handed.held_out
        if not handed.hulls:
            return {"identity": identity_statistics(self.prior, train, held_out, seed)}
        none = np.zeros(0, np.int64)
        return {
            f"{OF}{person}": identity_statistics(
                self.prior,
                Pictures(train.pixels[rows]),
                Pictures(held_out.pixels[handed.held_out_rows.get(person, none)]),
                seed,
            )
            for person, rows in handed.hulls.items()
        }

    def _instant_or_drop(self, handed: Handed) -> None:
        """Train the net for instant answers; or only see to it that none of another generator is kept."""
        generator, settings = self.draft.digests().get(GENERATOR), self.settings.instant
        if len(handed.train) == 1:
            settings = None  # where there is nothing to mix there is nothing to answer
        if generator is not None and settings is not None:
            inputs = digest_of("instant 2", settings, handed.fit(), generator)
            self._stage("instant", inputs, lambda: self._instant(handed, settings))
        elif generator is None or self.draft.stages().get("instant", {}).get("generator") != generator:
            self.draft.forget("instant")

    def _instant(self, handed: Handed, settings: InstantSettings) -> Done:
        from mystyle_cli.instant.examples import Material

        hulls = list(handed.hulls.values())
        material = Material(self.prior, handed.generator, handed.anchors, handed.train, hulls)
        return Done(*instant_stage(self.draft, material, self.prior.perceptual(), settings, self.progress))

    def _betas_or_drop(self, handed: Handed) -> None:
        """Ask the held-out photos which beta suits them; without any, or a generator, nothing is advised.

        Nor is it where several people are held, each of whom has a hull and would need a curve of their own,
        or without the net from whose answers short searches start.
        """
        digests = self.draft.digests()
        if not {GENERATOR, INSTANT_NET} <= digests.keys() or not handed.photos(HELD_OUT) or handed.hulls:
            self.draft.forget("betas")
            return
        nets = digests[GENERATOR], digests[INSTANT_NET]
        inputs = digest_of("betas 2", handed.fit(), handed.set_digest(HELD_OUT), nets)
        self._stage("betas", inputs, lambda: self._betas(handed))

    def _betas(self, handed: Handed) -> Done:
        return Done({}, {}, beta_curves(self._restorer(handed), handed.held_out, self.progress))

    def _restorer(self, handed: Handed) -> Restorer:
        prior = self.prior
        session = open_session(self.draft.find(INSTANT_NET), prior.device, helper=True)
        instant = InstantNet(session, prior, handed.anchors)
        nets = handed.generator, prior.perceptual()
        return Restorer(prior, *nets, handed.anchors, handed.references, instant)

    def _export_or_drop(self, handed: Handed) -> None:
        """Export the tuned generator to ONNX; or only see to it that no net of another one is kept."""
        generator = self.draft.digests().get(GENERATOR)
        if generator is None:
            self.draft.forget("export")
            return
        # exported in full once, it stays so
        everything = bool(self.draft.stages().get("export", {}).get("everything", False))
        inputs = export_inputs(self.prior.digest, generator, everything)
        if self.settings.export:
            self._stage("export", inputs, lambda: self._export(handed, generator, everything))
        elif self.draft.stages().get("export", {}).get("inputs") != inputs:
            self.draft.forget("export")

    def _export(self, handed: Handed, digest: str, everything: bool) -> Done:
        generator = handed.generator.cpu(), digest  # the last to work with it
        files, facts, _ = export_stage(self.draft, self.prior, generator, handed.anchors, everything)
        return Done(files, facts)

    def _manifest(self, handed: Handed) -> Manifest:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        current = self.draft.current
        figures = self.draft.figures("measure")
        if figures is None:  # measured before: the profile has the figures
            figures = {} if current is None else _figures_of(current)
        consent, until = _consent_of(self.settings if self.settings.consent or current is None else current)
        return Manifest(
            prior=mark_of(self.prior),
            created=now if current is None else current.created,
            changed=now,
            made_by=__version__,
            consent=consent,
            consent_until=until,
            counts=counts_of(handed.records),
            stages=self.draft.stages(),
            results={
                **{name: figures[name] for name in ("before", "after") if name in figures},
                **self._curves(),
            },
            identity=figures.get("identity", {}),
            files={stage: files for stage, files in self.draft.files().items() if files},
            members={person: figures[f"{OF}{person}"] for person in handed.hulls},
        )

    def _curves(self) -> Figures:
        """Return what the held-out photos said of beta, now or before."""
        found, current = self.draft.figures("betas"), self.draft.current
        if found is None and current is not None and "betas" in self.draft.stages():
            found = {name: current.results[name] for name in TABLES if name in current.results}
        return found or {}


def _figures_of(current: Manifest) -> Figures:
    """Return what was measured of a profile as it is, by the names that the stage gives it."""
    people = {f"{OF}{person}": table for person, table in current.members.items()}
    return {**current.results, "identity": current.identity, **people}


def _consent_of(noted: LearnSettings | Manifest) -> tuple[str, str]:
    return noted.consent, noted.consent_until


def _digests(photos: Sequence[Path]) -> dict[Path, str]:
    """Return the sha256 of each file, or of its name where it cannot be read, which curation will say.

    Raises:
        DecodeError: a file is not there.
    """
    # a link that leads nowhere is there, too: curation says what is wrong with it
    for path in photos:
        if not os.path.lexists(path):
            raise DecodeError(f"{path}: no such file", "Check the path.")
    return digests_of(photos)


def _loss_table(curve: Sequence[LossPoint]) -> bytes:
    names = [part.name for part in dataclasses.fields(LossPoint)]
    rows = [",".join(f"{value:.6g}" for value in dataclasses.astuple(point)) for point in curve]
    return "\n".join([",".join(names), *rows, ""]).encode()
