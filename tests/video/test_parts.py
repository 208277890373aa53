"""What clips are made of: paths made smooth, frames that are searched, cuts, one phi for all frames."""

from __future__ import annotations

from array import array
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mystyle_cli.faces import face as face_room
from mystyle_cli.faces import faces as faces_room
from mystyle_cli.faces.align import Crop
from mystyle_cli.projection.damage import Damage
from mystyle_cli.projection.fine import Fine
from mystyle_cli.video import tracks
from mystyle_cli.video.frames import EVERY, chosen, fill_between, in_windows, smoothed
from mystyle_cli.video.phi import Suffered, suffered_of
from mystyle_cli.video.smooth import shares, smooth_path
from mystyle_cli.video.tracks import Seen, Track, Tracker, followed, is_cut, side_of
from mystyle_cli.video.watch import LOOKS, Looks, part_of
from tests.support.clips import PERSON, STRANGER, moving
from tests.support.groups import place

TIMES = np.arange(100) / 25


def test_a_path_loses_its_jitter_and_keeps_its_speed() -> None:
    """A slow path gets nearer to the truth; one that is quickly shaken is followed as it was seen."""
    random = np.random.default_rng(0)
    slow = 100 + 20 * np.sin(2 * np.pi * 0.2 * TIMES)[:, None]
    shaken = slow + 30 * np.sin(2 * np.pi * 3 * TIMES)[:, None] * (abs(TIMES - 2) < 0.6)[:, None]
    for truth, gain in ((slow, 1.3), (shaken, 0.8)):
        seen = truth + random.normal(0, 1, truth.shape)
        before, after = (np.sqrt(np.square(one - truth).mean()) for one in (seen, smooth_path(seen)))
        assert after < before / gain
    assert (smooth_path(slow[:3]) == slow[:3]).all()


def test_neighbours_move_nothing_that_moves_steadily() -> None:
    """Shares sum to 1, and a parabola passes them unchanged."""
    for reach in (0, 1, 2, 4):
        away = np.arange(-reach, reach + 1)
        assert shares(reach).sum() == pytest.approx(1)
        assert shares(reach) @ (3 - 2 * away + 0.5 * away**2) == pytest.approx(3)
    assert np.square(shares(2)).sum() < 0.5  # of the noise's variance


def frame(number: int, part: object, **facts: object) -> SimpleNamespace:
    """Return a frame on its way."""
    return SimpleNamespace(frame=SimpleNamespace(number=number), part=part, motion=None, **facts)


def test_frames_are_made_smooth_within_their_part() -> None:
    """Each frame sees those before and after it that show the same part, and no others."""
    first, second = object(), object()
    parts = [first] * 5 + [None] + [second] * 3
    row = [frame(number, part, code=np.array([float(number)])) for number, part in enumerate(parts)]
    windows = list(in_windows(iter(row), 2))
    assert [one.frame.number for one, _ in windows] == list(range(9))
    seen = [[other.frame.number for other in around] for _, around in windows]
    assert (
        seen
        == [[0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4], [1, 2, 3, 4], [2, 3, 4], [], [6, 7, 8]]
        + [[6, 7, 8]] * 2
    )
    row[2].code = np.array([12.0])
    shown, around = windows[2]
    assert 2 < smoothed(shown, around, "code", 2)[0] < 12
    for end in (0, 4):
        shown, around = windows[end]
        assert smoothed(shown, around, "code", 2)[0] == end  # at its ends a part is left as it is
    last = [around for _, around in in_windows(iter(row[:5]), 1)][-1]
    assert [other.frame.number for other in last] == [3, 4]


def test_what_lies_between_is_not_searched() -> None:
    """Of steady frames every few are searched, and a blink between two of them, too."""
    steady = [np.full((32, 32), 100.0 + number) for number in range(2 * EVERY + 1)]
    assert chosen(steady, known=False) == [0, EVERY, 2 * EVERY]
    assert chosen(steady, known=True) == [EVERY, 2 * EVERY]
    blink = [look.copy() for look in steady]
    blink[EVERY // 2][8:12, 8:12] += 40
    assert EVERY // 2 in chosen(blink, known=False)
    assert chosen(steady[:1], known=False) == [0]


def test_codes_between_are_mixtures() -> None:
    """A code between two is as far from either as its frame is; mixtures stay in A_beta, which is convex."""
    part = object()
    row = [frame(number, part, code=None) for number in range(5)]
    for at, code in ((0, [1.0, 0.0]), (4, [0.0, 1.0])):
        row[at].code, row[at].motion = np.array(code), np.full(4, float(at))
    fill_between(row)
    assert np.allclose([one.code for one in row], [[1, 0], [0.75, 0.25], [0.5, 0.5], [0.25, 0.75], [0, 1]])
    assert np.allclose(row[1].motion, 1)


def test_a_cut_ends_a_track() -> None:
    """Somebody who is seen after a cut is somebody else; a face that only moves stays one track."""
    tracker = Tracker(25)
    frames = np.concatenate([moving(PERSON, 4, speed=3), moving(STRANGER, 3)])
    ended = [tracker.look(pixels) for pixels in frames]
    assert [len(one) for one in ended] == [0, 0, 0, 0, 1, 0, 0]
    (first,), (second,) = ended[4], tracker.close()
    assert (first.first, len(first), first.begins, first.ends) == (0, 4, True, True)
    assert (second.first, len(second), second.begins) == (4, 3, True)
    steps = np.diff(first.squares[:, 0])
    assert (abs(steps - 3) < 2.5).all()


def test_flashes_of_what_moves_are_no_cuts() -> None:
    """Frames that differ as much as those before them are one scene."""
    dark, light = np.zeros((24, 24, 3)), np.full((24, 24, 3), 60.0)
    assert is_cut(dark, light, 2.0)
    assert not is_cut(dark, light, 30.0)
    assert not is_cut(dark, dark + 20, 0.1)
    assert is_cut(None, dark, 0.0)


def test_a_face_that_is_lost_ends_its_track_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a cut a track neither begins nor ends with one, so that it is faded."""
    frames = moving(PERSON, 5)
    tracker = Tracker(25)
    real = tracks.followed
    monkeypatch.setattr(tracks, "followed", lambda *given: None if len(given[1]) > 1 else real(*given))
    ended = [track for pixels in frames for track in tracker.look(pixels)]
    assert [(track.first, len(track), track.begins, track.ends) for track in ended] == [(0, 2, True, False)]


def test_a_face_is_looked_for_where_it_is_going(monkeypatch: pytest.MonkeyPatch) -> None:
    """And is lost where there is none, or one that can hardly be the same."""
    asked: list[tuple[float, ...]] = []
    shown = place(1, (70, 58), 40).face
    monkeypatch.setattr(
        face_room, "face_in_box", lambda pixels, box, score, tilt: asked.append((*box, tilt)) or shown
    )
    before, pixels = np.array([[50, 50, 20, 0], [60, 54, 20, 0]], float), np.zeros((99, 99, 3), np.uint8)
    found = followed(pixels, before)
    assert found is not None
    assert side_of(found) == pytest.approx(40, rel=0.1)
    assert asked == [(70 - 12, 62 - 12, 70 + 12, 62 + 12, 0)]
    assert followed(pixels, before[1:]) is not None
    assert asked[1][:2] == (60 - 12, 58 - 12)  # nothing tells yet where to
    for other in (replace(shown, certainty=0.3), place(1, (70, 58), 70).face, place(1, (30, 58), 40).face):
        shown = other
        assert followed(pixels, before) is None
    assert followed(pixels[:, :65], before) is None  # it has left the picture


def test_of_too_many_faces_the_largest_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others' tracks end."""
    sides = [30, 50, 20, 40]
    there = [place(1, (60 * number + 40, 60), side).face for number, side in enumerate(sides)]
    monkeypatch.setattr(faces_room, "find_faces", lambda pixels: there)
    monkeypatch.setattr(tracks, "FACES", 2)
    tracker = Tracker(25)
    ended = tracker.look(np.zeros((120, 260, 3), np.uint8))
    kept = [round(one.last[0]) for one in tracker.open]
    assert len(ended) == 2
    assert kept == pytest.approx([100, 220], abs=8)


def test_of_two_tracks_on_one_face_one_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one head passes another, both would follow the one in front."""
    there = [place(1, (x, 60), 40).face for x in (40, 100)]
    monkeypatch.setattr(faces_room, "find_faces", lambda pixels: there)
    monkeypatch.setattr(tracks, "followed", lambda pixels, before: np.array([70.0, 60.0, 20.0, 0.0]))
    tracker, pixels = Tracker(25), np.zeros((120, 140, 3), np.uint8)
    assert [len(tracker.look(pixels)) for _ in range(3)] == [0, 1, 0]
    assert [len(track) for track in tracker.open] == [3]


def test_lights_that_flash_are_soon_no_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    """How much frames differ is learned from those before."""
    monkeypatch.setattr(faces_room, "find_faces", lambda pixels: [place(1, (60, 60), 40).face])
    monkeypatch.setattr(tracks, "followed", lambda pixels, before: before[-1])
    tracker = Tracker(25)
    frames = [np.full((120, 120, 3), 60 * (number % 2), np.uint8) for number in range(12)]
    ended = [len(tracker.look(pixels)) for pixels in frames]
    assert ended[1] == 1
    assert sum(ended[6:]) == 0


def test_whose_a_track_is_is_told_by_its_clearer_half() -> None:
    """Frames on which the face is blurred or turned away say little."""
    track = Track(0, scores=[0.1, 0.9, 0.2, 0.8, 0.7])
    assert track.id_score == pytest.approx(0.8)
    assert np.isnan(Track(0).id_score)


def test_a_face_that_comes_or_goes_is_faded() -> None:
    """At a cut it shows at once."""
    place = np.array([64.0, 64.0, 30.0, 0.0])
    shares = {}
    for begins, ends in ((True, True), (False, True), (False, False)):
        track = Track(0, array("d", np.tile(place, 8)), begins=begins, ends=ends)
        part = part_of(track, 0.9, Crop(0.5, 0.0), stretch=2.0, fade=3)
        shares[begins, ends] = part.shares.tolist()
        assert np.allclose(part.quads[3], [[24.5, 49], [24.5, 79], [39.5, 79], [39.5, 49]])
    assert shares[True, True] == [1.0] * 8
    assert shares[False, True] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert shares[False, False] == [0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.25]


def test_one_phi_is_of_frames_as_large_as_most() -> None:
    """And is said in the clip's own pixels; what was not enlarged was not made smaller either."""
    asked: list[list[float]] = []

    def suffered(sides: list[float], damage: Damage) -> Suffered:
        def of_frames(faces: list[SimpleNamespace]) -> Damage:
            asked.append([face.side for face in faces])
            return damage

        estimator = SimpleNamespace(resolution=128, of_frames=of_frames)
        return suffered_of(estimator, [SimpleNamespace(side=side) for side in sides])

    damage = Damage(64, (16.0, 1.0, 4.0), 5.0)
    found = suffered([100.0, 250.0, 256.0, 260.0], damage)
    assert asked == [[250.0, 256.0, 260.0]]
    assert (found.blur, found.scale) == ((64.0, 4.0, 16.0), 2.0)
    assert found.at(256, 128).blur == damage.blur
    assert suffered([64.0], Damage(128)).scale == 1
    fine = Fine(2.0, 6.0)
    close = suffered([256.0], Damage(128, fine=fine))
    assert [close.at(side, 128).fine for side in (100, 128, 140, 256)] == [None, None, fine, fine]


def test_a_long_clip_keeps_no_more_looks_than_a_short_one() -> None:
    """A film has thousands of tracks; those that are kept come from all over it."""
    looks = Looks()
    for number in range(1000):
        track = Track(number)
        track.seen = [Seen(np.zeros((1, 1, 3), np.uint8), np.zeros((4, 2)), number) for _ in range(12)]
        looks.take(track)
        assert track.seen == []
        assert 0 < len(looks.kept) <= LOOKS
    apart = np.diff([seen.id_score for seen in looks.kept])
    assert len(looks.kept) > LOOKS // 3
    assert apart.max() - apart.min() <= 1
    assert looks.kept[0].id_score == 0
    assert looks.kept[-1].id_score > 970


def test_one_phi_for_near_and_far() -> None:
    """The same blur of a clip is the wider, in a crop's pixels, the smaller the face is."""
    suffered = Suffered((4.0, 0.0, 4.0), noise=5.0, scale=2.0)
    near, far = suffered.at(128, 128), suffered.at(64, 128)
    assert (near.sigma, far.sigma) == (2.0, 4.0)
    assert (near.side, far.side) == (64, 32)
    assert near.noise == far.noise == 5.0
    assert near.fixed
    assert suffered.at(512, 128).side == 64  # the profile draws no more than 128
