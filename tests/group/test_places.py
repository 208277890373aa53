"""How a photo is shared out among its faces."""

from __future__ import annotations

import numpy as np
import pytest

from mystyle_cli.faces import faces
from mystyle_cli.faces.align import FFHQ, face_quad
from mystyle_cli.faces.face import Face
from mystyle_cli.group.places import HALF, MARGIN, find_places, part_of, share
from tests.support.groups import place

SIZE = 64


def grid(quad: np.ndarray) -> np.ndarray:
    """Return the photo's points (SIZE, SIZE, 2) in the middle of a crop's pixels."""
    along = (np.arange(SIZE) + 0.5) / SIZE
    corner, below, _, right = quad
    return corner + along[None, :, None] * (right - corner) + along[:, None, None] * (below - corner)


def test_a_face_ends_at_its_outline() -> None:
    """The oval is measured on the FFHQ square: its middle is 0, its outline 1, however large and tilted."""
    for side, tilt in ((40.0, 0.0), (200.0, 0.5)):
        one = place(1, (100, 120), side, tilt)
        corner, below, _, right = face_quad(one.face.landmarks, FFHQ)
        at = [
            corner + u * (right - corner) + v * (below - corner)
            for u, v in ((0.5, 0.55), (0.5 + HALF[0], 0.55))
        ]
        np.testing.assert_allclose(one.distances(np.array(at)), [0, 1], atol=1e-9)


def test_two_known_faces_share_all_there_is() -> None:
    """Shares of two faces side by side add up to 1, each has its own middle, neither any of the other's."""
    left, right = place(1, (100, 100), 120), place(2, (160, 100), 100)
    quad = face_quad(left.face.landmarks, FFHQ)
    mine = share(quad, SIZE, left, [right], [])
    theirs = share(quad, SIZE, right, [left], [])
    np.testing.assert_allclose(mine + theirs, 1, atol=1e-6)
    points = grid(quad)
    inside = right.distances(points) < left.distances(points) - 0.5
    assert inside.sum() > 100
    assert mine[inside].max() == 0
    assert mine[SIZE // 2, SIZE // 2] == 1


def test_nothing_shows_on_a_stranger() -> None:
    """Where a stranger's face is nearer, nothing is laid; away from it everything."""
    known, stranger = place(1, (100, 100), 120), place(2, (160, 100), 120)
    quad = face_quad(known.face.landmarks, FFHQ)
    part, points = share(quad, SIZE, known, [], [stranger]), grid(quad)
    nearer = stranger.distances(points) < known.distances(points) + MARGIN
    assert nearer.any()
    assert part[nearer].max() == 0
    assert part[:, : SIZE // 4].min() == 1


def test_a_hole_over_two_faces_is_parted() -> None:
    """Every pixel of a mask is one face's, with the mask's own value."""
    mask = np.zeros((200, 260), np.uint8)
    mask[80:110, 20:240] = 200
    places = [place(1, (80, 100), 120), place(2, (180, 100), 120)]
    parts = [part_of(mask, one, places) for one in places]
    np.testing.assert_array_equal(parts[0].astype(int) + parts[1], mask)
    assert parts[0][:, 135:].max() == 0
    assert parts[1][:, :125].max() == 0


def test_faces_are_counted_from_the_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """However large they are, and in whatever order they are found."""
    found = [place(0, (x, 100), side).face for x, side in ((160, 120), (40, 60), (250, 30))]
    monkeypatch.setattr(faces, "find_faces", lambda pixels: found)
    places = find_places(np.zeros((200, 300, 3), np.uint8), tiny=True)
    assert [(one.number, one.face) for one in places] == [(1, found[1]), (2, found[0]), (3, found[2])]


def test_a_face_that_noise_hides_is_found_on_the_softened_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is seen on both counts once, as it was seen first."""
    pixels = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    where = (((80, 100), 90), ((84, 97), 80), ((220, 90), 60))
    sharp, again, hidden = (place(0, at, side).face for at, side in where)

    def find(seen: np.ndarray) -> list[Face]:
        return [sharp] if seen.std() == pixels.std() else [again, hidden]

    monkeypatch.setattr(faces, "find_faces", find)
    assert [one.face for one in find_places(pixels, tiny=True)] == [sharp, hidden]
