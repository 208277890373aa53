"""Masks from words: parts of a face, boxes, what is kept."""

from __future__ import annotations

import numpy as np
import pytest

from mystyle_cli.config import FACE_PARTS
from mystyle_cli.errors import UsageError
from mystyle_cli.faces.faces import find_faces
from mystyle_cli.find.region import PARTS, Region, mask_of_opacity
from tools.portraits.people import PEOPLE, write_good_photos


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Face points (68, 2) of a rendered person, and the photo's size 400 x 500."""
    from mystyle_cli.photos.decode import decode

    (path,) = write_good_photos(PEOPLE[0], tmp_path_factory.mktemp("photos"), 1)
    return find_faces(decode(path).pixels)[0].landmarks


SHAPE = (520, 520)


def inside(mask: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Tell for each point (x, y) whether the mask fills it."""
    x, y = points.round().astype(int).T
    return np.asarray(mask[y, x] > 0)


@pytest.mark.parametrize(
    ("part", "covered", "left"),
    [
        ("eyes", range(36, 48), (*range(48, 68), 30, 8)),
        ("right-eye", range(36, 42), range(42, 48)),
        ("left-eye", range(42, 48), range(36, 42)),
        ("brows", range(17, 27), (*range(36, 48), *range(48, 68))),
        ("glasses", range(36, 48), (*range(48, 68), 8)),
        ("nose", range(27, 36), (*range(17, 27), *range(48, 68), 8)),
        ("mouth", range(48, 68), (*range(27, 34), *range(36, 48))),
        ("moustache", (33, 51), (*range(36, 48), 57, 8)),
        ("beard", (*range(4, 13), *range(48, 68)), (*range(27, 30), *range(36, 48))),
        ("chin", range(6, 11), (*range(27, 48), 51)),
        ("cheeks", (), (8, 27, 30, 51, 57)),
        ("forehead", (), (*range(27, 68), 8)),
        ("face", range(68), ()),
    ],
)
def test_parts_cover_their_points(
    points: np.ndarray, part: str, covered: range | tuple[int, ...], left: range | tuple[int, ...]
) -> None:
    """A part covers its own points and no other part's, however the photo is turned and whatever its size."""
    for degrees in (0, 90, 200):
        turn = np.radians(degrees)
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        for times in (0.5, 1.5):
            size = (round(SHAPE[0] * times), round(SHAPE[1] * times))
            moved = ((points - points.mean(0)) @ rotation.T + 260) * times
            mask = Region((part,)).mask(size, moved)
            assert mask.any()
            assert inside(mask, moved[list(covered)]).all()
            assert not inside(mask, moved[list(left)]).any()


def test_forehead_is_above_and_cheeks_beside(points: np.ndarray) -> None:
    """Parts without points of their own lie where they should."""
    forehead = np.nonzero(Region(("forehead",)).mask(SHAPE, points))
    assert forehead[0].max() < points[17:27, 1].max()
    cheeks = Region(("cheeks",)).mask(SHAPE, points) > 0
    nose = round(float(points[30, 0]))
    assert cheeks[:, :nose].any()
    assert cheeks[:, nose + 1 :].any()


def test_kept_parts_win_over_all_that_is_filled(points: np.ndarray) -> None:
    """What is kept stays free of masks, boxes and parts alike."""
    given = np.full(SHAPE, 255, np.uint8)
    mask = Region(("face",), ((0, 0, 520, 520),), ("mouth",)).mask(SHAPE, points, given)
    mouth = Region(("mouth",)).mask(SHAPE, points) > 0
    np.testing.assert_array_equal(mask == 0, mouth)
    assert (given == 255).all()  # what was given is not written to


def test_boxes_end_at_the_photo() -> None:
    """A box fills its pixels, as many as are on the photo."""
    mask = Region(boxes=((-5, 2, 9, 4), (18, 19, 10, 10))).mask((20, 30), None)
    wanted = np.zeros((20, 30), np.uint8)
    wanted[2:6, 0:4] = wanted[19:20, 18:28] = 255
    np.testing.assert_array_equal(mask, wanted)
    assert not Region(boxes=((-20, -20, 9, 4),)).mask((20, 30), None).any()


def test_parts_beside_the_photo_fill_what_is_on_it(points: np.ndarray) -> None:
    """A face at the border, or beyond it, is filled as far as it is there."""
    away = points - [points[8, 0], 0]  # the chin at the left border
    mask = Region(("face",)).mask(SHAPE, away)
    assert mask.any()
    assert not mask[:, 300:].any()
    assert not Region(("face",)).mask(SHAPE, points + 2000).any()
    assert Region(("eyes",)).mask(SHAPE, np.full((68, 2), 30.0)).shape == SHAPE  # points that are no face


def test_what_is_no_part_is_refused() -> None:
    """A word or a box that says nothing is told of."""
    assert tuple(PARTS) == FACE_PARTS
    for wrong in (
        lambda: Region(("hair",)),
        lambda: Region(kept=("hair",)),
        lambda: Region(boxes=((0, 0, 0, 5),)),
    ):
        with pytest.raises(UsageError):
            wrong()


def test_opacity_says_what_was_erased() -> None:
    """Erased is what is less than half opaque."""
    alpha = np.array([[0, 100, 200, 255]], np.uint8)
    np.testing.assert_array_equal(mask_of_opacity(alpha), [[255, 255, 0, 0]])
    assert mask_of_opacity(np.full((2, 2), 200, np.uint8)) is None
