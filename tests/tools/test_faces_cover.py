"""What is drawn over faces to learn from: it hides what its label says, and is told on its own side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("numba")

from mystyle_cli.faces.align import to_crop, warp
from mystyle_cli.prior.registry import FACE_PARTS
from tools.faces import occluders
from tools.faces.at_size import AtSize
from tools.faces.crops import Crops
from tools.faces.dataset import tight_quad
from tools.faces.disguises import disguised
from tools.faces.drawing import Scene
from tools.faces.occluders import covered
from tools.faces.parts import outlines, shares
from tools.faces.train_cover import SEEN, Source, photographed, read_labels, seen
from tools.portraits.identity import draw_identity
from tools.portraits.render import render
from tools.portraits.scene import draw_scene, draw_state

SIZE = 128


def rendered(person: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the tight crop of a rendered face, bytes, and its true landmarks in crop sides."""
    rng = np.random.default_rng([person, 5])
    photo = render(draw_identity(person), draw_state(rng, yaw=10), draw_scene(rng))
    quad = tight_quad(photo.landmarks)
    return warp(photo.pixels, quad, SIZE), to_crop(photo.landmarks, quad, 1)


@pytest.fixture(scope="module")
def faces() -> list[tuple[np.ndarray, np.ndarray]]:
    """Four rendered people."""
    return [rendered(person) for person in range(4)]


def scene(faces: list[tuple[np.ndarray, np.ndarray]], number: int) -> Scene:
    """Return one of them, another lending textures."""
    (pixels, marks), (donor, lent) = faces[number % 4], faces[(number + 1) % 4]
    return Scene(pixels.astype(np.float32), marks * SIZE, donor, lent * SIZE)


def test_parts_lie_where_the_face_has_them(faces: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Each part surrounds its own landmarks, eyes above nose above mouth, left ones left."""
    for _, marks in faces:
        middle = {name: outline.mean(0) for name, outline in outlines(marks).items()}
        assert middle["left eye"][1] < middle["nose"][1] < middle["mouth"][1]
        assert middle["left eye"][0] < middle["nose"][0] < middle["right eye"][0]
        assert middle["left cheek"][0] < middle["mouth"][0] < middle["right cheek"][0]


def test_shares_are_those_of_the_covered_area(faces: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """A half-opaque veil hides half of every part; a cover of the left half hides the left ones alone."""
    marks = faces[0][1]
    np.testing.assert_allclose(shares(np.full((SIZE, SIZE), 0.5), marks), 0.5, atol=1e-6)
    left = np.zeros((SIZE, SIZE))
    left[:, : round(marks[30][0] * SIZE)] = 1
    told = dict(zip(FACE_PARTS, shares(left, marks), strict=True))
    assert told["left eye"] > 0.95
    assert told["right eye"] < 0.05


@pytest.mark.parametrize("seed", range(8))
def test_glasses_hide_eyes_and_masks_mouths(faces: list[tuple[np.ndarray, np.ndarray]], seed: int) -> None:
    """Each thing hides the part that it is worn over, and leaves the other free."""
    face = scene(faces, seed)
    for make, part, free in (
        (occluders.sunglasses, "left eye", "mouth"),
        (occluders.face_mask, "mouth", "left eye"),
        (occluders.scarf, "mouth", "left eye"),
    ):
        opacity, paint = make(face, np.random.default_rng(seed))
        told = dict(zip(FACE_PARTS, shares(opacity, face.marks / SIZE), strict=True))
        assert told[part] > 0.2  # light tints and low scarves hide in part
        assert told[free] < 0.1
        assert paint.shape == (SIZE, SIZE, 3)


@pytest.mark.parametrize("seed", range(16))
def test_cover_changes_only_what_it_covers(faces: list[tuple[np.ndarray, np.ndarray]], seed: int) -> None:
    """Where the opacity is nought the face can only have become darker, by a shadow; seeds repeat."""
    face = scene(faces, seed)
    made, opacity = covered(face, np.random.default_rng(seed))
    outside = opacity == 0
    assert 0 < opacity.max() <= 1
    assert (made.pixels[outside] <= face.pixels[outside] + 1e-3).all()
    again, _ = covered(face, np.random.default_rng(seed))
    np.testing.assert_array_equal(made.pixels, again.pixels)


def test_disguises_change_the_picture_and_stay_in_range(faces: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Shades, visors, beards and paint are drawn, as colours of a picture."""
    changes = []
    for seed in range(12):
        face = scene(faces, seed)
        made = disguised(face, np.random.default_rng(seed)).pixels
        assert made.min() >= 0
        assert made.max() <= 255
        changes.append(np.abs(made - face.pixels).mean())
    assert np.median(changes) > 3


def test_opacity_moves_with_the_photo() -> None:
    """A white square on black and its opacity come out of the camera at the same place."""
    square = np.zeros((SIZE, SIZE), np.uint8)
    square[40:80, 50:90] = 255
    for seed in range(12):
        photo, mask = photographed(np.repeat(square[..., None], 3, 2), square, np.random.default_rng(seed))
        weights = photo.astype(float).sum(-1)
        weights[weights < weights.max() / 2] = 0
        grid = np.indices((SIZE, SIZE))
        place = [(axis * weights).sum() / weights.sum() for axis in grid]
        told = [(axis * mask.astype(float)).sum() / mask.sum() for axis in grid]
        np.testing.assert_allclose(place, told, atol=1.5)


@pytest.fixture(scope="module")
def data(faces: list[tuple[np.ndarray, np.ndarray]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `tools.faces.dataset` makes it, of rendered faces."""
    folder = tmp_path_factory.mktemp("faces")
    count = len(faces)
    np.save(folder / "crops-128.npy", np.stack([pixels for pixels, _ in faces]))
    np.savez(
        folder / "index.npz",
        split=np.array(["train"] * count),
        photo=np.array([f"{i}.jpg" for i in range(count)]),
        landmarks=np.stack([marks for _, marks in faces]).astype(np.float32),
        grey=np.zeros(count, bool),
        age=np.array(["20-29", "30-39"] * 2),
        gender=np.array(["Male", "Female"] * 2),
        race=np.array(["White"] * count),
    )
    return folder


def test_mirrored_examples_are_told_on_the_other_side(data: Path) -> None:
    """In every batch the map's heavier half is the side of which more is said to be hidden."""
    source = Source(Crops(data, "train"), {}, seed=1)
    agree = []
    left, right = (
        [i for i, part in enumerate(FACE_PARTS) if part.startswith(side)] for side in ("left", "right")
    )
    for _ in range(30):
        images, maps, told, whole = source.batch(16)
        assert images.shape == (16, 3, SEEN, SEEN)
        assert bool(whole.all())
        lean = maps[:, 3:13, :8].sum((1, 2)) - maps[:, 3:13, 8:].sum((1, 2))
        said = told[:, left].sum(1) - told[:, right].sum(1)
        sure = (lean.abs() > 3) & (said.abs() > 0.4)
        agree += (lean[sure].sign() == said[sure].sign()).tolist()
    assert len(agree) > 10
    assert np.mean(agree) > 0.9


def test_labelled_faces_are_real_examples_and_doubtful_ones_left_out(data: Path) -> None:
    """Hidden parts that the eye saw are learned as such, its doubts not at all."""
    source = Source(Crops(data, "train"), {"0.jpg": "mouth", "1.jpg": "?"}, seed=1)
    assert source.real.tolist() == [0]
    assert source.clear.tolist() == [2, 3]
    told = dict(zip(FACE_PARTS, source.truth[0], strict=True))
    assert told["mouth"] == 1
    assert told["left eye"] == 0
    assert np.isnan(told["left cheek"])


def test_labels_name_known_parts() -> None:
    """Every line of the labels can be learned from."""
    labels = read_labels()
    assert len(labels) > 500
    for text in labels.values():
        if text not in ("", "?"):
            assert set(text.split("+")) <= set(FACE_PARTS)
            assert np.nansum(seen(text)) == len(text.split("+"))


def test_a_larger_prior_asks_the_same_net() -> None:
    """Enlarged crops get the same answers, pictures of the crop's size; odd sizes are refused."""
    small = torch.rand(2, 3, SIZE, SIZE)
    large = small.repeat_interleave(2, 2).repeat_interleave(2, 3)
    shares_of = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    torch.testing.assert_close(AtSize(shares_of, SIZE, 256)(large), shares_of(small))

    class Luma(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean(1)

    assert AtSize(Luma(), SIZE, 256)(large).shape == (2, 256, 256)
    torch.testing.assert_close(AtSize(Luma(), SIZE, SIZE)(small), small.mean(1))
    with pytest.raises(ValueError, match="multiple"):
        AtSize(Luma(), SIZE, 200)
