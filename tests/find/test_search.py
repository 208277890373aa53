"""Moving and finding faces that cannot be placed exactly, against warps whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from mystyle_cli.faces import faces
from mystyle_cli.faces.align import FFHQ, Crop, quad_side, warp
from mystyle_cli.faces.face import Face
from mystyle_cli.faces.paste import paste
from mystyle_cli.find import likeness
from mystyle_cli.find.likeness import find_by_likeness, quad_of
from mystyle_cli.find.search import FACE_SHARE, SEEN_WIDTH, find_quads
from mystyle_cli.photos.pixels import to_unit
from mystyle_cli.projection.degradations import Identity, fill_hole
from mystyle_cli.projection.motion import moved, moved_quad
from mystyle_cli.projection.projection import Problem, project
from mystyle_cli.projection.settings import ProjectionSettings
from tests.support.pooled import Pooled
from tests.support.squares import marks


def texture(seed, size, detail=7):
    """A smooth random picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (detail, detail, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))


SQUARE = np.array([[60.0, 60], [60, 140], [140, 140], [140, 60]])


def test_a_motion_is_that_of_the_crop_s_quad():
    """Moving the crop cut at the moved quad gives what the crop at the first quad shows."""
    photo, motion = texture(0, 200), np.array([0.05, -0.03, 0.1, 0.15])
    there = warp(photo, moved_quad(SQUARE, motion), 64).astype(np.float32)
    images = torch.from_numpy(there).permute(2, 0, 1)[None]
    seen = moved(images, torch.tensor(motion, dtype=torch.float32)[None])[0].permute(1, 2, 0).numpy()
    inner = (slice(16, -16), slice(16, -16))
    assert np.abs(seen - warp(photo, SQUARE, 64))[inner].mean() < 1.0
    assert np.abs(there - warp(photo, SQUARE, 64))[inner].mean() > 5.0


def test_no_motion_changes_nothing():
    """Zeros leave images and quads as they are."""
    images = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(moved(images, torch.zeros(2, 4)), images, atol=1e-5, rtol=0)
    np.testing.assert_allclose(moved_quad(SQUARE, np.zeros(4)), SQUARE)


class Picture(torch.nn.Module):
    """A generator that only ever draws one picture, so that all it can do is be moved."""

    num_ws, w_dim = 2, 3

    def __init__(self, image):
        """Keep (3, R, R)."""
        super().__init__()
        self.image = torch.nn.Parameter(image, requires_grad=False)
        self.w_avg = torch.zeros(3)

    def synthesis(self, w_plus, noise="const"):
        """Return the picture whatever the code, (B, 3, R, R)."""
        return self.image + 0 * w_plus.sum(dim=(1, 2))[:, None, None, None]


def test_projection_finds_where_the_face_is():
    """A picture cut a little off is moved into place, and the motion is told; without leave nothing moves."""
    photo, motion = texture(1, 200), np.array([0.04, -0.03, 0.05, -0.06])
    generator = Picture(torch.from_numpy(to_unit(warp(photo, moved_quad(SQUARE, motion), 48))))
    target = to_unit(warp(photo, SQUARE, 48))[None]
    settings = ProjectionSettings(space="w", steps=150, patience=0, movable=True)
    found = project(Problem(generator, None, target, Identity(), Pooled()), settings)
    np.testing.assert_allclose(found.motions[0], motion, atol=0.015)
    fixed = project(
        Problem(generator, None, target, Identity(), Pooled()), ProjectionSettings(space="w", steps=3)
    )
    assert not fixed.motions.any()
    assert fixed.losses[0] > found.losses[0]


@pytest.mark.parametrize("tilt", [0.0, 0.15])
def test_a_face_behind_a_hole_is_found_by_its_likeness(tilt):
    """Place, size and tilt of a reference pasted into a photo come out, though its middle is hidden."""
    references = np.stack([to_unit(texture(seed, 64)) for seed in range(5)])
    truth = quad_of(np.array([150.0, 140.0, 120.0, tilt]), FFHQ)
    photo = paste(texture(9, 300, detail=12), texture(3, 64), truth, None, 0.0)
    mask = np.zeros((300, 300), np.uint8)
    mask[130:165, 120:180] = 255
    painted = np.where(mask[..., None] > 0, 255, photo).astype(np.uint8)
    best = find_by_likeness(painted, mask, references, FFHQ)[0]
    assert np.abs(best.quad - truth).mean() < 0.03 * quad_side(truth)
    hidden = mask > 0
    assert np.abs(best.completed.astype(int) - photo)[hidden].mean() < 12
    assert np.array_equal(best.completed[~hidden], painted[~hidden])


@pytest.mark.parametrize("crop", [Crop(0.58, 0.054), Crop(1.4, -0.1)])
def test_a_face_is_found_by_the_likeness_of_any_crop(crop):
    """The quad that is found is of the crop that the references show, however much of a face that is."""
    references = np.stack([to_unit(texture(seed, 64)) for seed in range(5)])
    square = np.array([150.0, 140.0, 150.0, 0.1])  # the face's FFHQ square
    truth = quad_of(square, crop)
    assert quad_side(truth) == pytest.approx(150 * crop.scale)
    photo = paste(texture(9, 300, detail=12), texture(3, 64), truth, None, 0.0)
    mask = np.zeros((300, 300), np.uint8)
    mask[130:150, 135:165] = 255
    painted = np.where(mask[..., None] > 0, 255, photo).astype(np.uint8)
    best = find_by_likeness(painted, mask, references, crop)[0]
    assert np.abs(best.quad - truth).mean() < 0.03 * quad_side(truth)


@pytest.mark.parametrize("crop", [FFHQ, Crop(0.58, 0.054)])
def test_a_hidden_face_is_looked_for_at_its_own_size(crop, monkeypatch):
    """The detector sees a guess at the width that it likes, and a face near by counts, in whatever crop."""
    square = np.array([150.0, 140.0, 160.0, 0.0])
    guess = likeness.Guess(quad_of(square, crop), 1.0, texture(0, 300))
    monkeypatch.setattr(likeness, "find_by_likeness", lambda *given: [guess])
    enlarged = []

    def find(pixels, upsample="auto"):
        if upsample == "auto":
            return []
        enlarged.append(upsample)
        near, far = (marks(150 + 70 * step, 140, 160) for step in (1, 2))
        return [Face((0, 0, 9, 9), points, score, 0.0, 1.0) for points, score in ((near, 1.0), (far, 2.0))]

    monkeypatch.setattr(faces, "find_faces", find)
    mask = np.zeros((300, 300), np.uint8)
    mask[130:150, 140:160] = 255
    found = find_quads(texture(1, 300), mask, lambda: None, crop, tiny=False)
    np.testing.assert_allclose(found, [quad_of(np.array([220.0, 140.0, 160.0, 0.0]), crop)], atol=1e-6)
    assert enlarged == [pytest.approx(SEEN_WIDTH / (FACE_SHARE * 160))]


def test_a_photo_that_is_all_hole_suggests_nothing():
    """Where no face would be visible, no place is guessed."""
    photo = texture(0, 64)
    assert find_by_likeness(photo, np.full((64, 64), 255, np.uint8), to_unit(photo)[None], FFHQ) == []


def test_a_hole_is_filled_from_around_it():
    """A slope goes on through the hole; all other pixels keep their bits, on a photo of any size."""
    slope = np.linspace(0, 255, 120).round().astype(np.uint8)
    photo = np.repeat(np.tile(slope, (90, 1))[..., None], 3, axis=2)
    mask = np.zeros((90, 120), np.uint8)
    mask[0:20, 50:62] = 255
    filled = fill_hole(np.where(mask[..., None] > 0, 255, photo).astype(np.uint8), mask)
    assert np.array_equal(filled[mask == 0], photo[mask == 0])
    assert np.abs(filled.astype(int) - photo)[mask > 0].max() < 16
    assert fill_hole(photo, np.full_like(mask, 255)).shape == photo.shape
