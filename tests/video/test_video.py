"""Clips through restoring: the person better, everything else as it was."""

from __future__ import annotations

import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mystyle_cli.analysis.metrics import lpips
from mystyle_cli.errors import DecodeError, MystyleError, NotThisPersonError, UsageError
from mystyle_cli.person.profile import Profile
from mystyle_cli.photos.pixels import resize, to_unit
from mystyle_cli.prior.registry import open_prior
from mystyle_cli.progress import Step
from mystyle_cli.projection.settings import ProjectionSettings
from mystyle_cli.restore import whole
from mystyle_cli.restore.engine import open_engine
from mystyle_cli.restore.estimates import Known
from mystyle_cli.restore.task import RestoreSettings
from mystyle_cli.video import clip as clip_room
from mystyle_cli.video import writing as writing_room
from mystyle_cli.video.clip import open_clip
from mystyle_cli.video.video import restore_clip
from tests.support.clips import (
    PERSON,
    STRANGER,
    TICKS,
    moving,
    packets_of,
    playlist,
    read_clip,
    write_clip,
)
from tests.support.portraits import aligned
from tests.support.tiny_store import make_store, png
from tools.portraits import PRIOR

FEW = RestoreSettings(projection=ProjectionSettings(steps=1, beta=0.03))
THEIRS, OTHERS = 6, 3
"""Frames with the person, and those after the cut."""


@pytest.fixture(scope="module")
def profile(tmp_path_factory, tiny_prior):
    """A profile of a 32 px prior with random weights, which takes anybody for its person."""
    return make_store(tmp_path_factory.mktemp("store"), tiny_prior).open("ada")


@pytest.fixture(scope="module")
def engine(profile):
    """What answers for that person, after two steps of a search."""
    return open_engine(profile, FEW)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """A clip of somebody's face, which is three frames long."""
    return write_clip(tmp_path_factory.mktemp("plain") / "in.mp4", moving(frames=3))


@pytest.fixture(scope="module")
def ada(tmp_path_factory) -> Profile:
    """A rendered person as the bundled prior knows her, without tuning."""
    store = make_store(tmp_path_factory.mktemp("known"), open_prior(PRIOR).path, draw=aligned, known=0.6)
    return store.open("ada")


@pytest.fixture(scope="module")
def known(ada):
    """What answers for her, after two steps from the encoder's codes."""
    return open_engine(ada, replace(FEW, start="encoder"))


def damaged(frames: np.ndarray) -> np.ndarray:
    """Return frames after a known phi: a third as large and large again, with a little noise."""
    size = frames.shape[1]
    small = [resize(resize(one, (size // 3, size // 3), "area"), (size, size), "bicubic") for one in frames]
    noise = np.random.default_rng(0).normal(0, 2, frames.shape)
    return np.rint(np.stack(small) + noise).clip(0, 255).astype(np.uint8)


def off(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return how far frames are apart, root mean square of 255, (T,)."""
    return np.sqrt(np.square(one.astype(np.float64) - other).mean(axis=(1, 2, 3)))


@pytest.mark.parametrize("space", ["p+", "near"])
def test_the_person_is_restored_and_all_else_stays(ada: Profile, space: str, tmp_path: Path) -> None:
    """A damaged clip with a cut: her face comes nearer to the truth; others, sound, words and times stay."""
    search = replace(FEW.projection, space=space)
    known = open_engine(ada, replace(FEW, projection=search, start="encoder"))
    truth = moving(PERSON, THEIRS)
    frames = np.concatenate([damaged(truth), damaged(moving(STRANGER, OTHERS))])
    pts = [number * TICKS + (number % 3) * 40 for number in range(len(frames))]
    source = write_clip(tmp_path / "in.mp4", frames, pts=pts, sound=True, words=True)
    told: list[Step] = []
    target = tmp_path / "out.mp4"
    made = restore_clip(known, source, target, "restore", comment="beta {}".format, progress=told.append)
    (before, was), (after, when) = read_clip(source), read_clip(target)
    assert when == was == pts
    for kind in ("audio", "subtitle"):
        assert packets_of(source, kind)
        assert packets_of(target, kind) == packets_of(source, kind)
    assert (made.frames, made.with_person) == (len(frames), THEIRS)
    assert off(after[THEIRS:], before[THEIRS:]).max() < 4  # what coding again costs
    shown = [to_unit(one) for one in (truth, before[:THEIRS], after[:THEIRS])]
    perceptual = ada.prior.perceptual()
    assert (lpips(perceptual, shown[2], shown[0]) < 0.7 * lpips(perceptual, shown[1], shown[0])).all()
    assert 0.6 < made.id_min <= made.id_mean
    assert made.least_dilation <= 0.03 + 1e-6
    with av.open(str(target)) as container:
        assert container.metadata["comment"] == "beta 0.03"
        assert [one.language for one in container.streams.subtitles] == ["eng"]
    assert {step.stage for step in told} == {"watch", "restore"}
    assert all(step.done <= step.total for step in told)


def test_the_step_beside_the_mixture_is_drawn(ada: Profile, tmp_path: Path, monkeypatch) -> None:
    """What a search finds beside the mixture of a frame is in the code that is drawn, and in that alone."""
    engine = open_engine(ada, replace(FEW, projection=replace(FEW.projection, space="near"), start="encoder"))
    source = write_clip(tmp_path / "in.mp4", damaged(moving(PERSON, 3)))
    step = np.linspace(-0.1, 0.1, ada.prior.w_dim).astype(np.float32)
    answer, draw = engine.answer, engine.draw
    drawn: list[list[np.ndarray]] = []
    for share in (0.0, 1.0):

        def found(given, beta, progress, share=share):
            beside = np.tile(share * step, (len(given), 1))
            return replace(answer(given, beta, progress), slack=beside)

        def shown(codes):
            drawn[-1].append(codes)
            return draw(codes)

        drawn.append([])
        monkeypatch.setattr(engine, "answer", found)
        monkeypatch.setattr(engine, "draw", shown)
        restore_clip(engine, source, tmp_path / f"{share}.mp4", "restore", comment="beta {}".format)
    without, with_it = (np.concatenate(codes) for codes in drawn)
    np.testing.assert_allclose(with_it - without, np.broadcast_to(step, without.shape), atol=1e-5)


def test_what_is_not_the_face_keeps_its_numbers(profile, tmp_path, monkeypatch) -> None:
    """Before they are coded, pixels that nothing was laid over are the clip's own, to the bit."""
    frames = moving(frames=4, side=200)
    frames = np.concatenate([frames, np.full_like(frames, 90)], axis=2)  # the face on the left
    source = write_clip(tmp_path / "in.mp4", frames)
    written = []

    def keep(frame, pixels, size):
        written.append((frame, laid_over(frame, pixels, size)))
        return written[-1][1]

    laid_over = writing_room.laid_over
    monkeypatch.setattr(writing_room, "laid_over", keep)
    engine = open_engine(profile, replace(FEW, known=Known(blur=3.0)))
    restore_clip(engine, source, tmp_path / "out.mp4", "restore")
    assert len(written) == 4
    for frame, made in written:
        old, new = frame.picture.to_ndarray(), made.to_ndarray()
        assert (old[:200, 300:] == new[:200, 300:]).all()
        assert (old[:200, :200] != new[:200, :200]).any()


@pytest.mark.parametrize(("keep_tone", "coloured"), [(None, False), (False, True)])
def test_a_grey_clip_stays_grey_unless_colours_are_asked_for(
    engine, tmp_path, monkeypatch, keep_tone, coloured
) -> None:
    """As a grey photo does that shows more than a face."""
    monkeypatch.setattr(whole, "FACE_ALONE", 2.0)  # no face of this clip is large enough to be all of it
    grey = np.repeat(moving(frames=3).mean(axis=3, keepdims=True).astype(np.uint8), 3, axis=3)
    source = write_clip(tmp_path / "in.mp4", grey)
    asked = open_engine(engine.profile, replace(FEW, keep_tone=keep_tone))
    restore_clip(asked, source, tmp_path / "out.mp4", "restore")
    spread = np.ptp(read_clip(tmp_path / "out.mp4")[0].astype(int), axis=3)
    assert bool(spread.max() > 24) is coloured


def test_a_pixel_that_changed_changes_its_colours(plain) -> None:
    """Several pixels share two numbers, which stay the clip's only where none of them changed."""
    with open_clip(plain) as clip:
        frame = next(iter(clip.frames()))
    pixels = frame.pixels().copy()
    pixels[40, 20] = 255, 0, 0
    made = writing_room.laid_over(frame, pixels, (128, 128))
    planes = zip(frame.picture.planes, made.planes, strict=True)
    for (own, new), place in zip(planes, ([40, 20], [20, 10], [20, 10]), strict=True):
        old, now = (np.frombuffer(one, np.uint8).reshape(-1, one.line_size) for one in (own, new))
        seen = slice(own.height), slice(own.width)
        assert np.argwhere(old[seen] != now[seen]).tolist() == [place]


def test_small_faces_make_clips_larger(known, tmp_path) -> None:
    """Where the face is smaller than it is drawn all frames become as much larger, and even."""
    source = write_clip(tmp_path / "in.mp4", moving(frames=3, side=82)[:, :, :78])
    made = restore_clip(known, source, tmp_path / "out.mkv", "upscale")
    assert 1.3 < made.factor < 1.7
    with av.open(str(tmp_path / "out.mkv")) as container:
        for picture in container.decode(video=0):
            for side, small in ((picture.width, 78), (picture.height, 82)):
                assert side % 2 == 0
                assert abs(side - small * made.factor) < 2


def test_players_show_it_as_before(engine, tmp_path) -> None:
    """Turned, with oblong pixels, in full range: the result is the same for whoever plays it."""
    upright = moving(frames=3)
    lying = np.rot90(upright, 1, axes=(1, 2))  # players turn it back
    facts = {"sample_aspect_ratio": Fraction(4, 5), "color_range": 2, "colorspace": 1, "gop_size": 1}
    squeezed = np.stack([resize(one, (len(one), round(len(one) * 1.25)), "bicubic") for one in lying])
    source = write_clip(tmp_path / "in.mp4", squeezed, turned=-90, **facts)
    made = restore_clip(engine, source, tmp_path / "out.mp4", "restore")
    assert made.with_person == 3
    facts_of = []
    for path in (source, tmp_path / "out.mp4"):
        with open_clip(path) as clip:
            facts_of.append(clip.facts)
    assert facts_of[0] == facts_of[1]
    assert facts_of[0].turns == 3
    assert facts_of[0].aspect == Fraction(5, 4)  # upright
    assert facts_of[0].colours[:2] == (2, 1)
    assert off(read_clip(source)[0], read_clip(tmp_path / "out.mp4")[0]).max() < 40  # as it lies in the file
    with av.open(str(tmp_path / "out.mp4")) as container:  # coded anew, not each frame by itself as there
        assert sum(picture.key_frame for picture in container.decode(video=0)) == 1


def test_a_clip_of_somebody_else_is_refused(known, tmp_path) -> None:
    """Nothing is written where none of the faces is the person's, unless it is forced."""
    source = write_clip(tmp_path / "in.mp4", moving(STRANGER, frames=3))
    with pytest.raises(NotThisPersonError, match="none of its faces is ada"):
        restore_clip(known, source, tmp_path / "out.mp4", "upscale")
    assert os.listdir(tmp_path) == ["in.mp4"]


def test_nothing_is_left_of_a_clip_that_fails(engine, plain, tmp_path, monkeypatch) -> None:
    """What fails in the middle leaves neither a half clip nor another name; what was there stays."""
    target = tmp_path / "out.mp4"
    target.write_bytes(b"older")

    def fail(*given):
        raise MystyleError("full", "")

    monkeypatch.setattr(engine, "draw", fail, raising=False)
    with pytest.raises(MystyleError, match="full"):
        restore_clip(engine, plain, target, "restore")
    assert os.listdir(tmp_path) == ["out.mp4"]
    assert target.read_bytes() == b"older"


def test_the_clip_itself_is_never_written(engine, plain, tmp_path) -> None:
    """Nor is anything through a link."""
    before = plain.read_bytes()
    with pytest.raises(UsageError, match="is the clip itself"):
        restore_clip(engine, plain, plain.parent / "." / plain.name, "restore")
    (tmp_path / "link.mp4").symlink_to(plain)
    with pytest.raises((UsageError, OSError)):
        restore_clip(engine, plain, tmp_path / "link.mp4", "restore")
    assert plain.read_bytes() == before


def hostile(folder: Path) -> dict[str, tuple[Path, str]]:
    """Return files that are no clips, or lie about what they are, each with what is said of it."""
    frames = moving(frames=3)
    whole = write_clip(folder / "whole.mp4", frames).read_bytes()
    files = {
        "empty": (b"", "is no video"),
        "text": (b"Shopping: milk, bread\n", "is no video"),
        "picture": (png(frames[0]), "is no video"),
        "cut off": (whole[: len(whole) // 3], "is no video"),
        "noise": (b"\x00\x00\x00\x1cftypisom" + np.random.default_rng(0).bytes(4000), "is no video"),
    }
    made = {}
    for name, (data, said) in files.items():
        made[name] = folder / f"{name}.mp4", said
        made[name][0].write_bytes(data)
    secret = write_clip(folder / "secret.mp4", frames)
    made["list"] = playlist(folder / "list.mp4", secret, "http://127.0.0.1:9/x.mp4"), "is no video"
    (folder / "other.mp4").write_text(f"ffconcat version 1.0\nfile {secret}\n")
    made["ffconcat"] = folder / "other.mp4", "is no video"
    made["sound"] = folder / "sound.mp4", "has no pictures"
    with av.open(str(made["sound"][0]), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    made["hdr"] = write_clip(folder / "hdr.mp4", frames, color_trc=18), "is in HDR"
    made["tiny"] = write_clip(folder / "tiny.mp4", frames[:, :8, :8]), "8 x 8 pixels"
    made["folder"] = folder / "folder.mp4", "is a folder"
    made["folder"][0].mkdir()
    made["missing"] = folder / "missing.mp4", "no such file"
    return made


def test_what_is_no_clip_is_refused(engine, tmp_path, monkeypatch) -> None:
    """Whatever is called a clip and is none is told apart, and nothing else is opened for it."""
    opened: list[str] = []
    real = os.open
    cases = hostile(tmp_path)

    def watched(path, *args, **settings):
        opened.append(str(path))
        return real(path, *args, **settings)

    monkeypatch.setattr(os, "open", watched)
    for path, said in cases.values():
        with pytest.raises(DecodeError, match=said):
            restore_clip(engine, path, tmp_path / "out.mp4", "restore")
    assert not [path for path in opened if "secret" in path]
    assert not (tmp_path / "out.mp4").exists()


def test_clips_have_bounds(engine, plain, tmp_path, monkeypatch) -> None:
    """Frames too large or too many, and frames of several sizes, are refused."""
    with monkeypatch.context() as patch:
        patch.setattr(clip_room, "LARGEST_FRAME", 100 * 100)
        with pytest.raises(DecodeError, match="128 x 128 pixels, more than"):
            restore_clip(engine, plain, tmp_path / "out.mp4", "restore")
    with monkeypatch.context() as patch:
        patch.setattr(clip_room, "MOST_FRAMES", 2)
        with pytest.raises(DecodeError, match="more than 2 frames"):
            restore_clip(engine, plain, tmp_path / "out.mp4", "restore")
    with monkeypatch.context() as patch:
        patch.setattr(clip_room, "LARGEST_FILE", 100)
        with pytest.raises(DecodeError, match="bytes, more than"):
            restore_clip(engine, plain, tmp_path / "out.mp4", "restore")
    assert os.listdir(tmp_path) == []


def test_a_container_without_room_is_told_before_any_work(engine, tmp_path) -> None:
    """Subtitles of MP4 have no room in Matroska: that is said, and nothing is written."""
    source = write_clip(tmp_path / "in.mp4", moving(frames=3), words=True)
    with pytest.raises(UsageError, match="no room for the clip's subtitles") as found:
        restore_clip(engine, source, tmp_path / "out.mkv", "restore")
    assert ".mp4" in found.value.hint
    with pytest.raises(UsageError, match=r"cannot write a clip as \.avi"):
        restore_clip(engine, source, tmp_path / "out.avi", "restore")
    assert os.listdir(tmp_path) == ["in.mp4"]
