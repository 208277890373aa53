"""A damaged clip of a rendered person restored, against its frames restored one by one as photos.

The person is MYSTYLE_VIDEO_NAME of the store in MYSTYLE_VIDEO_STORE: one of the demonstration people, or s0,
s1, .. who are drawn here; the clip lasts MYSTYLE_VIDEO_SECONDS at MYSTYLE_VIDEO_RATE frames a second, and the
quality is MYSTYLE_VIDEO_QUALITY.
Clips and pictures stay in figures/.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, get_args

import av
import numpy as np
from scipy.ndimage import gaussian_filter1d

from mystyle_cli.analysis.metrics import lpips, psnr
from mystyle_cli.errors import check_choice
from mystyle_cli.faces.align import FFHQ, face_quad, warp
from mystyle_cli.find.locate import Subject
from mystyle_cli.person.profile import Profile
from mystyle_cli.photos.pixels import Pixels, grid, resize, to_unit
from mystyle_cli.report.report import Cell, Report, Table, Target
from mystyle_cli.restore.engine import Answering, open_engine
from mystyle_cli.restore.restore import restore_with
from mystyle_cli.restore.task import Quality, default_settings
from mystyle_cli.store.store import Store
from mystyle_cli.video.video import restore_clip
from mystyle_cli.video.writing import CODER
from tools.figures.common import OUT, report_progress, save_picture
from tools.portraits.film import film
from tools.portraits.identity import draw_traits
from tools.portraits.people import PEOPLE, Person

STORE: Final = Path(os.environ.get("MYSTYLE_VIDEO_STORE", str(OUT / "store")))
NAME: Final = os.environ.get("MYSTYLE_VIDEO_NAME", "ada")
SECONDS: Final = float(os.environ.get("MYSTYLE_VIDEO_SECONDS", "10"))
QUALITY: Final = os.environ.get("MYSTYLE_VIDEO_QUALITY", "instant")
RATE: Final = int(os.environ.get("MYSTYLE_VIDEO_RATE", "25"))
BLUR, NOISE, CODED = 3.2, 8.0, {"crf": "24", "preset": "medium"}
"""What the clip suffers: a blur in pixels, noise of 255, and H.264."""

SHOWN: Final = 8  # frames on the strip
CLIP, APART, OURS = "clip", "frame by frame", "restore clip"


@dataclass(frozen=True)
class Scores:
    """What was measured of frames."""

    flicker: np.ndarray  # (T - 1,), by how much more neighbours differ than the truth's
    lpips: np.ndarray  # (T,), to the truth
    psnr: np.ndarray
    truth: np.ndarray  # ID to the truth
    reference: np.ndarray  # to the nearest reference photo


def make() -> Report:
    """Render, damage and restore a clip both ways, and compare."""
    check_choice("MYSTYLE_VIDEO_QUALITY", QUALITY, Quality)
    profile = Store(STORE).open(NAME)
    portraits = list(film(person_of(NAME), SECONDS, rate=RATE))
    truth = np.stack([one.pixels for one in portraits])
    quads = [face_quad(one.landmarks, FFHQ) for one in portraits]
    del portraits
    source = write(OUT / f"video-{NAME}-clip.mp4", damaged(truth), CODED)
    quality = next(one for one in get_args(Quality) if one == QUALITY)
    engine = open_engine(profile, replace(default_settings("restore", quality), force=True, grain=False))
    began = time.process_time()
    made = restore_clip(
        engine, source, OUT / f"video-{NAME}-{QUALITY}.mp4", "restore", progress=report_progress
    )
    ours_s = time.process_time() - began
    frames = {CLIP: read(source), OURS: read(OUT / f"video-{NAME}-{QUALITY}.mp4")}
    began = time.process_time()
    path = OUT / f"video-{NAME}-{QUALITY}-apart.mp4"
    frames[APART] = read(write(path, apart(engine, frames[CLIP]), CODER))
    apart_s = time.process_time() - began
    scores = {name: score(profile, made_, truth, quads) for name, made_ in frames.items()}
    show(frames, truth, quads)
    rows: list[list[Cell]] = [
        [name, *(f"{one.mean():.4f}" for one in vars(scores[name]).values())] for name in (CLIP, APART, OURS)
    ]
    damage = made.damage
    assert damage is not None
    return Report(
        "video",
        f"{SECONDS:g} s of {NAME} at {RATE} frames a second, {QUALITY}: a clip against its frames one by one",
        [
            Table("frames", ["what", "flicker", "LPIPS", "PSNR", "ID to the truth", "ID to a photo"], rows),
            Table(
                "time on one core",
                ["what", "CPU seconds a frame", "frames a second"],
                [
                    [name, f"{s / len(truth):.2f}", f"{len(truth) / s:.2f}"]
                    for name, s in ((APART, apart_s), (OURS, ours_s))
                ],
            ),
        ],
        targets(scores),
        {
            "flicker": "LPIPS of neighbouring frames beyond the truth's, on the face's window",
            "damage": f"blur {BLUR} px, noise {NOISE:g}, H.264 at {CODED['crf']}; found blur "
            f"{damage.sigma * made.side / engine.resolution:.2f} px",
            "pictures": f"figures/video-{NAME}-{QUALITY}.png: truth, clip, frame by frame, ours; below, one "
            "row of pixels through the eyes of each, over time",
        },
    )


def targets(scores: dict[str, Scores]) -> list[Target]:
    """Return what must hold: steadier by half, and no worse."""
    ours, theirs = scores[OURS], scores[APART]
    share = float(ours.flicker.mean() / theirs.flicker.mean())
    return [
        Target("flicker, of frame by frame", share, "at most", 0.5),
        Target("LPIPS lower by", float(theirs.lpips.mean() - ours.lpips.mean()), "at least", 0.0),
        Target("ID to the truth higher by", float(ours.truth.mean() - theirs.truth.mean()), "at least", 0.0),
    ]


def person_of(name: str) -> Person:
    """Return a demonstration person, or one of those who are drawn for measurements."""
    for person in PEOPLE:
        if person.name == name:
            return person
    seed = 930_000 + int(name.removeprefix("s"))
    return Person(name, seed, draw_traits(seed), "")


def damaged(frames: Pixels) -> Pixels:
    """Return frames blurred and noisy; every frame has noise of its own."""
    random = np.random.default_rng(0)
    made = []
    for frame in frames:
        soft = gaussian_filter1d(gaussian_filter1d(frame.astype(np.float32), BLUR, 0), BLUR, 1)
        made.append(np.rint(soft + random.normal(0, NOISE, soft.shape)).clip(0, 255).astype(np.uint8))
    return np.stack(made)


def write(path: Path, frames: Pixels, coder: dict[str, str]) -> Path:
    """Write frames as a clip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options=dict(coder))
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def read(path: Path) -> Pixels:
    """Return the frames of a clip."""
    with av.open(str(path)) as container:
        return np.stack([one.to_ndarray(format="rgb24") for one in container.decode(video=0)])


def apart(engine: Answering, frames: Pixels) -> Pixels:
    """Return frames restored as if each were a photo; one that fails stays."""
    subjects = [Subject(frame, name=str(number)) for number, frame in enumerate(frames)]
    answers = restore_with(engine, subjects, "restore", report_progress)
    return np.stack(
        [frame if one.pixels is None else one.pixels for frame, one in zip(frames, answers, strict=True)]
    )


def score(profile: Profile, frames: Pixels, truth: Pixels, quads: Sequence[np.ndarray]) -> Scores:
    """Measure frames on the windows in which the truth has its face."""
    prior = profile.prior
    perceptual, size = prior.perceptual(), prior.resolution
    flicker, distance, noise, own, reference = [], [], [], [], []
    for number, quad in enumerate(quads):
        near = slice(number, min(number + 2, len(truth)))
        made, wanted = (
            to_unit(np.stack([warp(one, quad, size) for one in rows[near]])) for rows in (frames, truth)
        )
        if len(made) == 2:
            change = [float(lpips(perceptual, one[:1], one[1:])[0]) for one in (made, wanted)]
            flicker.append(max(change[0] - change[1], 0.0))
        distance.append(float(lpips(perceptual, made[:1], wanted[:1])[0]))
        noise.append(float(psnr(made[:1], wanted[:1])[0]))
        own.append(float((prior.embed(made[:1]) * prior.embed(wanted[:1])).sum()))
        reference.append(float(profile.id_score(made[:1])[0]))
    return Scores(*map(np.array, (flicker, distance, noise, own, reference)))


def show(frames: dict[str, Pixels], truth: Pixels, quads: Sequence[np.ndarray]) -> None:
    """Save faces at some times, and below them how a row of pixels through the eyes goes on over time."""
    chosen = np.linspace(0, len(truth) - 1, SHOWN).round().astype(int)
    rows = (truth, frames[CLIP], frames[APART], frames[OURS])
    faces = np.stack([warp(row[at], quads[at], 160) for row in rows for at in chosen])
    strip = grid(faces, SHOWN, 0)
    y = int(np.mean([quad.mean(axis=0)[1] for quad in quads]))
    slices = [resize(row[:, y], (len(truth), strip.shape[1] // len(rows)), "area") for row in rows]
    across = np.concatenate(slices, axis=1)
    strip = strip[:, : across.shape[1]]
    save_picture(f"video-{NAME}-{QUALITY}", np.concatenate([strip, across]))
