"""The rendered people: what a renderer for face software must hold."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

from mystyle_cli.faces.face import describe
from mystyle_cli.faces.faces import find_faces
from tools.portraits.identity import Traits, draw_identity
from tools.portraits.render import Portrait, render
from tools.portraits.scene import Scene, State, draw_scene, draw_state


def photograph(person: int, number: int, traits: Traits | None = None, **changes: float) -> Portrait:
    """Render one photo; `changes` override the scene."""
    rng = np.random.default_rng([person, number, 77])
    state, scene = draw_state(rng, yaw=20), draw_scene(rng)
    return render(draw_identity(person), state, scene._replace(**changes), traits)


def test_same_numbers_same_picture() -> None:
    """A picture is a function of its parameters."""
    assert np.array_equal(photograph(3, 1).pixels, photograph(3, 1).pixels)


def test_faces_are_found_where_they_are_and_people_told_apart() -> None:
    """dlib, which never saw the renderer, finds the faces near the true landmarks and knows who is who."""
    descriptors = []
    for person in range(5):
        for number in range(2):
            photo = photograph(person, number)
            face = find_faces(photo.pixels)[0]
            eyes = np.linalg.norm(photo.landmarks[36:42].mean(0) - photo.landmarks[42:48].mean(0))
            error = np.linalg.norm(face.landmarks - photo.landmarks, axis=1).mean() / eyes
            assert error < 0.25
            descriptors.append(describe(photo.pixels, face))
    rows = np.array(descriptors).reshape(5, 2, 128)
    same = np.linalg.norm(rows[:, 0] - rows[:, 1], axis=1)
    across = np.linalg.norm(rows[:, None, 0] - rows[None, :, 1], axis=-1)[~np.eye(5, dtype=bool)]
    assert same.mean() < across.mean() - 0.08


def test_head_moves_with_its_place_and_size() -> None:
    """Landmarks follow the framing: shifted by the shift, spread by the scale."""
    one = photograph(4, 0, centre_x=0.45, scale=70.0, tilt=0.0)
    two = photograph(4, 0, centre_x=0.55, scale=70.0, tilt=0.0)
    assert np.allclose(two.landmarks - one.landmarks, [0.10 * one.scene.width, 0.0], atol=1e-6)
    large = photograph(4, 0, centre_x=0.45, scale=105.0, tilt=0.0)
    assert np.ptp(large.landmarks[:, 1]) == pytest.approx(1.5 * np.ptp(one.landmarks[:, 1]), rel=1e-6)


def test_matte_covers_the_person_and_nothing_else() -> None:
    """Where the matte is empty the background shows, and its colour does not touch the person."""
    grey = photograph(6, 0, background_r=0.2, background_g=0.2, background_b=0.2, background_spot=0.0)
    red = photograph(6, 0, background_r=0.9, background_g=0.1, background_b=0.1, background_spot=0.0)
    changed = np.abs(grey.pixels.astype(int) - red.pixels).max(-1) > 0
    assert not changed[grey.matte == 255].any()
    assert changed[grey.matte == 0].mean() > 0.95
    assert grey.matte[int(grey.landmarks[30, 1]), int(grey.landmarks[30, 0])] == 255


def test_trait_mask_is_where_the_birthmark_darkens() -> None:
    """The mask marks exactly the pixels that the trait changes."""
    mark = Traits(birthmark_x=0.3, birthmark_y=-0.25, birthmark_size=0.08)
    plain, marked = photograph(8, 0), photograph(8, 0, mark)
    difference = plain.pixels.astype(int).sum(-1) - marked.pixels.astype(int).sum(-1)
    assert (marked.trait_mask > 200).sum() > 30
    assert difference[marked.trait_mask > 200].min() > 20
    assert np.abs(difference[marked.trait_mask == 0]).max() <= 3
    assert plain.trait_mask.max() == 0


def test_light_models_the_form() -> None:
    """Light from one side brightens that side of the face."""
    person, state = draw_identity(9), State()
    scene = Scene(fill_level=0.3, light_y=0.2)
    left, right = (render(person, state, scene._replace(light_x=x)) for x in (-0.9, 0.9))
    cheek = np.round(left.landmarks[[3, 13]] + (left.landmarks[[33]] - left.landmarks[[3, 13]]) * 0.3).astype(
        int
    )
    near = [int(p.pixels[y, x].sum()) for p, (x, y) in zip((left, right), cheek, strict=True)]
    far = [int(p.pixels[y, x].sum()) for p, (x, y) in zip((right, left), cheek, strict=True)]
    assert min(near) > 1.15 * max(far)
