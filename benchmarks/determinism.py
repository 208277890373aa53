"""The same seed again, one photo at a time, on two threads, and on two again: how far from the same bytes?

A figure is the largest difference of any pixel's value, of 255; 0 is the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from benchmarks.measure import Report, Spread
from benchmarks.people import good_faces
from mystyle_cli.edit.photos import EditSettings, edit_photos
from mystyle_cli.nets.processors import settle, threads
from mystyle_cli.person.profile import Profile
from mystyle_cli.person.score import synthesise
from mystyle_cli.photos.pixels import Pixels, to_pixels
from mystyle_cli.restore.restore import restore
from mystyle_cli.restore.task import Quality, RestoreSettings, TaskName, default_settings
from mystyle_cli.restore.trials import comparison_settings, subjects
from mystyle_cli.sample.samples import draw
from mystyle_cli.tuning.settings import TuneSettings
from mystyle_cli.tuning.tuning import Reconstruction, tune
from tools.figures.common import NAMES, profile_of

PHOTOS: Final = 8
PASSES: Final = 2


class Way(NamedTuple):
    """How the same work is done.

    Args:
        threads: of the CPU.
        batch: photos at once.
    """

    threads: int
    batch: int


FIRST: Final = Way(1, PHOTOS)
SECOND: Final = Way(2, PHOTOS)
PAIRS: Final = {
    "again": (FIRST, FIRST),
    f"one photo at a time, not {PHOTOS}": (FIRST, Way(1, 1)),
    "two threads, not one": (FIRST, SECOND),
    "two threads, again": (SECOND, SECOND),
}


def run(rounds: int) -> Report:
    """Do every kind of work in each way; once is enough for a difference, so rounds do not count."""
    profile = profile_of(NAMES[0])
    return report(profile, good_faces(PHOTOS))


def report(profile: Profile, faces: np.ndarray) -> Report:
    """Compare the ways of each kind of work.

    Args:
        profile: the person, tuned, with an instant net.
        faces: float32 (B, 3, R, R) in [-1, 1], aligned crops.
    """
    before, figures = threads(), {}
    try:
        for name, work in _works(profile, faces).items():
            first = {way: _done(work, way) for way in (FIRST, SECOND)}
            for how, (one, other) in PAIRS.items():
                difference = int(np.abs(_done(work, other) - first[one]).max())
                figures[f"{name}, {how}"] = Spread(difference, difference, difference, 1)
    finally:
        settle(before)
    facts = {"photos": len(faces), "passes": PASSES}
    return Report("Largest difference of 255 between the same work done in two ways", figures, {}, facts)


def _done(work: Callable[[int], Sequence[Pixels]], way: Way) -> np.ndarray:
    """Do some work in a way; returns its pictures, flat."""
    settle(way.threads)
    return np.concatenate([picture.ravel() for picture in work(way.batch)]).astype(np.int16)


def _works(profile: Profile, faces: np.ndarray) -> dict[str, Callable[[int], Sequence[Pixels]]]:
    """Return what is done, by name, each with a number of photos at once."""
    crops = to_pixels(faces)
    works: dict[str, Callable[[int], Sequence[Pixels]]] = {
        "sample": lambda batch: draw(profile, range(PHOTOS)).pixels,
        "edit": lambda batch: _edited(profile, crops, batch),
        f"tuning, {PASSES} passes": lambda batch: _tuned(profile, faces),
    }
    qualities: tuple[Quality, ...] = ("instant", "fast", "full")
    tasks: tuple[TaskName, ...] = ("upscale", "inpaint")
    for task in tasks:
        for quality in qualities:
            works[f"{task} {quality}"] = lambda batch, task=task, quality=quality: _restored(  # type: ignore[misc]
                profile, crops, task, quality, batch
            )
    return works


def _restored(profile: Profile, crops: Pixels, task: TaskName, quality: Quality, batch: int) -> list[Pixels]:
    names = [f"photo {number}" for number in range(len(crops))]
    settings = replace(comparison_settings(task, default_settings(task, quality)), batch=batch)
    degraded = subjects(crops, task, names, profile.prior.crop)
    return [_picture(found.face) for found in restore(profile, degraded, task, settings)]


def _edited(profile: Profile, crops: Pixels, batch: int) -> list[Pixels]:
    from mystyle_cli.find.locate import Subject

    direction = next(iter(profile.prior.directions().values()))
    how = RestoreSettings(aligned=True, force=True, batch=batch)
    found = edit_photos(
        profile, [Subject(crop) for crop in crops], [[(direction, 1.0)]], EditSettings(restore=how)
    )
    return [_picture(edited.frames[0].face) for edited in found]


def _tuned(profile: Profile, faces: np.ndarray) -> Pixels:
    """Tune for a few passes, and render the anchors; how many photos are at once is tuning's own matter."""
    prior = profile.prior
    generator, anchors = prior.generator(), prior.encode(faces)
    how = TuneSettings(passes=PASSES, batch=4, precision="float32")
    tune(Reconstruction(generator, anchors, faces, prior.perceptual()), how)
    return to_pixels(synthesise(generator.frozen(), anchors).clip(-1, 1))


def _picture(pixels: Pixels | None) -> Pixels:
    if pixels is None:
        raise RuntimeError("a photo failed")
    return pixels
