"""Who is on the photos, on descriptors drawn around known people."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mystyle_cli.curate.choice import Row, choose
from mystyle_cli.curate.duplicates import duplicates, most_bits, perceptual_hash
from mystyle_cli.curate.identity import Identities, groups, nearness, person
from mystyle_cli.curate.settings import CurateSettings
from mystyle_cli.faces.align import FFHQ, Crop, align, face_quad, quad_side
from mystyle_cli.faces.faces import find_faces
from mystyle_cli.photos.decode import decode
from tests.support.portraits import clear

CROP = np.zeros((8, 8, 3), dtype=np.uint8)


def people(counts: list[int], seed: int, spread: float = 0.45, apart: float = 0.85) -> np.ndarray:
    """Draw descriptors as dlib's lie: strangers `apart`, photos of one person `spread` from each other."""
    rng = np.random.default_rng(seed)
    rows = []
    for count in counts:
        centre = rng.normal(size=128) * apart / np.sqrt(2 * 128)
        rows.append(centre + rng.normal(size=(count, 128)) * spread / np.sqrt(2 * 128))
    return np.concatenate(rows)


def rows_of(descriptors: np.ndarray, photos: list[int] | None = None, first: int = 0) -> list[Row]:
    """Return a face for each descriptor, one per photo unless told otherwise."""
    photos = photos or list(range(first, first + len(descriptors)))
    return [
        Row(photo, photos[:i].count(photo), d, CROP, True)
        for i, (photo, d) in enumerate(zip(photos, descriptors, strict=True))
    ]


def test_similarity_is_a_cosine_in_effect() -> None:
    """The same picture scores 1, strangers about 0, and dlib's own threshold of 0.6 scores one half."""
    one = np.zeros((1, 128))
    near, far = one.copy(), one.copy()
    near[0, 0], far[0, 0] = 0.6, np.sqrt(0.72)
    base = Identities(one, None)
    assert base.similarity(base)[0, 0] == 1
    assert base.similarity(Identities(near, None))[0, 0] == pytest.approx(0.5)
    assert base.similarity(Identities(far, None))[0, 0] == pytest.approx(0)


def test_both_nets_count() -> None:
    """With the prior's net at hand the similarity is the mean of both."""
    own = np.array([[1.0, 0.0], [0.6, 0.8]])
    both = Identities(np.zeros((2, 128)), own)
    np.testing.assert_allclose(both.similarity(both), [[1, 0.8], [0.8, 1]])


def test_nearness_follows_the_nearest() -> None:
    """One look among many is enough: far members do not count against a face."""
    assert nearness(np.array([[0.9] * 5 + [0.1] * 20]))[0] == pytest.approx(0.9)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(3, 30), st.lists(st.integers(1, 4), max_size=6))
def test_groups_are_the_people(seed: int, main: int, others: list[int]) -> None:
    """Photos of several people fall into one group per person, the most photographed first."""
    counts = [main + 4, *others]
    found = groups(similarity_of(people(counts, seed)), 0.45)
    starts = np.cumsum([0, *counts])
    expected = [list(range(a, b)) for a, b in pairwise(starts)]
    assert sorted(found) == sorted(expected)
    assert found[0] == expected[0]


def similarity_of(descriptors: np.ndarray) -> np.ndarray:
    """Return the similarities of descriptors."""
    who = Identities(descriptors, None)
    return who.similarity(who)


@pytest.mark.parametrize("seed", range(5))
def test_people_who_look_alike_to_the_net_are_still_told_apart(seed: int) -> None:
    """Where every distance is small, as on rendered people, the gap between people is what counts."""
    similarity = similarity_of(people([40, 1, 1, 1, 1, 1, 1], seed, spread=0.33, apart=0.5))
    found, _ = person(similarity, range(46), 0.45, 0.12, groups(similarity, 0.45)[0])
    assert sorted(found.values()) == list(range(40))


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_order_does_not_matter(seed: int, random: object) -> None:
    """Whatever the order of the photos, the same ones are chosen."""
    descriptors = people([12, 5, 1, 1], seed)
    order = list(range(len(descriptors)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = [Row(i, 0, descriptors[i], CROP, True) for i in order]
    straight = choose(rows_of(descriptors), [], [], CurateSettings(), None)
    mixed = choose(shuffled, [], [], CurateSettings(), None)
    assert set(straight.chosen) == set(mixed.chosen) == set(range(12))


def test_two_people_on_one_photo() -> None:
    """On a photo of two the face that is the person's is chosen, though the other is larger."""
    descriptors = people([10, 1], 3)
    rows = rows_of(descriptors[:9]) + rows_of(descriptors[[10, 9]], [9, 9])
    choice = choose(rows, [], [], CurateSettings(), None)
    assert choice.chosen[9] == 10
    assert choice.candidate(9) == 1


def test_faces_with_faults_do_not_vote() -> None:
    """Bad faces neither form nor join a group, and still get a score."""
    descriptors = people([4, 9], 5)
    rows = [Row(i, 0, d, CROP, i < 4) for i, d in enumerate(descriptors)]
    choice = choose(rows, [], [], CurateSettings(), None)
    assert set(choice.chosen) == {0, 1, 2, 3}
    assert choice.scores(7)["identity"] < choice.limit


def test_reference_decides() -> None:
    """The person on the reference is meant, not the most frequent one; a stranger on it chooses nobody."""
    descriptors = people([12, 5, 1], 7)
    chosen = choose(
        rows_of(descriptors), [], [Row(-1, 0, descriptors[14], CROP, True)], CurateSettings(), None
    )
    assert set(chosen.chosen) == set(range(12, 17))
    stranger = Row(-1, 0, people([1], 999)[0], CROP, True)
    nobody = choose(rows_of(descriptors), [], [stranger], CurateSettings(), None)
    assert not nobody.chosen
    assert nobody.warnings


def test_known_faces_decide() -> None:
    """New photos are compared with the profile's faces, not with each other."""
    descriptors = people([20, 15], 11)
    known = [Row(-1 - i, 0, d, CROP, True) for i, d in enumerate(descriptors[:10])]
    choice = choose(rows_of(descriptors[10:]), known, [], CurateSettings(), None)
    assert set(choice.chosen) == set(range(10))
    assert len(choice.anchors) == 10


def test_rivals_and_loners_are_warned_about() -> None:
    """Two people about equally frequent, or nobody twice, is worth a warning; one clear person is not."""
    settings_ = CurateSettings()
    assert "--reference" in choose(rows_of(people([10, 8], 1)), [], [], settings_, None).warnings[0]
    assert "--reference" in choose(rows_of(people([1, 1, 1, 1], 1)), [], [], settings_, None).warnings[0]
    assert not choose(rows_of(people([10, 2], 1)), [], [], settings_, None).warnings
    assert not choose([], [], [], settings_, None).chosen


def textured(seed: int) -> np.ndarray:
    """Return a smooth random picture."""
    from PIL import Image

    small = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return np.array(Image.fromarray(small).resize((128, 128), Image.Resampling.BICUBIC))


def test_hash_survives_copies_and_not_other_pictures() -> None:
    """Scaling, brightness and noise leave the hash close; another picture is far."""
    picture = textured(0)
    bits = CurateSettings().duplicate_bits
    noisy = np.clip(picture * 1.1 + np.random.default_rng(1).normal(0, 4, picture.shape), 0, 255).astype(
        np.uint8
    )
    assert (perceptual_hash(picture) != perceptual_hash(noisy)).sum() <= bits
    assert (perceptual_hash(picture) != perceptual_hash(textured(1))).sum() > 2 * bits


def test_copies_are_known_on_a_tight_crop_though_their_landmarks_differ() -> None:
    """A face found a hundredth of the square beside is still the same picture; another photo is not."""
    tight = Crop(0.58, 0.054)
    first, other = (decode(clear("ada", number)).pixels for number in (0, 1))
    landmarks, elsewhere = (find_faces(pixels)[0].landmarks for pixels in (first, other))

    def hashed(pixels: np.ndarray, points: np.ndarray) -> np.ndarray:
        return perceptual_hash(align(pixels, points, 128, tight).pixels)

    reach = 0.01 * quad_side(face_quad(landmarks, FFHQ))
    angles = np.radians(np.arange(0, 360, 45))
    copies = [hashed(first, landmarks + reach * np.array([np.cos(turn), np.sin(turn)])) for turn in angles]
    bits = [int((hashed(first, landmarks) != copy).sum()) for copy in copies]
    usual = CurateSettings().duplicate_bits
    assert max(bits) > usual
    assert max(bits) <= most_bits(usual, tight) < (hashed(first, landmarks) != hashed(other, elsewhere)).sum()
    assert most_bits(usual, FFHQ) == most_bits(usual, Crop(1.5, 0)) == usual
    assert most_bits(usual, Crop(0.1, 0)) < 62


def test_duplicates_need_both_signs_and_leave_the_better() -> None:
    """Only what agrees in identity and in picture is a duplicate, and the one worth most stays."""
    same, near, other = (
        perceptual_hash(textured(0)),
        perceptual_hash(textured(0)),
        perceptual_hash(textured(1)),
    )
    hashes = [same, near, other, same]
    similarity = np.full((4, 4), 0.97)
    similarity[3, :3] = similarity[:3, 3] = 0.7  # the same picture by its hash, another identity
    assert duplicates(similarity, hashes, [1.0, 2.0, 3.0, 4.0], 0.9, 30) == {0: 1}
    assert duplicates(similarity, hashes, [2.0, 1.0, 3.0, 4.0], 0.9, 30) == {1: 0}
    assert duplicates(similarity, hashes, [1.0, 1.0, 3.0, 4.0], 0.9, 30) == {1: 0}
