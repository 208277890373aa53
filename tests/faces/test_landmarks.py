"""Landmarks and the second detector on rendered people, whose landmarks and turns are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

from mystyle_cli.errors import ModelError
from mystyle_cli.faces import models
from mystyle_cli.faces.align import FFHQ, face_quad, quad_side
from mystyle_cli.faces.detector import detect
from mystyle_cli.faces.faces import find_faces
from mystyle_cli.faces.landmarks import _MIRRORED, find_landmarks
from tools.portraits.identity import draw_identity
from tools.portraits.render import Portrait, render
from tools.portraits.scene import draw_scene, draw_state

MIDDLE = range(17, 68)  # brows, nose, eyes, mouth; where the jaw ends is a matter of taste


@pytest.fixture(scope="module")
def people() -> list[Portrait]:
    """Three rendered people, turned by up to 30 degrees."""
    rngs = [np.random.default_rng([person, 21]) for person in range(3)]
    return [
        render(draw_identity(person), draw_state(rng, yaw=30), draw_scene(rng))
        for person, rng in enumerate(rngs)
    ]


def square_of(landmarks: np.ndarray) -> tuple[np.ndarray, float]:
    """Return middle and side of a square about a face."""
    low, high = landmarks.min(0), landmarks.max(0)
    return (low + high) / 2, 1.5 * float((high - low).max())


def eye_distance(landmarks: np.ndarray) -> float:
    """Return the distance of the eyes' middles."""
    return float(np.linalg.norm(landmarks[36:42].mean(0) - landmarks[42:48].mean(0)))


def test_every_landmark_lies_where_the_renderer_put_it(people: list[Portrait]) -> None:
    """Each of the 68 is the right part of the face: none is swapped with the other side's."""
    errors = []
    for person in people:
        truth = person.landmarks + 0.5
        found = find_landmarks(person.pixels, *square_of(truth))
        assert found.certainty > 0.9
        errors.append(np.linalg.norm(found.points - truth, axis=1) / eye_distance(truth))
    mean = np.mean(errors, axis=0)
    assert mean[MIDDLE].max() < 0.2
    assert mean.max() < 0.35


def test_alignment_agrees_with_the_renderer(people: list[Portrait]) -> None:
    """The FFHQ square lies where the true landmarks put it, within a few hundredths of its side."""
    for person in people:
        truth = person.landmarks + 0.5
        found = find_landmarks(person.pixels, *square_of(truth)).points
        wanted, quad = face_quad(truth, FFHQ), face_quad(found, FFHQ)
        assert np.abs(quad.mean(0) - wanted.mean(0)).max() < 0.03 * quad_side(wanted)
        assert quad_side(quad) == pytest.approx(quad_side(wanted), rel=0.08)


def test_mirrored_landmarks_change_sides(people: list[Portrait]) -> None:
    """The picture's mirror image has the same landmarks, each on the other side."""
    person = people[0]
    middle, side = square_of(person.landmarks + 0.5)
    width = person.pixels.shape[1]
    plain = find_landmarks(person.pixels, middle, side).points
    mirrored = find_landmarks(
        np.ascontiguousarray(person.pixels[:, ::-1]), np.array([width - middle[0], middle[1]]), side
    ).points
    there = np.stack([width - mirrored[:, 0], mirrored[:, 1]], axis=1)[list(_MIRRORED)]
    assert np.linalg.norm(there - plain, axis=1).max() < 0.05 * eye_distance(plain)


def turned(points: np.ndarray, shape: tuple[int, ...], quarter_turns: int) -> np.ndarray:
    """Return where points (n, 2) of a picture of a shape lie once it is turned anticlockwise by quarters."""
    (height, width), (x, y) = shape[:2], points.T
    places = ((x, y), (y, width - x), (width - x, height - y), (height - y, x))
    return np.stack(places[quarter_turns], axis=1)


@pytest.mark.parametrize("quarter_turns", range(4))
def test_a_photo_is_read_whichever_way_up_it_lies(people: list[Portrait], quarter_turns: int) -> None:
    """On photos turned by quarters the detector tells place and turn, and the face is aligned as upright."""
    person = people[1]
    photo = np.ascontiguousarray(np.rot90(person.pixels, quarter_turns))
    truth = turned(person.landmarks + 0.5, person.pixels.shape, quarter_turns)
    best = detect(photo)[0]
    assert np.linalg.norm(best.centre - truth[30]) < 0.5 * best.width
    across = truth[42:48].mean(0) - truth[36:42].mean(0)
    assert abs((best.tilt - np.degrees(np.arctan2(across[1], across[0])) + 180) % 360 - 180) < 20
    [face] = find_faces(photo)
    assert np.linalg.norm(face.landmarks - truth, axis=1)[MIDDLE].mean() < 0.1 * eye_distance(truth)


def test_textures_show_no_face() -> None:
    """Clouds of noise, stripes and discs have no face for both detectors."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:240, :320]
    stripes = 128 + 100 * np.sin(columns / 7 + rows / 11)
    discs = np.where(((rows % 60 - 30) ** 2 + (columns % 60 - 30) ** 2) < 300, 40, 200)
    for plane in (stripes, discs):
        picture = np.clip(plane[..., None] + rng.normal(0, 20, (240, 320, 3)), 0, 255).astype(np.uint8)
        assert find_faces(picture) == []


def test_a_net_that_is_damaged_is_named(tmp_path: Path) -> None:
    """A file that is no net is an error that names it."""
    path = tmp_path / "mesh.onnx"
    path.write_bytes(b"not a net")
    with pytest.raises(ModelError, match=r"mesh\.onnx"):
        models.open_net(path)
