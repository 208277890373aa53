"""A store with one profile of a tiny prior, made without photos or tuning, for tests of what uses one."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from mystyle_cli.curate.dates import Dates
from mystyle_cli.curate.records import PhotoRecord, Reason
from mystyle_cli.instant.examples import Material
from mystyle_cli.instant.net import InstantSettings
from mystyle_cli.learn.exporting import export_stage, instant_stage
from mystyle_cli.learn.learn import date
from mystyle_cli.person.difference import store_difference
from mystyle_cli.person.layout import ANCHORS, CONTACT_SHEET, GENERATOR, PHOTOS
from mystyle_cli.person.manifest import Manifest, mark_of
from mystyle_cli.person.reference import read_faces
from mystyle_cli.photos.pixels import to_unit
from mystyle_cli.prior.registry import open_prior
from mystyle_cli.progress import silent
from mystyle_cli.store.store import Store

TRAIN, HELD_OUT = 6, 2
YEARS = (1990, 1991, 1992, 2010, 2011, 2012)  # of the former


def picture(seed: int, size: int) -> np.ndarray:
    """Return a smooth random picture uint8 (size, size, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))


def png(pixels: np.ndarray) -> bytes:
    """Return the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def looking_like(who: int) -> Callable[[int, int], np.ndarray]:
    """Return what draws photos of one person, as `picture` draws those of nobody: they are much alike."""

    def draw(seed: int, size: int) -> np.ndarray:
        mixed = 0.85 * picture(1000 + who, size) + 0.15 * picture(seed, size)
        return np.asarray(mixed.round().astype(np.uint8))

    return draw


def make_store(
    root: Path,
    prior_folder: Path,
    name: str = "ada",
    draw: Callable[[int, int], np.ndarray] = picture,
    seed: int = 1,
    *,
    known: float | None = None,
) -> Store:
    """Make a store with one profile: eight faces, random anchors, a generator a little off the prior's.

    Args:
        draw: the photo of a number and a size.
        seed: of the anchors.
        known: the least ID score of a person whom the prior knows: anchors are its encoder's codes of the
            photos, and it draws them as it is.
    """
    prior = open_prior(prior_folder)
    store = Store(root)
    rng = np.random.default_rng(seed)
    with store.locked(name):
        draft = store.draft(name)
        records, faces = [], {}
        for number in range(TRAIN + HELD_OUT):
            file = f"faces/{number + 1:04}.png"
            faces |= draft.write(file, png(draw(number, prior.resolution)))
            sha = hashlib.sha256(str(number).encode()).hexdigest()
            split = "train" if number < TRAIN else "held-out"
            records.append(PhotoRecord(sha, f"{number}.jpg", Reason.KEPT, "good", {}, file, split))
        records.append(PhotoRecord("0" * 64, "blur.jpg", Reason.LOW_QUALITY, "it is blurred"))
        lines = "".join(json.dumps(record.to_json()) + "\n" for record in records)
        faces |= draft.write(PHOTOS, lines.encode()) | draft.write(CONTACT_SHEET, png(picture(0, 64)))
        draft.finish("curate", "c", faces, {"seconds": 1.0, "seed": 0})
        anchors = rng.normal(size=(TRAIN, prior.w_dim)).astype(np.float32)
        if known is not None:
            shown = np.stack([draw(number, prior.resolution) for number in range(TRAIN)])
            anchors = prior.encode(to_unit(shown))
        names = json.dumps([record.sha256 for record in records[:TRAIN]])
        draft.finish("anchors", "a", draft.write_tensors(ANCHORS, {"anchors": anchors}, {"names": names}), {})
        generator = prior.generator()
        tuned = {
            key: value + (0.01 if known is None else 0.0)
            for key, value in generator.named_parameters()
            if key.startswith("synthesis.")
        }
        change = store_difference(prior, tuned, anchors)
        draft.finish(
            "tune", "t", draft.write_tensors(GENERATOR, change.tensors, change.notes), {"seconds": 2.0}
        )
        draft.commit(
            Manifest(
                prior=mark_of(prior),
                created="2026-01-01T00:00:00+00:00",
                changed="2026-01-01T00:00:00+00:00",
                made_by="0.1.0",
                consent="a test",
                counts={"photos": 9, "kept": 8, "refused": 1, "train": TRAIN, "held_out": HELD_OUT},
                stages=draft.stages(),
                results={"before": {"lpips": 0.5}, "after": {"lpips": 0.25}},
                identity={"threshold": -1.0 if known is None else known},
                files=draft.files(),
            )
        )
    return store


def date_photos(store: Store, name: str, years: Sequence[int | None] = YEARS) -> None:
    """Write down when the photos to learn from were taken."""
    photos = store.open(name).photos()
    date(store, name, Dates({one.sha256: year for one, year in zip(photos, years, strict=True)}, "test"))


def add_instant(store: Store, name: str, settings: InstantSettings) -> None:
    """Train the net that answers at once, as learning does at its end."""
    profile = store.open(name)
    with store.locked(name):
        draft = store.draft(name)
        generator, perceptual = profile.generator(), profile.prior.perceptual()
        faces = read_faces(
            [profile.file(str(one.face)) for one in profile.photos()], profile.prior.resolution
        )
        material = Material(profile.prior, generator, profile.anchors(), faces)
        done = instant_stage(draft, material, perceptual, settings, silent)
        draft.finish("instant", "i", *done)
        draft.commit(replace(profile.manifest, stages=draft.stages(), files=draft.files()))


def add_export(store: Store, name: str) -> None:
    """Export the generator as learning does at its end, without the weights that are elsewhere."""
    profile = store.open(name)
    with store.locked(name):
        draft = store.draft(name)
        generator = profile.generator(), profile.manifest.digests()[GENERATOR]
        files, facts, _ = export_stage(draft, profile.prior, generator, profile.anchors(), False)
        draft.finish("export", "e", files, facts)
        draft.commit(replace(profile.manifest, stages=draft.stages(), files=draft.files()))
