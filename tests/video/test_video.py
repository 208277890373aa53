"""Clips through restoring: the person better, everything else as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from mystyle_cli.person.profile import Profile
from mystyle_cli.photos.pixels import resize
from mystyle_cli.prior.registry import open_prior
from mystyle_cli.progress import Step
from mystyle_cli.projection.settings import ProjectionSettings
from mystyle_cli.restore.engine import open_engine
from mystyle_cli.restore.task import RestoreSettings
from mystyle_cli.video.video import restore_clip
from tests.support.clips import (
    TICKS,
    moving,
    packets_of,
    read_clip,
    scenery,
    write_clip,
)
from tests.support.portraits import aligned
from tests.support.tiny_store import make_store
from tools.portraits import PRIOR

FEW = RestoreSettings(projection=ProjectionSettings(steps=2, beta=0.03))
PERSON, OTHERS = 6, 3
"""Frames with the person, and those after the cut."""


@pytest.fixture(scope="module")
def profile(tmp_path_factory, tiny_prior):
    """A profile of a 32 px prior with random weights, which takes anybody for its person."""
    return make_store(tmp_path_factory.mktemp("store"), tiny_prior).open("ada")


@pytest.fixture(scope="module")
def ada(tmp_path_factory) -> Profile:
    """A rendered person as the bundled prior knows her, without tuning."""
    store = make_store(tmp_path_factory.mktemp("known"), open_prior(PRIOR).path, draw=aligned, known=0.6)
    return store.open("ada")


@pytest.fixture
def engine(profile):
    """What answers for that person, after two steps of a search."""
    return open_engine(profile, FEW)


def damaged(frames: np.ndarray) -> np.ndarray:
    """Return frames after a known phi: made half as large and large again, with a little noise."""
    size = frames.shape[1]
    small = [resize(resize(one, (size // 3, size // 3), "area"), (size, size), "bicubic") for one in frames]
    noise = np.random.default_rng(0).normal(0, 2, frames.shape)
    return np.rint(np.stack(small) + noise).clip(0, 255).astype(np.uint8)


def off(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return how far frames are apart, root mean square of 255, (T,)."""
    return np.sqrt(np.square(one.astype(np.float64) - other).mean(axis=(1, 2, 3)))


def test_the_person_is_restored_and_all_else_stays(ada: Profile, tmp_path: Path) -> None:
    """A damaged clip with a cut: the face comes nearer to the truth; sound, words and times stay."""
    truth = moving(frames=PERSON)
    frames = np.concatenate([damaged(truth), scenery(OTHERS)])
    pts = [number * TICKS + (number % 3) * 40 for number in range(len(frames))]
    source = write_clip(tmp_path / "in.mp4", frames, pts=pts, sound=True, words=True)
    engine = open_engine(ada, replace(FEW, start="encoder", grain=False))
    told: list[Step] = []
    target = tmp_path / "out.mp4"
    made = restore_clip(engine, source, target, "restore", comment="beta {}".format, progress=told.append)
    (before, was), (after, when) = read_clip(source), read_clip(target)
    assert when == was == pts
    for kind in ("audio", "subtitle"):
        assert packets_of(source, kind)
        assert packets_of(target, kind) == packets_of(source, kind)
    assert (made.frames, made.with_person) == (len(frames), PERSON)
    assert off(after[PERSON:], before[PERSON:]).max() < 2  # what coding again costs
    face = (slice(None), slice(35, 100), slice(35, 100))
    assert (off(after[:PERSON][face], truth[face]) < 0.8 * off(before[:PERSON][face], truth[face])).all()
    assert made.id_mean > made.input_id
    assert made.least_dilation <= 0.03 + 1e-6
    with av.open(str(target)) as container:
        assert container.metadata["comment"] == "beta 0.03"
    assert {step.stage for step in told} == {"watch", "restore"}
    assert all(step.done <= step.total for step in told)
